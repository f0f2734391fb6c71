"""What labelled photos have taught, and how it is used on a photo."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import PatchFeatures
from prelabel.steps.blending import Blend, trust
from prelabel.steps.cutting import Cutting
from prelabel.steps.region_classes import exemplar_scores, mix
from prelabel.strategies import registry
from prelabel.strategies.checks import check_array
from prelabel.strategies.protocols import Learner

Float = NDArray[np.float32]
_LEARNED = "learned."
Weight = Annotated[float, msgspec.Meta(ge=0, le=1)]
AtLeast0 = Annotated[float, msgspec.Meta(ge=0)]


def _none() -> Float:
    return np.zeros((0, 0), dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is small and readable.

    Attributes:
        classes: names of the classes, in order.
        photos: number of labelled photos.
        weight: in [0, 1], how much of P(foreground) is the learner's; the levels have the rest.
        scores: for each weight that was tried the mean foreground IoU, over patches of photos that
            were left out, by weight; empty while none could be.
        smoothing, peak: as in `Blend`.
        reach: distance of a photo's mean patch from the nearest labelled photo's up to which the
            learner is believed wholly; from twice that on, it is not.
        neck, smallest, more_regions: as in `Cutting`.
        name_weight: in [0, 1], how much of a region's class is the learner's; exemplars have the
            rest.
        name_scores: for each weight that was tried the share of the regions of photos that were
            left out which got their own class.
    """

    classes: tuple[str, ...]
    photos: int
    weight: Weight
    name_weight: Weight
    scores: dict[str, float]
    name_scores: dict[str, float]
    smoothing: AtLeast0 = 0.0
    peak: Weight = 0.0
    reach: AtLeast0 = 0.0
    neck: Weight = 0.0
    smallest: Weight | None = None
    more_regions: bool = False


@dataclass(frozen=True, kw_only=True)
class Taught:
    """What labelled photos have taught.

    Attributes:
        facts: classes and weights.
        learned: the learner's arrays, by name; none if the photos teach nothing.
        exemplars: float32 (n, dim), vectors of labelled regions; of length 1.
        exemplar_classes: float32 (n,), index of the class of each.
        means: float32 (n, dim), the mean patches of labelled photos, relative to the dataset's;
            without any, photos are not told apart.
    """

    facts: Facts
    learned: Mapping[str, Float]
    exemplars: Float
    exemplar_classes: Float
    means: Float = field(default_factory=_none)

    def foreground(self, learner: Learner, points: Float, combined: Float) -> tuple[Float, Float]:
        """P of each class float32 (h · w, n_classes), and P(foreground) float32 (h, w).

        ``points``: float32 (h · w, dim), the patches relative to the mean one. ``combined``: the
        levels' P(foreground) float32 (h, w). Raises ContractError.
        """
        classes = predict_patches(learner, self.learned, points, len(self.facts.classes))[:, 1:]
        learned = np.asarray(classes.sum(axis=1).reshape(combined.shape), dtype=np.float32)
        known = trust(points.mean(axis=0), self.means, self.facts.reach)
        blend = Blend(self.facts.weight, self.facts.smoothing, self.facts.peak)
        return classes, blend(learned, combined, known)

    @property
    def cutting(self) -> Cutting:
        """How foreground becomes objects."""
        return Cutting(self.facts.neck, self.facts.smallest, self.facts.more_regions)

    def region_scores(self, shares: Float, vectors: Float) -> Float:
        """How far each region is of each class, float32 (n, n_classes) in [0, 1].

        ``shares``: float32 (n, n_classes), means of the learner's P over each region. ``vectors``:
        float32 (n, dim), the regions' own.
        """
        nearest = exemplar_scores(
            vectors, self.exemplars, self.exemplar_classes, len(self.facts.classes)
        )
        return mix(shares, nearest, self.facts.name_weight)

    def same_as(self, other: Taught | None) -> bool:
        """Whether regions and the names of regions are the same with both."""
        return (
            other is not None
            and self.digest == other.digest
            and self.facts.classes == other.facts.classes
            and self.facts.name_weight == other.facts.name_weight
            and np.array_equal(self.exemplars, other.exemplars)
            and np.array_equal(self.exemplar_classes, other.exemplar_classes)
        )

    @property
    def digest(self) -> str:
        """16 hex digits of everything that decides a photo's regions."""
        facts = self.facts
        decisive = facts.weight, facts.smoothing, facts.peak, facts.reach, self.cutting
        result = hashlib.blake2b(repr(decisive).encode(), digest_size=8)
        for name, array in sorted({**self.learned, "means": self.means}.items()):
            result.update(f"{name} {array.shape}".encode())
            result.update(array.tobytes())
        return result.hexdigest()

    def to_arrays(self) -> dict[str, Float]:
        """Arrays by name, which ``from_arrays`` reads back; the facts are not in them."""
        arrays = {f"{_LEARNED}{name}": array for name, array in self.learned.items()}
        arrays |= {
            "means": self.means,
            "exemplars": self.exemplars,
            "exemplar_classes": self.exemplar_classes,
        }
        return {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in arrays.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Float], facts: object) -> Taught:
        """What ``to_arrays`` gave; ``facts``: as JSON holds them. Raises KeyError, ValueError."""
        learned = {
            name.removeprefix(_LEARNED): array
            for name, array in arrays.items()
            if name.startswith(_LEARNED)
        }
        known = msgspec.convert(facts, Facts)
        classes = arrays["exemplar_classes"]
        if len(classes) != len(arrays["exemplars"]) or np.any(classes >= len(known.classes)):
            raise ValueError("its labelled regions are of other classes than it has")
        return cls(
            facts=known,
            learned=learned,
            means=arrays.get("means", _none()),
            exemplars=arrays["exemplars"],
            exemplar_classes=classes,
        )


def points_of(features: PatchFeatures, center: Float) -> Float:
    """A photo's patches float32 (h · w, dim), relative to the mean one of the dataset."""
    patches = features.patches.reshape(-1, features.patches.shape[-1])
    return np.asarray(patches.astype(np.float32) - center, dtype=np.float32)


def predict_patches(
    learner: Learner, learned: Mapping[str, Float], points: Float, n_classes: int
) -> Float:
    """P of background and each class, float32 (n, 1 + n_classes). Raises ContractError."""
    answer = learner.predict(learned, points)
    name = registry.title("learner", learner)
    return check_array(name, answer, (len(points), 1 + n_classes), probability=True)


def facts_json(facts: Facts) -> dict[str, object]:
    """The facts as JSON holds them."""
    found: dict[str, object] = json.loads(msgspec.json.encode(facts))
    return found
