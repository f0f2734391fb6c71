"""Names of regions, from exemplars and from what a learner says of their patches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prelabel.steps.exemplars import Names
from prelabel.steps.taught import Taught

Float = NDArray[np.float32]
_SURE = 0.5
"""From this P on, the mean over its patches, a region is of some class, even if nobody has named the
class that was found for it."""


def name_by_both(
    names: Names,
    taught: Taught | None,
    embeddings: Float,
    clusters: Sequence[int],
    shares: Float,
) -> list[tuple[str | None, bool]]:
    """For each region its name, or None, and whether people have said it.

    A region gets the class that its vector and its patches speak for most, if its class has exemplars
    or the learner is sure of some class; not of the only one that anybody has named yet, as then all
    that is an object would be of that class. A class that was named outright keeps its name, and regions
    most like a deleted one have none. Without a learner, exemplars alone name regions.

    Args:
        names: of the exemplars.
        taught: what labelled photos have taught.
        embeddings: float32 (n, dim), the regions' vectors.
        clusters: the class of each.
        shares: float32 (n, n_classes), the means of the learner's P of each class; (n, 0) if there is
            no learner.
    """
    by_exemplars = names(embeddings, clusters)
    known = [names.knows(cluster) for cluster in clusters]
    if taught is None or not shares.shape[1]:
        return list(zip(by_exemplars, known, strict=True))
    best = taught.region_scores(shares, embeddings).argmax(axis=1)
    sure = (shares.sum(axis=1) >= _SURE) & (shares.shape[1] > 1)
    found: list[tuple[str | None, bool]] = []
    for i, (name, cluster) in enumerate(zip(by_exemplars, clusters, strict=True)):
        if names.is_outright(cluster) or not (known[i] or sure[i]):
            found.append((name, known[i]))
        elif names.is_like_deleted(embeddings[i]) if sure[i] else name is None:
            found.append((None, True))
        else:
            found.append((taught.facts.classes[int(best[i])], True))
    return found
