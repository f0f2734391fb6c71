"""What decides which task Label Studio gives next: scores, task sampling, a tab of the data manager."""

from __future__ import annotations

from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.tabs import add_tab

UNCERTAINTY = "Uncertainty sampling"
"""The task sampling that gives the task with the lowest score of its predictions first."""
_SEQUENTIAL = "Sequential sampling"
TAB = "Teaches most first"
"""The tab's title."""


def set_score(client: Client, prediction: int, score: float) -> None:
    """Change the score of a prediction; one that is gone is not an error. Raises UserError."""
    client.change_prediction(prediction, {"score": score})


def set_sampling(client: Client, project_id: int, sampling: str) -> None:
    """Change a project's task sampling; "" is Label Studio's default. Raises UserError."""
    body = {"sampling": sampling or _SEQUENTIAL}
    client.ask("PATCH", f"/api/projects/{project_id}/", body=body)


def add_leading_tab(client: Client, project_id: int) -> int:
    """A tab with the tasks that nobody has annotated, the lowest score first; its number. Raises
    UserError."""
    unlabelled = {
        "filter": "filter:tasks:total_annotations",
        "operator": "equal",
        "type": "Number",
        "value": 0,
    }
    return add_tab(
        client, project_id, TAB, conditions=[unlabelled], ordering=["tasks:predictions_score"]
    )
