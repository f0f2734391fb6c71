"""Regions are the best nodes of a tree of merged patches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prelabel.data.bulges import numbered
from prelabel.data.patch_regions import enlarge_labels
from prelabel.data.records import PatchMaps
from prelabel_plugins.separators.merging import Merging

Float = NDArray[np.float32]
Labels = NDArray[np.int32]
Ints = NDArray[np.int64]
_FEWEST = 3
"""Patches of a node that may become a region; fewer have hardly a shape."""
_MOST = 0.8
"""Share of the photo's patches that a node may have; more is surroundings."""


@dataclass(frozen=True)
class Hierarchy:
    """The best nodes of the tree that merging neighbouring patches gives, in the whole photo.

    All patches are merged as by ``merge``, the most similar first, until one region is left; each that
    was there on the way is a node. Its score is mean P(foreground) × mean agreement × (share of the
    photo × mean attention)^¼. The agreement with a clustering of the photo's patches is the IoU with the
    connected part of a cluster that is most like the node: what several clusterings find independently
    is likely an object (as in VoteCut, arXiv 2403.07700, of which the clusterings of all levels take the
    place of several networks). Nodes are taken from the highest score down; those that overlap with one
    are left out.

    Unlike the others, it may find an object that stands out little, or in a foreground that was taken
    for one object, and leaves foreground out that is like no node.

    Attributes:
        least: ≥ 0; the score from which a node is a region. Lower finds more, right and wrong.
    """

    least: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.14

    def separate(
        self,
        refined: Float,
        *,
        threshold: float,
        patches: PatchMaps,
        image: NDArray[np.uint8],
    ) -> Labels:
        """int32 (h, w), numbers from 1."""
        chosen = choose_nodes(patches, self.least)
        rest = int(chosen.max()) + 1
        if rest == 1:
            return np.zeros(refined.shape, dtype=np.int32)
        of_pixels = enlarge_labels(np.where(chosen > 0, chosen, rest).astype(np.int32), image)
        of_pixels[of_pixels == rest] = 0
        return numbered(of_pixels.astype(np.int64))


def choose_nodes(patches: PatchMaps, least: float) -> Labels:
    """Numbers from 1, int32 (h, w), of the patches of the chosen nodes, best first; 0 for others.

    ``least``: the lowest score.
    """
    tree = _Tree.of(patches.vectors)
    scores = _scores(tree, patches)
    numbers = np.zeros(len(tree.patches), dtype=np.int32)
    for node in np.argsort(-scores, kind="stable").tolist():
        if scores[node] < least:
            break
        own = tree.patches[tree.starts[node] : tree.starts[node] + tree.sizes[node]]
        fits = _FEWEST <= len(own) <= _MOST * len(numbers)
        if fits and not numbers[own].any():
            numbers[own] = numbers.max() + 1
    return numbers.reshape(patches.foreground.shape)


@dataclass(frozen=True)
class _Tree:
    """All nodes: the patches, in order of rows, and then each merger of two nodes.

    ``children``: int64 (n_mergers, 2). ``sizes``: int64 (n_nodes,), patches of each. ``patches``: int64
    (n_patches,), in an order in which those of each node follow one another, from ``starts`` on, int64
    (n_nodes,).
    """

    children: Ints
    sizes: Ints
    patches: Ints
    starts: Ints

    @classmethod
    def of(cls, vectors: Float) -> _Tree:
        """The tree of patches float32 (h, w, dim)."""
        inside = np.ones(vectors.shape[:2], dtype=np.bool_)
        n = inside.size
        node, children = list(range(n)), []
        for i, j in Merging(inside, vectors).down_to(-math.inf):
            children.append((node[i], node[j]))
            node[i] = n + len(children) - 1
        sizes = [1] * n
        for a, b in children:
            sizes.append(sizes[a] + sizes[b])
        starts = [0] * len(sizes)
        for parent in range(len(sizes) - 1, n - 1, -1):
            a, b = children[parent - n]
            starts[a], starts[b] = starts[parent], starts[parent] + sizes[a]
        order = np.argsort(starts[:n])
        return cls(np.array(children).reshape(-1, 2), np.array(sizes), order, np.array(starts))

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """For each node the sum of its patches' values, float64 (n_nodes, …) of (n_patches, …)."""
        found = np.concatenate([values, np.zeros((len(self.children), *values.shape[1:]))])
        for parent, (a, b) in enumerate(self.children.tolist(), len(values)):
            found[parent] = found[a] + found[b]
        return found


def _scores(tree: _Tree, patches: PatchMaps) -> NDArray[np.float64]:
    """The score of each node, float64 (n_nodes,)."""
    foreground = tree.sums(patches.foreground.ravel().astype(np.float64)) / tree.sizes
    attention = tree.sums(patches.attention.ravel().astype(np.float64)) / tree.sizes
    agreed = np.mean([_agreement(tree, clusters) for clusters in patches.clusters], axis=0)
    share = tree.sizes / len(tree.patches)
    return np.asarray(foreground * agreed * (share * attention) ** 0.25)


def _agreement(tree: _Tree, clusters: NDArray[np.int16]) -> NDArray[np.float64]:
    """For each node its highest IoU with a connected part (4 neighbours) of a cluster int16 (h, w)."""
    parts, n = np.zeros(clusters.shape, dtype=np.int64), 0
    for cluster in np.unique(clusters):
        found, own = cv2.connectedComponents((clusters == cluster).astype(np.uint8), connectivity=4)
        parts[own > 0] = own[own > 0] - 1 + n
        n += found - 1
    both = tree.sums(np.eye(n)[parts.ravel()])
    areas = both[len(tree.patches) - 1 + len(tree.children)]  # the last node has all patches
    return np.asarray((both / (tree.sizes[:, None] + areas - both)).max(axis=1))
