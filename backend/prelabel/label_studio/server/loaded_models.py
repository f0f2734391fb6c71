"""The models that the worker has loaded, with what the projects' annotations teach them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from prelabel.config import Config
from prelabel.label_studio.predict.predictor import Predictor
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.server.jobs import Job
from prelabel.label_studio.teaching import ProjectTeacher
from prelabel.model import FittedModel
from prelabel.steps.exemplars import Names

_MODELS = 4
"""Fitted models that stay loaded; the weights are there once."""
_REVISIONS = 2
"""Revisions of a project that are used at once: the live one, and the one that goes live next."""


class LoadedModels:
    """May be used by several threads at once. ``report``: called with problems of learning. ``sam``:
    one of osam's models, for clicks and boxes; "" for the models' clusters."""

    def __init__(self, config: Config, report: Callable[[str], None], *, sam: str = "") -> None:
        self._config = config
        self._sam = sam
        self._report = report
        self._lock = threading.Lock()
        self._predictors: OrderedDict[Path, Predictor] = OrderedDict()
        self._teachers: dict[Path, ProjectTeacher] = {}
        self._taught: dict[tuple[Path, int], Predictor] = {}
        self._names: dict[tuple[Path, int, str], Names] = {}

    def all(self) -> list[Predictor]:
        """Those that are loaded."""
        with self._lock:
            return [*self._predictors.values(), *self._taught.values()]

    def untaught(self, job: Job) -> Predictor:
        """The model of a job as it was fitted. Raises UserError."""
        key = _key(job)
        with self._lock:
            if key not in self._predictors:
                model = FittedModel.load(key) if job.model else None
                self._predictors[key] = Predictor(model, self._config, sam=self._sam)
            self._predictors.move_to_end(key)
            while len(self._predictors) > _MODELS:
                old, predictor = self._predictors.popitem(last=False)
                self._teachers.pop(old, None)
                for other in [k for k in self._taught if k[0] == old]:
                    del self._taught[other]
                with suppress(OSError):  # a full disk costs the cache, not the answer
                    predictor.flush()
            return self._predictors[key]

    def taught(self, job: Job) -> Predictor:
        """The model of a job with what the annotations of its revision teach, which is learned now if
        nobody has needed it before. Raises UserError."""
        predictor = self.untaught(job)
        if predictor.model is None:
            return predictor
        key = _key(job)
        folder = ProjectFolder(job.folder)
        with self._lock:
            if key not in self._teachers:
                self._teachers[key] = ProjectTeacher(folder, predictor.model)
            teacher = self._teachers[key]
        taught = teacher.taught(
            job.revision, lambda text: self._report(f"project {folder.project_id}: {text}")
        )
        if taught is None or not taught.learned:
            return predictor
        with self._lock:
            found = self._taught.get((key, job.revision))
            if found is None or found.taught is not taught:
                found = predictor.taught_with(taught)
                self._taught[key, job.revision] = found
                for old in [k for k in self._taught if k[0] == key][:-_REVISIONS]:
                    self._taught.pop(old).forget()
            return found

    def ready(self, job: Job) -> Predictor:
        """The model of a job with the latest that annotations have taught so far, without learning
        anything now, as a person waits. Raises UserError."""
        predictor, key = self.untaught(job), _key(job)
        with self._lock:
            revisions = [revision for model, revision in self._taught if model == key]
            return self._taught[key, max(revisions)] if revisions else predictor

    def names(self, job: Job) -> Names | None:
        """The names of a job's revision; None without a model. Raises UserError."""
        model = self.untaught(job).model
        if model is None:
            return None
        key = (job.folder, job.revision, job.model)
        with self._lock:
            if key not in self._names:
                for old in [k for k in self._names if k[0] == job.folder][:-1]:
                    del self._names[old]
                self._names[key] = ProjectFolder(job.folder).names_at(model, job.revision)
            return self._names[key]


def _key(job: Job) -> Path:
    return ProjectFolder(job.folder).model_folder(job.model) if job.model else Path()
