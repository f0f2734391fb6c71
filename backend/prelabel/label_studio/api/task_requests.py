"""The parts of Label Studio's HTTP API about tasks and their predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from urllib.parse import urlencode

from prelabel.errors import UserError
from prelabel.label_studio.api.connection import LONG
from prelabel.label_studio.api.errors import KEPT, NotFoundError, ServerFault
from prelabel.label_studio.api.project_requests import ProjectRequests
from prelabel.label_studio.format.label_config import parse_leniently
from prelabel.label_studio.format.unknown_labels import unknown_labels
from prelabel.storage.json import JsonObject

_SHOWN = 5
_PAGE = 100
"""Tasks in one request, which are in memory together."""


class TaskGone(UserError):  # noqa: N818
    """The server answered that there is no such task, or this user may not see it."""


class TaskRequests(ProjectRequests):
    """Tasks and their predictions, beside projects."""

    def tasks(
        self, project_id: int, *, version: str = "", fields: Sequence[str] = ()
    ) -> Iterator[JsonObject]:
        """A project's tasks with their annotations and predictions, each once; a page of them is in
        memory at a time. ``version``: only those with a prediction whose model version contains
        this text, without annotations, drafts and predictions (see ``find_tasks``). ``fields``:
        only these, drafts and such among them.

        Raises UserError, and ServerFault if fewer came than there are."""
        more = {"query": _encoded(_having(version))} if version else {"fields": "all"}
        if fields:
            more |= {"fields": "all", "include": ",".join(("id", *fields))}
        seen: set[int] = set()
        total = page = 0
        while True:
            page += 1
            query = {"project": project_id, "page": page, "page_size": _PAGE, **more}
            try:
                answer = self.ask("GET", f"/api/tasks?{urlencode(query)}")
            except NotFoundError:
                if page == 1:
                    raise
                break  # the page after the last one
            tasks = answer.get("tasks")
            if not isinstance(tasks, list):
                raise self._transport.unexpected("something without tasks")
            stated = answer.get("total")
            total = stated if isinstance(stated, int) else 0
            n_before = len(seen)
            for task in tasks:
                if not isinstance(task, dict) or not isinstance(task.get("id"), int):
                    raise self._transport.unexpected("a task without a number")
                if task["id"] not in seen:  # tasks move to the next page when some are added
                    seen.add(task["id"])
                    yield task
            # A server may give smaller pages than were asked for, so a short one with more to come
            # is not the last. One with nothing new is: a server may not know pages at all.
            if len(seen) == n_before or (len(tasks) < _PAGE and len(seen) >= total):
                break
        if len(seen) < total:
            reason = f"gave {len(seen)} of {total} tasks"
            raise ServerFault(
                f"{self.url} {reason}; were some deleted meanwhile? {KEPT}", reason=reason
            )

    def find_tasks(
        self, project_id: int, task_ids: Sequence[int], *, whole: bool = True
    ) -> dict[int, JsonObject]:
        """Those of the tasks that are there, by number. ``whole``: with annotations and predictions;
        else with ``total_annotations``, ``total_predictions`` and ``predictions_model_versions``
        (each once, separated by commas), without any mask.

        Looking at tasks like this never makes Label Studio predict them, as opening a task at
        ``/api/tasks/N/`` does. Raises UserError.
        """
        found: dict[int, JsonObject] = {}
        for start in range(0, len(task_ids), _PAGE):
            chosen = set(task_ids[start : start + _PAGE])
            selected: JsonObject = {"selectedItems": {"all": False, "included": sorted(chosen)}}
            if not whole:  # what tasks are sorted by comes with them
                selected = {**selected, "ordering": ["tasks:predictions_model_versions"]}
            query = {"project": project_id, "page_size": _PAGE, "query": _encoded(selected)}
            if whole:
                query["fields"] = "all"
            answer = self.ask("GET", f"/api/tasks?{urlencode(query)}")
            tasks = answer.get("tasks")
            if not isinstance(tasks, list):
                raise self._transport.unexpected("something without tasks")
            found |= {task["id"]: task for task in tasks if task["id"] in chosen}
        return found

    def task(self, project_id: int, task_id: int) -> JsonObject:
        """A task with its annotations and predictions. Raises TaskGone and UserError."""
        try:
            return self.find_tasks(project_id, [task_id])[task_id]
        except (KeyError, NotFoundError):
            raise TaskGone(
                f"project {project_id} of {self.url} has no task {task_id} that this token's user "
                "may see"
            ) from None

    def import_predictions(self, project_id: int, predictions: Sequence[JsonObject]) -> int:
        """Give tasks predictions (``task``, ``result``, ``score``, ``model_version``) in one
        request; the number created. Raises UserError if the server refuses them, ServerFault if it
        fails or creates another number than were sent."""
        if not predictions:
            return 0
        answer = self.ask(
            "POST",
            f"/api/projects/{project_id}/import/predictions",
            body=[dict(p) for p in predictions],
            repeatable=False,
            timeout=LONG * self._transport.timeout,
        )
        created = answer.get("created")
        if created != len(predictions):
            reason = f"created {created} of {len(predictions)} predictions"
            why = self._unknown_labels(project_id, predictions)
            raise ServerFault(f"{self.url} {reason}: {why}; {KEPT}", reason=reason)
        return len(predictions)

    def _unknown_labels(self, project_id: int, predictions: Sequence[JsonObject]) -> str:
        """What of predictions the project does not have now."""
        config = None
        with suppress(UserError):  # that is no news beside the refusal
            config = parse_leniently(self.project(project_id).label_config)
        results = (prediction.get("result") for prediction in predictions)
        items = [item for result in results if isinstance(result, list) for item in result]
        unknown = unknown_labels(items, config) if config else []
        if unknown:
            return f"its label config has no {', no '.join(unknown[:_SHOWN])}"
        return "see whether the label config was changed meanwhile"

    def change_prediction(self, prediction_id: int, changes: JsonObject) -> None:
        """Change some of a prediction; one that is gone is not an error. Raises UserError."""
        with suppress(NotFoundError):
            self.ask("PATCH", f"/api/predictions/{prediction_id}/", body=changes)

    def delete_prediction(self, prediction_id: int) -> None:
        """Remove a prediction; one that is gone already is not an error. Raises UserError."""
        self.delete(f"/api/predictions/{prediction_id}/")


def _encoded(query: JsonObject) -> str:
    """The data manager's filters, order and selection, as they are given in an address."""
    return json.dumps(query, separators=(",", ":"))


def _having(version: str) -> JsonObject:
    """The filter for tasks with a prediction whose model version contains a text."""
    condition = {
        "filter": "filter:tasks:predictions_model_versions",
        "operator": "contains",
        "type": "List",
        "value": [version],
    }
    return {"filters": {"conjunction": "and", "items": [condition]}}
