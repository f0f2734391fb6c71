"""The base class as the main branch documents it, with a dict in place of its database."""

from __future__ import annotations

import os
from typing import Any

OPENED_IN = os.environ.get("MODEL_DIR", ".")
"""Where the database would have been opened when this was imported."""
KEPT: dict[tuple[str, str], str] = {}
WRITES: list[str] = []


class LabelStudioMLBase:
    TRAIN_EVENTS = (
        "ANNOTATION_CREATED",
        "ANNOTATION_UPDATED",
        "ANNOTATION_DELETED",
        "START_TRAINING",
    )

    def __init__(self, project_id: str | None = None, label_config: str | None = None) -> None:
        self.project_id = project_id or ""
        if label_config is not None:
            self.use_label_config(label_config)
        if self.model_version is None:
            self.set("model_version", "0.0.1")
        self.setup()

    def setup(self) -> None: ...

    def use_label_config(self, label_config: str) -> None:
        if self.get("label_config") != label_config:
            self.set("label_config", label_config)

    def get(self, key: str) -> str | None:
        return KEPT.get((self.project_id, key))

    def set(self, key: str, value: str) -> None:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not a text")
        KEPT[self.project_id, key] = value
        WRITES.append(key)

    @property
    def label_config(self) -> str | None:
        return self.get("label_config")

    @property
    def model_version(self) -> str | None:
        return self.get("model_version")

    def process_event(self, event: str, data: Any, job_id: str, more: dict[str, Any]) -> Any:
        if event not in self.TRAIN_EVENTS:
            return None
        return self.fit(event=event, data=data, job_id=job_id, **more)

    def predict(self, tasks: list[Any], context: Any = None, **kwargs: Any) -> Any:
        raise NotImplementedError

    def fit(self, event: str, data: Any, **kwargs: Any) -> Any:
        raise NotImplementedError
