"""The regions of a review on disk, and the little of each that stays in memory."""

from __future__ import annotations

import itertools
import secrets
import shutil
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import Region
from prelabel.errors import UserError
from prelabel.review.source import Name, RegionSource, ReviewPhoto
from prelabel.storage.files import LEFTOVERS, remove_leftovers
from prelabel.storage.json import decode, encode

_VERSION = 1
_AT_ONCE = 2048
"""Vectors in memory."""


class _PhotoLine(msgspec.Struct):
    """A photo in photos.jsonl."""

    id: str
    name: str
    width: int
    height: int
    first: int
    regions: list[Region]
    names: list[Name]


class _Facts(msgspec.Struct):
    version: int
    dim: int
    names: dict[int, Name]


@dataclass(frozen=True)
class StoredPhoto:
    """A photo as the index keeps it. ``first``: the id of its first region; the others follow."""

    id: str
    name: str
    width: int
    height: int
    first: int
    regions: Sequence[Region]
    names: Sequence[Name]


class RegionIndex:
    """All regions of a source, numbered 0 … n-1 in its order.

    In memory are, of each region, its photo, score, area and first class: 16 bytes. Masks and vectors
    are read from the folder when they are needed.
    """

    def __init__(self, folder: Path) -> None:
        """Raises UserError or OSError for a folder that ``build`` has not written."""
        self.folder = folder
        try:
            facts = msgspec.json.decode((folder / "facts.json").read_bytes(), type=_Facts)
            if facts.version != _VERSION:
                raise ValueError("another version wrote it")
            self.dim = facts.dim
            self.start_names = facts.names
            arrays = (self._load(name) for name in ("photo", "score", "area", "start", "offsets"))
            self.photo, self.score, self.area, self.start, self._offsets = arrays
        except (ValueError, EOFError) as error:
            raise UserError(f"{folder} is damaged ({error}): remove it and try again") from error

    def __len__(self) -> int:
        return len(self.photo)

    @property
    def n_photos(self) -> int:
        """How many photos there are, those without regions included."""
        return len(self._offsets)

    def read_photo(self, number: int) -> StoredPhoto:
        """A photo with its masks, by its number."""
        with (self.folder / "photos.jsonl").open("rb") as file:
            file.seek(int(self._offsets[number]))
            return _stored(file.readline())

    def photos(self) -> Iterator[StoredPhoto]:
        """All photos, in order."""
        with (self.folder / "photos.jsonl").open("rb") as file:
            for line in file:
                yield _stored(line)

    def vectors(self, ids: NDArray[np.int64] | NDArray[np.int32]) -> NDArray[np.float32]:
        """Vectors of length 1, float32 (n, dim), of some regions; zeros where one is not known."""
        if not len(ids) or not self.dim:
            return np.zeros((len(ids), self.dim), dtype=np.float32)
        found = np.empty((len(ids), self.dim), dtype="<f2")
        row = found.itemsize * self.dim
        starts = [0, *(np.flatnonzero(np.diff(ids) != 1) + 1).tolist(), len(ids)]
        # Read, not mapped: pages of a mapped file count as this process's memory.
        with (self.folder / "vectors.f16").open("rb", buffering=0) as file:
            for start, end in itertools.pairwise(starts):
                file.seek(row * int(ids[start]))
                file.readinto(found[start:end].data)
        return found.astype(np.float32)

    def chunks(self, ids: NDArray[np.int32]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """The vectors of regions, a few thousand at a time, each time with their place in ``ids``."""
        for start in range(0, len(ids), _AT_ONCE):
            place = slice(start, min(start + _AT_ONCE, len(ids)))
            yield place, self.vectors(ids[place])

    def _load(self, name: str) -> NDArray[Any]:
        return np.asarray(np.load(self.folder / f"{name}.npy", allow_pickle=False))


def build_index(source: RegionSource, folder: Path) -> RegionIndex:
    """The index of a source in ``folder``, which appears whole or not at all; one that is there is
    opened. Raises UserError and OSError."""
    if (folder / "facts.json").exists():
        return RegionIndex(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.parent, older_than=86400.0)
    beside = folder.parent / f"{LEFTOVERS.removesuffix('*')}{secrets.token_hex(4)}"
    beside.mkdir()
    try:
        _Writer(beside).write(source)
        if folder.exists():  # without facts: nothing that was finished
            shutil.rmtree(folder)
        beside.replace(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return RegionIndex(folder)


class _Writer:
    """Writes an index; memory grows by a few bytes a region."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._dim = 0
        self._without = 0  # regions without a vector before the first with one
        self._counts = array("i")
        self._offsets = array("q")
        self._scores = array("f")
        self._areas = array("i")
        self._clusters = array("i")
        self._numbers = array("i")  # of the names
        self._names: dict[Name, int] = {}

    def write(self, source: RegionSource) -> None:
        """All photos of a source."""
        with (
            (self._folder / "photos.jsonl").open("wb") as photos,
            (self._folder / "vectors.f16").open("wb") as vectors,
        ):
            first = 0
            for photo in source.regions():
                self._add(photo, first, photos, vectors)
                first += len(photo.regions)
        counts = np.array(self._counts, dtype=np.int64)
        numbers = np.arange(len(counts), dtype=np.int32)
        start, names = start_classes(
            np.array(self._clusters, dtype=np.int32),
            np.array(self._numbers, dtype=np.int32),
            list(self._names),
        )
        arrays: dict[str, NDArray[Any]] = {
            "photo": np.repeat(numbers, counts),
            "score": np.array(self._scores, dtype=np.float32),
            "area": np.array(self._areas, dtype=np.int32),
            "start": start,
            "offsets": np.array(self._offsets, dtype=np.int64),
        }
        for name, values in arrays.items():
            np.save(self._folder / f"{name}.npy", values)
        facts = encode(_Facts(_VERSION, self._dim, names))
        (self._folder / "facts.json").write_bytes(facts)

    def _add(self, photo: ReviewPhoto, first: int, photos: BinaryIO, vectors: BinaryIO) -> None:
        n = len(photo.regions)
        self._counts.append(n)
        self._offsets.append(photos.tell())
        line = _PhotoLine(
            *(photo.id, photo.name, photo.width, photo.height, first),
            list(photo.regions),
            list(photo.names),
        )
        photos.write(encode(line) + b"\n")
        if not n:
            return
        self._write_vectors(photo.vectors, n, vectors)
        self._scores.extend(region.score for region in photo.regions)
        self._areas.extend(region.area for region in photo.regions)
        self._clusters.extend(region.cluster for region in photo.regions)
        self._numbers.extend(self._names.setdefault(n, len(self._names)) for n in photo.names)

    def _write_vectors(self, vectors: NDArray[np.float32], n: int, file: BinaryIO) -> None:
        """Of length 1; zeros where they are not known, also of photos before the first known one."""
        own = np.asarray(vectors, dtype=np.float32).reshape(n, -1)
        if not self._dim and own.shape[1]:
            self._dim = own.shape[1]
            file.write(bytes(2 * self._dim * self._without))
        if not own.shape[1]:
            self._without += n
            own = np.zeros((n, self._dim), dtype=np.float32)
        lengths = np.linalg.norm(own, axis=1, keepdims=True)
        file.write((own / np.maximum(lengths, 1e-12)).astype("<f2").tobytes())


def start_classes(
    clusters: NDArray[np.int32], numbers: NDArray[np.int32], names: Sequence[Name]
) -> tuple[NDArray[np.int32], dict[int, Name]]:
    """The class of each region before any edit, int32 (n,), and the classes' names by id.

    ``clusters``: int32 (n,), -1 for none. ``numbers``: int32 (n,), the index of each one's name. A
    cluster with regions of several names is several classes, of which the largest keeps its number;
    the others, and regions without a cluster, get numbers after all clusters'.
    """
    found = np.zeros(len(clusters), dtype=np.int32)
    named: dict[int, Name] = {}
    following = int(clusters.max(initial=-1)) + 1
    for cluster in np.unique(clusters):
        own = np.flatnonzero(clusters == cluster)
        kinds, counts = np.unique(numbers[own], return_counts=True)
        for rank, kind in enumerate(np.argsort(-counts, kind="stable")):
            number = int(cluster)
            if rank or number < 0:
                number, following = following, following + 1
            found[own[numbers[own] == kinds[kind]]] = number
            named[number] = names[int(kinds[kind])]
    return found, named


def _stored(line: bytes) -> StoredPhoto:
    own = decode(line, _PhotoLine)
    return StoredPhoto(own.id, own.name, own.width, own.height, own.first, own.regions, own.names)
