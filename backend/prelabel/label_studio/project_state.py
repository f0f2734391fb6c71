"""What is known of a Label Studio project, in its folder's ``project.json``."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from prelabel.errors import UserError
from prelabel.label_studio.model_version import saved_facts
from prelabel.label_studio.names.exemplar_lines import newest_copy
from prelabel.storage.files import replacing

FILE = "project.json"


class ProjectState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a project, as ``project.json`` holds it.

    Fields that a file lacks have their defaults; fields that a newer version of this tool has
    written are kept when the file is written again.

    ``server``, ``project``: its address and ``id.timestamp``, as Label Studio sends them.
    ``label_config``: the XML that /setup gave last, "" if no backend was connected. ``model``: the
    live model's fit hash, "" for none; ``newest``: that of the model fitted last, which goes live
    next; ``models``: those of all models that were saved and may be removed once they are neither.
    ``revision``: of the live names. ``gathering_since``: when a name that is not live yet was first
    seen, in seconds since 1970; 0 for none. ``version``: the live model version; ``versions``: those
    given out before it. ``n_tasks``: tasks that the project had at the newest fit. ``fits``: models that were saved.
    ``fit_requested``: a fit was requested and has not ended. ``shown_backend``: the title of the
    backend whose predictions the project shows, while Label Studio is told a version in its place,
    until the earlier predictions are removed; else "". ``partial``: whether on annotated photos there
    may be more objects than were drawn; None where nobody has said it for this project.
    """

    server: str = ""
    project: str = ""
    label_config: str = ""
    model: str = ""
    newest: str = ""
    models: tuple[str, ...] = ()
    revision: int = 0
    gathering_since: float = 0.0
    version: str = ""
    versions: tuple[str, ...] = ()
    shown_backend: str = ""
    n_tasks: int = 0
    fits: int = 0
    partial: bool | None = None
    fit_requested: bool = msgspec.field(default=False, name="fit_wanted")


def read_state(folder: Path) -> ProjectState:
    """The state in a project's folder; without a file, what its models and names tell. Raises
    UserError for a damaged file."""
    try:
        fields = _fields(folder)
        return msgspec.convert(fields, ProjectState) if fields is not None else _recovered(folder)
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(
            f"{folder / FILE} is damaged ({error}): put back a copy of it, or move it away; the "
            "newest model and the names in that folder are then found again"
        ) from error


def write_state(folder: Path, state: ProjectState) -> None:
    """Replace the file. Raises OSError."""
    fields = {**(_fields(folder) or {}), **msgspec.to_builtins(state)}
    with replacing(folder / FILE) as beside:
        text = json.dumps(fields, indent=1, ensure_ascii=False)
        beside.write_text(text + "\n", encoding="utf-8")


def _fields(folder: Path) -> dict[str, object] | None:
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=dict[str, object])
    except (FileNotFoundError, NotADirectoryError):
        return None


def _recovered(folder: Path) -> ProjectState:
    """The newest model that can be used, and the newest names that were live."""
    n_photos = {}
    saved = (folder / "models").glob("*/model.json")
    for file in sorted(saved, key=lambda file: file.stat().st_mtime):
        try:
            n_photos[file.parent.name] = saved_facts(file.parent).n_photos
        except UserError:
            continue
    newest = list(n_photos)[-1] if n_photos else ""
    return ProjectState(
        model=newest,
        newest=newest,
        revision=newest_copy(folder / "names.jsonl")[0],
        n_tasks=n_photos.get(newest, 0),
    )
