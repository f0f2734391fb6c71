"""Folders that commands write to: which command wrote one, and its run.json."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from msgspec import structs

from prelabel.data.records import ImageFile
from prelabel.errors import UserError
from prelabel.runs.facts import FolderFacts, RunFacts, facts_json
from prelabel.runs.predictions import FILE, read_predictions
from prelabel.runs.reviewed import read_reviewed, reviewed_file
from prelabel.steps.photos import PhotoSet
from prelabel.storage.files import LOCK, is_clutter, remove_leftovers, replacing
from prelabel.storage.json import decode
from prelabel.storage.locks import exclusive
from prelabel.storage.marker import (
    DONE,
    MARKER,
    STARTED,
    Marker,
    is_prelabel_folder,
    read_marker,
)
from prelabel.storage.remote import file_in, place

EVALUATION = "evaluation"
"""The folder of a run that its evaluation is written to."""


def check_output_folder(out: Path, *, command: str) -> FolderFacts | None:
    """The facts of an earlier result of this command in ``out``, or None; nothing is changed. Raises
    UserError for a folder with anything else in it, so that nothing a user made is overwritten."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {str(out)!r} is a file: name a new or an empty folder")
    earlier = _read(out)
    if earlier is None and (present := _first_entry(out)):
        raise UserError(
            f"--out {str(out)!r} holds {present!r} and is not an earlier result of prelabel "
            f"(no {MARKER}): name a new or an empty folder"
        )
    if earlier and earlier.command != command:
        raise UserError(
            f"--out {str(out)!r} holds what `prelabel {earlier.command}` wrote: name another folder"
        )
    return earlier


@contextmanager
def output_folder(out: Path, *, command: str, wait: float = 0.0) -> Iterator[FolderFacts | None]:
    """Make ``out`` a folder of this command's results, marked before anything else is in it, and
    write to it alone.

    Gives the facts of an earlier result of the same command there, finished or not. Raises UserError
    where ``check_output_folder`` does, and if another process is still writing to it after ``wait``
    seconds.
    """
    check_output_folder(out, command=command)  # before there is a lock in it
    with locked(out, wait=wait):
        yield _prepared(out, command)


@contextmanager
def locked(out: Path, *, wait: float = 0.0) -> Iterator[None]:
    """Write to a folder of results alone; what killed commands left is removed. Raises UserError if
    another process is still writing to it after ``wait`` seconds."""
    with exclusive(out / LOCK, f"the folder {str(out)!r}", timeout=wait):
        for folder in (out, *(place for place in out.iterdir() if place.is_dir())):
            remove_leftovers(folder)
        yield


def _prepared(out: Path, command: str) -> FolderFacts | None:
    earlier = check_output_folder(out, command=command)
    if earlier is None:
        write_facts(out, FolderFacts(command, STARTED))
    elif earlier.state != STARTED:
        write_facts(out, FolderFacts(command, STARTED, earlier.model_version, earlier.formats))
    if is_prelabel_folder(out / EVALUATION):  # it was about the earlier predictions
        shutil.rmtree(out / EVALUATION)
    return earlier


def write_facts(out: Path, facts: RunFacts | FolderFacts) -> None:
    """Replace the folder's ``run.json``."""
    _write(out, facts_json(facts))


def add_formats(
    out: Path, formats: Iterable[str], settings: Mapping[str, Mapping[str, object]] | None = None
) -> None:
    """Note in a finished folder's ``run.json`` that these exports lie in it too, with their settings;
    all else stays."""
    facts = json.loads((out / MARKER).read_bytes())
    written = list(formats)
    facts["formats"] = list(dict.fromkeys([*facts.get("formats", []), *written]))
    known = {k: v for k, v in facts.pop("format_settings", {}).items() if k not in written}
    if known := {**known, **(settings or {})}:
        facts["format_settings"] = known
    _write(out, json.dumps(facts, indent=1) + "\n")


def find_predictions(source: Path) -> tuple[Path, FolderFacts | None]:
    """The predictions file of the folder of a run or predict, or ``source`` itself if it is a file;
    and the folder's facts, None if there are none. Of a run that was reviewed, both have the names of
    the review. Raises UserError."""
    if not source.is_dir():
        if not source.exists():
            raise UserError(f"{str(source)!r}: no such folder or file")
        return source, _read(source.parent)
    facts = _read(source)
    if facts is None:
        raise UserError(
            f"{str(source)!r} is not a result of `prelabel run` or `prelabel predict` (no {MARKER})"
        )
    _check_finished(source, facts)
    if facts.command not in ("run", "predict", "find"):
        raise UserError(
            f"{str(source)!r} holds what `prelabel {facts.command}` wrote, not predictions: "
            "name the folder of a run or predict"
        )
    if reviewed := read_reviewed(source):
        names, version = reviewed.class_names, reviewed.model_version
        facts = structs.replace(facts, class_names=names, model_version=version)
        return reviewed_file(source, reviewed), facts
    return source / FILE, facts


def check_finished(source: Path) -> None:
    """Raise UserError if ``source`` lies in a folder that a command of prelabel did not finish, where
    files of two exports may be mixed."""
    for folder in (source, *source.absolute().parents[:2]):
        if marker := read_marker(folder / MARKER):
            _check_finished(folder, marker)


def photos_of_run(folder: Path) -> PhotoSet | None:
    """The photos that the run in a folder has predicted; None if prelabel did not write it. Raises
    UserError for the folder of another command, or one that was not finished."""
    if not is_prelabel_folder(folder):
        return None
    file, facts = find_predictions(folder)
    if facts is None or facts.command != "run" or facts.photos is None:
        found = f"`prelabel {facts.command}`" if facts else "another command"
        raise UserError(
            f"{str(folder)!r} holds what {found} wrote: name photos, or the folder of a `prelabel run`"
        )
    root = place(facts.photos.folder)
    names = sorted(prediction.photo for prediction in read_predictions(file))
    return PhotoSet(root, tuple(ImageFile(name, file_in(root, name)) for name in names))


def model_folder(model: Path) -> Path:
    """Where the fitted model lies: ``prelabel fit``'s folder itself, or inside a run's."""
    return model / "model" if (model / "model").is_dir() else model


def _read(folder: Path) -> FolderFacts | None:
    """The facts of a folder that prelabel wrote, else None. Raises UserError if they are damaged."""
    marker = read_marker(folder / MARKER)
    if marker is None:
        return None
    try:
        return decode((folder / MARKER).read_bytes(), FolderFacts)
    except ValueError as error:
        raise UserError(
            f"{str(folder / MARKER)!r} is not as `prelabel {marker.command}` writes it ({error}): "
            "name another folder, or run the command again into a new one"
        ) from error


def _check_finished(folder: Path, facts: Marker | FolderFacts) -> None:
    if facts.state != DONE:
        raise UserError(
            f"{str(folder)!r} was not finished: run the same `prelabel {facts.command}` again"
        )


def _write(out: Path, text: str) -> None:
    with replacing(out / MARKER) as beside:
        beside.write_text(text, encoding="ascii")


def _first_entry(folder: Path) -> str:
    """The first name in a folder that is not clutter; "" if there is none."""
    if not folder.is_dir():
        return ""
    return min((f.name for f in folder.iterdir() if not is_clutter(f.name)), default="")
