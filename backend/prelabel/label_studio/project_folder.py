"""A project's folder on this machine: its fitted models, names, and what is live."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import msgspec
from filelock import FileLock

from prelabel.config import Config
from prelabel.errors import UserError
from prelabel.label_studio.model_version import fitted_version, image_level_version, saved_facts
from prelabel.label_studio.names.exemplar_lines import read_revision
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.model import FittedModel
from prelabel.storage.files import data_folder, replacing

_STATE = "project.json"
_QUIET, _LONGEST = 30.0, 300.0
"""Seconds without a new name, or since the first, after which new names go live."""


class ProjectState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a project, as ``project.json`` holds it.

    Fields that a file lacks have their defaults; fields that a newer version of this tool has
    written are kept when the file is written again.

    ``server``, ``project``: its address and ``id.timestamp``, as Label Studio sends them.
    ``label_config``: the XML that was seen last. ``model``: the live model's fit hash, "" for none;
    ``newest``: that of the model fitted last, which goes live next. ``revision``: of the live names.
    ``gathering_since``: when a name that is not live yet was first seen, in seconds since 1970; 0
    for none. ``version``: the live model version; ``versions``: those given out before it.
    ``n_tasks``: tasks that the project had at the newest fit. ``fit_requested``: a fit was requested
    and has not ended.
    """

    server: str = ""
    project: str = ""
    label_config: str = ""
    model: str = ""
    newest: str = ""
    revision: int = 0
    gathering_since: float = 0.0
    version: str = ""
    versions: tuple[str, ...] = ()
    n_tasks: int = 0
    fit_requested: bool = msgspec.field(default=False, name="fit_wanted")


class ProjectFolder:
    """A project's folder ``path``. Several threads and processes may use it at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = path / "names.jsonl"

    @classmethod
    def of(cls, server: str, project_id: int) -> Self:
        """The folder of a project of the Label Studio at the address ``server``."""
        place = urlsplit(server)
        host = re.sub(r"[^A-Za-z0-9.]+", "_", f"{place.netloc.rpartition('@')[2]}{place.path}")
        return cls(_all_projects() / (host.strip("_.") or "unknown") / str(project_id))

    @classmethod
    def known(cls) -> Iterator[Self]:
        """The folders of all projects that have one."""
        for file in sorted(_all_projects().glob(f"*/*/{_STATE}")):
            yield cls(file.parent)

    @property
    def project_id(self) -> int:
        """The project's number on its server."""
        return int(self.path.name.partition(".")[0])

    @property
    def state(self) -> ProjectState:
        """As it is on disk now. Raises UserError for a damaged file."""
        try:
            return msgspec.convert(self._fields(), ProjectState)
        except msgspec.ValidationError as error:
            raise self._damaged(error) from error

    def update(self, **changes: object) -> ProjectState:
        """Change some of the state; what others have changed meanwhile stays."""
        with self._lock():
            return self._write(msgspec.structs.replace(self.state, **changes))

    def go_live(self, config: Config, *, now: bool = False) -> ProjectState:
        """Make the newest model and names live. New names are gathered: they go live when nobody
        has given one for 30 seconds, or after 5 minutes; with ``now``, at once."""
        with self._lock():
            state = self.state
            revision, since = self._names_to_go_live(state, now=now)
            version = image_level_version(config)
            if state.newest:
                version = fitted_version(self.model_folder(state.newest), revision)
            versions = [v for v in (*state.versions, state.version) if v and v != version]
            live = msgspec.structs.replace(
                state,
                model=state.newest,
                revision=revision,
                gathering_since=since,
                version=version,
                versions=tuple(dict.fromkeys(versions)),
            )
            if live == state:
                return state
            self._remove_models(keep=(state.model, live.model))
            return self._write(live)

    def model_folder(self, fit_hash: str) -> Path:
        """Where the model of this hash is."""
        return self.path / "models" / fit_hash

    def names_file(self, revision: int) -> Path:
        """The names as they were at a live revision."""
        return self.path / f"names-{revision}.jsonl"

    def save_model(self, model: FittedModel, *, n_tasks: int) -> ProjectState:
        """Keep a model as the newest; it is not live yet."""
        with self._lock():  # else another process that goes live could remove the model first
            model.save(self.model_folder(model.fit_hash))
            return self._write(
                msgspec.structs.replace(
                    self.state, newest=model.fit_hash, n_tasks=n_tasks, fit_requested=False
                )
            )

    def newest_model(self) -> FittedModel | None:
        """The model that was fitted last. Raises UserError for a damaged one."""
        newest = self.state.newest
        return FittedModel.load(self.model_folder(newest)) if newest else None

    def tasks_of_annotations(self, annotation_ids: Iterable[object]) -> list[int]:
        """The tasks that were learned from with any of these annotations, which may be gone by now."""
        photos = ExemplarFile(self.names).photos_of_annotations(annotation_ids)
        return sorted({int(photo.partition("/")[0]) for photo in photos})

    def outdated_tasks(self) -> list[int]:
        """Tasks whose exemplars were embedded by other code than the live model's, and have to be
        embedded again. Raises UserError."""
        model = self.state.model
        if not model:
            return []
        origin = saved_facts(self.model_folder(model)).vectors_origin
        photos = ExemplarFile(self.names).outdated(origin)
        return sorted({int(photo.partition("/")[0]) for photo in photos})

    def fit_lock(self) -> FileLock:
        """Held by the one process that fits this project."""
        self.path.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path / "fit.lock")

    def _lock(self) -> FileLock:
        self.path.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path / "project.lock", timeout=30)

    def _fields(self) -> dict[str, object]:
        """The file's content, {} without a file. Raises UserError for a damaged one."""
        try:
            return msgspec.json.decode((self.path / _STATE).read_bytes(), type=dict[str, object])
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, msgspec.DecodeError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> UserError:
        return UserError(
            f"{self.path / _STATE} is damaged ({error}): put back a copy of it, or remove it; the "
            "fitted model and the names stay"
        )

    def _write(self, state: ProjectState) -> ProjectState:
        fields = {**self._fields(), **msgspec.to_builtins(state)}
        with replacing(self.path / _STATE) as beside:
            text = json.dumps(fields, indent=1, ensure_ascii=False)
            beside.write_text(text + "\n", encoding="utf-8")
        return state

    def _names_to_go_live(self, state: ProjectState, *, now: bool) -> tuple[int, float]:
        """The revision that is live from now on, and since when newer names are gathered."""
        learned = read_revision(self.names)
        if learned <= state.revision:
            return state.revision, 0.0
        since = state.gathering_since or time.time()
        quiet = time.time() - self.names.stat().st_mtime
        if not (now or quiet > _QUIET or time.time() - since > _LONGEST):
            return state.revision, since
        self._keep_names(learned, before=state.revision)
        return learned, 0.0

    def _keep_names(self, revision: int, *, before: int) -> None:
        """Keep the names of a live revision, and of the one before, which may still be in use."""
        with replacing(self.names_file(revision)) as beside:
            try:
                os.link(self.names, beside)  # the file is replaced, never written to
            except OSError:
                shutil.copyfile(self.names, beside)
        for file in self.path.glob("names-*.jsonl"):
            with suppress(ValueError):
                if int(file.stem.partition("-")[2]) not in (revision, before):
                    file.unlink(missing_ok=True)

    def _remove_models(self, *, keep: tuple[str, ...]) -> None:
        for folder in (self.path / "models").glob("*"):
            if folder.name not in keep:
                shutil.rmtree(folder, ignore_errors=True)


def _all_projects() -> Path:
    return data_folder() / "label-studio"
