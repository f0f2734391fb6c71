"""Two photos with labels, for whatever reads or writes them."""

from __future__ import annotations

from collections.abc import Sequence

from builders import PARTS, RING, prediction, region
from prelabel.data.dataset import Dataset
from prelabel.data.records import Prediction

PHOTOS = [
    prediction("a/x.jpg", region(RING, 1, score=0.75), region(PARTS, score=0.25)),
    prediction("nothing.png"),
]


def labelled(photos: Sequence[Prediction] = PHOTOS) -> Dataset:
    """A dataset of dogs and cats."""
    return Dataset(None, ("dog", "cat"), lambda: iter(photos), model_version="m-1")
