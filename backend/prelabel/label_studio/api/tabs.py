"""Tabs of a project's data manager."""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlencode

import msgspec

from prelabel.label_studio.api.client import Client
from prelabel.storage.json import JsonObject

_SHOWN = (
    *("id", "total_annotations", "total_predictions"),
    *("predictions_score", "predictions_model_versions"),
)
_HIDDEN = tuple(
    f"tasks:{column}"
    for column in (
        *("inner_id", "completed_at", "cancelled_annotations", "annotators", "annotations_results"),
        *(
            "annotations_ids",
            "predictions_results",
            "file_upload",
            "storage_filename",
            "created_at",
        ),
        *("updated_at", "updated_by", "avg_lead_time", "draft_exists", "allow_skip"),
    )
)
"""Columns that Label Studio has beside the photo, the number of a task, how many annotations and
predictions it has, their score and their version."""


class Tab(msgspec.Struct, frozen=True):
    """A tab. ``data``: what it shows."""

    id: int
    data: dict[str, object] = {}

    @property
    def title(self) -> str:
        """As people see it."""
        return str(self.data.get("title", ""))


def tabs(client: Client, project_id: int) -> list[Tab]:
    """A project's tabs. Raises UserError."""
    answer = client.ask_list("GET", f"/api/dm/views/?{urlencode({'project': project_id})}")
    return client.convert(answer, list[Tab])


def add_tab(
    client: Client,
    project_id: int,
    title: str,
    *,
    conditions: Sequence[JsonObject] = (),
    conjunction: str = "and",
    ordering: Sequence[str] = (),
) -> int:
    """A new tab with a list of tasks, which shows score and version of their predictions; its number.
    ``conditions``: of the tasks that it has, all of them, or one with ``conjunction`` "or". Raises
    UserError."""
    smart = [f"tasks:{column}" for column in _SHOWN if column != "total_annotations"]
    data = {
        "title": title,
        "type": "list",
        "target": "tasks",
        "ordering": list(ordering),
        "filters": {"conjunction": conjunction, "items": list(conditions)},
        "hiddenColumns": {"explore": list(_HIDDEN), "labeling": [*_HIDDEN, *smart]},
    }
    body = {"project": project_id, "data": data}
    answer = client.ask("POST", "/api/dm/views/", body=body, repeatable=False)
    return client.convert(answer, Tab).id


def remove_tab(client: Client, tab: int) -> None:
    """Remove a tab; one that is gone is not an error. Raises UserError."""
    client.delete(f"/api/dm/views/{tab}/")


def has_label(label: str) -> list[JsonObject]:
    """Conditions of which a task with a region of this label, predicted or annotated, has one."""
    # Label Studio compares texts of JSON, in which some databases escape other letters.
    texts = dict.fromkeys(
        (json.dumps([label], ensure_ascii=False), json.dumps([label], ensure_ascii=True))
    )
    return [
        {
            "filter": f"filter:tasks:{column}",
            "operator": "contains",
            "type": "String",
            "value": text,
        }
        for column in ("predictions_results", "annotations_results")
        for text in texts
    ]
