"""Colour and texture statistics: a backbone without weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prelabel.data.records import PatchFeatures

Float = NDArray[np.float32]
_ORIENTATIONS = 8


@dataclass(frozen=True)
class ColorTexture:
    """Colour and texture of each patch: a backbone without weights.

    A vector holds mean and spread of the patch's Lab colour, the mean around it, and a histogram of
    gradient orientations. The attention is how far the patch's colour is from that of the photo's
    frame. It recognizes no objects: for tests, and for trying the rest in milliseconds a photo.

    Attributes:
        patch: side of a patch in pixels; ≥ 2.
    """

    threads: ClassVar[int] = 1_000  # it keeps nothing
    patch: Annotated[int, Field(ge=2)] = 16

    def resolve(self) -> ColorTexture:
        """Itself: nothing is left to decide."""
        return self

    @property
    def dim(self) -> int:
        """Length of a feature vector."""
        return 9 + _ORIENTATIONS

    @property
    def batch(self) -> int:
        """Photos in one call."""
        return 1

    def identity(self) -> Mapping[str, object]:
        """No weights; the patch size is all."""
        return {"weights": "none (colour and texture)", "weights_hash": "", "patch": self.patch}

    def extract(self, images: NDArray[np.uint8]) -> Sequence[PatchFeatures]:
        """uint8 (n, height, width, 3) RGB, sides multiples of the patch, to n PatchFeatures."""
        return [self._extract(image) for image in images]

    def _extract(self, image: NDArray[np.uint8]) -> PatchFeatures:
        lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) / 100
        mean = self._pooled(lab)
        spread = np.sqrt(np.maximum(self._pooled(lab * lab) - mean * mean, 0))
        around = cv2.blur(mean, (3, 3), borderType=cv2.BORDER_REFLECT).reshape(mean.shape)
        dx = cv2.Sobel(lab[..., 0], cv2.CV_32F, 1, 0)
        dy = cv2.Sobel(lab[..., 0], cv2.CV_32F, 0, 1)
        strength, angle = np.hypot(dx, dy), np.arctan2(dy, dx) % np.pi
        bins = np.minimum((angle / np.pi * _ORIENTATIONS).astype(int), _ORIENTATIONS - 1)
        histogram = self._pooled(
            strength[..., None] * np.eye(_ORIENTATIONS, dtype=np.float32)[bins]
        )
        patches = np.concatenate([mean, spread, around, histogram], axis=-1)
        return PatchFeatures(
            patches=patches.astype(np.float16),
            cls=patches.mean(axis=(0, 1)).astype(np.float16),
            attention=self._attention(mean).astype(np.float16),
        )

    def _pooled(self, values: NDArray[np.floating]) -> Float:
        """Mean over each patch, (h, w, channels)."""
        height, width, channels = values.shape
        rows, columns = height // self.patch, width // self.patch
        blocks = values.reshape(rows, self.patch, columns, self.patch, channels)
        return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)

    def _attention(self, colour: Float) -> Float:
        """In place of attention: distance of a patch's colour from the mean of the photo's frame."""
        frame = np.concatenate([colour[0], colour[-1], colour[:, 0], colour[:, -1]])
        distance = np.linalg.norm(colour - frame.mean(axis=0), axis=-1)
        mean = float(distance.mean())
        if mean < 1e-6:
            return np.ones(distance.shape, dtype=np.float32)
        return np.asarray(distance / mean, dtype=np.float32)
