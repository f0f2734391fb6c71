"""What the annotations of a project teach its model about masks, for each revision of the names."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from prelabel.data.records import PatchFeatures
from prelabel.errors import UserError
from prelabel.label_studio.learning_curve import LearningCurve
from prelabel.label_studio.names.exemplar_lines import PhotoExemplars, copies
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.names.kept_features import KeptFeatures
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.model import FittedModel
from prelabel.steps.exemplars import is_of_space
from prelabel.steps.patch_labels import LabelledPhoto, LabelledRegion
from prelabel.steps.taught import Taught, facts_json
from prelabel.storage.files import replacing
from prelabel.teacher import Teacher

_FACTS = "facts"
_Found = tuple[Taught | None, frozenset[str]]
"""What was taught, and the digests of photos whose features were missing."""
_KEPT = 2
"""Revisions that stay in memory: the live one, and the one that goes live next."""

log = logging.getLogger(__name__)


class ProjectTeacher:
    """Learns from the annotations of a project for one model; may be used by several threads at once.

    What a revision teaches depends on the model, that revision's names and the kept features alone. It
    is kept in a file beside the names, which other processes read.
    """

    def __init__(self, folder: ProjectFolder, model: FittedModel) -> None:
        self._folder = folder
        self._origin = model.vectors_origin
        self._code = model.version.rpartition("-")[0]
        self._features = KeptFeatures(folder.path / "features", self._origin)
        self._teacher = Teacher(model, self._features_of)
        self._lock = threading.Lock()
        self._known: dict[int, _Found] = {}

    def taught(self, revision: int, report: Callable[[str], None]) -> Taught | None:
        """What the annotations of a revision teach; None without any, or if that failed, which costs no
        prediction. ``report``: called once with the reason then."""
        known = self._held(revision)  # without the lock: another thread may be learning
        if known:
            return known[0]
        with self._lock:
            known = self._held(revision)
            if known:
                return known[0]
            try:
                found = self._find(revision)
            except Exception as error:  # of a learner or a damaged file: masks are as without
                log.exception("learning from annotations")
                reason = str(error) if isinstance(error, UserError) else repr(error)
                report(f"masks are found without what annotations teach: {reason}")
                found = None, frozenset()
            self._known = dict([*self._known.items(), (revision, found)][-_KEPT:])
            return found[0]

    def _held(self, revision: int) -> _Found | None:
        """What is in memory, unless features have come that were missing."""
        found = self._known.get(revision)
        if found is None or any(digest in self._features for digest in found[1]):
            return None
        return found

    def _find(self, revision: int) -> _Found:
        """From the file, or learned now; and the photos whose features are missing."""
        file = self._folder.path / f"taught-{self._code}-{revision}.safetensors"
        found = _read(file)
        if found:
            return found, frozenset()
        names = self._folder.names_file(revision)
        photos = ExemplarFile(names).photos if names.exists() else {}
        labelled = [
            labelled_photo(known, self._origin)
            for known in photos.values()
            if known.labels and known.labels.origin == self._origin
        ]
        taught = self._teach(labelled)
        missing = frozenset(p.digest for p in labelled if p.digest not in self._features)
        if taught is None:
            return None, missing
        LearningCurve(self._folder.path).add(revision, taught.facts)
        if not missing:  # else they come, and this is learned again
            _write(file, taught)
        self._clean_up(photos)
        return taught, missing

    def _teach(self, photos: Sequence[LabelledPhoto]) -> Taught | None:
        """What the photos teach of which there are features; one whose file is damaged is left out."""
        while usable := [photo for photo in photos if photo.digest in self._features]:
            try:
                return self._teacher.teach(usable)
            except UserError:
                if all(photo.digest in self._features for photo in usable):
                    raise
        return None

    def _clean_up(self, photos: Mapping[str, PhotoExemplars]) -> None:
        """Remove what was taught by revisions that nobody uses, and features of photos that teach
        nothing any more. ``photos``: of a revision that is used."""
        used = copies(self._folder.names)
        for file in self._folder.path.glob("taught-*.safetensors"):
            number = file.stem.rpartition("-")[2]
            if number.isdecimal() and int(number) not in used:
                file.unlink(missing_ok=True)
        newest = ExemplarFile(self._folder.names).photos
        known = (*photos.values(), *newest.values())
        self._features.remove_others({k.labels.digest for k in known if k.labels})

    def _features_of(self, digest: str) -> PatchFeatures:
        found = self._features.get(digest)
        if found is None:
            raise UserError(f"the features of photo {digest} are missing or damaged")
        return found


def labelled_photo(known: PhotoExemplars, origin: str) -> LabelledPhoto:
    """What a learner takes of a photo with labels. An object whose class has lost its name is unknown,
    not background. ``origin``: of vectors that may be compared."""
    labels = known.labels
    if labels is None:
        raise ValueError("a photo without labels teaches nothing")
    drawn = [exemplar for exemplar in known.exemplars if exemplar.rle is not None]
    nameless = [e.rle for e in drawn if e.name and not e.counts_as and e.rle is not None]
    return LabelledPhoto(
        digest=labels.digest,
        regions=tuple(
            LabelledRegion(
                rle=exemplar.rle,
                name=exemplar.counts_as,
                weight=exemplar.weight,
                vector=exemplar.embedding if is_of_space(exemplar, origin) else None,
            )
            for exemplar in drawn
            if exemplar.rle is not None and exemplar.rle not in nameless
        ),
        unknown=(*labels.unknown, *nameless),
        complete=labels.complete,
    )


def _write(file: Path, taught: Taught) -> None:
    """Raises OSError."""
    data = save(taught.to_arrays(), metadata={_FACTS: json.dumps(facts_json(taught.facts))})
    with replacing(file) as beside:
        beside.write_bytes(data)


def _read(file: Path) -> Taught | None:
    """None if the file is not there, or damaged: it is made again then."""
    with suppress(OSError, ValueError, KeyError, TypeError, SafetensorError):
        with safe_open(file, framework="numpy") as tensors:
            arrays: dict[str, NDArray[np.float32]] = {
                name: tensors.get_tensor(name)
                for name in tensors.keys()  # noqa: SIM118
            }
            facts = json.loads(tensors.metadata()[_FACTS])
        return Taught.from_arrays(arrays, facts)
    return None
