"""The guided filter, in rounds: P(foreground) follows the photo's colour edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

Float = NDArray[np.float32]
_REDUCTION = 4
"""The filter's coefficients are computed at a quarter of the size and enlarged (Fast Guided
Filter, arXiv 1505.00996)."""


@dataclass(frozen=True)
class GuidedFilter:
    """The guided filter with a colour guide (He, Sun and Tang, TPAMI 2013), in rounds.

    Each round filters what the last one gave, sharpened and added to the input. That is mean-field
    inference as in a dense CRF, with the guided filter in the place of the bilateral kernel.
    Coefficients are computed at a quarter of the size (Fast Guided Filter, arXiv 1505.00996).

    Attributes:
        radius: of the window, as a share of the photo's long side; in (0, 0.5]. About the size of a
            patch: larger reaches further for an edge and loses thin parts.
        epsilon: colour variance (of values in [0, 1]) below which a window counts as flat; > 0.
            Smaller follows weaker edges.
        rounds: ≥ 1; 1 is the plain guided filter.
        sharpness: slope at which P is pushed to 0 or 1 between rounds; > 0.
    """

    radius: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-4
    rounds: Annotated[int, Field(ge=1)] = 3
    sharpness: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20.0

    def refine(self, foreground: Float, image: NDArray[np.uint8]) -> Float:
        """float32 (h, w) in [0, 1] from float32 (h, w) and uint8 (h, w, 3)."""
        height, width = foreground.shape
        size = (max(1, round(width / _REDUCTION)), max(1, round(height / _REDUCTION)))
        guide = _unit(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        target = _float(cv2.resize(foreground, size, interpolation=cv2.INTER_AREA))
        window = _Window(guide, max(1, round(self.radius * max(size))), self.epsilon)

        own = self.sharpness * (target - 0.5)
        found = target if self.rounds == 1 else _sigmoid(own)
        for _ in range(self.rounds - 1):
            filtered = _apply(*window.coefficients(found), guide).clip(0, 1)
            found = _sigmoid(own + self.sharpness * (filtered - 0.5))
        slope, offset = (
            _float(cv2.resize(c, (width, height), interpolation=cv2.INTER_LINEAR))
            for c in window.coefficients(found)
        )
        return _apply(slope, offset, _unit(image)).clip(0, 1)


class _Window:
    """Box-filter statistics of a guide float32 (h, w, 3), computed once for all rounds."""

    def __init__(self, guide: Float, radius: int, epsilon: float) -> None:
        self.guide = guide
        self.side = (2 * radius + 1, 2 * radius + 1)
        self.mean = self._box(guide)
        r, g, b = (guide[..., i] for i in range(3))
        products = self._box(np.stack([r * r, r * g, r * b, g * g, g * b, b * b], axis=-1))
        r, g, b = (self.mean[..., i] for i in range(3))
        products -= np.stack([r * r, r * g, r * b, g * g, g * b, b * b], axis=-1)
        self.inverse = _inverse(products, epsilon)

    def coefficients(self, target: Float) -> tuple[Float, Float]:
        """Slope (h, w, 3) and offset (h, w) of the local linear model of ``target`` (h, w)."""
        mean = self._box(target)
        covariance = self._box(self.guide * target[..., None]) - self.mean * mean[..., None]
        slope = np.einsum("hwij,hwj->hwi", self.inverse, covariance)
        offset = mean - _dot(slope, self.mean)
        return self._box(slope), self._box(offset)

    def _box(self, values: Float) -> Float:
        blurred = cv2.blur(values, self.side, borderType=cv2.BORDER_REFLECT)
        return np.asarray(blurred, dtype=np.float32).reshape(values.shape)


def _inverse(covariance: Float, epsilon: float) -> Float:
    """(h, w, 3, 3) inverses of covariance + epsilon, from its six different entries (h, w, 6)."""
    rr, rg, rb, gg, gb, bb = (covariance[..., i].astype(np.float64) for i in range(6))
    rr, gg, bb = rr + epsilon, gg + epsilon, bb + epsilon
    cofactors = [
        gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg,
        rb * gb - rg * bb, rr * bb - rb * rb, rg * rb - rr * gb,
        rg * gb - rb * gg, rg * rb - rr * gb, rr * gg - rg * rg,
    ]  # fmt: skip
    determinant = rr * cofactors[0] + rg * cofactors[1] + rb * cofactors[2]
    inverse = np.stack(cofactors, axis=-1) / determinant[..., None]
    return inverse.astype(np.float32).reshape(*determinant.shape, 3, 3)


def _apply(slope: Float, offset: Float, guide: Float) -> Float:
    return np.asarray(_dot(slope, guide) + offset, dtype=np.float32)


def _dot(one: Float, other: Float) -> Float:
    """Of (h, w, 3) and (h, w, 3), (h, w)."""
    return np.asarray(np.einsum("hwi,hwi->hw", one, other))  # a third of sum()'s time


def _unit(image: ArrayLike) -> Float:
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def _float(values: ArrayLike) -> Float:
    return np.asarray(values, dtype=np.float32)


def _sigmoid(x: NDArray[np.floating]) -> Float:
    return np.asarray(1 / (1 + np.exp(-x)), dtype=np.float32)
