"""The class of the nearest labelled patches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prelabel.data.records import LabelledPatches
from prelabel.storage.threads import one_blas_thread

Float = NDArray[np.float32]
_AT_ONCE = 1024
"""Patches that are compared with all labelled ones in one product."""


@dataclass(frozen=True)
class NearestPatches:
    """A patch is of the classes of the labelled patches that are nearest by cosine.

    As in-context scene understanding does it (Balažević et al., arXiv 2306.01667), whose number of
    neighbours and temperature are the defaults.

    Attributes:
        neighbours: labelled patches that decide; ≥ 1.
        temperature: of the cosines; smaller lets the nearest decide alone; > 0.
        patches: most labelled patches that are kept of a summary, drawn evenly over background and
            classes; more is finer and slower.
    """

    neighbours: Annotated[int, Field(ge=1)] = 30
    temperature: Annotated[float, Field(gt=0)] = 0.02
    patches: Annotated[int, Field(ge=1)] = 4000

    def summarize(self, photos: Iterable[LabelledPatches], *, seed: int) -> Mapping[str, Float]:
        """``vectors``: (n, dim) of unit length; ``shares``: (n, 1 + n_classes); n ≤ ``patches``."""
        rng = np.random.default_rng(seed)
        vectors: Float | None = None
        shares: Float | None = None
        for photo in photos:
            known = photo.shares.sum(axis=1) >= 0.5
            new = _unit(photo.vectors[known]), photo.shares[known].astype(np.float32)
            vectors = new[0] if vectors is None else np.concatenate([vectors, new[0]])
            shares = new[1] if shares is None else np.concatenate([shares, new[1]])
            if len(vectors) > 2 * self.patches:
                vectors, shares = _drawn(vectors, shares, self.patches, rng)
        if vectors is None or shares is None or not len(vectors):
            return {}
        vectors, shares = _drawn(vectors, shares, self.patches, rng)
        return {"vectors": vectors, "shares": shares}

    def fit(self, summaries: Sequence[Mapping[str, Float]]) -> Mapping[str, Float]:
        """The same arrays, of all summaries."""
        known = [s for s in summaries if s]
        if not known:
            return {}
        shares = np.concatenate([s["shares"] for s in known])
        if not (shares[:, 0].any() and shares[:, 1:].any()):
            return {}
        return {"vectors": np.concatenate([s["vectors"] for s in known]), "shares": shares}

    def predict(self, learned: Mapping[str, Float], vectors: Float) -> Float:
        """P of background and each class, float32 (n, 1 + n_classes)."""
        known, shares = learned["vectors"], learned["shares"]
        k = min(self.neighbours, len(known))
        answers = []
        for start in range(0, len(vectors), _AT_ONCE):
            with one_blas_thread():
                cosines = _unit(vectors[start : start + _AT_ONCE]) @ known.T
            nearest = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
            closeness = np.take_along_axis(cosines, nearest, axis=1) / self.temperature
            weights = np.exp(closeness - closeness.max(axis=1, keepdims=True))
            found = np.einsum("nk,nkc->nc", weights, shares[nearest])
            answers.append(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12))
        return np.concatenate(answers, dtype=np.float32) if answers else shares[:0]


def _drawn(
    vectors: Float, shares: Float, most: int, rng: np.random.Generator
) -> tuple[Float, Float]:
    """At most so many patches, as evenly over background and classes as there are patches."""
    if len(vectors) <= most:
        return vectors, shares
    column = shares.argmax(axis=1)
    order = rng.permutation(len(vectors))
    rank = np.zeros(len(vectors), dtype=np.int64)  # of a patch among those of its class
    for c in np.unique(column):
        own = order[column[order] == c]
        rank[own] = np.arange(len(own))
    chosen = np.sort(np.argsort(rank, kind="stable")[:most])
    return vectors[chosen], shares[chosen]


def _unit(vectors: Float) -> Float:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)
