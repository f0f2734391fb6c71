"""A project's folder on this machine: its fitted models, names, and what is live."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from prelabel.config import Config
from prelabel.errors import UserError
from prelabel.label_studio.model_version import image_level_version
from prelabel.label_studio.names.exemplars import ExemplarFile, read_revision
from prelabel.model import FittedModel
from prelabel.storage.files import data_folder, replacing

STATE = "project.json"
_QUIET, _LONGEST = 30.0, 300.0
"""Seconds without a new name, or since the first, after which new names go live."""


@dataclass(frozen=True)
class State:
    """What is known of a project.

    ``server``, ``project``: its address and ``id.timestamp``, as Label Studio says it.
    ``label_config``: as last seen. ``model``: the live model's fit hash, "" for none; ``newest``:
    the one fitted last, which goes live next. ``revision``: the live names'. ``versions``: those
    that were given out before the live one. ``n_tasks``: tasks that the newest fit has known.
    ``gathering_since``: when a name that is not live yet was first seen, in seconds since 1970; 0
    for none. ``fit_wanted``: a fit was asked for and has not ended.
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
    fit_wanted: bool = False


def project_folder(server: str, project_id: int) -> Path:
    """Where a project's folder is."""
    place = urlsplit(server)
    host = re.sub(r"[^A-Za-z0-9.]+", "_", f"{place.netloc.rpartition('@')[2]}{place.path}")
    return data_folder() / "label-studio" / (host.strip("_.") or "unknown") / str(project_id)


def known_projects() -> Iterator[ProjectFolder]:
    """The projects that have a folder."""
    for file in sorted((data_folder() / "label-studio").glob(f"*/*/{STATE}")):
        yield ProjectFolder(file.parent)


class ProjectFolder:
    """A project's folder. Several threads and processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names = folder / "names.jsonl"

    @property
    def state(self) -> State:
        """As it is on disk now. Raises UserError for a damaged file."""
        file = self.folder / STATE
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            found["versions"] = tuple(found["versions"])
            return State(**found)
        except (FileNotFoundError, NotADirectoryError):
            return State()
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"{file} is damaged ({type(error).__name__}): put back a copy of it, or remove it; "
                "the fitted model and the names stay"
            ) from error

    def update(self, **changes: Any) -> State:
        """Change some of the state; what others have changed meanwhile stays."""
        with self._lock():
            return self._write(dataclasses.replace(self.state, **changes))

    def go_live(self, config: Config, *, now: bool = False) -> State:
        """Make the newest model and names live. New names are gathered: they go live when nobody
        has given one for 30 seconds, or after 5 minutes; with ``now``, at once."""
        with self._lock():
            state = self.state
            revision, since = self._names_to_go_live(state, now=now)
            version = f"{state.newest}-{revision}" if state.newest else image_level_version(config)
            versions = [v for v in (*state.versions, state.version) if v and v != version]
            live = dataclasses.replace(
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
        return self.folder / "models" / fit_hash

    def names_file(self, revision: int) -> Path:
        """The names as they were at a live revision."""
        return self.folder / f"names-{revision}.jsonl"

    def save_model(self, model: FittedModel, *, n_tasks: int) -> State:
        """Keep a model as the newest; it is not live yet."""
        with self._lock():  # else somebody who goes live removes it before it is the newest
            model.save(self.model_folder(model.fit_hash))
            return self._write(
                dataclasses.replace(
                    self.state, newest=model.fit_hash, n_tasks=n_tasks, fit_wanted=False
                )
            )

    def newest_model(self) -> FittedModel | None:
        """The model that was fitted last. Raises UserError for a damaged one."""
        newest = self.state.newest
        return FittedModel.load(self.model_folder(newest)) if newest else None

    def tasks_of_annotations(self, annotation_ids: Iterable[object]) -> list[int]:
        """The tasks that were learned from with any of these annotations, which may be gone by now."""
        photos = ExemplarFile(self.names).photos_with({f"{number}:" for number in annotation_ids})
        return sorted({int(photo.partition("/")[0]) for photo in photos})

    def fit_lock(self) -> FileLock:
        """Held by the one process that fits this project."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / "fit.lock")

    def _lock(self) -> FileLock:
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / "project.lock", timeout=30)

    def _write(self, state: State) -> State:
        with replacing(self.folder / STATE) as beside:
            text = json.dumps(dataclasses.asdict(state), indent=1, ensure_ascii=False)
            beside.write_text(text + "\n", encoding="utf-8")
        return state

    def _names_to_go_live(self, state: State, *, now: bool) -> tuple[int, float]:
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
        """The names of the revision before stay too: it may still be at work."""
        with replacing(self.names_file(revision)) as beside:
            try:
                os.link(self.names, beside)  # the file is replaced, never written to
            except OSError:
                shutil.copyfile(self.names, beside)
        for file in self.folder.glob("names-*.jsonl"):
            with suppress(ValueError):
                if int(file.stem.partition("-")[2]) not in (revision, before):
                    file.unlink(missing_ok=True)

    def _remove_models(self, *, keep: tuple[str, ...]) -> None:
        for folder in (self.folder / "models").glob("*"):
            if folder.name not in keep:
                shutil.rmtree(folder, ignore_errors=True)
