"""Which of a task's annotations and predictions counts, and what is in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.storage.json import JsonObject

LabelSource = Literal["annotations", "predictions", "both"]
"""``both``: a task's annotation if it has one, else its prediction."""


def newest_annotation(task: JsonObject) -> JsonObject | None:
    """The annotation of a task that counts: ground truth before others, then the newest
    ``updated_at``; None if there is none. Drafts and cancelled (skipped) ones do not count.

    ``task``: with its annotations in full, as the server's API gives it.
    """
    submitted = (entry for entry in _full(task, "annotations") if not entry.get("was_cancelled"))
    return max(submitted, key=_annotation_rank, default=None)


def newest_prediction(task: JsonObject) -> JsonObject | None:
    """The newest prediction of a task by ``created_at``; None if there is none in full."""
    return max(_full(task, "predictions"), key=_prediction_rank, default=None)


def chosen(task: JsonObject, what: LabelSource) -> tuple[JsonObject | None, bool]:
    """The annotation or prediction that counts, if any, and whether it is a prediction.

    An annotation without a region counts: somebody looked and found nothing.
    """
    annotation = newest_annotation(task) if what != "predictions" else None
    if annotation is not None or what == "annotations":
        return annotation, False
    return newest_prediction(task), True


def result_items(entry: JsonObject | None) -> list[JsonObject]:
    """The result items of an annotation or prediction; none if there is no entry."""
    result = entry.get("result") if entry else None
    return (
        [item for item in result if isinstance(item, Mapping)] if isinstance(result, list) else []
    )


def stamp_of(annotation: JsonObject | None, label_config: LabelConfig) -> str:
    """The annotation's number and a hash of its content, which shows whether it was learned from
    already; "" without an annotation."""
    return f"{annotation.get('id')}:{stamp(annotation, label_config)}" if annotation else ""


def stamp(annotation: JsonObject, label_config: LabelConfig) -> str:
    """16 hex digits that change with the annotation (id, ``updated_at``, result) or with the
    controls and labels that it is read by."""
    controls = [
        [c.kind, c.name, c.to_name, c.image_key, c.is_list, list(c.names)]
        for c in label_config.controls
    ]
    facts = [annotation.get("id"), annotation.get("updated_at"), annotation.get("result"), controls]
    text = json.dumps(facts, sort_keys=True)
    return hashlib.blake2b(text.encode("ascii"), digest_size=8).hexdigest()


def _full(task: JsonObject, key: str) -> list[JsonObject]:
    """The entries under a key that are given in full; some exports have only their numbers."""
    found = task.get(key)
    return [
        entry
        for entry in (found if isinstance(found, list) else ())
        if isinstance(entry, Mapping) and isinstance(entry.get("result"), list)
    ]


def _annotation_rank(entry: JsonObject) -> tuple[bool, float, int]:
    return bool(entry.get("ground_truth")), _seconds(entry.get("updated_at")), _number(entry)


def _prediction_rank(entry: JsonObject) -> tuple[float, int]:
    return _seconds(entry.get("created_at")), _number(entry)


def _seconds(moment: object) -> float:
    try:
        time = datetime.fromisoformat(str(moment))
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return float("-inf")


def _number(entry: JsonObject) -> int:
    number = entry.get("id")
    return number if isinstance(number, int) else -1
