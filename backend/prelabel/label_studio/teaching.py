"""What the annotations of a project teach its model about masks, for each revision of the names."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
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
from prelabel.label_studio.names.table import is_of_space
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.model import FittedModel
from prelabel.steps.patch_labels import LabelledPhoto, LabelledRegion
from prelabel.steps.taught import Taught, facts_json
from prelabel.storage.files import replacing
from prelabel.teacher import Teacher

_FACTS = "facts"
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
        self._known: dict[int, tuple[Taught | None, frozenset[str]]] = {}

    def taught(self, revision: int, report: Callable[[str], None]) -> Taught | None:
        """What the annotations of a revision teach; None without any, or if that failed, which costs no
        prediction. ``report``: called once with the reason then."""
        with self._lock:
            if revision in self._known:
                taught, missing = self._known[revision]
                if not any(digest in self._features for digest in missing):
                    return taught
            try:
                taught, missing = self._find(revision)
            except Exception as error:  # of a learner or a damaged file: masks are as without
                log.exception("learning from annotations")
                reason = str(error) if isinstance(error, UserError) else repr(error)
                report(f"masks are found without what annotations teach: {reason}")
                taught, missing = None, frozenset()
            self._known[revision] = taught, missing
            for old in list(self._known)[:-_KEPT]:
                del self._known[old]
            return taught

    def _find(self, revision: int) -> tuple[Taught | None, frozenset[str]]:
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
        usable = [photo for photo in labelled if photo.digest in self._features]
        missing = frozenset(p.digest for p in labelled) - {p.digest for p in usable}
        if not usable:
            return None, missing
        taught = self._teacher.teach(usable)
        LearningCurve(self._folder.path).add(revision, taught.facts)
        if not missing:  # else they come, and this is learned again
            _write(file, taught)
        self._clean_up(photos)
        return taught, missing

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
    """What a learner takes of a photo with labels. ``origin``: of vectors that may be compared."""
    labels = known.labels
    if labels is None:
        raise ValueError("a photo without labels teaches nothing")
    return LabelledPhoto(
        digest=labels.digest,
        regions=tuple(
            LabelledRegion(
                rle=exemplar.rle,
                name=exemplar.counts_as,
                weight=exemplar.weight,
                vector=exemplar.embedding if is_of_space(exemplar, origin) else None,
            )
            for exemplar in known.exemplars
            if exemplar.rle is not None
        ),
        unknown=tuple(labels.unknown),
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
