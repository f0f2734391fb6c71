"""Folders that commands write into: whose they are, and what stands in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prelabel.errors import UserError
from prelabel.runs.predictions import FILE
from prelabel.storage.files import is_clutter, remove_leftovers, replacing
from prelabel.storage.marker import MARKER, read_marker

EVALUATION = "evaluation.json"


def check_output_folder(out: Path, *, command: str) -> dict[str, Any] | None:
    """The facts of an earlier result of this command in ``out``, or None; nothing is changed. Raises
    UserError where ``claim`` would."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {str(out)!r} is a file: name a new or an empty folder")
    earlier = read_marker(out / MARKER)
    if earlier is None and (present := _present(out)):
        raise UserError(
            f"--out {str(out)!r} holds {present!r} and is no earlier result of prelabel "
            f"(no {MARKER}): name a new or an empty folder"
        )
    if earlier and earlier["command"] != command:
        raise UserError(
            f"--out {str(out)!r} holds what `prelabel {earlier['command']}` wrote: "
            "name another folder"
        )
    return earlier


def prepare_output_folder(out: Path, *, command: str) -> dict[str, Any]:
    """Make ``out`` a folder of this command's results, marked before anything else is in it.

    Returns the facts of an earlier result of the same command there, finished or not; {} if there
    is none. Raises UserError for a folder with anything else in it, so that nothing a user made is
    overwritten.
    """
    earlier = check_output_folder(out, command=command)
    for folder in (out, out / "model", out / "report"):
        remove_leftovers(folder)
    earlier = earlier or {}
    if earlier.get("state") != "started":
        kept = {key: earlier[key] for key in ("model_version", "formats") if key in earlier}
        write_facts(out, {"command": command, "state": "started"} | kept)
    (out / EVALUATION).unlink(missing_ok=True)  # it was about the earlier predictions
    return earlier


def write_facts(out: Path, facts: Mapping[str, Any]) -> None:
    """Replace the folder's ``run.json``."""
    with replacing(out / MARKER) as beside:
        beside.write_text(json.dumps(facts, indent=1) + "\n", encoding="ascii")


def read_facts(out: Path) -> dict[str, Any]:
    """A finished folder's ``run.json``. Raises UserError."""
    facts = read_marker(out / MARKER)
    if facts is None:
        raise UserError(
            f"{str(out)!r} is no result of `prelabel run` or `prelabel predict` (no {MARKER})"
        )
    if facts["state"] != "done":
        raise UserError(
            f"{str(out)!r} was not finished: run the same `prelabel {facts['command']}` again"
        )
    return facts


def find_predictions(source: Path) -> tuple[Path, dict[str, Any]]:
    """The predictions file of a folder of ours and the folder's facts; or a predictions file by
    itself, with the facts beside it if there are any. Raises UserError."""
    if source.is_dir():
        facts = read_facts(source)
        if facts["command"] not in ("run", "predict"):
            raise UserError(
                f"{str(source)!r} holds what `prelabel {facts['command']}` wrote, no predictions: "
                "name the folder of a run or predict"
            )
        return source / FILE, facts
    if not source.exists():
        raise UserError(f"{str(source)!r}: no such folder or file")
    return source, read_marker(source.parent / MARKER) or {}


def check_finished(source: Path) -> None:
    """Raises UserError for labels in a folder of ours that was not finished: files of two exports
    may be mixed in it."""
    for folder in (source, *source.absolute().parents[:2]):
        facts = read_marker(folder / MARKER)
        if facts and facts["state"] != "done":
            raise UserError(
                f"{str(folder)!r} was not finished: run the same `prelabel {facts['command']}` again"
            )


def model_folder(model: Path) -> Path:
    """Where the fitted model lies: ``prelabel fit``'s folder itself, or inside a run's."""
    return model / "model" if (model / "model").is_dir() else model


def _present(folder: Path) -> str:
    """The first thing that somebody put into a folder, or ""."""
    if not folder.is_dir():
        return ""
    return min((f.name for f in folder.iterdir() if not is_clutter(f.name)), default="")
