"""Patches of a vision transformer that hold artifacts instead of what they show.

Large networks without registers keep facts about the whole photo in some patches of its flat parts, whose
norms at the output are then many times those of the others (Vision Transformers Need Registers, arXiv
2309.16588). Clusters of such patches tell nothing.
"""

from __future__ import annotations

import logging
import re

import numpy as np
from numpy.typing import NDArray

_log = logging.getLogger(__name__)
_PLAIN = re.compile(r"(vit_(?:base|large|giant)_patch14)_(dinov2)")
"""DINOv2 without registers. The paper has them from L on; that B has them as well is known from
facebookresearch/dinov2, issues 373 and 419."""
OUTLYING = 3.0
"""Times the median norm of a photo's patches from which on a patch's is outlying. The paper's bound, a norm
of 150, is that of one network. With ViT-S/14 in DINOv2's architecture, no patch of 20 photos reached 2.5."""
SHARE = 0.002
"""Share of outlying patches from which on a network is warned of; our own choice."""
FEWEST = 10_000
"""Patches after which a share is taken: about 10 photos."""


def warn_of_missing_registers(architecture: str) -> None:
    """Log a warning if a network of this name of timm's is known to have artifacts."""
    if plain := _PLAIN.fullmatch(architecture.partition(".")[0]):
        name = architecture.replace(plain[0], f"{plain[1]}_reg4_{plain[2]}")
        _log.warning(
            "%s has no registers: some patches hold artifacts, %s", architecture, _use(name)
        )


class OutlyingNorms:
    """Looks for artifacts in the norms of a network's patches, and warns of them once.

    ``architecture``: its name.
    """

    def __init__(self, architecture: str) -> None:
        self._architecture = architecture
        self._patches = self._outlying = 0
        self._warned = _PLAIN.fullmatch(architecture.partition(".")[0]) is not None

    @property
    def wants_more(self) -> bool:
        """Whether there were too few patches to tell."""
        return not self._warned and self._patches < FEWEST

    def add(self, norms: NDArray[np.float32]) -> None:
        """Norms float32 (n_photos, n_patches) of a block's output, before it is normalized: the keys,
        queries and values of a block are made of normalized patches, and do not show them."""
        if self._warned:
            return
        self._patches += norms.size
        self._outlying += int((norms > OUTLYING * np.median(norms, axis=1, keepdims=True)).sum())
        share = self._outlying / max(self._patches, 1)
        if self._patches >= FEWEST and share >= SHARE:
            self._warned = True
            _log.warning(
                "%s: %.1f %% of the patches have a norm of more than %g times their photo's median, as "
                "artifacts have, %s",
                self._architecture,
                100 * share,
                OUTLYING,
                _use("weights with registers (reg4)"),
            )


def _use(name: str) -> str:
    return (
        "which make clusters and masks worse (arXiv 2309.16588): "
        f"use {name} or DINOv3's weights (prelabel weights list)"
    )
