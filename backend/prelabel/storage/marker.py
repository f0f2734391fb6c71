"""The file that marks a folder as written by prelabel."""

from __future__ import annotations

from pathlib import Path

import msgspec

from prelabel.storage.json import decode

MARKER = "run.json"
"""Facts of the command that filled the folder."""
STARTED, DONE = "started", "done"
"""States of a command."""


class Marker(msgspec.Struct):
    """What every ``run.json`` of prelabel has. ``command``: the one that writes or wrote the folder;
    ``state``: ``STARTED`` or ``DONE``."""

    command: str
    state: str


def is_prelabel_folder(folder: Path) -> bool:
    """Whether prelabel wrote the folder: images in it are results, not photos."""
    return read_marker(folder / MARKER) is not None


def read_marker(file: Path) -> Marker | None:
    """The marker; None if there is no such file, or another program wrote it."""
    try:
        return decode(file.read_bytes(), Marker)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError):
        return None
