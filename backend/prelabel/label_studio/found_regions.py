"""Regions that were added to predictions of a project, so that they can be taken out again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.tasks import own_predictions
from prelabel.label_studio.format.annotations import result_items
from prelabel.label_studio.format.items import ResultItem
from prelabel.label_studio.prediction_writer import alone
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.storage.json import JsonObject
from prelabel.storage.progress import RunLog
from prelabel.storage.state_file import read_record, write_record

_FILE = "found.json"


class _Added(msgspec.Struct, frozen=True):
    """``tasks``: ids of the items that were added, by the task's number."""

    tasks: dict[str, list[str]] = {}


def add_found(
    client: Client,
    folder: ProjectFolder,
    version: str,
    found: Mapping[int, Sequence[ResultItem]],
    log: RunLog,
) -> int:
    """Add items to the predictions of a version, by task; those that are there already are not doubled.
    Tasks that somebody has begun with, or whose prediction has gone, are left alone. How many tasks have
    got some. Raises UserError."""
    changed = 0
    with alone(folder, folder.project_id), log.stage("found regions", len(found)):
        before = _read(folder.path).tasks
        ids = {str(task): [item["id"] for item in items] for task, items in found.items()}
        known = {
            task: list(dict.fromkeys([*before.get(task, ()), *ids.get(task, ())]))
            for task in {**before, **ids}
        }
        write_record(folder.path / _FILE, _Added(known))  # first, so that all can be taken out
        tasks = client.find_tasks(folder.project_id, list(found))
        for number, items in found.items():
            entry = prediction_of(tasks.get(number, {}), version)
            if entry is not None and not is_begun(tasks[number]):
                present = result_items(entry)
                taken = {item.get("id") for item in present}
                new = [dict(item) for item in items if item["id"] not in taken]
                if new:
                    client.change_prediction(_number(entry), {"result": [*present, *new]})
                    changed += 1
            log.advance()
    return changed


def remove_found(client: Client, folder: ProjectFolder) -> int:
    """Take what was added out of the predictions again. From how many that was. Raises UserError."""
    changed = 0
    with alone(folder, folder.project_id):
        added = {int(task): set(ids) for task, ids in _read(folder.path).tasks.items()}
        for number, task in client.find_tasks(folder.project_id, list(added)).items():
            own = {prediction for prediction, _ in own_predictions(task)}
            entries = task.get("predictions")
            for entry in entries if isinstance(entries, list) else ():
                present = result_items(entry)
                kept = [item for item in present if item.get("id") not in added[number]]
                if entry.get("id") in own and len(kept) < len(present):
                    client.change_prediction(_number(entry), {"result": kept})
                    changed += 1
        write_record(folder.path / _FILE, _Added())
    return changed


def prediction_of(task: JsonObject, version: str) -> JsonObject | None:
    """The prediction of this tool that a task has of a version; None without one."""
    numbers = {number for number, own in own_predictions(task) if own == version}
    entries = task.get("predictions")
    for entry in entries if isinstance(entries, list) else ():
        if entry.get("id") in numbers:
            found: JsonObject = entry
            return found
    return None


def is_begun(task: JsonObject) -> bool:
    """Whether a task has an annotation, a skipped one too, or a draft."""
    return any(task.get(key) for key in ("annotations", "drafts"))


def _number(entry: JsonObject) -> int:
    return int(str(entry["id"]))


def _read(folder: Path) -> _Added:
    """Raises UserError for a damaged file."""
    remedy = "remove it; regions that were found stay in their predictions"
    return read_record(folder / _FILE, _Added, remedy=remedy)
