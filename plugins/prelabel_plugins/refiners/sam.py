"""Regions that a model of the SAM family draws anew, where it agrees with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prelabel.data.bulges import connected_parts
from prelabel.weights.sam import DEFAULT_SAM, SamName, load_sam, sam_identity
from prelabel_plugins.refiners.guided_filter import GuidedFilter
from prelabel_plugins.refiners.sam_prompts import prompt_of

Float = NDArray[np.float32]


@dataclass(frozen=True)
class SamRefiner:
    """The guided filter, whose regions SAM draws anew where it agrees with them.

    Each connected region is asked for by a box, a point in it and a point beside it, after SAMRefiner
    (Lin et al., ICLR 2025, arXiv 2502.06756) without its mask prompt, which osam does not take. The
    photo's embedding is computed once. Regions that SAM draws otherwise stay those of the guided
    filter with its default settings. Needs the extra sam; the weights are downloaded by osam.

    Attributes:
        model: one of osam's models of the families efficientsam, sam and sam2, such as
            efficientsam:10m, sam2:tiny or sam:300m. Larger ones are slower, on a CPU by far.
        agreement: the IoU of SAM's mask with the region from which it takes the region's place; in
            [0, 1]. At 0.5 two masks count as one object, as in COCO's evaluation; 0 takes all.
        min_area: regions under this share of the photo are left as they are; in [0, 1). At the default
            of regions.min_area, those that are dropped anyway cost no time.
    """

    model: SamName = DEFAULT_SAM
    agreement: Annotated[float, Field(ge=0, le=1)] = 0.5
    min_area: Annotated[float, Field(ge=0, lt=1)] = 0.002

    def weights_identity(self) -> str:
        """The model, its weights and osam's version, for the cache's keys; without loading them."""
        return sam_identity(self.model)

    def refine(self, foreground: Float, image: NDArray[np.uint8]) -> Float:
        """float32 (h, w) in [0, 1] from float32 (h, w) and uint8 (h, w, 3).

        Raises:
            UserError: the model's weights can neither be found nor downloaded.
        """
        refined = GuidedFilter().refine(foreground, image)
        parts = connected_parts(refined > 0.5)
        areas = np.bincount(parts.ravel())
        large = np.flatnonzero(areas >= self.min_area * parts.size)
        numbers = large[large > 0]
        if not len(numbers):
            return refined
        model = load_sam(self.model)
        embedding = model.embedding(image)
        vectors = model.vectors(embedding)
        replaced, drawn = np.zeros((2, *parts.shape), dtype=np.bool_)
        for number in numbers:
            region = parts == number
            mask = model.mask(embedding, prompt_of(region, vectors))
            if mask.any() and _iou(mask, region) >= self.agreement:
                replaced |= region
                drawn |= mask
        refined[replaced] = 0
        refined[drawn] = 1
        return refined


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())
