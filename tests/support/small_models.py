"""Fitted models of random numbers, for tests that look at how they are kept and used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prelabel import config
from prelabel.model import FittedModel
from prelabel.steps.levels import Clusters, Levels
from prelabel.steps.taught import Facts, Taught

RNG = np.random.default_rng(0)


def some(*shape: int) -> NDArray[np.float32]:
    """Random numbers in [0, 1)."""
    return RNG.random(shape).astype(np.float32)


def small_model(n_groups: int = 2, n_classes: int = 3, *, dim: int = 5) -> FittedModel:
    """A model without labels; another one with each call."""

    def clusters() -> Clusters:
        return Clusters((some(2, dim), some(11, dim)), (some(2), some(11)))

    return FittedModel(
        config=config.load("fast", ["backbone.name=color-texture", "classes.count=3"]),
        backbone={"weights": "näme", "weights_hash": "ab12"},
        origins={"backbone": "prelabel 0.1.0"},
        levels=Levels(
            center=some(dim),
            dataset=clusters(),
            groups=some(n_groups, dim),
            reach=some(n_groups),
            categories=tuple(clusters() for _ in range(n_groups)),
            positions=some(2, 3, dim),
        ),
        classes=some(n_classes, dim) if n_classes else np.zeros((0, 0), dtype=np.float32),
        n_photos=41,
    )


def some_taught(*, weight: float = 0.5, dim: int = 5) -> Taught:
    """What a model may have been taught, of the classes ``café`` and ``dog``."""
    return Taught(
        facts=Facts(
            classes=("café", "dog"),
            photos=7,
            weight=weight,
            name_weight=0.75,
            scores={"0": 0.25, "0.5": 0.5},
            name_scores={"0.75": 1.0},
        ),
        learned={"foreground": some(dim + 1), "classes": some(2, dim + 1)},
        exemplars=some(3, dim),
        exemplar_classes=np.array([0, 1, 1], dtype=np.float32),
    )
