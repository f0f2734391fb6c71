"""A project's folder on this machine: its fitted models, names, and what is live."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec
from filelock import FileLock

from prelabel.config import Config
from prelabel.errors import UserError
from prelabel.label_studio.model_version import fitted_version, image_level_version, saved_facts
from prelabel.label_studio.names.exemplar_lines import copies, read_revision
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.names.kept_features import KeptFeatures
from prelabel.label_studio.names.memory import Memory
from prelabel.label_studio.project_state import ProjectState, read_state, write_state
from prelabel.model import FittedModel
from prelabel.steps.exemplars import Names
from prelabel.storage.files import replacing

_FIT_HASH = re.compile(r"[0-9a-f]{8,64}")
_QUIET, _LONGEST = 3.0, 30.0
"""Seconds without a new name, or since the first, after which new names go live."""


class ProjectFolder:
    """A project's folder ``path``. Several threads and processes may use it at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = path / "names.jsonl"

    @property
    def project_id(self) -> int:
        """The project's number on its server."""
        return int(self.path.name.partition(".")[0])

    @property
    def state(self) -> ProjectState:
        """As it is on disk now. Raises UserError for a damaged file."""
        return read_state(self.path)

    def update(self, **changes: object) -> ProjectState:
        """Change some of the state; what others have changed meanwhile stays."""
        with self._lock():
            return self._write(msgspec.structs.replace(self.state, **changes))

    def go_live(self, config: Config, *, now: bool = False) -> ProjectState:
        """Make the newest model and names live. New names are gathered: they go live when nobody
        has given one for 3 seconds, or after 30; with ``now``, at once."""
        with self._lock():
            return self._make_live(self._next_live(config, now=now))

    def next_live(self, config: Config) -> ProjectState:
        """The state that ``go_live`` would give now, for predictions that are made before it is
        live; gathering begins with it."""
        with self._lock():
            state, following = self.state, self._next_live(config, now=False)
            if state.gathering_since != following.gathering_since and following.gathering_since:
                gathering = msgspec.structs.replace(
                    state, gathering_since=following.gathering_since
                )
                self._write(gathering)
            return following

    def make_live(self, following: ProjectState) -> ProjectState:
        """Make a state of ``next_live`` live: its model, its names and its version."""
        with self._lock():
            state = self.state
            return self._make_live(
                msgspec.structs.replace(
                    state,
                    model=following.model,
                    revision=following.revision,
                    gathering_since=0.0,
                    version=following.version,
                    versions=_earlier(state, following.version),
                )
            )

    def model_folder(self, fit_hash: str) -> Path:
        """Where the model of this hash is."""
        return self.path / "models" / fit_hash

    def names_file(self, revision: int) -> Path:
        """The names as they were at a live revision."""
        return self.path / f"names-{revision}.jsonl"

    def names_at(self, model: FittedModel, revision: int) -> Names:
        """What is known of names at a live revision, for the regions of a model. Raises UserError."""
        return Names(
            ExemplarFile(self.names_file(revision)).exemplars,
            model.classes,
            clusterer=model.config.strategy("clusterer"),
            origin=model.vectors_origin,
        )

    def save_model(self, model: FittedModel, *, n_tasks: int) -> ProjectState:
        """Keep a model as the newest; it is not live yet."""
        with self._lock():  # else another process that goes live could remove the model first
            model.save(self.model_folder(model.fit_hash))
            state = self.state
            return self._write(
                msgspec.structs.replace(
                    state,
                    newest=model.fit_hash,
                    models=tuple(dict.fromkeys((*state.models, model.fit_hash))),
                    n_tasks=n_tasks,
                    fits=state.fits + 1,
                    fit_requested=False,
                )
            )

    def newest_model(self) -> FittedModel | None:
        """The model that was fitted last. Raises UserError for one that is damaged or missing."""
        newest = self.state.newest
        if newest and not self.model_folder(newest).is_dir():
            raise UserError(
                f"{self.model_folder(newest)}: the project's model is not there: fit again with "
                f"prelabel label-studio fit --project {self.project_id}"
            )
        return FittedModel.load(self.model_folder(newest)) if newest else None

    def tasks_of_annotations(self, annotation_ids: Iterable[object]) -> list[int]:
        """The tasks that were learned from with any of these annotations, which may be gone by now."""
        photos = ExemplarFile(self.names).photos_of_annotations(annotation_ids)
        return sorted({int(photo.partition("/")[0]) for photo in photos})

    def memory(self, origin: str, *, partial: bool = False) -> Memory:
        """What was learned from people, for a model with this ``vectors_origin``. ``partial``: what
        holds where the project's own setting does not say it. Raises UserError."""
        own = self.state.partial
        features = KeptFeatures(self.path / "features", origin)
        return Memory(ExemplarFile(self.names), features, partial if own is None else own)

    def outdated_tasks(self, *, partial: bool = False) -> list[int]:
        """Tasks that have to be learned from again for the live model, such as after other weights.
        ``partial``: as for ``memory``. Raises UserError."""
        model = self.state.model
        if not model:
            return []
        origin = saved_facts(self.model_folder(model)).vectors_origin
        photos = self.memory(origin, partial=partial).outdated()
        return sorted({int(photo.partition("/")[0]) for photo in photos})

    def _next_live(self, config: Config, *, now: bool) -> ProjectState:
        state = self.state
        revision, since = self._names_to_go_live(state, now=now)
        version = image_level_version(config)
        if state.newest:
            version = fitted_version(self.model_folder(state.newest), revision)
        return msgspec.structs.replace(
            state,
            model=state.newest,
            revision=revision,
            gathering_since=since,
            version=version,
            versions=_earlier(state, version),
        )

    def _make_live(self, live: ProjectState) -> ProjectState:
        state = self.state
        if live == state:
            return state
        # The one before may still be in use.
        keep = state.model, live.model, live.newest
        return self._write(self._without_models(live, keep=keep))

    def _lock(self) -> FileLock:
        self.path.mkdir(parents=True, exist_ok=True)
        return FileLock(self.path / "project.lock", timeout=30)

    def _write(self, state: ProjectState) -> ProjectState:
        write_state(self.path, state)
        return state

    def _names_to_go_live(self, state: ProjectState, *, now: bool) -> tuple[int, float]:
        """The revision that is live from now on, and since when newer names are gathered."""
        learned = read_revision(self.names)
        if learned <= state.revision or not self.names.exists():
            return state.revision, 0.0
        since = state.gathering_since or time.time()
        quiet = time.time() - self.names.stat().st_mtime
        if not (now or quiet > _QUIET or time.time() - since > _LONGEST):
            return state.revision, since
        self._keep_names(learned, before=state.revision)
        return learned, 0.0

    def _keep_names(self, revision: int, *, before: int) -> None:
        """Keep the names of a live revision, and of the one before, which may still be in use."""
        if not self.names_file(revision).exists():
            # Not a link: what damages the file would damage the copy too.
            with replacing(self.names_file(revision)) as beside:
                shutil.copyfile(self.names, beside)
        for known, file in copies(self.names).items():
            if known not in (revision, before):
                file.unlink(missing_ok=True)

    def _without_models(self, state: ProjectState, *, keep: tuple[str, ...]) -> ProjectState:
        """Remove models that were replaced. What is in the folder for other reasons stays."""
        replaced = [fit_hash for fit_hash in state.models if fit_hash not in keep]
        for fit_hash in replaced:
            if _FIT_HASH.fullmatch(fit_hash):  # else, as in a damaged file, it is another folder
                shutil.rmtree(self.model_folder(fit_hash), ignore_errors=True)
        left = tuple(fit_hash for fit_hash in state.models if fit_hash in keep)
        return msgspec.structs.replace(state, models=left)


def _earlier(state: ProjectState, version: str) -> tuple[str, ...]:
    """The versions that were given out before a new one, each once."""
    known = (*state.versions, state.version)
    return tuple(dict.fromkeys(v for v in known if v and v != version))
