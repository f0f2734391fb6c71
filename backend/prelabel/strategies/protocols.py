"""What each kind of strategy promises.

A strategy is a frozen dataclass whose fields are its settings. It is found by name through an
entry point group; the built-in ones come through the same door as anybody's.
Arrays that a strategy is given are not written to. Every strategy is deterministic for a seed.
Clusterers, foreground rules, consistencies and refiners are called from several threads at once;
backbones, embedders and exporters from one at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from prelabel.data.dataset import Dataset, ExportContext
from prelabel.data.records import LevelResult, PatchFeatures, Prediction

Float = NDArray[np.float32]


@runtime_checkable
class Backbone(Protocol):
    """Photos to patch features.

    - ``patch``: side of a patch in pixels; ``dim``: length of a feature vector.
    - ``batch``: photos in one call; the caller always passes exactly this many (it pads), so that
      a photo's features do not depend on its neighbours.
    - ``identity()``: JSON-ready facts that decide the features (weights' hash, layer, precision …);
      features are cached under them, and a model's version depends on them. ``weights``, if there,
      is the weights' name for people and decides nothing.
    - ``settled()``: the same strategy with everything decided that was left open (which weights).
    - ``extract(images)``: images uint8 (batch, height, width, 3) RGB, height and width multiples of
      ``patch``; returns one PatchFeatures per image with grid (height / patch, width / patch),
      finite values, attention ≥ 0 with mean 1 (all 1 where the network says nothing).
    - May raise UserError when its weights cannot be had.
    """

    @property
    def patch(self) -> int: ...
    @property
    def dim(self) -> int: ...
    @property
    def batch(self) -> int: ...
    def resolve(self) -> Backbone: ...
    def identity(self) -> Mapping[str, Any]: ...
    def extract(self, images: NDArray[np.uint8]) -> Sequence[PatchFeatures]: ...


@runtime_checkable
class Clusterer(Protocol):
    """Points to clusters.

    - ``fit(points, k, seed)``: points float32 (n, d), n ≥ 1, any scale; returns centroids float32
      (j, d) with 1 ≤ j ≤ min(k, n). Fewer than k when points coincide.
    - ``assign(points, centroids)``: int64 (n,), the nearest centroid of each point by the
      clusterer's own distance; each point's answer depends on that point alone.
    """

    def fit(self, points: Float, *, k: int, seed: int) -> Float: ...
    def assign(self, points: Float, centroids: Float) -> NDArray[np.int64]: ...


@runtime_checkable
class Foreground(Protocol):
    """Clusters to P(foreground).

    ``score(clusters, k, attention, border)``: clusters int64 (n,) in [0, k), attention float32 (n,)
    (CLS attention relative to the photo's mean), border bool (n,) (the patch touches its photo's
    frame); returns float32 (k,) in [0, 1]. A cluster without patches gets 0.5 or less.
    """

    def score(
        self,
        clusters: NDArray[np.int64],
        *,
        k: int,
        attention: Float,
        border: NDArray[np.bool_],
    ) -> Float: ...


@runtime_checkable
class Consistency(Protocol):
    """Levels to one answer: ``combine(levels)`` takes at least one LevelResult, coarse to fine, on
    one grid, and returns P(foreground) float32 (h, w) in [0, 1]."""

    def combine(self, levels: Sequence[LevelResult]) -> Float: ...


@runtime_checkable
class Refiner(Protocol):
    """Sharpens P(foreground) along the photo's edges: ``refine(foreground, image)`` takes float32
    (h, w) in [0, 1] and uint8 (h, w, 3) RGB of the same size and returns float32 (h, w) in [0, 1].
    """

    def refine(self, foreground: Float, image: NDArray[np.uint8]) -> Float: ...


@runtime_checkable
class Embedder(Protocol):
    """Regions to vectors.

    ``embed(image, masks, features, backbone)``: image uint8 (h, w, 3) RGB at working size, masks
    bool (n, h, w), n ≥ 1, each with at least one pixel, features of the whole photo; returns
    float32 (n, d), d the same for every photo. A region's vector does not depend on the others.
    """

    def embed(
        self,
        image: NDArray[np.uint8],
        masks: NDArray[np.bool_],
        *,
        features: PatchFeatures,
        backbone: Backbone,
    ) -> Float: ...


@runtime_checkable
class Exporter(Protocol):
    """Predictions to files: ``write(predictions, folder, context)`` streams over the predictions,
    writes into ``folder`` (it exists; files are written beside and then renamed) and returns the
    path to show to the user. It overwrites only what it writes itself."""

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path: ...


@runtime_checkable
class Reader(Protocol):
    """What an exporter has as well if its format can be read.

    - ``recognizes(source)``: whether a file or folder is of this format, by a quick look; never
      raises.
    - ``read(source)``: its labels. Raises UserError, with the file, for what is damaged; what is
      wrong with one photo or label costs that one and is noted in the dataset's ``problems``.
    """

    def recognizes(self, source: Path) -> bool: ...
    def read(self, source: Path) -> Dataset: ...
