"""Exemplars and classes as vectors in the plane, each given by its angle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Rle
from prelabel.steps.exemplars import Exemplar, Names
from prelabel.strategies import registry

RLE: Rle = {"size": [1, 1], "counts": "01"}
CLUSTERER = registry.make("clusterer", "spherical-kmeans", {})
CENTROIDS = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)


def at(degrees: float, name: str, photo: str = "p") -> Exemplar:
    """An exemplar whose vector has this angle."""
    return Exemplar(photo, RLE, vector(degrees), name)


def vector(degrees: float) -> NDArray[np.float32]:
    """Of length 1."""
    angle = np.deg2rad(degrees)
    return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)


def ask(given: Names, *regions: tuple[float, int]) -> list[str | None]:
    """The names of regions, each given by its angle and its class."""
    return given(np.stack([vector(d) for d, _ in regions]), [c for _, c in regions])
