"""What photos could teach, and the order in which they are best labelled."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.images import read_image
from prelabel.data.records import ImageFile
from prelabel.errors import PhotoError
from prelabel.model import FittedModel
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.steps.photos import PhotoSet
from prelabel.steps.teaching_order import photo_descriptor, photo_doubt, teaching_order
from prelabel.storage.progress import RunLog
from prelabel.strategies.blame import costs_the_photo

Float = NDArray[np.float32]


@dataclass(frozen=True)
class PhotoFacts:
    """``descriptor``, ``doubt``: as `teaching_order` takes them. ``classes``: those that were found
    for its regions, without labels."""

    descriptor: Float
    doubt: float
    classes: frozenset[int]


def photo_facts(file: ImageFile, photos: PhotoSegmenter) -> PhotoFacts:
    """The facts of a photo, for a fitted model. Features and regions that are in the cache are taken
    from there. Raises PhotoError."""
    image = read_image(file.file)
    [features] = photos.features([image])
    with costs_the_photo():
        segmenter = photos.segmenter(features)
        model = segmenter.model
        levels = segmenter.apply_levels(features)
        learned, foreground = segmenter.blend(features, segmenter.combine(features, levels))
    summed = learned.sum(axis=1).reshape(foreground.shape) if segmenter.taught else None
    segment = photos.stored(image.digest)
    if segment is None:
        segment = photos.describe(image, features, photos.find(image, features))
    prediction = segment.classified(file.name, model, segmenter.clusterer, version="")
    return PhotoFacts(
        descriptor=photo_descriptor(features, foreground),
        doubt=photo_doubt(levels, summed),
        classes=frozenset(r.cluster for r in prediction.regions if r.cluster >= 0),
    )


def order_photos(
    model: FittedModel, photos: PhotoSet, labelled: Collection[str], log: RunLog
) -> list[str]:
    """The names of photos without labels, those first that would teach most (see `teaching_order`).

    ``labelled``: names of the photos that have labels. Photos that cannot be used are named in the
    log. Raises UserError if weights cannot be loaded.
    """
    segmenter = PhotoSegmenter(model, model.config, keep_features=True)
    names: list[str] = []
    found: list[PhotoFacts] = []
    with log.stage("what photos teach", len(photos.photos)):
        for file in photos.photos:
            try:
                found.append(photo_facts(file, segmenter))
                names.append(file.name)
            except PhotoError as error:
                log.skip(file.name, str(error))
            log.advance()
    if not found:
        return []
    order = teaching_order(
        np.stack([facts.descriptor for facts in found]),
        classes=[facts.classes for facts in found],
        doubt=np.array([facts.doubt for facts in found], dtype=np.float32),
        taught=[i for i, name in enumerate(names) if name in labelled],
        seed=model.config.fit.seed,
    )
    return [names[i] for i in order]
