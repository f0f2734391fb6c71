"""Reading YOLO's boxes and polygons. labelformat's own reader needs all photos in one folder, a label
file for each, and stops at the first line that is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from prelabel.data import images
from prelabel.data.dataset import Dataset, Problems
from prelabel.data.masks import Mask, Rle, encode_rle, rle_area, rle_box
from prelabel.data.polygons import fill_polygons
from prelabel.data.records import Prediction, Region
from prelabel.errors import PhotoError, UserError
from prelabel.storage.files import is_file
from prelabel_exporters.common import filled_box, read_text, whole_number
from prelabel_exporters.labelformat.source import (
    Source,
    find_source,
    label_file,
    photos_of,
    read_source,
)
from prelabel_exporters.photo_names import PhotoNames

_MARGIN = 0.01
"""How far outside its photo a corner may be, as a share of it: others are not fractions."""


def read_yolo(source: Path, photos: Path | None) -> Dataset:
    """The labels of a YOLO folder or ``data.yaml``. ``photos``: the folder that the photos are in, if
    it is another. Raises UserError."""
    file = find_source(source)
    if file is None:
        raise UserError(f"{str(source)!r} has no data.yaml with names and splits, as YOLO's has")
    found = read_source(file)
    texts = list(dict.fromkeys(photos_of(found)))
    folder = photos or _folder(found.root, texts)
    highest = max(found.names)
    classes = tuple(found.names.get(i, f"object {i + 1}") for i in range(highest + 1))
    problems = Problems()
    counted = False

    def stream() -> Iterator[Prediction]:
        nonlocal counted
        reading = _Reading(found, folder, texts, Problems() if counted else problems)
        for text in texts:
            if (labels := reading.read(text)) is not None:
                yield labels
        counted = True  # another stream finds the same problems

    return Dataset(folder, classes, stream, problems)


def _folder(root: Path, texts: Sequence[str]) -> Path:
    """``images/`` where all photos are in it, else the root."""
    inside = root / "images"
    is_inside = all(Path(text).is_relative_to(inside) for text in texts)
    return inside if texts and is_inside else root


def _absolute(text: str) -> str:
    """A photo's path as others write it, which may lead elsewhere."""
    return str(Path(text).absolute())


class _Reading:
    """Photos that are read one by one; what is wrong with one is noted."""

    def __init__(
        self, source: Source, folder: Path, texts: Sequence[str], problems: Problems
    ) -> None:
        self._source = source
        self._folder = folder
        self._names = PhotoNames([_absolute(text) for text in texts], folder, source.root)
        self._problems = problems
        self._seen: set[str] = set()

    def read(self, text: str) -> Prediction | None:
        """The labels of a photo; None where its size is not known."""
        path = _absolute(text)
        named = self._names.of(path)
        if named is None or named.name in self._seen:
            kind = "photos whose name cannot be used or comes twice, left out"
            self._problems.note(kind, f"{self._source.file}: {text}")
            return None
        self._seen.add(named.name)
        try:
            width, height = images.read_size(self._folder / named.name)
        except PhotoError as error:
            kind = "photos that cannot be read, so that their size is not known, left out"
            self._problems.note(kind, f"{self._folder / named.name} {error}")
            return None
        file = self._label_file(path, named.name)
        regions: list[Region] = []
        if file is None:
            kind = "photos without a file of labels, read as without objects"
            self._problems.note(kind, named.name)
        else:
            regions = list(self._regions(file, width, height))
        return Prediction(named.name, "", width, height, tuple(regions), 0, "")

    def _label_file(self, path: str, name: str) -> Path | None:
        files = (
            label_file(Path(path)),
            label_file(self._folder / name),
            self._source.root / "labels" / Path(name).with_suffix(".txt"),
        )
        return next((file for file in files if is_file(file)), None)

    def _regions(self, file: Path, width: int, height: int) -> Iterator[Region]:
        try:
            lines = read_text(file).split("\n")
        except UserError as error:
            self._problems.note("files of labels that cannot be read, left out", str(error))
            return
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield self._region(line.split(), width, height)
            except ValueError as error:
                kind = "lines that are neither a box nor a polygon, left out"
                self._problems.note(kind, f"{file}, line {number}: {error}")

    def _region(self, words: Sequence[str], width: int, height: int) -> Region:
        """A region from ``class x y width height`` or ``class x y x y x y …``, either with a score at
        the end. Raises ValueError."""
        cluster = whole_number(words[0])
        if cluster is None or cluster not in self._source.names:
            raise ValueError(f"class {words[0]!r} has no name")
        numbers = [float(word) for word in words[1:]]
        score = 1.0
        if len(numbers) == 5 or (len(numbers) > 6 and len(numbers) % 2):
            score = numbers.pop()
        if len(numbers) != 4 and (len(numbers) < 6 or len(numbers) % 2):
            raise ValueError(f"{len(words)} values")
        if not all(-_MARGIN <= n <= 1 + _MARGIN for n in numbers) or not math.isfinite(score):
            raise ValueError("coordinates are not in [0, 1]")
        is_box = len(numbers) == 4
        size = (height, width)
        rle = _box(numbers, size) if is_box else encode_rle(_polygon(numbers, size))
        if rle is None or not rle_area(rle):
            raise ValueError("it covers no pixel")
        return Region(rle, rle_box(rle), rle_area(rle), score, cluster, is_box=is_box)


def _box(numbers: Sequence[float], size: tuple[int, int]) -> Rle | None:
    (height, width), (x, y, w, h) = size, numbers
    sides = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
    return filled_box(*sides, size)


def _polygon(numbers: Sequence[float], size: tuple[int, int]) -> Mask:
    height, width = size
    points = np.array(numbers, dtype=np.float64).reshape(-1, 2) * (width, height)
    return fill_polygons([points], height=height, width=width)
