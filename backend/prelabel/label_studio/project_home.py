"""Where the folders of Label Studio projects are: the same for the backend, the commands and the demo."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from prelabel.errors import UserError
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.project_state import FILE
from prelabel.storage.files import data_folder

_NAME = re.compile(r"([0-9]{1,18})(\.[0-9]{1,18})?")
_THIS_MACHINE = re.compile(r"(localhost|\[::1\]|0\.0\.0\.0)(?=:|/|$)")


def open_folder(server: str, name: str) -> ProjectFolder:
    """The folder of a project of the Label Studio at the address ``server``.

    It is the one that was used for the project before, under whatever address. A project that has
    the number of another one, as in a Label Studio that was installed anew, gets its own.

    Args:
        server: the address, http:// or https://.
        name: ``id.timestamp``, as Label Studio's /setup sends it, which tells a project from all
            others; or ``id`` where no more is known: the folder that was used last is taken then.

    Raises:
        UserError: that is no name, or the folder's ``project.json`` is damaged.
    """
    project_number(name)
    number, _, created = name.partition(".")
    here = _server_folder(server)
    usual = ProjectFolder(here / number)
    if not created:
        alike = [usual, *(ProjectFolder(path) for path in here.glob(f"{number}.*"))]
        return max(alike, key=_used_at)
    known = [folder for folder in known_folders() if _is_of(folder, name)]
    known.sort(key=lambda folder: (folder.path.parent == here, _used_at(folder)))
    found = known[-1] if known else usual
    project = found.state.project
    if project not in ("", number, name):
        found = ProjectFolder(here / name)
    if project != name:
        found.update(server=server, project=name)
    return found


def project_number(name: str) -> int:
    """The number in a project's ``id.timestamp`` or ``id``. Raises UserError for all else: folders are
    called by the name."""
    match = _NAME.fullmatch(name)
    if match is None:
        shown = repr(name[:40])
        raise UserError(f"project is {shown}: expected id.timestamp, as Label Studio sends it")
    return int(match[1])


def known_folders() -> Iterator[ProjectFolder]:
    """The folders of all projects that have one; what else is among them is passed over."""
    for file in sorted(_all_projects().glob(f"*/*/{FILE}")):
        if _NAME.fullmatch(file.parent.name):
            yield ProjectFolder(file.parent)


def no_model(server: str, project_id: int) -> UserError:
    """The error for a project without a fitted model: it names those that have one."""
    models = []
    for folder in known_folders():
        with suppress(UserError):
            if folder.state.newest:
                models.append(f"project {folder.project_id} of {folder.state.server}")
    others = f"; there are models of {', '.join(models)}" if models else ""
    return UserError(
        f"there is no fitted model of project {project_id} of {server} in {_all_projects()}"
        f"{others}: give --url as the backend has it, and PRELABEL_HOME if it has one, or fit the "
        f"project with prelabel label-studio fit --project {project_id}"
    )


def _is_of(folder: ProjectFolder, name: str) -> bool:
    try:
        return folder.state.project == name
    except UserError:  # reported when it is opened
        return folder.path.name == name


def _used_at(folder: ProjectFolder) -> float:
    try:
        return (folder.path / FILE).stat().st_mtime
    except OSError:
        return 0.0


def _server_folder(server: str) -> Path:
    place = urlsplit(server)
    address = f"{place.netloc.rpartition('@')[2]}{place.path}"
    address = _THIS_MACHINE.sub("127.0.0.1", address, count=1) if address else address
    host = re.sub(r"[^A-Za-z0-9.]+", "_", address)
    return _all_projects() / (host.strip("_.") or "unknown")


def _all_projects() -> Path:
    return data_folder() / "label-studio"
