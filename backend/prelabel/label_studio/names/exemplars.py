"""The file of a project's exemplars: what people have named, kept through every refit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from prelabel.errors import UserError
from prelabel.label_studio.names.exemplar_lines import (
    Content,
    PhotoExemplars,
    Photos,
    read_content,
    state_of,
    to_text,
)
from prelabel.steps.exemplars import Exemplar, classes_of
from prelabel.storage.files import replacing
from prelabel.strategies.protocols import Clusterer

Float = NDArray[np.float32]
Lessons = dict[str, PhotoExemplars]
"""By photo: what its annotation teaches."""

CLASS = "centroid:"
"""Prefix of ``photo`` in an exemplar of a class that was named directly, not in a task."""
_PATIENCE = 60.0
"""Seconds to wait for another process that is changing the file."""
_NOTHING = PhotoExemplars()


class ExemplarFile:
    """Exemplars of one project in one JSON-lines file: ``{"revision": n}``, then a line per photo.

    The file is replaced whole, never written to. Threads and processes may change it at once: each
    change starts from what is on disk then, under a lock file beside it. ``revision`` goes up by
    one with every change of the exemplars.

    A photo is learned from again whenever its annotation changes, and the annotation still has the
    label that a region was given first. Hence a name that is given later, to a whole class or in
    place of another, is kept beside that label, in ``renamed``, until a region comes with another
    mask or another label.
    """

    def __init__(self, file: Path) -> None:
        """Raises UserError for a file that cannot be read."""
        self.file = file
        self._content = read_content(file)

    @property
    def revision(self) -> int:
        """The revision as last read or changed here; 0 before anything was learned."""
        return self._content.revision

    @property
    def exemplars(self) -> tuple[Exemplar, ...]:
        """All exemplars, as last read or changed here."""
        return _all(self._content.photos)

    def photos_of_annotations(self, annotation_ids: Iterable[object]) -> list[str]:
        """The photos that were last learned with one of these annotations, as last read here."""
        ids = {str(number) for number in annotation_ids}
        photos = self._content.photos.items()
        return [photo for photo, known in photos if known.stamp.partition(":")[0] in ids]

    @property
    def photos(self) -> Photos:
        """All that was learned, as last read or changed here."""
        return self._content.photos

    def of_photo(self, photo: str) -> PhotoExemplars:
        """What was learned from a photo, as last read or changed here."""
        return self._content.photos.get(photo, _NOTHING)

    def stamp_of(self, photo: str) -> str | None:
        """The stamp that a photo was last learned with, as last read here; None for never."""
        known = self._content.photos.get(photo)
        return None if known is None else known.stamp

    def learn(self, lessons: Lessons) -> bool:
        """Replace the exemplars of some photos. Returns whether any exemplar changed.

        All are written at once, as one new revision, or none if only stamps have changed. Raises
        UserError if the file is damaged or stays locked.
        """

        def change(photos: Photos) -> Photos:
            changed = dict(photos)
            for photo, lesson in lessons.items():
                known = photos.get(photo, _NOTHING).exemplars
                renamed = {_identity(e): e.renamed for e in known}
                kept = (replace(e, renamed=renamed.get(_identity(e))) for e in lesson.exemplars)
                changed[photo] = replace(lesson, exemplars=tuple(kept))
            return changed

        return self._change(change)

    def name_class(
        self, index: int, name: str, *, centroids: Float, clusterer: Clusterer, origin: str = ""
    ) -> bool:
        """Name a class; "" for a class without a name. Returns whether any exemplar changed.

        ``centroids``: of all classes, float32 (n_classes, dim); ``origin``: of their vectors. The
        class's exemplars, to which its centroid is added, count as ``name`` from now on, whatever
        class a refit puts them into. Regions that are corrected later split the class again. Raises
        UserError for a class that does not exist, else as ``learn``.
        """
        if not 0 <= index < len(centroids):
            raise UserError(
                f"there is no class {index}: expected one from 0 to {len(centroids) - 1}"
                if len(centroids)
                else f"there is no class {index}: the model has none"
            )
        centroid = np.asarray(centroids[index], dtype=np.float32)
        digest = hashlib.blake2b(centroid.astype("<f4").tobytes(), digest_size=8).hexdigest()
        key = f"{CLASS}{digest}"

        def change(photos: Photos) -> Photos:
            inside = classes_of(_all(photos), centroids, clusterer, origin=origin) == index
            named = PhotoExemplars("", (Exemplar(key, None, centroid, name, origin=origin),))
            return {**_renamed(photos, name, inside.tolist()), key: named}

        return self._change(change)

    def review(self, key: str, exemplars: Sequence[Exemplar]) -> bool:
        """Replace what a review of this key has said of classes. Returns whether any exemplar changed.
        Raises UserError as ``learn``."""

        def change(photos: Photos) -> Photos:
            others = {photo: known for photo, known in photos.items() if photo != key}
            return {**others, key: PhotoExemplars("", tuple(exemplars))} if exemplars else others

        return self._change(change)

    def rename(self, old: str, new: str) -> bool:
        """Have all exemplars that count as ``old`` count as ``new``. Returns whether there were any.
        Raises UserError for an empty name, else as ``learn``."""
        if not old or not new:
            raise UserError(f"cannot rename {old!r} to {new!r}: neither may be empty")
        return self._change(
            lambda photos: _renamed(photos, new, [e.counts_as == old for e in _all(photos)])
        )

    def _change(self, change: Callable[[Photos], Photos]) -> bool:
        """Apply ``change`` to the photos on disk. Returns whether exemplars changed."""
        with _locked(self.file):
            content = self._content
            if state_of(self.file) != content.state:
                content = read_content(self.file)
            before, after = content.photos, change(content.photos)
            # Most are the same object: only others have to be compared.
            changed = [
                (before.get(photo, _NOTHING), after.get(photo, _NOTHING))
                for photo in {**before, **after}
                if before.get(photo) is not after.get(photo)
            ]
            taught = any(old.text != new.text for old, new in changed)
            if taught or any(old.stamp != new.stamp for old, new in changed):
                revision = content.revision + taught
                with replacing(self.file) as beside:
                    beside.write_text(to_text(revision, after), encoding="ascii")
                content = Content(revision, after, state_of(self.file))
            self._content = content
        return taught


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


def _all(photos: Photos) -> tuple[Exemplar, ...]:
    return tuple(e for known in photos.values() for e in known.exemplars)


def _renamed(photos: Photos, name: str, chosen: Iterable[bool]) -> Photos:
    """The photos, with the chosen exemplars renamed; ``chosen``: one for each of ``_all``."""
    which = iter(chosen)
    changed: dict[str, PhotoExemplars] = {}
    for photo, known in photos.items():
        own = [(exemplar, next(which)) for exemplar in known.exemplars]
        if any(is_chosen for _, is_chosen in own):
            exemplars = tuple(_as(e, name) if is_chosen else e for e, is_chosen in own)
            known = replace(known, exemplars=exemplars)
        changed[photo] = known
    return changed


def _as(exemplar: Exemplar, name: str) -> Exemplar:
    return replace(exemplar, renamed=None if name == exemplar.name else name)


def _identity(exemplar: Exemplar) -> tuple[str, str]:
    """Its label and mask: a region that still has both is the same region."""
    return exemplar.name, json.dumps(exemplar.rle, sort_keys=True)
