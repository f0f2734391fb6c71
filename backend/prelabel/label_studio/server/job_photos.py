"""The photos that a job needs: where they lie, whether they are at hand, and their bytes."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

from prelabel.errors import PhotoError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Fetcher, Sources, open_fetcher
from prelabel.label_studio.api.uris import path_on_server
from prelabel.label_studio.format.photos import NO_IMAGE, TaskPhoto, find_photo, task_photos
from prelabel.label_studio.predict import prompts
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.server.jobs import Job
from prelabel.label_studio.server.requests import read_object

OWN = "own"
"""The place of photos that Label Studio itself has."""
_MOST = 200
"""Photos of a task that is predicted."""
_LEARNED = "learned"
"""The place of photos that are learned from: the server says only then where they are."""


class JobPhotos:
    """Photos of jobs. May be used by several threads at once."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._lock = threading.Lock()
        self._fetchers: dict[tuple[str, str], Fetcher] = {}

    def reading(self, job: Job, photo: TaskPhoto) -> AbstractContextManager[bytes]:
        """A photo's bytes, within: as ``Fetcher.reading``."""
        fetcher = self._fetcher(job.server, job.token)
        return fetcher.reading(photo.uri, task_id=job.task_id)

    def read(self, job: Job, photo: TaskPhoto) -> bytes:
        """A photo's bytes. Raises PhotoError and UserError."""
        return self._fetcher(job.server, job.token).read(photo.uri, task_id=job.task_id)

    def are_missing(self, job: Job) -> bool:
        """Whether a photo must be fetched. Raises PhotoError and UserError."""
        if job.kind == "learn":
            return True
        fetcher = self._fetcher(job.server, job.token)
        return any(fetcher.find(photo.uri) is None for photo in _needed(job))

    def fetch(self, job: Job) -> None:
        """Fetch what is missing. Raises PhotoError and UserError."""
        fetcher = self._fetcher(job.server, job.token)
        photos = _needed(job)
        if job.kind == "learn":
            with Client(job.server, job.token) as client:
                task = client.task(ProjectFolder(job.folder).project_id, job.task_id)
            photos = task_photos(job.task_id, task.get("data"), job.label_config)
        for photo in photos:
            fetcher.fetch(photo.uri, task_id=job.task_id)

    def place(self, job: Job) -> str:
        """Which hosts a job's photos come from, in one text: OWN for Label Studio's own."""
        if job.kind == "learn":
            return _LEARNED
        others = set()
        for photo in _needed(job):
            if not path_on_server(photo.uri.strip(), job.server):
                place = urlsplit(photo.uri.strip()[:2000])
                others.add(f"{place.scheme}://{place.netloc}" if place.scheme != "data" else OWN)
        return " ".join(sorted(others)) or OWN

    def _fetcher(self, server: str, token: str) -> Fetcher:
        with self._lock:
            if (server, token) not in self._fetchers:
                client = Client(server, token) if server and token else None
                self._fetchers[server, token] = open_fetcher(client, self._sources, server=server)
            return self._fetchers[server, token]


def photos_of(job: Job) -> tuple[TaskPhoto, ...]:
    """All photos of a job's task. Raises PhotoError if there is none, or too many to predict."""
    data = read_object(job.data, f"task {job.task_id}")
    photos = task_photos(job.task_id, data, job.label_config)
    if not photos:
        raise PhotoError(NO_IMAGE)
    if job.kind == "predict" and len(photos) > _MOST:
        raise PhotoError(
            f"has {len(photos)} photos: the backend predicts a task with at most {_MOST}, so that "
            "others do not wait: prelabel label-studio predict has no limit"
        )
    return photos


def _needed(job: Job) -> tuple[TaskPhoto, ...]:
    if job.kind == "predict":
        return photos_of(job)
    if job.kind == "interactive":
        request = prompts.read_request(job.context or {}, job.label_config)
        photo = find_photo(photos_of(job), request.key, request.item_index)
        return (photo,) if photo else ()
    return ()
