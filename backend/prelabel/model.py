"""The fitted model: what fit learned, on disk as one folder, with a version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from prelabel import config as config_module
from prelabel.config import Config
from prelabel.errors import UserError
from prelabel.steps.features import identity_key
from prelabel.steps.levels import Clusters, Levels
from prelabel.storage.files import replacing

Float = NDArray[np.float32]
SCHEMA = 1
FACTS = "model.json"
_WANTED = {"tensors": str, "config": dict, "backbone": dict, "origins": dict, "n_photos": int}


@dataclass(frozen=True)
class FittedModel:
    """Everything that `predict` needs beside a photo.

    Attributes:
        config: as fitted, with the weights named.
        backbone: what decides the features: the weights' hash, layer, precision …; JSON-ready.
        origins: distribution and version of each strategy, by kind.
        levels: what the dataset and category levels learned.
        classes: centroids of the classes, float32 (n_classes, dim).
        n_photos: photos that `fit` has seen.

    Example:
        >>> model = fit("photos/")
        >>> model
        FittedModel('stand-in', 120 photos, 7 classes, version 3f9c02d81b7a-0)
        >>> model.save("model/")
    """

    config: Config
    backbone: Mapping[str, object]
    origins: Mapping[str, str]
    levels: Levels
    classes: Float
    n_photos: int

    def __repr__(self) -> str:
        weights = str(self.backbone.get("weights", self.config.backbone.name))
        return (
            f"FittedModel({weights!r}, {self.n_photos} photos, {len(self.classes)} classes, "
            f"version {self.version})"
        )

    @property
    def segment_hash(self) -> str:
        """Hash of all that decides regions and their vectors, but not their classes."""
        tensors = {k: v for k, v in _tensors(self).items() if k != "classes"}
        facts = self._settings("classes", "fit") + str(self.config.fit.seed)
        facts += str(sorted(self.origins.items()))  # another version may find other regions
        return _hash(tensors, facts)

    @property
    def fit_hash(self) -> str:
        """12 hex digits over all that decides regions and classes."""
        return _hash(_tensors(self), self._settings())[:12]

    @property
    def version(self) -> str:
        """``<fit hash>-<names revision>``, as the outside sees it; without learned names, 0."""
        return f"{self.fit_hash}-0"

    @property
    def class_names(self) -> tuple[str, ...]:
        """A name for each class, until somebody gives a better one."""
        return tuple(f"object {i + 1}" for i in range(len(self.classes)))

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
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        data = save(_tensors(self))
        tensors = f"tensors-{hashlib.blake2b(data, digest_size=8).hexdigest()}.safetensors"
        with replacing(folder / tensors) as beside:
            beside.write_bytes(data)
        facts = {
            "schema": SCHEMA,
            "version": self.version,
            "tensors": tensors,
            "backbone": dict(self.backbone),
            "origins": dict(self.origins),
            "n_photos": self.n_photos,
            "config": self.config.model_dump(mode="json"),
        }
        with replacing(folder / FACTS) as beside:
            beside.write_text(json.dumps(facts, indent=2, ensure_ascii=False), encoding="utf-8")
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
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UserError(
                f"{str(folder)!r} holds no fitted model (no {FACTS}): prelabel fit PHOTOS --out DIR"
            ) from error
        except (OSError, ValueError) as error:
            raise UserError(f"{folder / FACTS} is damaged ({error}): fit again") from error
        schema = facts.get("schema") if isinstance(facts, dict) else None
        if schema != SCHEMA:
            raise UserError(
                f"{folder / FACTS} has schema {schema}, this version reads {SCHEMA}: "
                "fit again, or use the version of prelabel that wrote it"
            )
        if missing := [f for f in _WANTED if not isinstance(facts.get(f), _WANTED[f])]:
            raise UserError(f"{folder / FACTS} is damaged (no {', '.join(missing)}): fit again")
        try:
            data = (folder / facts["tensors"]).read_bytes()
            if hashlib.blake2b(data, digest_size=8).hexdigest() not in facts["tensors"]:
                raise ValueError("its hash is another")
            tensors = load(data)
            levels, classes = _levels(tensors), tensors["classes"]
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise UserError(
                f"{folder}: the model's tensors are damaged ({error}): fit again"
            ) from error
        return cls(
            config=config_module.validate(facts["config"]),
            backbone=facts["backbone"],
            origins=facts["origins"],
            levels=levels,
            classes=classes,
            n_photos=facts["n_photos"],
        )


def _tensors(model: FittedModel) -> dict[str, Float]:
    levels = model.levels
    result = {
        "classes": model.classes,
        "center": levels.center,
        "groups": levels.groups,
        "reach": levels.reach,
    }
    for name, clusters in {
        "dataset": levels.dataset,
        **{f"category.{i}": c for i, c in enumerate(levels.categories)},
    }.items():
        for run, (centroids, scores) in enumerate(
            zip(clusters.centroids, clusters.scores, strict=True)
        ):
            result[f"{name}.{run}.centroids"] = centroids
            result[f"{name}.{run}.scores"] = scores
    return {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in result.items()}


def _levels(tensors: Mapping[str, Float]) -> Levels:
    def clusters(name: str) -> Clusters:
        runs = range(sum(k.startswith(f"{name}.") and k.endswith(".scores") for k in tensors))
        return Clusters(
            centroids=tuple(tensors[f"{name}.{run}.centroids"] for run in runs),
            scores=tuple(tensors[f"{name}.{run}.scores"] for run in runs),
        )

    return Levels(
        center=tensors["center"],
        dataset=clusters("dataset"),
        groups=tensors["groups"],
        reach=tensors["reach"],
        categories=tuple(clusters(f"category.{i}") for i in range(len(tensors["groups"]))),
    )


def _hash(tensors: Mapping[str, Float], facts: str) -> str:
    result = hashlib.blake2b(facts.encode(), digest_size=8)
    for name in sorted(tensors):
        result.update(f"{name} {tensors[name].shape}".encode())
        result.update(tensors[name].tobytes())
    return result.hexdigest()
