"""One photo at a time, asked for from several threads, with a fitted model or without one."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from prelabel.config import Config
from prelabel.data import images
from prelabel.data.masks import Mask
from prelabel.data.records import Image, PatchFeatures, Prediction, Region
from prelabel.interactive.mask import object_mask
from prelabel.interactive.prompts import Prompts
from prelabel.label_studio.predict.feature_cache import FeatureCache
from prelabel.model import FittedModel
from prelabel.model_code import code_now, segments_code
from prelabel.pipeline import classified
from prelabel.segment import Segment, Segmenter
from prelabel.steps import levels
from prelabel.steps.features import Extractor, from_arrays
from prelabel.steps.regions import enlarge
from prelabel.storage.files import cache_folder
from prelabel.storage.shards import ShardStore
from prelabel.strategies.protocols import Backbone, Clusterer, Embedder

Float = NDArray[np.float32]
_backbones = threading.Lock()
"""Backbones and embedders are called from one thread at a time."""
_SEEN = 32
"""Photos whose pixels and features stay in memory for who points at them: about 4 MB each."""


class Predictor:
    """``model``: None for masks from each photo alone: its own clusters, scored by the border rule;
    their regions have no class. May be used by several threads at once."""

    def __init__(self, model: FittedModel | None, config: Config) -> None:
        """Raises UserError if the weights cannot be had."""
        self.model = model
        self.config = model.config if model else config.image_level()
        backbone: Backbone = self.config.strategy("backbone").resolve()
        self.config = self.config.with_strategy("backbone", backbone)
        self._clusterer: Clusterer = self.config.strategy("clusterer")
        self._extractor = Extractor(
            backbone, name=self.config.backbone.name, size=self.config.features.size
        )
        self._segmenter = Segmenter(model) if model else None
        self._stored = self._extractor.store()
        # The store's name says which backbone at which size.
        self._recent = FeatureCache(cache_folder() / "recent" / self._stored.folder.name)
        if model:
            model.tell_if_fitted_by_other_code()
        code = segments_code(code_now(self.config), also=["foreground"])
        facts = f"{self.config.digest()} {self._stored.folder.name} {code}"
        alone = f"image-level-{hashlib.blake2b(facts.encode(), digest_size=8).hexdigest()}"
        self._done = ShardStore(
            cache_folder() / "segments" / (model.segment_hash if model else alone)
        )
        self._stores = threading.Lock()
        self._seen: OrderedDict[str, tuple[Image, PatchFeatures]] = OrderedDict()

    def predict(self, name: str, data: bytes, *, version: str) -> tuple[Prediction, Float]:
        """A photo's regions with classes, and their vectors float32 (n_regions, dim), from its
        file's bytes. Raises PhotoError."""
        segment = self.segment(data)
        model = self.model
        prediction = classified(
            name,
            segment,
            classes=model.classes if model else np.zeros((0, 0), dtype=np.float32),
            clusterer=self._clusterer,
            version=version,
        )
        return prediction, segment.embeddings

    def segment(self, data: bytes) -> Segment:
        """The photo's regions without classes: from the cache, or found now and put there. A full
        disk costs the cache, not the answer. Raises PhotoError."""
        digest = images.digest(data)
        with self._stores:
            if digest in self._done:
                return Segment.from_arrays(self._done.read(digest))
        picture, features = self._look(data)
        segmenter = self._segmenter or self._alone(features)
        found = segmenter.find(picture, features)
        if self._segmenter is None:
            nothing = np.zeros((0, 0), dtype=np.float32)
            size = picture.width, picture.height
            segment = Segment(digest, *size, found.regions, nothing, found.dropped)
        else:
            with _backbones:
                segment = segmenter.describe(picture, features, found)
        with self._stores, suppress(OSError):  # flush tries again, and tells
            self._done.add(digest, segment.to_arrays())
        return segment

    def object_mask(self, data: bytes, pointed: Prompts) -> Region | None:
        """The object that a person points at. Raises PhotoError."""
        picture, features = self._look(data)
        return object_mask(self._segmenter or self._alone(features), picture, features, pointed)

    def embed(self, data: bytes, masks: list[Mask]) -> Float:
        """Vectors float32 (n, dim) of regions with masks bool (height, width) at the photo's full
        size, n ≥ 1. Raises PhotoError."""
        picture, features = self._look(data)
        height, width = picture.pixels.shape[:2]
        small = np.stack([_at_working_size(mask, height, width) for mask in masks])
        embedder: Embedder = self.config.strategy("embedder")
        with _backbones:
            vectors = embedder.embed(
                picture.pixels, small, features=features, backbone=self._extractor.backbone
            )
        return np.asarray(vectors, dtype=np.float32)

    def flush(self) -> None:
        """Write what was found to the cache. Raises OSError; it is forgotten then, as what does not
        fit on the disk must not fill the memory instead."""
        with self._stores:
            try:
                self._done.flush()
            except OSError:
                self._done = ShardStore(self._done.folder)
                raise

    def _look(self, data: bytes) -> tuple[Image, PatchFeatures]:
        """A photo's pixels and features: from memory, from the disk, or computed."""
        digest = images.digest(data)
        with self._stores:
            if digest in self._seen:
                self._seen.move_to_end(digest)
                return self._seen[digest]
            stored = self._stored.read(digest) if digest in self._stored else None
        picture = images.decode_image(data)
        features = from_arrays(stored) if stored is not None else self._recent.get(digest)
        if features is None:
            with _backbones:
                features = self._extractor.extract([picture])[0]
            with suppress(OSError):  # a full disk: it is computed again when asked for again
                self._recent.put(digest, features)
        with self._stores:
            self._seen[digest] = picture, features
            while len(self._seen) > _SEEN:
                self._seen.popitem(last=False)
        return picture, features

    def _alone(self, features: PatchFeatures) -> Segmenter:
        """A segmenter whose dataset is this one photo."""
        height, width, dim = features.patches.shape
        vectors = features.patches.reshape(height * width, dim).astype(np.float32)
        center = vectors.mean(axis=0)
        patches = levels.Patches(
            vectors - center,
            features.attention.ravel().astype(np.float32),
            levels.border_patches(height, width).ravel(),
        )
        dataset = levels.fit_dataset(
            patches,
            ks=self.config.levels.image_k,
            clusterer=self._clusterer,
            foreground=self.config.strategy("foreground"),
            seed=self.config.fit.seed,
        )
        nothing = np.zeros((0, dim), dtype=np.float32)
        found = levels.Levels(center, dataset, nothing, np.zeros(0, dtype=np.float32), ())
        return Segmenter(
            FittedModel(
                config=self.config,
                backbone={},
                origins={},
                n_photos=1,
                levels=found,
                classes=nothing,
            )
        )


def _at_working_size(mask: Mask, height: int, width: int) -> Mask:
    small = enlarge(mask, height=height, width=width)
    if not small.any():  # thinner than a pixel there
        rows, columns = np.nonzero(mask)
        y, x = int(rows.mean() * height / len(mask)), int(columns.mean() * width / len(mask[0]))
        small = small.copy()
        small[y, x] = True
    return small
