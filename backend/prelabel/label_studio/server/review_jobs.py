"""What the worker does for reviews: it reads a project's regions, and makes exemplars of decisions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from prelabel.errors import PhotoError, UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.review_source import (
    FOLDER,
    ReviewedProject,
    content_key,
    decide,
    project_tasks,
)
from prelabel.label_studio.server.job_photos import JobPhotos
from prelabel.label_studio.server.jobs import Job, ReviewFacts
from prelabel.label_studio.server.loaded_models import LoadedModels
from prelabel.review.index import build_index
from prelabel.review.source import ReviewPhoto
from prelabel.storage.progress import RunLog

_AT_ONCE = 20.0
"""Seconds of work on photos that were not predicted before, in one job."""


class ReviewJobs:
    """May be used by several threads at once."""

    def __init__(self, models: LoadedModels, photos: JobPhotos, options: ResultOptions) -> None:
        self._models = models
        self._photos = photos
        self._options = options

    def read(self, job: Job) -> bytes:
        """Go on with the regions of a project where the job's context says, for some seconds; once all
        are in the cache, write them down. Returns ReviewFacts. Raises UserError and OSError."""
        folder = ProjectFolder(job.folder)
        predictor, names = self._models.taught(job), self._models.names(job)
        if predictor.model is None or names is None:
            raise UserError(
                "the project has no fitted model yet: its classes can be named once it is fitted"
            )
        with Client(job.server, job.token, attempts=2) as client:
            label_config, tasks = project_tasks(client, folder.project_id, RunLog())
        key = content_key(folder, len(tasks))
        index = folder.path / FOLDER / key / "index"
        done = int(str((job.context or {}).get("from", 0)))
        if not (index / "facts.json").exists():
            until = time.monotonic() + _AT_ONCE
            for task in tasks[done:]:
                if time.monotonic() > until:
                    return msgspec.json.encode(ReviewFacts(key, done, len(tasks)))
                for photo in task.photos:
                    with suppress(PhotoError):
                        predictor.segment(self._photos.read(job, photo))
                done += 1
            reviewed = ReviewedProject(folder, label_config, predictor, names, self._options)
            photos = reviewed.photos(tasks, lambda photo: self._photos.read(job, photo), RunLog())
            build_index(_Regions(photos), index)
        return msgspec.json.encode(ReviewFacts(key, len(tasks), len(tasks), ready=True))

    def decide(self, job: Job) -> bytes:
        """Make exemplars of what a review says, which lies where the job's context says. Raises UserError
        and OSError."""
        model = self._models.untaught(job).model
        if model is None:
            raise UserError("the project has no fitted model any more: open the review again")
        with Client(job.server, job.token, attempts=2) as client:
            xml = client.project(ProjectFolder(job.folder).project_id).label_config
        place = Path(str((job.context or {})["place"]))
        decide(ProjectFolder(job.folder), model, place, parse_label_config(xml))
        return b"{}"


@dataclass(frozen=True)
class _Regions:
    """What an index is built of."""

    photos: Iterator[ReviewPhoto]

    def regions(self) -> Iterator[ReviewPhoto]:
        return self.photos
