"""The reviews of the projects: opened when somebody looks, closed when nobody has for a while."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from starlette.types import ASGIApp

from prelabel.errors import UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import open_fetcher
from prelabel.label_studio.review_source import FOLDER, PhotoReader, ProjectSource
from prelabel.label_studio.server.jobs import NOT_READY, Job, ReviewFacts, Urgency
from prelabel.label_studio.server.projects import Project, Projects
from prelabel.label_studio.server.queue import Queue
from prelabel.label_studio.server.refresh import Refresher
from prelabel.label_studio.server.settings import Settings
from prelabel.review.app import create_app
from prelabel.review.review import Review
from prelabel.review.source import ReviewPhoto
from prelabel.storage.locks import exclusive

_UNUSED = 900.0
"""Seconds after which a review that nobody looks at is closed."""
_AGAIN = 10.0
"""Seconds after a failure until it is opened again, if somebody looks."""
_KEPT = 3
"""Folders of reviews of a project that stay: of this one and of earlier ones."""
_LOOK_EVERY = 0.5
_SETTLED = 2.0
"""Seconds without anything new after which predictions are up to date: edits are gathered for one."""
_LONGEST = 3600.0


@dataclass
class _Opened:
    """A review that is open or being opened. ``text``: what is going on, for people. ``failed_at``,
    ``used_at``: when it failed, and when somebody looked last, by the monotonic clock. ``held``: its lock."""

    app: ASGIApp | None = None
    review: Review | None = None
    text: str = "The regions are being read …"
    failed_at: float | None = None
    used_at: float = 0.0
    held: ExitStack = field(default_factory=ExitStack)


class Reviews:
    """Several threads may use it at once."""

    def __init__(
        self, settings: Settings, projects: Projects, queue: Queue, refresher: Refresher
    ) -> None:
        self._settings = settings
        self._projects = projects
        self._queue = queue
        self._refresher = refresher
        self._lock = threading.Lock()
        self._opened: dict[Path, _Opened] = {}
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Have the last edits count, and close all."""
        self._stopping.set()
        with self._lock:
            opened, self._opened = list(self._opened.values()), {}
        for one in opened:
            _close(one)

    def find(self, name: str) -> Project:
        """The project of a page's address, ``id`` or ``id.timestamp``. Raises UserError."""
        known = self._projects.all()
        found = [p for p in known if name in (p.state.project, p.folder.path.name)]
        found = found or [p for p in known if name == str(p.id)]
        if len(found) != 1:
            raise UserError(
                f"there is no project {name} here: take the address from this backend's page"
                if not found
                else f"there are several projects {name}: take the address from this backend's page"
            )
        return found[0]

    def open(self, project: Project) -> tuple[ASGIApp | None, str]:
        """A project's page; or None, and what it waits for. Begins to open it."""
        now = time.monotonic()
        self._close_unused(now)
        with self._lock:
            opened = self._opened.get(project.folder.path)
            if opened and opened.failed_at is not None and now > opened.failed_at + _AGAIN:
                opened = None
            if opened is None:
                opened = self._opened[project.folder.path] = _Opened(used_at=now)
                thread = threading.Thread(
                    target=self._open, args=(project, opened), name="review", daemon=True
                )
                thread.start()
            opened.used_at = now
            return opened.app, opened.text

    def _open(self, project: Project, opened: _Opened) -> None:
        try:
            key = self._read_regions(project, opened)
            place = project.folder.path / FOLDER
            opened.held.enter_context(
                exclusive(place / "review.lock", f"the review of project {project.id}")
            )
            _remove_earlier(place, key)
            review = Review(self._source(project, key), place)
            review.start()
            opened.review = review
            opened.app = create_app(lambda: review, only_this_machine=False)
        except Exception as error:
            known = isinstance(error, UserError | OSError)
            if not known:  # a person waits, who cannot see this process
                logging.getLogger(__name__).exception("the review of project %s", project.id)
            text = (
                error if known else f"a fault of the backend ({error!r}); its log has the details"
            )
            opened.text = f"The review cannot be opened: {text}"
            opened.failed_at = time.monotonic()
            opened.held.close()
        if self._stopping.is_set():
            _close(opened)

    def _read_regions(self, project: Project, opened: _Opened) -> str:
        """Have the worker read them; the review's key. Raises UserError."""
        if not project.token:
            raise UserError("the backend has no access token: set LABEL_STUDIO_API_KEY for it")
        done = 0
        while True:
            job = project.job("review", project.state, project.label_config, context={"from": done})
            facts = msgspec.json.decode(self._answer(job), type=ReviewFacts)
            if facts.ready:
                return facts.key
            done = facts.done
            opened.text = f"The regions are being read: {done} of {facts.total} photos …"

    def _answer(self, job: Job) -> bytes:
        """A job's answer; somebody waits for it. Raises UserError."""
        entry = self._queue.put(job, Urgency.OPENED)
        try:
            result = entry.result.result()
        except CancelledError:
            raise UserError("the backend is being stopped") from None
        if result.answer == NOT_READY:
            raise UserError(result.problem or "the worker has not answered: try again")
        return result.answer

    def _source(self, project: Project, key: str) -> ProjectSource:
        client = Client(project.server, project.token)
        fetcher = open_fetcher(client, self._settings.sources, server=project.server)
        label_config = project.label_config

        def decide(place: Path) -> None:
            changed = {"place": str(place), "at": time.time_ns()}
            job = project.job("decide", project.state, label_config, context=changed)
            self._answer(job)

        return ProjectSource(
            title=client.project(project.id).title or f"project {project.id}",
            key=key,
            place=project.folder.path / FOLDER,
            label_config=label_config,
            read=PhotoReader(client, fetcher, project.id, label_config),
            find_regions=_unread,
            decide_now=decide,
            bring_up_to_date=lambda progress: self._push(project, progress),
        )

    def _push(self, project: Project, progress: Callable[[int, int], None]) -> str:
        """Wait until the refresher has done it. Raises UserError."""
        until = time.monotonic() + _LONGEST
        settled_at = time.monotonic() + _SETTLED
        while time.monotonic() < until:
            if self._stopping.wait(_LOOK_EVERY):
                raise UserError("the backend is being stopped; it goes on at its next start")
            now = time.monotonic()
            if self._refresher.is_behind(project):
                settled_at = now + _SETTLED
                if found := self._refresher.progress(project):
                    progress(*found)
            elif now > settled_at:
                return "every task that has a prediction has the names"
        raise UserError("predictions are not up to date after an hour: see the backend's page")

    def _close_unused(self, now: float) -> None:
        with self._lock:
            unused = [
                path
                for path, one in self._opened.items()
                if one.review and now > one.used_at + _UNUSED
            ]
            closed = [self._opened.pop(path) for path in unused]
        for one in closed:
            _close(one)


def _close(opened: _Opened) -> None:
    if opened.review:
        opened.review.stop()
    opened.held.close()


def _unread() -> Iterator[ReviewPhoto]:
    """The regions, which the worker has read already."""
    raise UserError("the regions of the review are gone: open it again")


def _remove_earlier(place: Path, key: str) -> None:
    """Folders of earlier reviews, whose names are exemplars."""
    earlier = [folder for folder in place.iterdir() if folder.is_dir() and folder.name != key]
    earlier.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in earlier[_KEPT - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)
