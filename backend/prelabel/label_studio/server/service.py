"""What the backend knows and decides: projects, versions, who is answered what and when."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from prelabel.config import Config, load
from prelabel.errors import UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Sources
from prelabel.label_studio.format import label_config as label_configs
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.project_folder import ProjectFolder, ProjectState
from prelabel.label_studio.server.cleanup import PredictionCleanup
from prelabel.label_studio.server.fits import Fit, FitRequest, Fits
from prelabel.label_studio.server.metrics import Metrics
from prelabel.label_studio.server.projects import Project, Projects
from prelabel.label_studio.server.queue import BACKGROUND, BATCH, OPEN, POINT, Entry, Queue
from prelabel.label_studio.server.worker import Done, Job, WorkerSettings

_ENOUGH = 20
"""Photos from which a first fit is worth waiting for: as many as make one group of photos."""
_FIRST = 100
"""Photos that somebody waits for, at most, in a first fit: there must be time left to predict."""
_LOOK_EVERY = 60.0
"""Seconds between two looks at how many tasks a project has."""
_FOR_A_POINT = 30.0
"""Seconds that somebody who points may wait, when the photo was never seen."""
_ERRORS = 20
_EMPTY = b'{"result": [], "score": 0.0}'

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """``url``, ``token``: the Label Studio to work with, in place of what /setup says. ``sources``:
    where photos may come from. ``fit_after``: new tasks after which a project is fitted anew, 0 for
    never. ``patience``: seconds after which /predict answers with what there is; the server gives
    up after 100."""

    config: Config
    url: str = ""
    token: str = ""
    sources: Sources = field(default_factory=Sources)
    shape: ResultOptions = field(default_factory=ResultOptions)
    fit_after: int = 500
    patience: float = 75.0


class Service:
    """The backend without its HTTP. May be used by several threads at once; nothing here is slow
    but ``answers``, which waits. Heavy work is done by other processes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.problems: deque[tuple[str, str]] = deque(maxlen=_ERRORS)
        self._projects = Projects(settings.url, settings.token)
        self._fits = Fits(self._fit_is_over)
        self._tidier = PredictionCleanup(self._problem)
        desk = WorkerSettings(settings.config, settings.sources, settings.shape)
        self._queue = Queue(desk, told=self._told, trouble=self._problem)
        for known in self._projects.remember(self._problem):
            self._warm(known)
            if known.state.fit_wanted and known.token:
                self._ask_fit(known, known.state.label_config, None)

    def stop(self) -> None:
        """End all processes. Fits that are cut off are asked for again at the next start."""
        self._tidier.stop()
        self._fits.stop()
        self._queue.stop()

    def setup(self, project: str, label_config: str, server: str, token: str) -> str:
        """Get to know a project (``id.timestamp``); the version that counts from now on. Raises
        UserError for a label config that holds no masks, and an address that is none."""
        label_configs.parse_label_config(label_config)
        known = self._projects.connected(project, server, token)
        state = known.home.state
        if (state.server, state.project, state.label_config) != (
            *(known.server, project),
            label_config,
        ):
            known.home.update(server=known.server, project=project, label_config=label_config)
        known.state = known.home.go_live(self.settings.config)
        self._warm(known)
        look = time.monotonic() - known.looked_at > _LOOK_EVERY or not known.looked_at
        if look:
            known.looked_at = time.monotonic()
            self._errand(self._look_at, known)
        return known.state.version

    def version(self, project: str) -> str:
        """The version that /setup gave last."""
        return self._known(project).state.version

    def versions(self, project: str = "") -> list[str]:
        """The live version and, newest first, the earlier ones; of all projects if none is named."""
        known = [self._known(project)] if project else self._projects.all()
        return [v for k in known for v in (k.state.version, *reversed(k.state.versions)) if v]

    def answers(
        self,
        project: str,
        tasks: Sequence[Mapping[str, Any]],
        label_config: str,
        context: Mapping[str, Any] | None = None,
    ) -> list[bytes]:
        """A JSON text for each task: a prediction, or ``[]`` for one that has failed or is not
        ready in time; it is finished in the background. Raises UserError."""
        until = time.monotonic() + self.settings.patience
        known = self._known(project)
        label_config = label_config or known.state.label_config
        label_configs.parse_label_config(label_config)
        if context and context.get("result"):
            return [self._point(known, task, label_config, context) for task in tasks]
        if not known.state.model and not self._first_fit(known, tasks, label_config, until):
            self.metrics.not_ready.inc(len(tasks))
            return [b"[]"] * len(tasks)
        state = known.state
        urgency = OPEN if len(tasks) == 1 else BATCH
        entries = [
            self._put(known, state, "predict", task, label_config, urgency) for task in tasks
        ]
        wait([entry.answer for entry in entries], timeout=max(0.0, until - time.monotonic()))
        found = [self._ready(entry) for entry in entries]
        done = [task for task, answer in zip(tasks, found, strict=True) if answer != b"[]"]
        self.metrics.not_ready.inc(sum(not entry.answer.done() for entry in entries))
        self._tidier.later(known.server, known.token, state, [t["id"] for t in done])
        return found

    def event(self, action: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a webhook tells. Only numbers are taken from it: what was annotated is asked of the
        server itself, so that a forged call can teach nothing."""
        known = self._projects.meant(_mapping(payload.get("project")))
        if known is None:
            return {"status": "unknown project"}
        if action == "START_TRAINING":
            return self.fit(known.state.project)
        if action.startswith("ANNOTATION"):
            return {"status": "learning", "tasks": self._learn(known, payload)}
        if action in ("TASKS_CREATED", "TASKS_DELETED"):
            known.looked_at = 0.0
        return {"status": "noted"}

    def fit(self, project: str) -> dict[str, Any]:
        """Fit a project anew in the background, unless it is under way; how far that is."""
        known = self._known(project)
        return _progress(self._ask_fit(known, known.state.label_config, None))

    def cancel(self, project: str) -> bool:
        """End a project's fit; whether there was one."""
        known = self._known(project)
        known.home.update(fit_wanted=False)
        return self._fits.cancel(known.home.path)

    def status(self) -> dict[str, Any]:
        """For people and statistics: JSON-ready, without secrets."""
        projects = []
        for known in self._projects.all():
            fit = self._fits.of(known.home.path)
            state = known.state
            projects.append(
                {
                    "id": known.id,
                    "project": state.project,
                    "server": known.server,
                    "version": state.version,
                    "fitted": bool(state.model),
                    "tasks_fitted": state.n_tasks,
                    "names_revision": state.revision,
                    "waits_for_setup": bool(state.newest and state.newest != state.model),
                    "token": bool(known.token),
                    "fit": fit and _progress(fit),
                    "problems": list(known.problems),
                }
            )
        return {
            "projects": projects,
            "queue": self._queue.sizes(),
            "worker_restarts": self._queue.restarts,
            "problems": [{"at": at, "text": text} for at, text in list(self.problems)],
        }

    def statistics(self) -> bytes:
        """For Prometheus."""
        return self.metrics.text(self._queue.sizes(), self._queue.restarts)

    def _point(
        self, known: Project, task: Mapping[str, Any], label_config: str, context: Mapping[str, Any]
    ) -> bytes:
        entry = self._put(known, known.state, "point", task, label_config, POINT, context)
        wait([entry.answer], timeout=_FOR_A_POINT)
        answer = self._ready(entry)
        return answer if answer != b"[]" else _EMPTY  # this one is drawn, not kept

    def _put(
        self,
        known: Project,
        state: ProjectState,
        kind: Any,
        task: Mapping[str, Any],
        label_config: str,
        urgency: int,
        context: Mapping[str, Any] | None = None,
    ) -> Entry:
        few = {"id": task.get("id"), "data": task.get("data")}
        job = Job(
            number=0,
            kind=kind,
            server=known.server,
            token=known.token,
            home=known.home.path,
            model=state.model,
            revision=state.revision,
            version=state.version,
            label_config=label_config,
            task=few,
            context=context,
        )
        facts = json.dumps([few, label_config, context], sort_keys=True, default=str)
        digest = hashlib.blake2b(facts.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        key = (kind, known.home.path, state.version, digest)
        return self._queue.put(job, key=key, urgency=urgency)

    def _ready(self, entry: Entry) -> bytes:
        """What came of a job, or [] if nothing has yet."""
        if entry.answer.done() and not entry.answer.cancelled():
            return entry.answer.result().answer
        self._queue.deprioritize(entry)
        return b"[]"

    def _first_fit(
        self, known: Project, tasks: Sequence[Mapping[str, Any]], label_config: str, until: float
    ) -> bool:
        """Without a model: fit on what was sent if that is enough, and wait for it; else have the
        project fitted in the background. Whether there is time to predict now. A project that has
        more photos than a first fit takes is fitted anew later, as one that has grown is."""
        if not known.token or known.home.state.newest:  # the page says so; goes live with /setup
            return True
        try:
            if len(tasks) < _ENOUGH:
                self._ask_fit(known, label_config, None, most=_FIRST)
                return True
            fit = self._ask_fit(known, label_config, tasks, most=_FIRST)
            if not fit.ended.wait(max(0.0, until - time.monotonic())):
                return False
            known.state = known.home.go_live(self.settings.config)
        except OSError as error:  # a full disk: there are still masks without a model
            self._problem(f"project {known.id}: no fit: {error}", known)
        return True

    def _ask_fit(
        self,
        known: Project,
        label_config: str,
        tasks: Sequence[Mapping[str, Any]] | None,
        *,
        most: int = 0,
    ) -> Fit:
        state = known.home.update(fit_wanted=True)
        return self._fits.ask(
            FitRequest(
                home=known.home.path,
                server=known.server,
                token=known.token,
                project_id=known.id,
                label_config=label_config,
                config=self.settings.config,
                sources=self.settings.sources,
                shape=self.settings.shape,
                newest=state.newest,
                tasks=tuple({"id": t["id"], "data": t.get("data")} for t in tasks)
                if tasks
                else None,
                most=most,
            )
        )

    def _fit_is_over(self, fit: Fit) -> None:
        known = self._projects.of(ProjectFolder(fit.request.home))
        self.metrics.fits.labels(outcome="failed" if fit.problem else "done").inc()
        if fit.problem and fit.problem != "cancelled":
            self._problem(f"project {fit.request.project_id}: fit: {fit.problem}", known)
        with suppress(OSError):  # a full disk: it is asked for again at the next start
            now = ProjectFolder(fit.request.home).update(fit_wanted=False)
            if known is not None:  # live with the next /setup
                known.state = structs.replace(known.state, newest=now.newest, n_tasks=now.n_tasks)

    def _look_at(self, known: Project) -> None:
        """Fit a project that was not yet, whose fit was cut off, or that has grown."""
        if not known.token:
            return
        state = known.state
        with Client(known.server, known.token, attempts=2) as client:
            n_tasks = client.project(known.id).task_number
        new = n_tasks - state.n_tasks
        enough = min(self.settings.fit_after, max(_ENOUGH, state.n_tasks))
        first = not state.newest and n_tasks >= _ENOUGH
        grown = bool(state.newest and self.settings.fit_after and new >= enough)
        if state.fit_wanted or first or grown:
            self._ask_fit(known, state.label_config, None, most=0 if state.newest else _FIRST)

    def _learn(self, known: Project, payload: Mapping[str, Any]) -> int:
        """Have the tasks of a webhook looked at again; how many."""
        tasks = [_mapping(payload.get("task")).get("id")]
        several = payload.get("annotations")
        annotations = [payload.get("annotation"), *(several if isinstance(several, list) else ())]
        deleted = set()
        for annotation in map(_mapping, annotations):
            tasks.append(annotation.get("task"))
            if "task" not in annotation and (number := annotation.get("id")):
                deleted.add(str(number))  # it comes with its number alone
        if deleted:
            tasks += known.home.tasks_of_annotations(deleted)
        found = sorted({task for task in tasks if isinstance(task, int)})
        for task in found:
            self._put(
                known, known.state, "learn", {"id": task}, known.state.label_config, BACKGROUND
            )
        return len(found)

    def _told(self, job: Job, done: Done) -> None:
        self.metrics.jobs.labels(kind=job.kind, outcome="failed" if done.problem else "done").inc()
        if done.problem:
            text = f"task {job.task.get('id')}: {done.problem}"
            self._problem(text, self._projects.of(ProjectFolder(job.home)))

    def _problem(self, text: str, known: Project | None = None) -> None:
        log.warning("%s", text)
        self.problems.append((time.strftime("%Y-%m-%d %H:%M:%S"), text))
        if known is not None:
            known.problems.append(text)

    def _errand(self, work: Any, *arguments: Any) -> None:
        def run() -> None:
            try:
                work(*arguments)
            except (UserError, OSError) as error:
                self._problem(str(error))

        # Not of a pool: a server that does not answer must not keep this process.
        threading.Thread(target=run, name="errand", daemon=True).start()

    def _warm(self, known: Project) -> None:
        """Have the worker load a project's model before somebody waits for it."""
        state = known.state
        if known.warm != state.model:
            known.warm = state.model
            self._put(known, state, "warm", {"id": 0}, state.label_config, BACKGROUND)

    def _known(self, project: str) -> Project:
        known = self._projects.find(project)
        if known is None:
            raise UserError(
                f"project {project!r} is not known: open Settings, Model in Label Studio, which "
                "connects it"
            )
        if not known.state.version:  # never set up
            known.state = known.home.go_live(self.settings.config)
        return known


def default_service() -> Service:
    """The service under label-studio-ml's own server: the default recipe, and the Label Studio of
    LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY. Raises UserError if one of them is not set."""
    found = {
        name: os.environ.get(name, "") for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY")
    }
    if missing := [name for name, value in found.items() if not value]:
        raise UserError(f"{' and '.join(missing)} not set: the address and an access token wanted")
    url, token = found.values()
    return Service(Settings(load(), url=url, token=token))


def _progress(fit: Fit) -> dict[str, Any]:
    return {"stage": fit.stage, "done": fit.done, "total": fit.total}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
