"""A simulated session on one set: photos with ground truth, and predictions after some were opened."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ground_truth import ground_truth
from msgspec import structs
from numpy.typing import NDArray

from prelabel import config as config_module
from prelabel import pipeline
from prelabel.config import Config
from prelabel.data.dataset import Dataset
from prelabel.data.images import read_image
from prelabel.data.records import Crop, Image, ImageFile, LevelResult, PatchFeatures, Prediction
from prelabel.evaluation import Evaluation, evaluate
from prelabel.label_classes import LabelClasses
from prelabel.model import FittedModel
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.segment import Segment, Segmenter
from prelabel.steps.patch_labels import LabelledPhoto, LabelledRegion
from prelabel.steps.photos import find_photos
from prelabel.steps.regions import enlarge_or_point
from prelabel.steps.taught import Taught
from prelabel.steps.teaching_order import photo_descriptor, photo_doubt, teaching_order
from prelabel.strategies.protocols import CropEmbedder
from prelabel.teacher import Teacher

Float = NDArray[np.float32]
MODES = ("blended", "names only", "learner alone")


@dataclass(frozen=True)
class Photo:
    """A photo with its ground truth; regions of crowds and void are among it, as such."""

    name: str
    image: Image
    features: PatchFeatures
    truth: Prediction


class Session:
    """A set that was fitted once, and whose photos are opened in an order. ``names``: whether classes
    are measured. ``every``: 2 takes every second photo."""

    def __init__(self, folder: Path, settings: Config, *, every: int = 1) -> None:
        photos = find_photos(folder / "images")
        photos = replace(photos, photos=photos.photos[::every])
        self.model = pipeline.fit(photos, settings)
        self.classes, truths = ground_truth(folder)
        self._segmenter = PhotoSegmenter(self.model, self.model.config, keep_features=True)
        self.photos: dict[str, Photo] = {}
        self._files = {photo.name: photo for photo in photos.photos}
        for photo in photos.photos:
            if photo.name in truths:
                image = read_image(photo.file)
                [features] = self._segmenter.features([image])
                self.photos[photo.name] = Photo(photo.name, image, features, truths[photo.name])
        self.names = len(self.classes) > 1
        self._by_digest = {photo.image.digest: photo for photo in self.photos.values()}
        self._levels: dict[int, list[LevelResult]] = {}
        own = self.model.config.strategy("embedder")
        self._embedder = _KnownCrops(own) if isinstance(own, CropEmbedder) else own
        self._teachers = {
            mode: Teacher(self._untaught(mode), lambda digest: self._by_digest[digest].features)
            for mode in MODES[:2]
        }

    def proposed_order(self) -> list[str]:
        """The names of the photos as `prelabel order` gives them before anything is labelled, but that
        their classes are not looked at."""
        names = sorted(self.photos)
        segmenter = _KnownLevels(self.model, self._levels)
        descriptors, doubts = [], []
        for name in names:
            features = self.photos[name].features
            levels = segmenter.apply_levels(features)
            descriptors.append(photo_descriptor(features, segmenter.combine(features, levels)))
            doubts.append(photo_doubt(levels))
        order = teaching_order(
            np.stack(descriptors),
            doubt=np.array(doubts, dtype=np.float32),
            seed=self.model.config.fit.seed,
        )
        return [names[i] for i in order]

    def labelled(self, opened: Sequence[str]) -> list[tuple[ImageFile, LabelledPhoto]]:
        """What the annotator leaves on each of these photos."""
        return [(self._files[name], self._labelled(self.photos[name])) for name in opened]

    def teach(self, mode: str, opened: Sequence[str]) -> tuple[Taught | None, float]:
        """What the opened photos teach, and the seconds that learning took."""
        if not opened:
            return None, 0.0
        labelled = [photo for _, photo in self.labelled(opened)]
        teacher = self._teachers["names only" if mode == "names only" else "blended"]
        start = time.perf_counter()
        taught = teacher.teach(labelled)
        seconds = time.perf_counter() - start
        if mode == "learner alone" and taught.learned:
            taught = replace(taught, facts=replace(taught.facts, weight=1.0))
        return taught, seconds

    def measure(self, mode: str, taught: Taught | None, names: Sequence[str]) -> Evaluation:
        """Predict photos and compare them with the ground truth."""
        model = replace(self._untaught(mode), taught=taught)
        segmenter = _KnownLevels(model, self._levels)
        segmenter.embedder = self._embedder
        of_labels = LabelClasses(model, taught) if taught else None
        found = [self._predict(model, segmenter, of_labels, self.photos[name]) for name in names]
        truths = [self.photos[name].truth for name in names]
        predicted = Dataset(None, self._class_names(model), lambda: iter(found))
        truth = Dataset(None, self.classes, lambda: iter(truths))
        return evaluate(predicted, truth, classes="by-name", only=("pixels", "objects"))

    def _predict(
        self,
        model: FittedModel,
        segmenter: Segmenter,
        of_labels: LabelClasses | None,
        photo: Photo,
    ) -> Prediction:
        found = segmenter.find(photo.image, photo.features)
        if self.names or found.source:
            segment = segmenter.describe(photo.image, photo.features, found)
        else:  # without vectors, which nothing needs
            none = np.zeros((0, 0), dtype=np.float32)
            segment = Segment.of(photo.image, photo.features, found, none)
        prediction = segment.classified(
            photo.name, model if self.names else None, segmenter.clusterer, version=""
        )
        if not self.names:  # of one class, whose name nobody needs to ask for
            regions = tuple(structs.replace(r, cluster=0) for r in prediction.regions)
            return structs.replace(prediction, regions=regions)
        return of_labels(prediction, segment) if of_labels else prediction

    def _class_names(self, model: FittedModel) -> tuple[str, ...]:
        return model.class_names if self.names else self.classes

    def _labelled(self, photo: Photo) -> LabelledPhoto:
        """What the annotator leaves: the ground truth."""
        own = [region for region in photo.truth.regions if not region.crowd]
        vectors: Sequence[Float | None] = [None] * len(own)
        if self.names and own:
            height, width = photo.image.pixels.shape[:2]
            masks = [enlarge_or_point(r.mask, height=height, width=width) for r in own]
            vectors = list(
                self._embedder.embed(
                    photo.image.pixels,
                    np.stack(masks),
                    features=photo.features,
                    backbone=self.model.config.strategy("backbone"),
                )
            )
        return LabelledPhoto(
            digest=photo.image.digest,
            regions=tuple(
                LabelledRegion(rle=r.rle, name=self.classes[r.cluster], vector=vector)
                for r, vector in zip(own, vectors, strict=True)
            ),
            unknown=tuple(region.rle for region in photo.truth.regions if region.crowd),
        )

    def _untaught(self, mode: str) -> FittedModel:
        if mode != "names only":
            return self.model
        settings = config_module.change(self.model.config, ["learner.name=none"])
        return replace(self.model, config=settings)


class _KnownLevels(Segmenter):
    """Levels do not change while a session learns, so that they are applied once."""

    def __init__(self, model: FittedModel, known: dict[int, list[LevelResult]]) -> None:
        super().__init__(model)
        self._known = known

    def apply_levels(self, features: PatchFeatures) -> list[LevelResult]:
        if id(features) not in self._known:
            self._known[id(features)] = super().apply_levels(features)
        return self._known[id(features)]


class _KnownCrops:
    """Each crop goes through the backbone once. What the default's embedder makes of a region depends on
    the region's box alone."""

    def __init__(self, own: CropEmbedder) -> None:
        self._own = own
        self._known: dict[tuple[int, tuple[int, ...]], tuple[Float, Crop]] = {}

    def embed(self, image: Any, masks: NDArray[np.bool_], **given: Any) -> Float:
        return self.embed_crops(image, masks, **given)[0]

    def embed_crops(
        self, image: Any, masks: NDArray[np.bool_], *, features: PatchFeatures, backbone: Any
    ) -> tuple[Float, list[Crop]]:
        keys = [(id(features), _box(mask)) for mask in masks]
        new = [i for i, key in enumerate(keys) if key not in self._known]
        if new:
            own = self._own.embed_crops(image, masks[new], features=features, backbone=backbone)
            self._known |= {
                keys[i]: one for i, one in zip(new, zip(*own, strict=True), strict=True)
            }
        vectors, crops = zip(*(self._known[key] for key in keys), strict=True)
        return np.stack(vectors), list(crops)


def _box(mask: NDArray[np.bool_]) -> tuple[int, ...]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])
