"""Reading COCO instances; Coco's docstring says what is written."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prelabel.data import images
from prelabel.data.coco_rle import measure_rles
from prelabel.data.dataset import Dataset, Problems
from prelabel.data.masks import Rle
from prelabel.data.records import Prediction, Region
from prelabel.errors import PhotoError, UserError
from prelabel_exporters.coco.classes import Classes, id_of
from prelabel_exporters.coco.file import (
    Annotation,
    ImageRecord,
    InstancesFile,
    load_instances,
    load_results,
)
from prelabel_exporters.coco.items import attributes_of
from prelabel_exporters.coco.masks import box_of, has_box_alone, holds, mask_of
from prelabel_exporters.coco.numbers import normalize, score_of
from prelabel_exporters.coco.source import photos_beside
from prelabel_exporters.common import fits_photo
from prelabel_exporters.photo_names import PhotoNames

_IMAGES = 256
"""Images whose masks are measured together, which is quicker."""


def read_instances(
    file: Path, photos: Path | None, *, about: Path | None = None, problems: Problems | None = None
) -> Dataset:
    """The labels of a file, which is held in memory.

    Args:
        file: of instances, or of results if ``about`` says which instances they are about.
        photos: the folder that ``file_name`` is relative to, where sizes that the file does not say
            are looked up and others compared; left out, ``images/`` beside the file is looked at.
        about: a file of instances.
        problems: takes what is wrong; left out, the dataset has its own.

    Raises:
        UserError: the file cannot be read, or is none of these.
    """
    data = load_instances(file) if about is None else load_results(file, about)
    problems = Problems() if problems is None else problems
    normalize(data, file, problems)
    if photos is None:
        names = (image.file_name for image in data.images)
        first = next((name for name in names if isinstance(name, str)), "")
        photos = photos_beside(about or file, first)
    reading = _Reading(file, data, photos, problems)

    def stream() -> Iterator[Prediction]:
        found = reading.images()
        while part := list(itertools.islice(found, _IMAGES)):
            yield from reading.predictions(part)
        reading.problems = Problems()  # a second stream finds the same again

    version = data.model_version or ""
    return Dataset(
        photos, reading.classes.names, stream, problems, version, addresses=reading.addresses()
    )


def read_several(files: Sequence[Path], photos: Path | None) -> Dataset:
    """The labels of several files with the same categories, as of training and validation, one after
    the other. Raises UserError."""
    problems = Problems()
    parts = [read_instances(file, photos, problems=problems) for file in files]
    first = parts[0]
    for file, part in zip(files, parts, strict=True):
        if part.classes != first.classes:
            raise UserError(
                f"{file} has other categories than {files[0]}: name one of the files alone"
            )

    def stream() -> Iterator[Prediction]:
        return itertools.chain.from_iterable(part.stream() for part in parts)

    addresses = {name: address for part in parts for name, address in part.addresses.items()}
    same = all(part.photos == first.photos for part in parts)
    folder = first.photos if same else None
    return Dataset(
        folder, first.classes, stream, problems, first.model_version, addresses=addresses
    )


@dataclass(frozen=True, slots=True)
class _Image:
    """One that can be used. ``name``: its path relative to the folder of photos."""

    id: Hashable
    name: str
    width: int
    height: int


class _Reading:
    """A file that was loaded. ``problems``: where they are noted."""

    def __init__(
        self, file: Path, data: InstancesFile, photos: Path | None, problems: Problems
    ) -> None:
        self.problems = problems
        self.classes = Classes(file, data, problems)
        self._file = file
        self._data = data
        self._photos = photos
        self._annotations = self._by_image()
        texts = (image.file_name for image in data.images)
        self._names = PhotoNames(texts, photos, file.parent)

    def addresses(self) -> dict[str, str]:
        """The address of each photo that has one, by its name."""
        found = (self._names.of(image.file_name) for image in self._data.images)
        return {named.name: named.address for named in found if named and named.address}

    def images(self) -> Iterator[_Image]:
        """Those that can be used."""
        ids: set[Hashable] = set()
        names: set[str] = set()
        for image in self._data.images:
            number, named = id_of(image.id), self._names.of(image.file_name)
            name = named.name if named else ""
            if number is None:
                self._note_image(image, "images without an id, left out", image.file_name)
            elif not named:
                kind = "images whose file_name is not that of a file, left out"
                self._note_image(image, kind, repr(image.file_name))
            elif number in ids or name in names:
                kind = "images whose id or file_name comes twice, the first one taken"
                self._note_image(image, kind)
            else:
                ids.add(number)
                names.add(name)
                if name != image.file_name:
                    kind = "images whose file_name leads elsewhere, named by its end"
                    self._note_image(image, kind, f"{image.file_name} is {name}")
                if size := self._size(image, name):
                    yield _Image(number, name, *size)

    def predictions(self, part: Sequence[_Image]) -> Iterator[Prediction]:
        """The labels of some images."""
        drawn = [list(self._masks(image)) for image in part]
        totals, areas, boxes = measure_rles([rle for own in drawn for *_, rle in own])
        measured = zip(totals.tolist(), areas.tolist(), map(tuple, boxes.tolist()), strict=True)
        for image, own in zip(part, drawn, strict=True):
            regions = tuple(
                Region(
                    rle,
                    box,
                    area,
                    score,
                    cluster,
                    bool(item.iscrowd),
                    has_box_alone(item),
                    attributes_of(item.attributes),
                )
                for (item, cluster, rle), (total, area, box) in zip(own, measured, strict=False)
                if holds(total, item, rle["size"], self.note)
                and (score := self._score(item)) is not None
            )
            yield Prediction(
                photo=image.name,
                digest="",
                width=image.width,
                height=image.height,
                regions=regions,
                dropped=0,
                model_version=self._data.model_version or "",
            )

    def note(self, annotation: Annotation, kind: str, detail: object = "") -> None:
        """Note what is wrong with an annotation."""
        self._note(kind, f"{self._file}, annotation {annotation.id!r}", detail)

    def _score(self, annotation: Annotation) -> float | None:
        """1.0 for what people made; None where it is not a number, which is noted."""
        score = score_of(annotation.score)
        if score is None:
            kind = "annotations whose score is not a number up to 10⁹, left out"
            self.note(annotation, kind, repr(annotation.score))
        return score

    def _masks(self, image: _Image) -> Iterator[tuple[Annotation, int, Rle]]:
        """The image's annotations that have a mask, with their class."""
        size = [image.height, image.width]
        for annotation, cluster in self._annotations[image.id]:
            find = box_of if has_box_alone(annotation) else mask_of
            rle = find(annotation, size, self.note)
            if rle is not None:
                yield annotation, cluster, rle

    def _by_image(self) -> dict[Hashable, list[tuple[Annotation, int]]]:
        """Annotations by the id of their image, with their class."""
        found: dict[Hashable, list[tuple[Annotation, int]]] = {
            id_of(image.id): [] for image in self._data.images
        }
        found.pop(None, None)
        ids: set[Hashable] = set()
        for annotation in self._data.annotations:
            number, own = id_of(annotation.id), found.get(id_of(annotation.image_id))
            if number in ids and number is not None:
                self.note(annotation, "annotations whose id comes twice, both kept")
            ids.add(number)
            if own is None:
                self.note(annotation, "annotations of images that are not there, left out")
            elif (cluster := self.classes.of(annotation)) is None:
                self.note(annotation, "annotations of categories that are not there, left out")
            else:
                own.append((annotation, cluster))
        return found

    def _size(self, image: ImageRecord, name: str) -> tuple[int, int] | None:
        """Width and height, from the photo if the file does not say them; None if they differ."""
        width, height = image.width, image.height
        photo = self._photos / name if self._photos is not None else None
        if (
            isinstance(width, int)
            and isinstance(height, int)
            and min(width, height) > 0
            and width * height <= images.MAX_PIXELS
        ):
            fits = photo is None or fits_photo(photo, width, height, self.problems)
            return (width, height) if fits else None
        try:
            if photo is None:
                raise PhotoError("the photo is not at hand: name its folder with --photos")
            return images.read_size(photo)
        except PhotoError as error:
            stated = f"{width!r} × {height!r}, and {error}"
            self._note_image(image, "images without usable width and height, left out", stated)
            return None

    def _note_image(self, image: ImageRecord, kind: str, detail: object = "") -> None:
        self._note(kind, f"{self._file}, image {image.id!r}", detail)

    def _note(self, kind: str, place: str, detail: object) -> None:
        self.problems.note(kind, f"{place}: {detail}" if detail != "" else place)
