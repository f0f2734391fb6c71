"""Reading COCO instances; Coco's docstring says what is written."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from msgspec import structs

from prelabel.data import images
from prelabel.data.coco_rle import rle_facts
from prelabel.data.dataset import Dataset, Problems
from prelabel.data.masks import Rle
from prelabel.data.records import Prediction, Region
from prelabel.errors import PhotoError
from prelabel_exporters.coco.file import Annotation, ImageRecord, InstancesFile, load_instances
from prelabel_exporters.coco.masks import holds, mask_of
from prelabel_exporters.common import fits_photo

_MOST_CLASSES = 2**16
_NOT_IN_FILES = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters and lone surrogates."""
_LISTS, _NUMBERS = (list, dict), (int, float)
_AT_ONCE = 4096
"""Annotations whose masks are made together: that is quicker."""


_Labelled = tuple[ImageRecord, list[Annotation]]
"""An image with its annotations."""


def read_instances(file: Path, photos: Path | None) -> Dataset:
    """The labels of a file, which is held in memory. ``photos``: the folder that ``file_name`` is
    relative to, where sizes that the file does not say are looked up and others compared. Raises
    UserError."""
    data = load_instances(file)
    problems = Problems()
    reading = _Reading(file, data, photos, problems)
    info = data.info
    version = str(info.get("model_version") or "") if isinstance(info, Mapping) else ""

    def stream() -> Iterator[Prediction]:
        pending: list[_Labelled] = []
        n = 0
        for image in reading.images():
            own = reading.annotations[image.id]
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

    def __init__(
        self, file: Path, data: InstancesFile, photos: Path | None, problems: Problems
    ) -> None:
        self._file = file
        self._data = data
        self._photos = photos
        self._problems = problems
        self.classes, self._class_of = self._read_classes()
        self.annotations = self._by_image()

    def note_to(self, problems: Problems) -> None:
        """Where problems are noted from here on."""
        self._problems = problems

    def images(self) -> Iterator[ImageRecord]:
        """Those that can be used, with ``id``, ``file_name``, ``width`` and ``height``."""
        ids: set[Any] = set()
        names: set[str] = set()
        for image in self._data.images:
            number, name = _id(image.id), image.file_name
            if number is None:
                self._note_image(image, "images without an id, left out", name)
            elif not isinstance(name, str) or not _is_inside(name):
                kind = "images whose file_name is none inside a folder, left out"
                self._note_image(image, kind)
            elif number in ids or name in names:
                kind = "images whose id or file_name comes twice, the first one taken"
                self._note_image(image, kind)
            else:
                ids.add(number)
                names.add(name)
                sized = self._sized(image)
                if sized:
                    yield sized

    def predictions(self, pending: Sequence[_Labelled], version: str) -> Iterator[Prediction]:
        """The labels of some images."""
        for (image, _), found in zip(pending, self._regions(pending), strict=True):
            total = sum([region.area for region in found if not region.crowd])
            yield Prediction(
                photo=image.file_name,
                digest="",
                width=image.width,
                height=image.height,
                regions=found,
                foreground=total / (image.width * image.height),
                dropped=0,
                model_version=version,
            )

    def _regions(self, pending: Sequence[_Labelled]) -> Iterator[tuple[Region, ...]]:
        """Of each image, those whose masks can be used; all are made at once, which is quicker."""
        note = self._note_annotation
        annotations: list[Annotation] = []
        rles: list[Rle] = []
        ends = []
        for image, own in pending:
            size = [image.height, image.width]
            for annotation in own:
                rle = mask_of(annotation, size, note)
                if rle is not None:
                    annotations.append(annotation)
                    rles.append(rle)
            ends.append(len(rles))
        facts = rle_facts(rles)
        is_sound = [
            total == rle["size"][0] * rle["size"][1] or holds(total, annotation, rle["size"], note)
            for total, annotation, rle in zip(facts.totals.tolist(), annotations, rles, strict=True)
        ]
        regions = map(
            Region,
            rles,
            map(tuple, facts.boxes.tolist()),
            facts.areas.tolist(),
            [_score(annotation.score) for annotation in annotations],
            [self._cluster(annotation) for annotation in annotations],
            [bool(annotation.iscrowd) for annotation in annotations],
        )
        sound = itertools.compress(regions, is_sound)
        for start, end in itertools.pairwise([0, *ends]):
            yield tuple(itertools.islice(sound, sum(is_sound[start:end])))

    def _read_classes(self) -> tuple[tuple[str, ...], dict[Any, int]]:
        """Names in the file's order, and the class of each category id. Where the annotations have
        a ``cluster``, as this tool writes it beside a ``model_version``, that is the class id, and
        categories are one more."""
        categories: dict[Any, str] = {}
        for category in self._data.categories:
            number, name = _id(category.get("id")), category.get("name")
            place = f"{self._file}, category {category.get('id')!r}"
            if number is None:
                self._note("categories without an id, left out", f"{place}: {name}")
            elif number in categories:
                self._note("categories whose id comes twice, the first one taken", place)
            elif not isinstance(name, str) or not name:
                self._note("categories without a name, left out", place)
            else:
                sound = _NOT_IN_FILES.sub("\N{REPLACEMENT CHARACTER}", name).strip() or "_"
                if sound != name:
                    self._note("names of categories that not all formats can hold, changed", place)
                categories[number] = sound
        annotations = self._data.annotations
        info = self._data.info
        ours = isinstance(info, Mapping) and "model_version" in info
        ours = ours and all(_is_class(number, 1) for number in categories)
        if not annotations or not ours or not all(_is_class(a.cluster, 0) for a in annotations):
            return tuple(categories.values()), {number: i for i, number in enumerate(categories)}
        names = {number - 1: name for number, name in categories.items()}
        for annotation in annotations:
            names.setdefault(annotation.cluster, categories.get(_id(annotation.category_id), ""))
        classes = tuple(names.get(i) or f"object {i + 1}" for i in range(max(names) + 1))
        return classes, {number: number - 1 for number in categories}

    def _cluster(self, annotation: Annotation) -> int:
        """The class; of one that was corrected, the category says it, since people see that one."""
        cluster, category = annotation.cluster, self._class_of[annotation.category_id]
        if cluster is None or not (_is_class(cluster, 0) and cluster < len(self.classes)):
            return category
        return cluster if self.classes[cluster] == self.classes[category] else category

    def _by_image(self) -> dict[Any, list[Annotation]]:
        found: dict[Any, list[Annotation]] = {_id(i.id): [] for i in self._data.images}
        found.pop(None, None)
        ids: set[Any] = set()
        for annotation in self._data.annotations:
            number, own = _id(annotation.id), found.get(_id(annotation.image_id))
            if number in ids and number is not None:
                self._note_annotation(annotation, "annotations whose id comes twice, both kept")
            ids.add(number)
            if own is None:
                kind = "annotations of images that are not there, left out"
                self._note_annotation(annotation, kind)
            elif _id(annotation.category_id) not in self._class_of:
                kind = "annotations of categories that are not there, left out"
                self._note_annotation(annotation, kind)
            else:
                own.append(annotation)
        return found

    def _sized(self, image: ImageRecord) -> ImageRecord | None:
        """The image with its size, from the photo if the file does not say it; None if they differ."""
        width, height = image.width, image.height
        photo = self._photos / image.file_name if self._photos is not None else None
        if (
            isinstance(width, int)
            and isinstance(height, int)
            and min(width, height) > 0
            and width * height <= images.MAX_PIXELS
        ):
            fits = photo is None or fits_photo(photo, width, height, self._problems)
            return image if fits else None
        try:
            if photo is None:
                raise PhotoError("the photo is not at hand: name its folder with --photos")
            found = images.read_size(photo)
        except PhotoError as error:
            stated = f"{width!r} × {height!r}, and {error}"
            self._note_image(image, "images without usable width and height, left out", stated)
            return None
        return structs.replace(image, width=found[0], height=found[1])

    def _note_annotation(self, annotation: Annotation, kind: str, detail: Any = "") -> None:
        self._note(kind, f"{self._file}, annotation {annotation.id!r}", detail)

    def _note_image(self, image: ImageRecord, kind: str, detail: Any = "") -> None:
        self._note(kind, f"{self._file}, image {image.id!r}", detail)

    def _note(self, kind: str, place: str, detail: Any = "") -> None:
        self._problems.note(kind, f"{place}: {detail}" if detail != "" else place)


def _id(value: Any) -> Any:
    """An id, or None where there is none that could be looked up."""
    return None if isinstance(value, _LISTS) else value


def _is_class(value: Any, first: int) -> TypeGuard[int]:
    return type(value) is int and first <= value < first + _MOST_CLASSES


def _score(score: Any) -> float:
    """1.0 for what people made, and where it is no number."""
    sound = isinstance(score, _NUMBERS) and -1e9 < score < 1e9
    return float(score) if sound else 1.0


def _is_inside(name: str) -> bool:
    return (
        name not in ("", ".")
        and name[0] != "/"
        and "\0" not in name
        and ".." not in name.split("/")
    )
