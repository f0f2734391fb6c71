"""What decides which task Label Studio gives next: scores, task sampling, a tab of the data manager."""

from __future__ import annotations

import msgspec

from prelabel.label_studio.api.client import Client

UNCERTAINTY = "Uncertainty sampling"
"""The task sampling that gives the task with the lowest score of its predictions first."""
_SEQUENTIAL = "Sequential sampling"
TAB = "Teaches most first"
"""The tab's title."""


class _View(msgspec.Struct, frozen=True):
    id: int


def set_score(client: Client, prediction: int, score: float) -> None:
    """Change the score of a prediction; one that is gone is not an error. Raises UserError."""
    client.change_prediction(prediction, {"score": score})


def set_sampling(client: Client, project_id: int, sampling: str) -> None:
    """Change a project's task sampling; "" is Label Studio's default. Raises UserError."""
    body = {"sampling": sampling or _SEQUENTIAL}
    client.ask("PATCH", f"/api/projects/{project_id}/", body=body)


def add_tab(client: Client, project_id: int) -> int:
    """A tab with the tasks that nobody has annotated, the lowest score first; its number. Raises
    UserError."""
    unlabelled = {
        "filter": "filter:tasks:total_annotations",
        "operator": "equal",
        "type": "Number",
        "value": 0,
    }
    data = {
        "title": TAB,
        "type": "list",
        "target": "tasks",
        "ordering": ["tasks:predictions_score"],
        "filters": {"conjunction": "and", "items": [unlabelled]},
    }
    body = {"project": project_id, "data": data}
    answer = client.ask("POST", "/api/dm/views/", body=body, repeatable=False)
    return client.convert(answer, _View).id


def remove_tab(client: Client, tab: int) -> None:
    """Remove a tab; one that is gone is not an error. Raises UserError."""
    client.delete(f"/api/dm/views/{tab}/")
