"""The backend without HTTP: projects, webhooks and status. It owns predictions and fits."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from prelabel.config import load
from prelabel.errors import UserError
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.server.fit_scheduler import FitScheduler
from prelabel.label_studio.server.jobs import Job, JobResult, Urgency, WorkerSettings
from prelabel.label_studio.server.metrics import Metrics
from prelabel.label_studio.server.overviews import Overviews
from prelabel.label_studio.server.predictions import Predictions
from prelabel.label_studio.server.problems import ProblemLog
from prelabel.label_studio.server.projects import Project, Projects
from prelabel.label_studio.server.queue import Queue
from prelabel.label_studio.server.refresh import Refresher
from prelabel.label_studio.server.requests import PredictRequest
from prelabel.label_studio.server.reviews import Reviews
from prelabel.label_studio.server.settings import Settings
from prelabel.label_studio.server.status import FitProgress, Status, fit_progress, project_status
from prelabel.label_studio.server.supervisor import Supervisor
from prelabel.label_studio.server.webhooks import Webhooks
from prelabel.model_code import code_now
from prelabel.storage.json import JsonObject


class Service:
    """May be used by several threads at once. Nothing here is slow but ``answers``, which waits:
    heavy work is done by other processes. Label configs are parsed here, once a request."""

    def __init__(self, settings: Settings) -> None:
        self._config = settings.config
        self._partial = settings.partial
        self.metrics = Metrics()
        self.problems = ProblemLog()
        self.supervisor = Supervisor(self.problems.add)
        self.projects = Projects(settings.url, settings.token)
        self.queue = Queue(
            WorkerSettings(
                settings.config,
                settings.sources,
                settings.result_options,
                settings.partial,
                settings.sam,
            ),
            on_result=self._on_result,
            on_problem=self.problems.add,
        )
        self.supervisor.look_after("worker", self.queue.revive)
        self.fits = FitScheduler(
            settings, self.projects, self.problems, self.metrics, self.supervisor
        )
        self.refresher = Refresher(
            settings.config,
            self.projects,
            self.queue,
            self.problems,
            add_labels=settings.result_options.unnamed == "add",
        )
        self.overviews = Overviews(self.queue, self.supervisor)
        self.reviews = Reviews(settings, self.projects, self.queue, self.refresher)
        self.webhooks = Webhooks(self.projects, self.problems, self.supervisor)
        self.predictions = Predictions(
            self.queue, self.fits, self.refresher, self.metrics, timeout=settings.predict_timeout
        )
        code_now(settings.config.image_level())  # as it is at the start, which this process runs
        for project in self.projects.restore(self.problems.add):
            try:
                project.state = project.folder.go_live(self._config)  # other code, other version
                self._load(project)
            except (UserError, OSError) as error:
                self.problems.add(str(error), project)
            self.fits.resume(project)
            self.webhooks.register(project, "")
        self.supervisor.keep("refresh", self.refresher.run)

    def stop(self) -> None:
        """End all processes. Fits that are cut off are requested again at the next start."""
        self.supervisor.stop()
        self.reviews.stop()
        self.refresher.stop()
        self.fits.stop()
        self.queue.stop()

    def setup(self, name: str, label_xml: str, server: str, token: str, host: str = "") -> str:
        """Get to know a project (``id.timestamp``); the model version that is live from now on.
        ``host``: what Label Studio calls this backend, for its webhook; "" where none is expected.
        Raises UserError for a label config that holds no masks, and an address that is not valid."""
        label_config = parse_label_config(label_xml)
        project = self.projects.connect(name, server, token)
        state = project.folder.state
        known = (state.server, state.project, state.label_config)
        if known != (project.server, name, label_xml):
            project.folder.update(server=project.server, project=name, label_config=label_xml)
        if self.refresher.handles(project) and state.version:
            project.state = project.folder.state
        else:
            project.state = project.folder.go_live(self._config)
        project.set_label_config(label_xml, label_config)
        self._load(project)
        self._embed_again(project)
        self.fits.fit_if_needed(project)
        if host:
            self.webhooks.register(project, host)
        return project.state.version

    def version(self, name: str) -> str:
        """The version that /setup gave last."""
        return self._known(name).state.version

    def versions(self, name: str = "") -> list[str]:
        """The live version and, newest first, the earlier ones; of all projects without a name."""
        projects = [self._known(name)] if name else self.projects.all()
        states = [project.state for project in projects]
        return [v for state in states for v in (state.version, *reversed(state.versions)) if v]

    def answers(
        self,
        name: str,
        tasks: Sequence[JsonObject],
        label_xml: str,
        context: JsonObject | None = None,
    ) -> list[bytes]:
        """A JSON text for each task: a prediction, or ``[]`` for one that has failed or is not
        ready in time. ``name``: "" takes the first project that a task names. ``label_xml``: ""
        takes that of /setup. ``context``: what a person has drawn. Raises UserError."""
        return self.predict(PredictRequest.of(name, tasks, label_xml, context))

    def predict(self, request: PredictRequest) -> list[bytes]:
        """As ``answers``, for the body of /predict. Takes the tasks out of it: they may be large."""
        named = (task.project for task in request.tasks if task.project)
        project = self._known(request.project or next(named, ""))
        text = request.label_config
        label_config = parse_label_config(text) if text else project.label_config
        tasks, request.tasks = request.tasks, []
        if request.context and request.context.get("result"):
            return self.predictions.answer_prompts(project, tasks, label_config, request.context)
        return self.predictions.predict(project, tasks, label_config)

    def event(self, action: str, payload: JsonObject, project: Project | None = None) -> JsonObject:
        """Take in a webhook of a project, or of the one that it names; never an error, as Label
        Studio switches off webhooks that fail.

        Only numbers are taken from it: what was annotated is requested from the server itself, so
        that a forged call can teach nothing.
        """
        project = project or self.projects.of_webhook(_mapping(payload.get("project")))
        if project is None:
            return {"status": "unknown project"}
        try:
            if action == "START_TRAINING":
                return fit_progress(self.fits.request(project))
            if action.startswith("ANNOTATION"):
                return {"status": "learning", "tasks": self._learn(project, payload)}
        except UserError as error:
            self.problems.add(str(error), project)
            return {"status": "failed"}
        if action in ("TASKS_CREATED", "TASKS_DELETED"):
            project.counted_at = 0.0
        return {"status": "noted"}

    def fit(self, name: str) -> FitProgress:
        """Fit a project anew in the background, unless it is under way; how far that is."""
        return fit_progress(self.fits.request(self._known(name)))

    def cancel(self, name: str) -> bool:
        """End a project's fit; whether there was one."""
        return self.fits.cancel(self._known(name))

    def status(self) -> Status:
        """For people and statistics: without secrets."""
        return {
            "projects": [
                project_status(
                    project,
                    self.fits.of(project),
                    self.refresher,
                    self.overviews.of(project),
                    partial=self._partial,
                )
                for project in self.projects.all()
            ],
            "queue": self.queue.sizes(),
            "worker_restarts": self.queue.restarts,
            "problems": self.problems.last(),
        }

    def page(self) -> Status:
        """As ``status``, for the page: projects are looked at in the background while it is open."""
        self.overviews.look(self.projects.all())
        return self.status()

    def statistics(self) -> bytes:
        """For Prometheus."""
        return self.metrics.text(self.queue.sizes(), self.queue.restarts)

    def _learn(self, project: Project, payload: JsonObject) -> int:
        """Learn from the tasks that a webhook names; how many these are."""
        tasks = [_mapping(payload.get("task")).get("id")]
        several = payload.get("annotations")
        annotations = [payload.get("annotation"), *(several if isinstance(several, list) else ())]
        deleted = set()
        for annotation in map(_mapping, annotations):
            tasks.append(annotation.get("task"))
            if "task" not in annotation and (number := annotation.get("id")):
                deleted.add(str(number))  # a deleted one comes with its number alone
        if deleted:
            tasks += project.folder.tasks_of_annotations(deleted)
        found = sorted({task for task in tasks if isinstance(task, int)})
        n = self.webhooks.allow(project, len(found))
        if n < len(found):
            self.metrics.webhooks.labels(outcome="limited").inc()
            self.problems.add(
                f"project {project.id}: too many annotations at once: {len(found) - n} tasks are "
                "learned from by the next fit only",
                project,
            )
        self._learn_from(project, found[:n])
        return n

    def _learn_from(self, project: Project, tasks: Iterable[int]) -> None:
        for task in tasks:
            job = project.job("learn", project.state, project.label_config, task_id=task)
            self.queue.put(job, Urgency.LEARN)

    def _on_result(self, job: Job, result: JobResult) -> None:
        outcome = "failed" if result.problem else "done"
        self.metrics.jobs.labels(kind=job.kind, outcome=outcome).inc()
        if result.problem:
            project = self.projects.in_folder(job.folder)
            what = f"task {job.task_id}" if job.task_id else "the review"
            self.problems.add(f"{what}: {result.problem}", project)

    def _load(self, project: Project) -> None:
        """Have the worker load a project's model before somebody waits for it."""
        state = project.state
        if project.loaded != state.model:
            job = project.job("load", state, project.label_config)
            project.loaded = state.model
            self.queue.put(job, Urgency.BACKGROUND)

    def _embed_again(self, project: Project) -> None:
        """In the background, once for each model: have those photos learned from again that were
        learned from with other code or weights than are installed now."""
        model = project.state.model
        if not project.token or not model or project.embedded == model:
            return
        project.embedded = model

        def run() -> None:
            try:
                self._learn_from(project, project.folder.outdated_tasks(partial=self._partial))
            except (UserError, OSError) as error:
                self.problems.add(str(error), project)

        self.supervisor.once("embed again", run)

    def _known(self, name: str) -> Project:
        project = self.projects.find(name)
        if project is None:
            raise UserError(
                f"project {name!r} is not known: open Settings, Model in Label Studio, which "
                "connects it"
            )
        if not project.state.version:  # never set up
            project.state = project.folder.go_live(self._config)
        return project


def default_service() -> Service:
    """The service under label-studio-ml's own server: the default recipe, and the Label Studio of
    LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY. Raises UserError if one of them is not set."""
    found = {
        name: os.environ.get(name, "") for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY")
    }
    if missing := [name for name, value in found.items() if not value]:
        raise UserError(
            f"{' and '.join(missing)} not set: expected the address of Label Studio and an access "
            "token"
        )
    url, token = found.values()
    return Service(Settings(load(), url=url, token=token))


def _mapping(value: object) -> JsonObject:
    return value if isinstance(value, Mapping) else {}
