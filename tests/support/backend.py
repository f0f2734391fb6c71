"""The backend without its HTTP, as Label Studio uses it."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prelabel.label_studio.model_version import fitted_version
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.project_home import open_folder
from prelabel.label_studio.server.service import Service
from prelabel.label_studio.server.settings import Settings
from prelabel.label_studio.server.status import ProjectStatus
from support.fake_label_studio import BRUSH, TOKEN, FakeLabelStudio, Task, wait_for
from support.small_photos import tiny_config

PASSWORD, SCRIPT_TOKEN = "correct-horse-battery", "s3cr3t-script-token"
"""Of a backend that requires one of them."""


@contextmanager
def started(
    *, url: str = "", token: str = "", fit_after: int = 500, predict_timeout: float = 90.0
) -> Iterator[Service]:
    """A service with tiny models, stopped at the end."""
    settings = Settings(
        tiny_config(), url=url, token=token, fit_after=fit_after, predict_timeout=predict_timeout
    )
    service = Service(settings)
    try:
        yield service
    finally:
        service.stop()


class Project:
    """A project as Label Studio uses it: /setup before /predict."""

    def __init__(
        self, service: Service, server: FakeLabelStudio, n_photos: int, xml: str = BRUSH
    ) -> None:
        self.service, self.server, self.xml = service, server, xml
        self.name, self.tasks = server.project(n_photos, xml)
        self.id = int(self.name.partition(".")[0])
        self.folder = open_folder(server.url, str(self.id))

    def through(self, service: Service) -> Project:
        """The same project, through another backend."""
        other = Project.__new__(Project)
        other.__dict__ |= self.__dict__ | {"service": service}
        return other

    def setup(self, *, token: str = TOKEN, xml: str = "") -> str:
        return self.service.setup(self.name, xml or self.xml, self.server.url, token)

    def predict(self, *tasks: Task, context: Mapping[str, object] | None = None) -> list[Any]:
        chosen = tasks or self.tasks
        answers = self.service.answers(self.name, chosen, self.xml, context)
        return [json.loads(answer) for answer in answers]

    def event(self, action: str, **payload: object) -> Mapping[str, object]:
        payload["project"] = {"id": self.id, "created_at": "2026-01-02T03:04:05.678901Z"}
        return self.service.event(action, payload)

    @property
    def status(self) -> ProjectStatus:
        return next(p for p in self.service.status()["projects"] if p["project"] == self.name)

    @property
    def fit_stage(self) -> str:
        fit = self.status["fit"]
        return fit["stage"] if fit else ""

    def idle(self) -> None:
        """Wait until no fit and no job is left."""
        wait_for(lambda: self.status["fit"] is None and not any(sizes(self.service).values()))

    def fitted(self) -> str:
        """Fit it, and go live; the version."""
        self.setup()
        self.idle()
        if not self.folder.state.newest:
            self.service.fit(self.name)
            self.idle()
        wait_for(lambda: self.setup() == newest_version(self.folder))
        return self.setup()


def newest_version(folder: ProjectFolder) -> str:
    """The version of the model that was fitted last, before a name was learned."""
    return fitted_version(folder.model_folder(folder.state.newest), 0)


def kill(name: str) -> None:
    """End the process of this name that was started last here, as a power cut does."""
    children = [child for child in multiprocessing.active_children() if child.name == name]
    max(children, key=lambda child: child.pid or 0).kill()


def sizes(service: Service) -> dict[str, int]:
    """Jobs in the queue by urgency."""
    return service.status()["queue"]


def problems(service: Service) -> str:
    """What the status page shows, a line each."""
    return "\n".join(problem.text for problem in service.status()["problems"])


def versions(answers: list[Any]) -> set[str]:
    """The model versions of predictions."""
    return {answer["model_version"] for answer in answers}


def labels(answer: Any) -> list[list[str]]:
    """The labels of each region of a prediction."""
    return [item["value"]["brushlabels"] for item in answer["result"]]


def setup_body(
    server: FakeLabelStudio, project: str, xml: str = BRUSH, **more: object
) -> dict[str, object]:
    """The body of /setup."""
    facts = {"project": project, "schema": xml, "hostname": server.url, "access_token": TOKEN}
    return {**facts, "extra_params": None, **more}


def predict_body(
    project: str, tasks: list[Any], xml: str = BRUSH, context: object = None
) -> dict[str, object]:
    """The body of /predict."""
    params = {"login": None, "password": None, "context": context}
    return {"tasks": tasks, "project": project, "label_config": xml, "params": params}
