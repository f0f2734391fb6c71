"""A photo's patches, how alike they are, and a random walk over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, diags_array
from scipy.sparse.linalg import spsolve

from prelabel.data.records import PatchFeatures
from prelabel.interactive.prompts import Box, Point, cell_of, coverage
from prelabel.segment import Segmenter
from prelabel.steps.levels import unit

Float = NDArray[np.float32]

ALIKE = 0.55
"""Likeness, in [-0.5, 1], from which a patch rather belongs to a point's object than not."""
IN_BOX = 0.65
"""The same for the share of a patch's clusters in a box."""
FOREGROUND = 0.3
"""Weight of P(foreground) beside that share."""
AROUND = 0.05
"""Share of the photo around a box that is enough to tell which clusters are background."""
POINT_SLOPE, BOX_SLOPE = 10.0, 8.0
"""How sharply likeness becomes a prior."""
POINT_WEIGHT, BOX_WEIGHT = 0.005, 0.3
"""Weight of a patch's prior in the random walk, where its tie to a like neighbour weighs 1."""
TAUGHT_SLOPE, TAUGHT_WEIGHT = 4.0, 0.02
"""Added to those of points where corrections teach what is foreground, as far as the learner was clearly
better than the levels: how sharply its P(foreground) becomes a prior, and the prior's weight."""
PROMPT_WEIGHT = 10.0
"""The same for patches that a prompt decides: those with a point, those outside the box."""
EDGE = 10.0
"""How fast ties weaken with unlikeness: exp(-EDGE · (1 - likeness))."""


class PatchGraph:
    """A photo's patches, and how alike they are.

    ``shape``: (h, w) of their grid. Raises ContractError.
    """

    def __init__(self, segmenter: Segmenter, features: PatchFeatures) -> None:
        results = segmenter.apply_levels(features)
        self.shape = features.attention.shape
        n = features.attention.size
        learned, self.foreground = segmenter.blend(features, segmenter.combine(features, results))
        self.learned = learned.sum(axis=1)
        weight = segmenter.taught.facts.weight if segmenter.taught else 0.0
        self.belief = max(0.0, 2 * weight - 1)
        self.clusters = np.concatenate([r.clusters.reshape(-1, n) for r in results])
        self.vectors = unit(segmenter.model.levels.relative(features).reshape(n, -1))
        self.index = np.arange(n).reshape(self.shape)
        self.edges = np.concatenate(
            [
                np.stack([self.index[:, :-1].ravel(), self.index[:, 1:].ravel()], axis=1),
                np.stack([self.index[:-1].ravel(), self.index[1:].ravel()], axis=1),
            ]
        )

    def probability(
        self, positive: Sequence[Point], negative: Sequence[Point], box: Box | None
    ) -> Float:
        """P(object) of each patch, float32 (h, w) in [0, 1]."""
        n = self.index.size
        logit = np.zeros(n)
        weight = np.full(n, BOX_WEIGHT if box else POINT_WEIGHT + self.belief * TAUGHT_WEIGHT)
        if box:
            covered = coverage(box, self.shape).ravel()
            foreground = self.foreground.ravel()
            # With hardly anything around the box, clusters tell nothing and P(foreground) must do.
            known = min(1.0, (1 - covered).mean() / AROUND)
            share = known * self._share_in_box(covered) + (1 - known) * foreground
            logit += BOX_SLOPE * (share + FOREGROUND * (foreground - 0.5) - IN_BOX)
        if positive:
            logit += POINT_SLOPE * (self._likeness(positive) - ALIKE)
            if not box:
                logit += self.belief * TAUGHT_SLOPE * (self.learned - 0.5)
        if negative:
            logit -= POINT_SLOPE * np.maximum(self._likeness(negative) - ALIKE, 0)
        prior = 1 / (1 + np.exp(-logit))
        if box:
            outside = covered < min(0.5, covered.max() / 2)
            prior[outside], weight[outside] = 0, PROMPT_WEIGHT
        for points, value in ((positive, 1), (negative, 0)):
            for point in points:
                at = self.index[cell_of(point, self.shape)]
                prior[at], weight[at] = value, PROMPT_WEIGHT
        return self._walk(prior, weight)

    def _likeness(self, points: Sequence[Point]) -> NDArray[np.float64]:
        """Of each patch to the most alike of the points (n,). A point stands for its patch and the
        neighbours of that, since one patch alone may be an odd one."""
        answers = []
        for point in points:
            row, column = cell_of(point, self.shape)
            near = self.index[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2].ravel()
            shared = np.mean([self.clusters == self.clusters[:, [i]] for i in near], axis=(0, 1))
            cosine = self.vectors @ unit(self.vectors[near].mean(axis=0))
            answers.append((shared + cosine) / 2)
        return np.asarray(np.max(answers, axis=0), dtype=np.float64)

    def _share_in_box(self, covered: NDArray[np.float64]) -> NDArray[np.float64]:
        """P(in the box | cluster) of each patch (n,), both sides weighing the same whatever the
        box's size; the mean over clusterings."""
        inside, around = covered.sum(), (1 - covered).sum()
        answers = []
        for labels in self.clusters:
            own = np.bincount(labels, weights=covered) / max(inside, 1e-6)
            other = np.bincount(labels, weights=1 - covered) / max(around, 1e-6)
            answers.append((own / np.maximum(own + other, 1e-12))[labels])
        return np.asarray(np.mean(answers, axis=0))

    def _walk(self, prior: NDArray[np.float64], weight: NDArray[np.float64]) -> Float:
        """The x that minimises Σ tie · (x_i - x_j)² + Σ weight · (x_i - prior_i)²."""
        a, b = self.edges.T
        shared = (self.clusters[:, a] == self.clusters[:, b]).mean(axis=0)
        cosine = np.einsum("ed,ed->e", self.vectors[a], self.vectors[b])
        ties = np.exp(-EDGE * (1 - (shared + cosine) / 2))
        n = len(prior)
        ends = (np.concatenate([a, b]), np.concatenate([b, a]))
        weights = coo_array((np.concatenate([ties, ties]), ends), shape=(n, n))
        system = diags_array(weights.sum(axis=1) + weight) - weights
        answer = spsolve(system.tocsc(), weight * prior)
        return np.asarray(answer.clip(0, 1), dtype=np.float32).reshape(self.shape)
