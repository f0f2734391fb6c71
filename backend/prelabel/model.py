"""The fitted model: what `fit` learned, saved as one folder, with a version."""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from prelabel import config as config_module
from prelabel.errors import UserError
from prelabel.model_code import changed_parts, segments_code, vectors_origin, version_hash
from prelabel.model_facts import FILE, SCHEMA, ModelFacts, SavedModel
from prelabel.steps.features import identity_key
from prelabel.steps.levels import Levels
from prelabel.steps.taught import Taught, facts_json
from prelabel.storage.files import read_file, replacing
from prelabel.storage.remote import local_path
from prelabel.strategies import registry

Float = NDArray[np.float32]
_log = logging.getLogger(__name__)
TENSORS = f"tensors-{'[0-9a-f]' * 16}.safetensors"
"""In a model's folder, as a pattern of paths."""
MODEL_FILES = (f"*{FILE}", f"*{TENSORS}")
"""Of a model's folder, or of one that it is in, as patterns of paths."""
_TAUGHT = "taught."
_REACH = "class_reach"
_warned: set[str] = set()
"""Versions of the models that this process has already warned about."""


@dataclass(frozen=True, kw_only=True)
class FittedModel(ModelFacts):
    """What `fit` learned: everything that `predict` needs besides the photos.

    Attributes:
        config: the settings of the fit, with the backbone's weights named.
        backbone: what decides the features: the weights' hash, layer, precision …; JSON-ready.
        origins: distribution and version of each strategy, by kind.
        levels: what the dataset and category levels learned.
        classes: centroids of the classes that were found, float32 (n, dim).
        class_reach: as `FoundClasses.reach`.
        taught: what labelled photos have taught; None without labels.
        n_photos: photos that `fit` has seen.
        code: digests of the code that fitted the model; empty if an older prelabel wrote it.
            `predict` runs the installed code, so `version` and the cache's keys depend on that.

    Example:
        >>> model = fit("photos/")
        >>> model
        FittedModel('stand-in', 120 photos, 7 classes, version 3f9c02d81b7a-0)
        >>> model.save("model/")
    """

    levels: Levels
    classes: Float
    class_reach: float = -math.inf
    taught: Taught | None = None

    def __repr__(self) -> str:
        weights = str(self.backbone.get("weights", self.config.backbone.name))
        return (
            f"FittedModel({weights!r}, {self.n_photos} photos, {len(self.class_names)} classes, "
            f"version {self.version})"
        )

    @property
    def segment_hash(self) -> str:
        """16 hex digits of everything that decides regions and their vectors, but not classes."""
        tensors = self.levels.to_arrays()
        facts = self._settings("classes", "fit", "learner") + str(self.config.fit.seed)
        if not self.taught:
            return _hash(tensors, facts + segments_code(self.code_now))
        learner = self.config.digest("learner") + self.taught.digest
        code = segments_code(self.code_now, also=["learner"])
        return _hash(tensors, facts + learner + code)

    @property
    def fit_hash(self) -> str:
        """12 hex digits of the tensors and settings, without the code.

        The folder of a Label Studio project stores a model under it.
        """
        taught = json.dumps(facts_json(self.taught.facts)) if self.taught else ""
        return _hash(self._tensors(), self._settings() + taught)[:12]

    @property
    def version(self) -> str:
        """``<12 hex digits>-<names revision>``; the revision is 0 without learned names.

        The digits depend on everything that decides regions and classes, including the installed
        code.
        """
        return f"{version_hash(self.fit_hash, self.code_now)}-0"

    @property
    def classes_origin(self) -> str:
        """The origin of the vectors that ``classes`` were made from; "" if unknown."""
        return vectors_origin(self.config, self.backbone, self.code)

    def warn_if_fitted_by_other_code(self) -> None:
        """Log a warning if the code has changed since the fit, once per model and process."""
        changed = changed_parts(self.code, self.code_now)
        untaught = replace(self, taught=None).version  # labels come often
        if not changed or untaught in _warned:
            return
        _warned.add(untaught)
        parts = [self._change(part) for part in changed] if self.code else ["not recorded"]
        _log.warning(
            "the model was fitted by other code than is installed now (%s): regions are computed by "
            "the installed code, as version %s; fit again to update the model as well",
            ", ".join(parts),
            self.version,
        )

    def _change(self, part: str) -> str:
        """A changed part of the code, with both versions if they differ."""
        if part == "steps":
            return "prelabel's own steps"
        then, now = self.origins.get(part), registry.origin(part, self.config.strategy_names[part])
        return f"{part}: {then}, now {now}" if then != now else part

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order: those of the labels, then of those that were found."""
        labels = self.taught.facts.classes if self.taught else ()
        return (*labels, *(f"object {i + 1}" for i in range(len(self.classes))))

    def _tensors(self) -> dict[str, Float]:
        classes = np.ascontiguousarray(self.classes, dtype=np.float32)
        taught = self.taught.to_arrays() if self.taught else {}
        named = {f"{_TAUGHT}{name}": array for name, array in taught.items()}
        if self.class_reach > -math.inf:  # else the tensors are those of models that knew none
            named[_REACH] = np.array([self.class_reach], dtype=np.float32)
        return {"classes": classes, **self.levels.to_arrays(), **named}

    def _settings(self, *without: str) -> str:
        """Digest of the config, with the backbone's identity in the place of its settings.

        So the same weights at another path are the same model.
        """
        sections = [s for s in type(self.config).model_fields if s not in ("backbone", *without)]
        backbone = identity_key(self.config.backbone.name, self.backbone)
        return self.config.digest(*sections) + backbone

    def save(self, folder: str | Path) -> None:
        """Write the model into a folder, which `load_model` reads.

        A model that is there already is replaced at once or not at all.

        Raises:
            OSError: the folder cannot be written to.
        """
        folder = local_path(folder, what="save")
        folder.mkdir(parents=True, exist_ok=True)
        data = save(self._tensors())
        tensors = f"tensors-{hashlib.blake2b(data, digest_size=8).hexdigest()}.safetensors"
        with replacing(folder / tensors) as beside:
            beside.write_bytes(data)
        saved = SavedModel(
            schema=SCHEMA,
            version=self.version,
            tensors=tensors,
            backbone=dict(self.backbone),
            origins=dict(self.origins),
            code=dict(self.code),
            n_photos=self.n_photos,
            config=self.config.model_dump(mode="json"),
            taught=facts_json(self.taught.facts) if self.taught else None,
        )
        with replacing(folder / FILE) as beside:
            text = json.dumps(msgspec.to_builtins(saved), indent=2, ensure_ascii=False)
            beside.write_text(text, encoding="utf-8")
        for old in folder.glob("tensors-*.safetensors"):
            if old.name != tensors:
                old.unlink()

    @classmethod
    def load(cls, folder: str | Path) -> FittedModel:
        """Read a folder that ``save`` wrote.

        Raises:
            UserError: there is no model, it is damaged, or another version of prelabel wrote it.
        """
        folder = Path(folder)
        saved = SavedModel.read(folder)
        try:
            data = read_file(folder / saved.tensors)
            if hashlib.blake2b(data, digest_size=8).hexdigest() not in saved.tensors:
                raise ValueError("its hash is another")
            tensors = load(data)
            taught = _split(tensors)
            levels, classes = Levels.from_arrays(tensors), tensors["classes"]
            reach = float(tensors[_REACH].item()) if _REACH in tensors else -math.inf
            labels = Taught.from_arrays(taught, saved.taught) if saved.taught else None
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise UserError(
                f"{folder}: the model's tensors are damaged ({error}): fit again"
            ) from error
        try:
            config = config_module.validate(saved.config)
        except UserError as error:
            raise UserError(f"{folder}: the model's settings cannot be used ({error})") from error
        return cls(
            config=config,
            backbone=saved.backbone,
            origins=saved.origins,
            n_photos=saved.n_photos,
            code=saved.code,
            levels=levels,
            classes=classes,
            class_reach=reach,
            taught=labels,
        )


def _split(tensors: dict[str, Float]) -> dict[str, Float]:
    """Take those of what labels have taught out."""
    names = [name for name in tensors if name.startswith(_TAUGHT)]
    return {name.removeprefix(_TAUGHT): tensors.pop(name) for name in names}


def _hash(tensors: Mapping[str, Float], facts: str) -> str:
    result = hashlib.blake2b(facts.encode(), digest_size=8)
    for name in sorted(tensors):
        result.update(f"{name} {tensors[name].shape}".encode())
        result.update(tensors[name].tobytes())
    return result.hexdigest()
