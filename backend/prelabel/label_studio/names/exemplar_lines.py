"""Files of exemplars: lines of JSON, a head with the revision, then a line for each photo."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np

from prelabel.data.masks import Rle
from prelabel.errors import UserError
from prelabel.steps.exemplars import Exemplar
from prelabel.storage.files import open_file, read_file
from prelabel.storage.json import decode


class _Head(msgspec.Struct):
    revision: int


class _ExemplarRecord(msgspec.Struct, omit_defaults=True):
    """``embedding``: little-endian float32, in base64 in the file. Files of earlier versions have no
    ``origin``. ``weight``: None for 1."""

    name: str
    rle: Rle | None
    embedding: bytes
    renamed: str | None = None
    origin: str = ""
    weight: float | None = None
    nothing: bool = False


class PhotoLabels(msgspec.Struct, frozen=True, omit_defaults=True):
    """What masks are learned from, beside the exemplars of a photo.

    ``digest``: of the photo's bytes. ``origin``: of the features that are kept of it, as of exemplars.
    ``unknown``: masks that teach nothing, such as of regions without a label. ``unreadable``: some
    region could not be read. ``partial``: what is not drawn need not be background.
    """

    digest: str
    origin: str = ""
    unknown: list[Rle] = []
    unreadable: bool = False
    partial: bool = False

    @property
    def complete(self) -> bool:
        """Whether what is neither drawn nor unknown is background."""
        return not (self.partial or self.unreadable)


class _PhotoRecord(msgspec.Struct):
    photo: str
    stamp: str
    exemplars: list[_ExemplarRecord]
    labels: PhotoLabels | None = None


@dataclass(frozen=True)
class PhotoExemplars:
    """What was learned from one photo. ``stamp``: of the annotation, "" for a class that was named
    outright. ``labels``: None without an annotation, and in files of earlier versions, whose photos
    are learned from again. A photo without a line is like one without exemplars."""

    stamp: str = ""
    exemplars: tuple[Exemplar, ...] = ()
    labels: PhotoLabels | None = None

    @cached_property
    def text(self) -> str:
        """All that is taught, as JSON; equal if it is equal."""
        facts: dict[str, object] = {"exemplars": [_to_record(e) for e in self.exemplars]}
        if self.labels:
            facts["labels"] = self.labels
        return json.dumps(msgspec.to_builtins(facts))

    def line(self, photo: str) -> str:
        """The photo's line."""
        head = json.dumps({"photo": photo, "stamp": self.stamp})
        return f"{head[:-1]}, {self.text[1:]}"


Photos = Mapping[str, PhotoExemplars]
"""By the photo's name, or the key of a class that was named directly."""


def to_text(revision: int, photos: Photos) -> str:
    """A file's text, which is ASCII."""
    lines = [json.dumps({"revision": revision})]
    lines += [known.line(photo) for photo, known in photos.items()]
    return "\n".join(lines) + "\n"


FileState = tuple[int, int, int] | None
"""Changes when another file takes the file's place; None if there is no file."""


@dataclass(frozen=True)
class Content:
    """A file's content. ``state``: of the file that it was read from."""

    revision: int
    photos: Photos
    state: FileState


def read_content(file: Path) -> Content:
    """Raises UserError for a damaged file. One that is not there is empty; its revisions go on from
    those of its copies, as there are predictions with their names."""
    try:
        state = state_of(file)  # first: if another file comes meanwhile, it is read again
        head, *lines = read_file(file).decode("ascii").splitlines()
        return Content(_read_head(head), _read_photos(lines), state)
    except FileNotFoundError:
        return Content(newest_copy(file)[0], {}, None)
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(file, error) from error


def state_of(file: Path) -> FileState:
    """Changes when another file takes a file's place."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def read_revision(file: Path) -> int:
    """The revision of an ``ExemplarFile``; only its first line is read. Without a file, that of the
    newest copy. Raises UserError for a damaged one."""
    try:
        with open_file(file) as lines:
            return _read_head(lines.readline().decode("ascii"))
    except FileNotFoundError:
        return newest_copy(file)[0]
    except (OSError, ValueError) as error:
        raise _damaged(file, error) from error


def copies(file: Path) -> dict[int, Path]:
    """The copies of a file as it was at earlier revisions, which lie beside it."""
    found = {}
    for copy in file.parent.glob(f"{file.stem}-*{file.suffix}"):
        number = copy.stem.rpartition("-")[2]
        if number.isdecimal():
            found[int(number)] = copy
    return found


def newest_copy(file: Path) -> tuple[int, Path | None]:
    """The highest revision of which there is a copy, and the copy; 0 and None without one."""
    return max(copies(file).items(), default=(0, None))


def _read_head(line: str) -> int:
    """The revision in a file's first line. Raises ValueError for a damaged one."""
    return decode(line.encode(), _Head).revision


def _read_photos(lines: Iterable[str]) -> dict[str, PhotoExemplars]:
    """The other lines. Raises ValueError for a damaged one."""
    records = (decode(line.encode(), _PhotoRecord) for line in lines)
    return {
        record.photo: PhotoExemplars(
            record.stamp,
            tuple(_from_record(record.photo, own) for own in record.exemplars),
            record.labels,
        )
        for record in records
    }


def _to_record(exemplar: Exemplar) -> _ExemplarRecord:
    data = np.asarray(exemplar.embedding, dtype="<f4").tobytes()
    renamed, origin = exemplar.renamed, exemplar.origin
    weight = None if exemplar.weight == 1 else exemplar.weight
    return _ExemplarRecord(
        exemplar.name, exemplar.rle, data, renamed, origin, weight, exemplar.nothing
    )


def _from_record(photo: str, record: _ExemplarRecord) -> Exemplar:
    embedding = np.frombuffer(record.embedding, dtype="<f4").astype(np.float32)
    renamed, origin = record.renamed, record.origin
    weight = 1.0 if record.weight is None else record.weight
    return Exemplar(
        photo, record.rle, embedding, record.name, renamed, origin, weight, record.nothing
    )


def _damaged(file: Path, error: Exception) -> UserError:
    _, other = newest_copy(file)
    original = file.with_name(f"{file.stem.rpartition('-')[0]}{file.suffix}")
    if other is None and original.exists():
        other = original
    advice = "move it away: names are learned again from the annotations"
    if other:
        advice = f"copy {other.name}, which lies beside it and holds almost the same names, over it"
    return UserError(f"{file} cannot be read as names ({type(error).__name__}): {advice}")
