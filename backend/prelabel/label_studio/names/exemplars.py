"""Exemplars of one project on disk: what people named, kept through every refit."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from prelabel.errors import UserError
from prelabel.label_studio.names.table import Exemplar, classes_of, is_outdated
from prelabel.storage.files import replacing
from prelabel.strategies.protocols import Clusterer

Float = NDArray[np.float32]
CLASS = "centroid:"
"""What the ``photo`` of an exemplar begins with that stands for a class named outright."""
_PATIENCE = 60.0
"""Seconds to wait for others who are changing the file."""


class ExemplarFile:
    """Exemplars of one project in one JSON-lines file: ``{"revision": n}``, then a line per photo.

    The file is replaced whole, never written to. Threads and processes may change it at once: each
    change starts from what is on disk then, under a lock file beside it. ``revision`` goes up by
    one with every change of what is taught.

    A photo is learned from again whenever its annotation changes, so a later word must not be lost
    to an earlier label that is still in the annotation. Hence names that are given to a whole class
    or in place of another are kept beside the label, in ``renamed``, and stay there until a region
    comes with another mask or another label.
    """

    def __init__(self, file: Path) -> None:
        """Raises UserError for a file that cannot be read."""
        self.file = file
        self._held = _read(file)

    @property
    def revision(self) -> int:
        """As last read or changed here; 0 before anything was learned."""
        return self._held.revision

    @property
    def exemplars(self) -> tuple[Exemplar, ...]:
        """As last read or changed here."""
        return _all(self._held.photos)

    def photos_with(self, prefixes: Collection[str]) -> list[str]:
        """The photos whose stamp begins with one of these, up to its colon, as last read here."""
        photos = self._held.photos.items()
        return [p for p, known in photos if known.stamp.partition(":")[0] + ":" in prefixes]

    def of_photo(self, photo: str) -> tuple[Exemplar, ...]:
        """What a photo teaches, as last read or changed here."""
        return self._held.photos.get(photo, _NOTHING).exemplars

    def is_outdated(self, photo: str, origin: str) -> bool:
        """Whether a photo has exemplars that other code has embedded, as last read or changed
        here."""
        return any(is_outdated(exemplar, origin) for exemplar in self.of_photo(photo))

    def outdated(self, origin: str) -> list[str]:
        """The photos of which that is so."""
        return [photo for photo in self._held.photos if self.is_outdated(photo, origin)]

    def stamp_of(self, photo: str) -> str | None:
        """The stamp that a photo was last learned with, as last read here; None for never."""
        known = self._held.photos.get(photo)
        return None if known is None else known.stamp

    def learn(self, photo: str, exemplars: Iterable[Exemplar], *, stamp: str = "") -> bool:
        """A photo's exemplars take the place of those it had; whether that changed what is taught.

        ``stamp``: what of, such as an annotation's hash; a new one alone is kept without a new
        revision. Raises UserError if the file is damaged or stays locked.
        """
        return self.learn_all({photo: (stamp, tuple(exemplars))})

    def learn_all(self, lessons: Mapping[str, tuple[str, tuple[Exemplar, ...]]]) -> bool:
        """The same for several photos, each with its stamp, written at once: one revision more at
        most."""

        def change(photos: _Photos) -> _Photos:
            changed = dict(photos)
            for photo, (stamp, exemplars) in lessons.items():
                known = photos.get(photo, _NOTHING).exemplars
                later = {(e.name, _mask_key(e)): e.renamed for e in known}
                kept = (replace(e, renamed=later.get((e.name, _mask_key(e)))) for e in exemplars)
                changed[photo] = _Known(stamp, tuple(kept))
            return changed

        return self._change(change)

    def forget(self, photo: str) -> bool:
        """A photo, or a class named outright, teaches nothing any more, and has no stamp; whether
        that changed what is taught. Raises UserError as ``learn``."""
        return self._change(lambda photos: {p: k for p, k in photos.items() if p != photo})

    def name_class(
        self, index: int, name: str, *, centroids: Float, clusterer: Clusterer, origin: str = ""
    ) -> bool:
        """A person names a class of centroids float32 (n_classes, dim) outright, or says with ""
        that it is nothing; whether that changed what is taught. ``origin``: of the centroids.

        All exemplars that are in the class now count as ``name`` from here on, in whatever class a
        refit puts them, and its centroid becomes one more. So the class has that name everywhere,
        and what is corrected later splits it again. Raises UserError for a class that is not there,
        else as ``learn``.
        """
        if not 0 <= index < len(centroids):
            raise UserError(
                f"there is no class {index}: wanted one from 0 to {len(centroids) - 1}"
                if len(centroids)
                else f"there is no class {index}: the model has none"
            )
        centroid = np.asarray(centroids[index], dtype=np.float32)
        key = CLASS + hashlib.blake2b(centroid.astype("<f4").tobytes(), digest_size=8).hexdigest()

        def change(photos: _Photos) -> _Photos:
            inside = classes_of(_all(photos), centroids, clusterer, origin=origin) == index
            named = _Known("", (Exemplar(key, None, centroid, name, origin=origin),))
            return {**_renamed(photos, name, inside.tolist()), key: named}

        return self._change(change)

    def rename(self, old: str, new: str) -> bool:
        """All exemplars that count as ``old`` count as ``new`` from here on, which makes one name
        of two; whether there were any. Raises UserError for an empty name, else as ``learn``."""
        if not old or not new:
            raise UserError(f"cannot rename {old!r} to {new!r}: neither may be empty")
        return self._change(
            lambda photos: _renamed(photos, new, [e.counts_as == old for e in _all(photos)])
        )

    def _change(self, change: Callable[[_Photos], _Photos]) -> bool:
        """Write what ``change`` makes of the photos that are on disk; whether it teaches anew."""
        with _locked(self.file):
            held = self._held
            if _identity(self.file) != held.identity:
                held = _read(self.file)
            photos = change(held.photos)
            # Most are the same object: only others have to be compared.
            new = [p for p in {**held.photos, **photos} if photos.get(p) is not held.photos.get(p)]
            pairs = [(held.photos.get(p, _NOTHING), photos.get(p, _NOTHING)) for p in new]
            taught = any(before.text != after.text for before, after in pairs)
            if taught or any(before.stamp != after.stamp for before, after in pairs):
                revision = held.revision + taught
                lines = [json.dumps({"revision": revision})]
                lines += [known.line(photo) for photo, known in photos.items()]
                with replacing(self.file) as beside:
                    beside.write_text("\n".join(lines) + "\n", encoding="ascii")
                held = _Held(revision, photos, _identity(self.file))
            self._held = held
        return taught


def read_revision(file: Path) -> int:
    """The revision of an ``ExemplarFile``, 0 if there is no file; only its first line is read.
    Raises UserError for a damaged one."""
    try:
        with file.open(encoding="ascii") as lines:
            return _revision(lines.readline())
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(file, error) from error


@dataclass(frozen=True)
class _Known:
    """What is known of one photo. A photo without a record is like one with nothing in it."""

    stamp: str
    exemplars: tuple[Exemplar, ...]

    @cached_property
    def text(self) -> str:
        """Its exemplars as JSON."""
        return json.dumps([_to_json(e) for e in self.exemplars])

    def line(self, photo: str) -> str:
        """Its line in the file."""
        return (
            f'{json.dumps({"photo": photo, "stamp": self.stamp})[:-1]}, "exemplars": {self.text}}}'
        )


_Photos = Mapping[str, _Known]
_Identity = tuple[int, int, int] | None
_NOTHING = _Known("", ())


@dataclass(frozen=True)
class _Held:
    """A file's content, and which file that was: a changed one is another."""

    revision: int
    photos: _Photos
    identity: _Identity


def _read(file: Path) -> _Held:
    try:
        identity = _identity(file)  # first: if another file comes meanwhile, it is read again
        head, *lines = file.read_text(encoding="ascii").splitlines()
        records = [json.loads(line) for line in lines]
        photos = {str(record["photo"]): _known(record) for record in records}
        return _Held(_revision(head), photos, identity)
    except FileNotFoundError:
        return _Held(0, {}, None)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(file, error) from error


def _identity(file: Path) -> _Identity:
    try:
        found = file.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{file}.lock")
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout as error:
        raise UserError(
            f"{lock.lock_file} has been locked for {_PATIENCE:.0f} s, names cannot be changed: "
            "see which process holds it, and try again"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _revision(head: str) -> int:
    return int(json.loads(head)["revision"])


def _damaged(file: Path, error: Exception) -> UserError:
    return UserError(
        f"{file} holds no exemplars ({type(error).__name__}): put back a copy of it, or remove it "
        "and name the clusters anew"
    )


def _all(photos: _Photos) -> tuple[Exemplar, ...]:
    return tuple(e for known in photos.values() for e in known.exemplars)


def _renamed(photos: _Photos, name: str, chosen: Iterable[bool]) -> _Photos:
    """The photos with a name for those exemplars of ``_all`` that are chosen."""
    which = iter(chosen)
    changed: dict[str, _Known] = {}
    for photo, known in photos.items():
        own = [(e, next(which)) for e in known.exemplars]
        exemplars = tuple(_as(e, name) if here else e for e, here in own)
        changed[photo] = replace(known, exemplars=exemplars) if any(h for _, h in own) else known
    return changed


def _as(exemplar: Exemplar, name: str) -> Exemplar:
    return replace(exemplar, renamed=None if name == exemplar.name else name)


def _mask_key(exemplar: Exemplar) -> str:
    return json.dumps(exemplar.rle, sort_keys=True)


def _to_json(exemplar: Exemplar) -> dict[str, Any]:
    data = np.asarray(exemplar.embedding, dtype="<f4").tobytes()
    facts = {
        "name": exemplar.name,
        "rle": exemplar.rle,
        "embedding": base64.b64encode(data).decode("ascii"),
    }
    if exemplar.renamed is not None:
        facts["renamed"] = exemplar.renamed
    if exemplar.origin:
        facts["origin"] = exemplar.origin
    return facts


def _known(record: Mapping[str, Any]) -> _Known:
    photo = str(record["photo"])
    return _Known(
        str(record["stamp"]), tuple(_from_json(photo, facts) for facts in record["exemplars"])
    )


def _from_json(photo: str, facts: Mapping[str, Any]) -> Exemplar:
    data = base64.b64decode(facts["embedding"], validate=True)
    return Exemplar(
        photo=photo,
        rle=facts["rle"],
        embedding=np.frombuffer(data, dtype="<f4").astype(np.float32),
        name=str(facts["name"]),
        renamed=facts.get("renamed"),
        origin=str(facts.get("origin", "")),
    )
