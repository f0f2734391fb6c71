"""The model versions of a project's predictions: counted, removed, and shown to annotators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.tasks import task_id
from prelabel.label_studio.model_version import is_own
from prelabel.storage.json import JsonObject


class _Static(msgspec.Struct, frozen=True):
    count: int
    model_version: str | None = None


class _Live(msgspec.Struct, frozen=True):
    title: str | None = None


class _Answer(msgspec.Struct, frozen=True):
    static: list[_Static]
    live: list[_Live] | None = None


@dataclass(frozen=True)
class Versions:
    """``counts``: predictions by model version. ``backends``: titles of connected backends."""

    counts: dict[str, int]
    backends: frozenset[str]


class TaskVersions(NamedTuple):
    """``total``: predictions of the task, also others'. ``own``: versions of this tool's."""

    total: int
    own: frozenset[str]


def count_versions(client: Client, project_id: int) -> Versions:
    """The versions of all predictions of a project. Raises UserError."""
    path = f"/api/projects/{project_id}/model-versions?extended=true&include_live_models=true"
    answer = client.convert(client.ask("GET", path), _Answer)
    return Versions(
        {known.model_version: known.count for known in answer.static if known.model_version},
        frozenset(backend.title for backend in answer.live or () if backend.title),
    )


def versions_of(task: JsonObject) -> TaskVersions:
    """As ``Client.find_tasks`` gives a task that is not whole."""
    total = task.get("total_predictions")
    versions = str(task.get("predictions_model_versions") or "").split(",")
    return TaskVersions(
        total if isinstance(total, int) else 0,
        frozenset(version for version in map(str.strip, versions) if is_own(version)),
    )


def tasks_with(client: Client, project_id: int, version: str) -> set[int]:
    """The tasks that have a prediction of a version of this tool. Raises UserError."""
    found = client.tasks(project_id, version=version)  # longer versions contain it too
    return {task_id(task) for task in found if version in versions_of(task).own}


def delete_version(client: Client, project_id: int, version: str) -> int:
    """Remove all predictions of a version in one request; how many there were. Label Studio then
    forgets which version it shows if it is that one, or a backend's. Raises UserError."""
    path = f"/api/projects/{project_id}/model-versions"
    deleted = client.ask("DELETE", path, body={"model_version": version}).get("deleted_predictions")
    return deleted if isinstance(deleted, int) else 0


def choose_version(client: Client, project_id: int, version: str) -> None:
    """Have the label stream show predictions of a version that some have, or of the backend with
    that title. Raises UserError."""
    client.ask("PATCH", f"/api/projects/{project_id}/", body={"model_version": version})
