"""Dense CRF on the binary problem, through pydensecrf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from pydensecrf.densecrf import DenseCRF2D

Float = NDArray[np.float32]


@dataclass(frozen=True)
class DenseCrf:
    """A fully connected CRF with two labels (Krähenbühl and Koltun, NeurIPS 2011).

    The defaults are the setting that MaskContrast, MaskDistill and STEGO share. Widths are in
    pixels of a photo of 500 on its long side, and scale with the photo.

    Attributes:
        iterations: mean-field rounds; ≥ 1.
        w_pos: weight of the smoothness kernel; ≥ 0.
        sxy_pos: its width in pixels; > 0.
        w_bi: weight of the colour kernel; ≥ 0.
        sxy_bi: its width in pixels; > 0.
        srgb: its width in grey levels of 0 to 255; > 0. Smaller follows weaker edges.
    """

    iterations: Annotated[int, Field(ge=1)] = 10
    w_pos: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3.0
    sxy_pos: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    w_bi: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 4.0
    sxy_bi: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 67.0
    srgb: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3.0

    def refine(self, foreground: Float, image: NDArray[np.uint8]) -> Float:
        """float32 (h, w) in [0, 1] from float32 (h, w) and uint8 (h, w, 3)."""
        height, width = foreground.shape
        scale = max(height, width) / 500
        sure = np.clip(foreground, 1e-3, 1 - 1e-3)
        unary = -np.log(np.stack([1 - sure, sure])).reshape(2, -1)
        crf = DenseCRF2D(width, height, 2)
        crf.setUnaryEnergy(np.ascontiguousarray(unary, dtype=np.float32))
        crf.addPairwiseGaussian(sxy=max(self.sxy_pos * scale, 0.1), compat=self.w_pos)
        crf.addPairwiseBilateral(
            sxy=max(self.sxy_bi * scale, 1.0),
            srgb=self.srgb,
            rgbim=np.array(image, order="C"),  # a copy: pydensecrf takes no read-only array
            compat=self.w_bi,
        )
        marginals = np.asarray(crf.inference(self.iterations), dtype=np.float32)
        return np.asarray(np.clip(marginals[1].reshape(height, width), 0, 1))
