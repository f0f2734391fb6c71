"""Reading COCO instances; Coco's docstring says what is written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from prelabel import images
from prelabel.errors import PhotoError, UserError
from prelabel.masks import rle_totals
from prelabel.records import Prediction, Region, Rle
from prelabel.strategies import Dataset, Problems
from prelabel_exporters.common import fits_photo

Json = Mapping[str, Any]
_LOOK = 1 << 16
_MOST_PIXELS = 2**31
"""pycocotools counts in 32 bits."""
_MOST_CLASSES = 2**16
_LONGEST_WALK = 10**7
"""In pixels; takes pycocotools some seconds."""
_AT_ONCE = 4096
"""Annotations whose masks are made together: pycocotools is quicker so."""


def is_instances(file: Path) -> bool:
    """Whether a file looks like COCO instances: a JSON object that names COCO's lists, and not the
    segments of COCO's panoptic format."""
    try:
        with file.open("rb") as data:
            ends = head = data.read(_LOOK)
            if file.stat().st_size > _LOOK:
                data.seek(max(_LOOK, file.stat().st_size - _LOOK))
                ends += data.read(_LOOK)
    except OSError:
        return False
    is_object = head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
    is_panoptic = b'"segments_info"' in ends
    return is_object and not is_panoptic and (b'"images"' in ends or b'"annotations"' in ends)


def read_instances(file: Path, photos: Path | None) -> Dataset:
    """The labels of a file, which is held in memory. ``photos``: the folder that ``file_name`` is
    relative to, where sizes that the file does not say are looked up. Raises UserError."""
    data = _load(file)
    problems = Problems()
    reading = _Reading(file, data, photos, problems)
    info = data.get("info")
    version = str(info.get("model_version") or "") if isinstance(info, Mapping) else ""

    def stream() -> Iterator[Prediction]:
        pending: list[tuple[Json, list[Json]]] = []
        n = 0
        for image in reading.images():
            own = reading.annotations.get(image["id"], [])
            pending.append((image, own))
            n += len(own) + 1
            if n >= _AT_ONCE:
                yield from reading.predictions(pending, version)
                pending, n = [], 0
        yield from reading.predictions(pending, version)
        reading.note_to(Problems())  # once: a second stream finds the same again

    return Dataset(photos, reading.classes, stream, problems, version)


class _Reading:
    """A file that was loaded: its classes, and its annotations by image."""

    def __init__(self, file: Path, data: Json, photos: Path | None, problems: Problems) -> None:
        self._file = file
        self._data = data
        self._photos = photos
        self._problems = problems
        self.classes, self._class_of = self._read_classes()
        self.annotations = self._by_image()

    def note_to(self, problems: Problems) -> None:
        """Where problems are noted from here on."""
        self._problems = problems

    def images(self) -> Iterator[Json]:
        """Those that can be used, with ``id``, ``file_name``, ``width`` and ``height``."""
        ids: set[Any] = set()
        names: set[str] = set()
        for image in self._data["images"]:
            number, name = _id(image, "id"), image.get("file_name")
            place = f"{self._file}, image {image.get('id')!r}"
            if number is None:
                self._note("images without an id, left out", f"{place}: {name}")
            elif not isinstance(name, str) or not _is_inside(name):
                self._note("images whose file_name is none inside a folder, left out", place)
            elif number in ids or name in names:
                self._note("images whose id or file_name comes twice, the first one taken", place)
            else:
                ids.add(number)
                names.add(name)
                sized = self._sized(image, place)
                if sized:
                    yield sized

    def predictions(
        self, pending: Sequence[tuple[Json, list[Json]]], version: str
    ) -> Iterator[Prediction]:
        """The labels of some images."""
        wanted = [(image, annotation) for image, own in pending for annotation in own]
        masks = self._masks(wanted)
        kept = [i for i, rle in enumerate(masks) if rle is not None]
        sound = [rle for rle in masks if rle is not None]
        areas = dict(zip(kept, _areas(sound), strict=True))
        boxes = dict(zip(kept, coco_mask.toBbox(sound).tolist() if sound else [], strict=True))
        n = 0
        for image, own in pending:
            regions = []
            for i, annotation in enumerate(own, start=n):
                rle = masks[i]
                if rle is None:
                    continue
                x, y, width, height = (int(v) for v in boxes[i])
                regions.append(
                    Region(
                        rle=rle,
                        box=(x, y, width, height),
                        area=int(areas[i]),
                        score=_score(annotation),
                        cluster=self._cluster(annotation),
                        crowd=bool(annotation.get("iscrowd", 0)),
                    )
                )
            n += len(own)
            total = sum(region.area for region in regions if not region.crowd)
            yield Prediction(
                photo=image["file_name"],
                digest="",
                width=image["width"],
                height=image["height"],
                regions=tuple(regions),
                foreground=total / (image["width"] * image["height"]),
                dropped=0,
                model_version=version,
            )

    def _read_classes(self) -> tuple[tuple[str, ...], dict[Any, int]]:
        """Names in the file's order, and the class of each category id. Where the annotations have
        a ``cluster``, as this tool writes it, that is the class id, and categories are one less."""
        categories: dict[Any, str] = {}
        for category in self._data["categories"]:
            number, name = _id(category, "id"), category.get("name")
            place = f"{self._file}, category {category.get('id')!r}"
            if number is None:
                self._note("categories without an id, left out", f"{place}: {name}")
            elif number in categories:
                self._note("categories whose id comes twice, the first one taken", place)
            elif not isinstance(name, str) or not name:
                self._note("categories without a name, left out", place)
            else:
                categories[number] = name
        annotations = self._data["annotations"]
        clusters = [a.get("cluster") for a in annotations]
        ours = all(_is_class(number, 1) for number in categories)
        if not clusters or not ours or not all(_is_class(c, 0) for c in clusters):
            return tuple(categories.values()), {number: i for i, number in enumerate(categories)}
        names = {number - 1: name for number, name in categories.items()}
        for annotation, cluster in zip(annotations, clusters, strict=True):
            names.setdefault(cluster, categories.get(_id(annotation, "category_id"), ""))
        classes = tuple(names.get(i) or f"object {i + 1}" for i in range(max(names) + 1))
        return classes, {number: number - 1 for number in categories}

    def _cluster(self, annotation: Json) -> int:
        cluster = annotation.get("cluster")
        if _is_class(cluster, 0) and cluster < len(self.classes):
            return cluster
        return self._class_of[annotation["category_id"]]

    def _by_image(self) -> dict[Any, list[Json]]:
        known = {_id(image, "id") for image in self._data["images"]} - {None}
        ids: set[Any] = set()
        found: dict[Any, list[Json]] = {}
        for annotation in self._data["annotations"]:
            number = _id(annotation, "id")
            place = f"{self._file}, annotation {annotation.get('id')!r}"
            if number is not None and number in ids:
                self._note("annotations whose id comes twice, both kept", place)
            ids.add(number)
            if _id(annotation, "image_id") not in known:
                self._note("annotations of images that are not there, left out", place)
            elif _id(annotation, "category_id") not in self._class_of:
                self._note("annotations of categories that are not there, left out", place)
            else:
                found.setdefault(annotation["image_id"], []).append(annotation)
        return found

    def _sized(self, image: Json, place: str) -> Json | None:
        """The image with its size, from the photo if the file does not say it; None if they differ."""
        width, height = image.get("width"), image.get("height")
        photo = self._photos / image["file_name"] if self._photos is not None else None
        if (
            isinstance(width, int)
            and isinstance(height, int)
            and min(width, height) > 0
            and width * height <= _MOST_PIXELS
        ):
            fits = photo is None or fits_photo(photo, width, height, self._problems)
            return image if fits else None
        try:
            if photo is None:
                raise PhotoError("the photo is not at hand: name its folder with --photos")
            found = images.read_size(photo)
        except PhotoError as error:
            stated = f"{width!r} × {height!r}, and {error}"
            self._note("images without usable width and height, left out", f"{place}: {stated}")
            return None
        return {**image, "width": found[0], "height": found[1]}

    def _masks(self, wanted: Sequence[tuple[Json, Json]]) -> list[Rle | None]:
        """The mask of each annotation as compressed RLE, or None."""
        masks: list[Rle | None] = []
        for image, annotation in wanted:
            place = f"{self._file}, annotation {annotation.get('id')!r}"
            size = [image["height"], image["width"]]
            segmentation = annotation.get("segmentation")
            if isinstance(segmentation, list) and segmentation:
                masks.append(self._polygons(segmentation, size, place))
            elif isinstance(segmentation, Mapping):
                masks.append(self._rle(segmentation, size, place))
            else:
                self._note("annotations without a segmentation, left out", place)
                masks.append(None)
        packed = [i for i, rle in enumerate(masks) if rle is not None]
        totals = rle_totals([masks[i]["counts"] for i in packed])  # type: ignore[index]
        for i, total in zip(packed, totals.tolist(), strict=True):
            image, annotation = wanted[i]
            place = f"{self._file}, annotation {annotation.get('id')!r}"
            if not self._holds(total, image["height"] * image["width"], place):
                masks[i] = None
        return masks

    def _rle(self, segmentation: Json, size: list[int], place: str) -> Rle | None:
        found, counts = segmentation.get("size"), segmentation.get("counts")
        if found != size:
            self._note("RLEs of another size than their image, left out", f"{place}: {found}")
            return None
        if isinstance(counts, str):
            return {"size": size, "counts": counts}
        total = -1
        if isinstance(counts, list) and all(isinstance(n, int) and n >= 0 for n in counts):
            total = sum(counts)
        if not self._holds(total, size[0] * size[1], place):
            return None
        return _text(coco_mask.frPyObjects({"size": size, "counts": counts}, *size))

    def _holds(self, total: int, wanted: int, place: str) -> bool:
        """Whether an RLE's counts cover the image; -1 stands for counts that are none."""
        if total < 0:
            self._note("RLEs whose counts are none, left out", place)
        elif total != wanted:
            kind = "RLEs that hold another number of pixels than the image, left out"
            self._note(kind, f"{place}: {total} pixels, wanted {wanted}")
        return total == wanted

    def _polygons(self, polygons: list[Any], size: list[int], place: str) -> Rle | None:
        usable: list[NDArray[np.float64]] = []
        for polygon in polygons:
            if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
                self._note("polygons with fewer than three points or half a point, left out", place)
                continue
            points = _points(polygon)
            if points is None:
                self._note("polygons that are none, left out", place)
            elif _is_far(points, max(size)):
                self._note("polygons far outside their image, left out", place)
            else:
                usable.append(points)
        if not usable:
            return None
        parts = coco_mask.frPyObjects([points.ravel().tolist() for points in usable], *size)
        for points, part in zip(usable, parts, strict=True):
            if _crosses(points, part):
                self._note("polygons that cross themselves, drawn as pycocotools does", place)
        return _text(coco_mask.merge(parts))

    def _note(self, kind: str, place: str) -> None:
        self._problems.note(kind, place)


def _load(file: Path) -> Json:
    try:
        data = json.loads(file.read_bytes())
    except OSError as error:
        raise UserError(f"{str(file)!r} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{file} is no whole JSON ({error}): was it cut off? Write or download it again"
        ) from error
    wanted = "COCO instances wanted: an object with lists of images, annotations and categories"
    if isinstance(data, list):
        raise UserError(f"{file} is a list, as COCO's results are, which name no photos; {wanted}")
    for key in ("images", "annotations", "categories"):
        found = data.get(key) if isinstance(data, Mapping) else None
        if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
            raise UserError(f"{file} has no list of {key}; {wanted}")
    if any("segments_info" in annotation for annotation in data["annotations"]):
        raise UserError(f"{file} is of COCO's panoptic format, whose masks are PNGs; {wanted}")
    return data  # type: ignore[no-any-return]


def _id(item: Json, key: str) -> Any:
    """An id, or None where there is none that could be looked up."""
    found = item.get(key)
    return None if isinstance(found, list | dict) else found


def _is_class(value: Any, first: int) -> TypeGuard[int]:
    return type(value) is int and first <= value < first + _MOST_CLASSES


def _score(annotation: Json) -> float:
    """1.0 for what people made, and where it is no number."""
    score = annotation.get("score")
    sound = isinstance(score, int | float) and -1e9 < score < 1e9
    return float(score) if sound else 1.0  # type: ignore[arg-type]


def _points(polygon: list[Any]) -> NDArray[np.float64] | None:
    """(n, 2) from x, y, x, y, …; None if these are no finite numbers."""
    try:
        points = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
    except (ValueError, TypeError, OverflowError):
        return None
    return points if points.size == len(polygon) and np.isfinite(points).all() else None


def _is_far(points: NDArray[np.float64], side: int) -> bool:
    """pycocotools walks along the outline, in the image or not: a long way crashes it."""
    walk = np.abs(points - np.roll(points, 1, axis=0)).max(axis=1).sum()
    return bool(np.abs(points).max() > min(2 * side, _LONGEST_WALK) or walk > _LONGEST_WALK)


def _crosses(points: NDArray[np.float64], part: Any) -> bool:
    """Whether a polygon's own area (the shoelace formula, where loops that turn the other way
    count negative) is another than that of the pixels that it was drawn with."""
    x, y = points.T
    own = abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
    drawn = int(coco_mask.area(part))
    steps = points - np.roll(points, 1, axis=0)
    outline = float(np.abs(steps).sum())
    return drawn - own > outline + 0.05 * drawn


def _areas(rles: Sequence[Rle]) -> list[int]:
    """A few at once: of 256 or more, pycocotools (2.0.11) counts the number in a byte."""
    parts = (rles[start : start + 200] for start in range(0, len(rles), 200))
    return [int(area) for part in parts for area in coco_mask.area(part)]


def _text(rle: Any) -> Rle:
    return {"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode("ascii")}


def _is_inside(name: str) -> bool:
    place = PurePosixPath(name)
    return bool(name) and "\0" not in name and not place.is_absolute() and ".." not in place.parts
