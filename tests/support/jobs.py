"""Jobs of the backend, as its tests need them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.server.jobs import Job, JobKind
from support.fake_label_studio import BRUSH


def job(
    kind: JobKind = "predict",
    *,
    label_xml: str = BRUSH,
    server: str = "",
    token: str = "",
    folder: Path = Path("1"),
    model: str = "",
    revision: int = 0,
    version: str = "m-1",
    task_id: int = 1,
    data: Mapping[str, object] | None = None,
    context: Mapping[str, object] | None = None,
    number: int = 0,
) -> Job:
    """A job; what is left out does not matter."""
    return Job(
        kind=kind,
        server=server,
        token=token,
        folder=folder,
        model=model,
        revision=revision,
        version=version,
        label_config=parse_label_config(label_xml),
        task_id=task_id,
        data=json.dumps(data or {}).encode(),
        context=context,
        number=number,
    )
