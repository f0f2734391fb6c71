"""Predictions of single photos, with a fitted model or without one; thread-safe."""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from prelabel.config import Config
from prelabel.data import images
from prelabel.data.masks import Mask
from prelabel.data.records import Image, PatchFeatures, Prediction, Region
from prelabel.interactive.mask import object_mask
from prelabel.interactive.prompts import Prompts
from prelabel.model import FittedModel
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.segment import Segment
from prelabel.steps.regions import enlarge_or_point
from prelabel.steps.taught import Taught
from prelabel.storage.threads import open_lanes
from prelabel.strategies.blame import costs_the_photo

Float = NDArray[np.float32]
_SEEN = 32
"""Photos whose pixels and features stay in memory for prompts: about 4 MB each."""


class Predictor:
    """Predicts photos from the bytes of their files. May be used by several threads at once.

    ``model``: None for regions from each photo alone, clustered by itself and scored by the border
    rule; they have no class. ``taught``: what annotations teach about masks, if anything; the classes
    stay those of the model. ``sam``: one of osam's models, for clicks and boxes; "" for the model's
    clusters. ``vectors_origin``: as of a model, what makes the regions' vectors.
    """

    def __init__(
        self,
        model: FittedModel | None,
        config: Config,
        taught: Taught | None = None,
        *,
        sam: str = "",
    ) -> None:
        """Raises UserError if the weights cannot be loaded."""
        self.model = model
        self.taught = taught
        self._sam = sam
        used = replace(model, taught=taught) if model and taught else model
        self._photos = PhotoSegmenter(used, config, keep_features=True)
        self._clusterer = self._photos.config.strategy("clusterer")
        self.vectors_origin = self._photos.vectors_origin
        self._seen: OrderedDict[str, tuple[Image, PatchFeatures]] = OrderedDict()
        self._lock = threading.Lock()

    def taught_with(self, taught: Taught) -> Predictor:
        """One of the same model that finds masks with what annotations teach; both have the photos in
        memory together. Raises UserError."""
        found = Predictor(self.model, self._photos.config, taught, sam=self._sam)
        found._seen, found._lock = self._seen, self._lock
        return found

    def predict(self, name: str, data: bytes, *, version: str) -> tuple[Prediction, Segment]:
        """A photo's regions with classes, and the same with their vectors. Raises PhotoError."""
        segment = self.segment(data)
        prediction = segment.classified(name, self.model, self._clusterer, version=version)
        return prediction, segment

    def segment(self, data: bytes) -> Segment:
        """The photo's regions without classes, from the cache or found now and put there. A full disk
        only means that they are found again next time. Raises PhotoError."""
        stored = self._photos.stored(images.digest(data))
        if stored is not None:
            return stored
        with open_lanes():
            image, features = self._look(data)
            segment = self._photos.describe(image, features, self._photos.find(image, features))
        with suppress(OSError):  # flush tries again, and reports it
            self._photos.keep(segment)
        return segment

    def object_mask(self, data: bytes, prompts: Prompts) -> Region | None:
        """The object of clicks and boxes. Raises PhotoError, and UserError if ``sam`` cannot be used."""
        image, features = self._look(data)
        with costs_the_photo():
            segmenter = self._photos.segmenter(features)
            return object_mask(segmenter, image, features, prompts, sam=self._sam)

    def embed(self, data: bytes, masks: list[Mask]) -> Float:
        """Vectors float32 (n, dim) of regions with masks bool (height, width) at the photo's full
        size, n ≥ 1. Raises PhotoError."""
        image, features = self._look(data)
        height, width = image.pixels.shape[:2]
        small = np.stack([enlarge_or_point(mask, height=height, width=width) for mask in masks])
        return self._photos.embed(image, features, small)

    def features(self, data: bytes) -> PatchFeatures:
        """A photo's features. Raises PhotoError."""
        return self._look(data)[1]

    def flush(self) -> None:
        """Write what was found to the cache. Raises OSError."""
        self._photos.flush()

    def forget(self) -> None:
        """Remove what was found from the cache: nobody asks for it again."""
        self._photos.forget()

    def _look(self, data: bytes) -> tuple[Image, PatchFeatures]:
        """A photo's pixels and features; those of recently used photos are in memory."""
        digest = images.digest(data)
        with self._lock:
            if digest in self._seen:
                self._seen.move_to_end(digest)
                return self._seen[digest]
        image = images.decode_image(data)
        [features] = self._photos.features([image])
        image = replace(image, read_again=None)  # which holds the file's bytes
        with self._lock:
            self._seen[digest] = image, features
            while len(self._seen) > _SEEN:
                self._seen.popitem(last=False)
        return image, features
