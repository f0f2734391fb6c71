"""Clusters that few photos have are foreground."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Rarity:
    """Clusters that few photos have are foreground.

    The effective number of photos e of a cluster is the exponential of the entropy of its patches'
    photos (Hill, Ecology 1973): n if n photos have equally many of them. P(foreground) is
    1 / (1 + (e / e0)^sharpness), where e0 is such that ``share`` of all patches are in clusters with
    less. For defects on material that is otherwise alike. Unlike the nearest neighbours of SPADE
    (arXiv 2005.02357) and PatchCore (arXiv 2106.08265) it needs no flawless photos; but what most
    photos have in the same way counts as usual. With one photo all is undecided.

    Attributes:
        share: of the patches that count as rare; in (0, 1).
        sharpness: in (0, 50]. With 4 what is on half as many photos as e0 has P = 0.94, what is on
            twice as many 0.06.
    """

    share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    sharpness: Annotated[float, Field(gt=0, le=50)] = 4.0

    def score(
        self,
        clusters: NDArray[np.int64],
        *,
        k: int,
        attention: Float,
        border: NDArray[np.bool_],
        photos: NDArray[np.int64],
    ) -> Float:
        """float32 (k,) in [0, 1] from int64 (n,) clusters and int64 (n,) photos."""
        n_photos = int(photos.max()) + 1
        pairs, n = np.unique(clusters * n_photos + photos, return_counts=True)
        of_pairs = pairs // n_photos
        counts = np.bincount(clusters, minlength=k)
        share = n / counts[of_pairs]
        entropy = np.bincount(of_pairs, weights=-share * np.log(share), minlength=k)
        effective = np.exp(entropy)
        limit = np.quantile(effective[clusters], self.share)
        rare = 1 / (1 + (effective / limit) ** self.sharpness)
        return np.where(counts > 0, rare, 0).astype(np.float32)
