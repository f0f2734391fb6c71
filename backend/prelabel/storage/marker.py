"""The file by which a folder that prelabel wrote is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MARKER = "run.json"
"""Facts of the command that filled the folder; a folder with this file in it is ours."""


def is_prelabel_folder(folder: Path) -> bool:
    """Whether prelabel wrote the folder: images in it are results, not photos."""
    return read_marker(folder / MARKER) is not None


def read_marker(marker: Path) -> dict[str, Any] | None:
    """The marker's facts; None if it is not there or not ours."""
    try:
        facts = json.loads(marker.read_bytes())
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError):
        return None
    ours = isinstance(facts, dict) and {"command", "state"} <= facts.keys()
    return facts if ours else None
