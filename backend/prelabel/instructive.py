"""What a photo could teach: the facts that the order of photos is chosen by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prelabel.data.images import read_image
from prelabel.data.records import ImageFile
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.steps.taught import points_of
from prelabel.steps.teaching_order import photo_descriptor, photo_doubt

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
    from there. Raises PhotoError, ContractError."""
    image = read_image(file.file)
    [features] = photos.features([image])
    segmenter = photos.segmenter(features)
    model = segmenter.model
    levels = segmenter.apply_levels(features)
    foreground, learned = segmenter.combine(features, levels), None
    if model.taught and model.taught.learned:
        points = points_of(features, model.levels.center)
        classes, foreground = model.taught.foreground(segmenter.learner, points, foreground)
        learned = classes.sum(axis=1).reshape(foreground.shape)
    segment = photos.stored(image.digest)
    if segment is None:
        segment = photos.describe(image, features, photos.find(image, features))
    prediction = segment.classified(
        file.name, classes=model.classes, clusterer=segmenter.clusterer, version=""
    )
    return PhotoFacts(
        descriptor=photo_descriptor(features, foreground),
        doubt=photo_doubt(levels, learned),
        classes=frozenset(r.cluster for r in prediction.regions if r.cluster >= 0),
    )
