"""Finding the like of drawn objects in other photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import cv2
import numpy as np
from msgspec import structs
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from prelabel.data.masks import Rle
from prelabel.data.records import Image, ImageFile, PatchFeatures, Prediction, Region
from prelabel.errors import PhotoError
from prelabel.model import FittedModel
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.segment import Segment, Segmenter
from prelabel.steps.likeness import learn_likeness, photo_likeness
from prelabel.steps.patch_labels import LabelledPhoto
from prelabel.steps.reading import chunks, read_ahead
from prelabel.storage.progress import RunLog
from prelabel.storage.threads import one_blas_thread
from prelabel.strategies.blame import PluginFailures, answer_each, costs_the_photo

_SIDE = 512
"""Pixels on the long side at which edges are looked for: many photos are searched."""
_AT_ONCE = 8
"""Photos whose features are computed together."""
LEAST = 0.25
"""The score from which on a region of the model's own counts as found."""
SAME = 0.5
"""What was found is a region that was known already from this IoU on."""


class Finder:
    """Finds objects that are like drawn ones. May be used by several threads.

    ``model``: the one given, but that it knows what was drawn alone: its classes are the examples'.
    """

    def __init__(
        self,
        model: FittedModel,
        examples: Sequence[LabelledPhoto],
        features_of: Callable[[str], PatchFeatures],
    ) -> None:
        """``examples``: photos on which objects were drawn. ``features_of``: the features of the photo
        with a digest. Raises UserError if they teach nothing."""
        self._segmenter = Segmenter(replace(model, taught=None))
        with one_blas_thread():
            self._likeness = learn_likeness(
                examples,
                learner=self._segmenter.learner,
                center=model.levels.center,
                features_of=features_of,
                seed=model.config.fit.seed,
                min_area=model.config.regions.min_area,
            )
        taught = self._likeness.taught
        self.model = replace(model, taught=taught, classes=model.classes[:0])

    def find(
        self, image: Image, features: PatchFeatures, own: Segment | None = None
    ) -> tuple[Found, ...]:
        """What is like the examples in a photo, with its class and score, the best first: regions where
        the learner is sure, and the model's ``own`` where it is not sure of the contrary. Raises
        ContractError."""
        with one_blas_thread():
            known = photo_likeness(
                self._likeness, self._segmenter.learner, features, self.model.levels.center
            )
            found = []
            rles = [region.rle for region in own.regions] if own else []
            if own:
                for region, vector in zip(own.regions, own.embeddings, strict=False):
                    found.append((region, False, known.of_region(region.rle, vector)))
            regions = self._learned(image, known.p)
            for region, is_new in zip(regions, missed(regions, rles), strict=True):
                if is_new:
                    found.append((region, True, known.of_region(region.rle)))
        ranked = sorted(found, key=lambda one: -one[2][1])
        return tuple(
            Found(structs.replace(region, cluster=number, score=score), is_new)
            for region, is_new, (number, score) in ranked
            if is_new or score >= LEAST
        )

    def _learned(self, image: Image, p: NDArray[np.float32]) -> tuple[Region, ...]:
        if p.max() <= self.model.config.regions.threshold:
            return ()
        cutting = self._likeness.taught.cutting
        return self._segmenter.to_regions(_reduced(image), p, np.ones_like(p), cutting).regions


@dataclass(frozen=True)
class Found:
    """A region like the examples, with its class and score. ``missed``: the model has no such region."""

    region: Region
    missed: bool


@dataclass(frozen=True)
class Searched:
    """A photo with what was found in it. ``missed``: for each of its regions, whether the model has no
    such region."""

    prediction: Prediction
    missed: tuple[bool, ...]


def search(
    finder: Finder,
    own: PhotoSegmenter,
    photos: Sequence[ImageFile],
    log: RunLog,
    shown: Callable[[Image, Sequence[Region]], None] | None = None,
) -> Iterator[Searched]:
    """Search photos, in order; those that cannot be used are left out, and named in the log.

    ``own``: of the model's own regions. ``shown``: called with the photo's pixels and what was found.
    """
    version = finder.model.version
    failures = PluginFailures(log)
    with log.stage("search", len(photos)):
        read = read_ahead(photos, known=lambda _: False, log=log)
        for chunk in chunks(read, _AT_ONCE):
            images = [(file, image) for file, _, image in chunk if image]
            answers = answer_each(own.features, [image for _, image in images])
            for (file, image), one in zip(images, answers, strict=True):
                try:
                    if isinstance(one, PhotoError):
                        raise one
                    with costs_the_photo():
                        found = finder.find(image, one, _own_segment(own, image, one))
                except PhotoError as error:
                    failures.add(file.name, error)
                    log.advance()
                    continue
                failures.passed()
                regions = [one.region for one in found]
                if shown:
                    shown(image, regions)
                yield Searched(
                    prediction(file.name, image, regions, version),
                    tuple(one.missed for one in found),
                )
                log.advance()


def prediction(photo: str, image: Image, regions: Sequence[Region], version: str) -> Prediction:
    """What was found in a photo of that name."""
    return Prediction(
        photo=photo,
        digest=image.digest,
        width=image.width,
        height=image.height,
        regions=tuple(regions),
        dropped=0,
        model_version=version,
    )


def missed(found: Sequence[Region], known: Sequence[Rle]) -> tuple[bool, ...]:
    """For each region that was found, whether none of the known ones is the same."""
    if not found or not known:
        return (True,) * len(found)
    ious = coco_mask.iou([r.rle for r in found], list(known), [0] * len(known))
    return tuple((np.asarray(ious).max(axis=1) < SAME).tolist())


def _own_segment(own: PhotoSegmenter, image: Image, features: PatchFeatures) -> Segment:
    """The model's own regions of a photo."""
    stored = own.stored(image.digest)
    if stored is None:
        stored = own.describe(image, features, own.find(image, features))
        with suppress(OSError):  # a full disk: they are found again when needed
            own.keep(stored)
    return stored


def _reduced(image: Image) -> Image:
    """The same photo with fewer pixels."""
    height, width = image.pixels.shape[:2]
    scale = _SIDE / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = cv2.resize(image.pixels, size, interpolation=cv2.INTER_AREA)
    return replace(image, pixels=np.asarray(pixels, dtype=np.uint8))
