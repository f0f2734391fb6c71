"""What each kind of strategy promises.

A strategy is a frozen dataclass whose fields are its settings. It is found by name through an
entry point group, built in or not.
Arrays that a strategy is given are not written to. Every strategy is deterministic for a seed.
Clusterers, foreground rules, consistencies, learners, refiners and separators are called from several
threads at once;
backbones and embedders from one at a time, unless they are `Concurrent`; exporters from one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from prelabel.data.dataset import Dataset, ExportContext
from prelabel.data.records import (
    Crop,
    LabelledPatches,
    LevelResult,
    PatchFeatures,
    PatchMaps,
    Prediction,
)

Float = NDArray[np.float32]
Job = TypeVar("Job")
Result = TypeVar("Result")
Prepare = Callable[[], Callable[[Job], Result]]
"""Makes what does a job."""


@runtime_checkable
class Concurrent(Protocol):
    """What a backbone or an embedder has as well if several threads may use it at once."""

    @property
    def threads(self) -> int:
        """How many may, ≥ 1. Each puts one photo after the other through it."""
        ...


@runtime_checkable
class Backbone(Protocol):
    """Photos to patch features.

    Every method may raise UserError where the weights cannot be loaded.
    """

    @property
    def patch(self) -> int:
        """Side of a patch in pixels, ≥ 1."""
        ...

    @property
    def dim(self) -> int:
        """Length of a feature vector, ≥ 1."""
        ...

    @property
    def batch(self) -> int:
        """Photos in one call of ``extract``, ≥ 1.

        The caller always passes exactly this many (it pads with black ones), so that a photo's
        features do not depend on its neighbours.
        """
        ...

    def resolve(self) -> Backbone:
        """Decide everything that was left open, such as which weights.

        Returns:
            The same strategy, fully specified; resolving that one again changes nothing.
        """
        ...

    def identity(self) -> Mapping[str, object]:
        """Tell what decides the features.

        Returns:
            JSON-ready facts: the weights' hash, layer, precision … Features are cached under them,
            and a model's version depends on them. ``weights``, if there, is the weights' name for
            people and decides nothing.
        """
        ...

    def extract(self, images: NDArray[np.uint8]) -> Sequence[PatchFeatures]:
        """Compute the features of one batch of photos.

        Args:
            images: uint8 (batch, height, width, 3) RGB, height and width multiples of ``patch``.

        Returns:
            One PatchFeatures for each image, all float16 and finite: ``patches`` (height / patch,
            width / patch, dim); ``cls`` (any length, the same for every photo); ``attention``
            (height / patch, width / patch), ≥ 0 with mean 1 (all 1 where the network has none).
        """
        ...


@runtime_checkable
class CropBackbone(Protocol):
    """What a `Backbone` has as well if it computes crops of regions faster, and less exactly, than photos."""

    @property
    def for_crops(self) -> Backbone:
        """The same network for the vectors of regions, with the same patches and lengths.

        What it computes is decided by nothing that ``identity`` does not tell.
        """
        ...


@runtime_checkable
class Clusterer(Protocol):
    """Points to clusters."""

    def fit(self, points: Float, *, k: int, seed: int) -> Float:
        """Find the clusters of some points.

        Args:
            points: float32 (n, d), n ≥ 1, of any scale.
            k: most clusters, ≥ 1.
            seed: of everything that is drawn.

        Returns:
            Centroids float32 (j, d) with 1 ≤ j ≤ min(k, n); fewer than k where points coincide.
        """
        ...

    def assign(self, points: Float, centroids: Float) -> NDArray[np.int64]:
        """Find the nearest centroid of each point, by the clusterer's own distance.

        Args:
            points: float32 (n, d).
            centroids: float32 (j, d), as ``fit`` returned them.

        Returns:
            int64 (n,) in [0, j). Each point's answer depends on that point alone.
        """
        ...

    def similarity(self, points: Float, point: Float) -> Float:
        """Tell how similar points are to one, by the measure that `assign` goes by.

        Photos are grouped by it, regions named by their nearest exemplars, and classes matched with
        those of an earlier fit.

        Args:
            points: float32 (n, d): points or centroids.
            point: float32 (d,), a point or a centroid.

        Returns:
            float32 (n,), the higher the more similar, such as cosines or distances times -1. Each
            answer depends on the two points alone.
        """
        ...


@runtime_checkable
class BlockClusterer(Protocol):
    """What a clusterer has as well if it can cluster more points than memory holds."""

    def fit_blocks(
        self, blocks: Callable[[], Iterable[Float]], starts: Sequence[Float]
    ) -> Sequence[Float]:
        """Go on from centroids of a sample, on all points.

        Args:
            blocks: called once for each pass, gives all points anew, float32 (n, d) at a time, always
                in the same order and blocks. They are not to be held together.
            starts: of each of several clusterings the centroids float32 (j, d), as ``fit`` returned
                them for a sample of the points. All are to move in the same passes.

        Returns:
            The centroids of each clustering, float32 (i, d) with 1 ≤ i ≤ j, to which points are on
            average at least as similar as to the ones that it started from.
        """
        ...


@runtime_checkable
class Foreground(Protocol):
    """Clusters to P(foreground)."""

    def score(
        self,
        clusters: NDArray[np.int64],
        *,
        k: int,
        attention: Float,
        border: NDArray[np.bool_],
        photos: NDArray[np.int64],
    ) -> Float:
        """Tell how likely the patches of each cluster are to be foreground.

        Args:
            clusters: int64 (n,) in [0, k), the cluster of each patch of many photos.
            k: number of clusters.
            attention: float32 (n,), the CLS token's attention to each patch relative to its photo's
                mean: 1 is average, never negative.
            border: bool (n,), whether the patch touches its photo's frame.
            photos: int64 (n,), ≥ 0, the number of each patch's photo.

        Returns:
            float32 (k,) in [0, 1]; 0.5 or less for a cluster without patches.
        """
        ...


@runtime_checkable
class Consistency(Protocol):
    """The answers of several levels to one."""

    def combine(self, levels: Sequence[LevelResult]) -> Float:
        """Make one P(foreground) out of the levels'.

        Args:
            levels: at least one, coarse to fine, all on one grid of patches (h, w).

        Returns:
            float32 (h, w) in [0, 1].
        """
        ...


@runtime_checkable
class Learner(Protocol):
    """Labelled patches to the class of any patch.

    It learns in two steps: ``summarize`` reduces the patches of some photos to a few arrays, and
    ``fit`` learns from several of these. So photos are left out, added or removed without a look at
    the others, and a removed one leaves no trace.
    """

    def summarize(self, photos: Iterable[LabelledPatches], *, seed: int) -> Mapping[str, Float]:
        """Reduce labelled photos to what `fit` needs of them.

        Args:
            photos: streamed over once; all have the same length of vectors and the same classes.
            seed: of everything that is drawn.

        Returns:
            float32 arrays by name, whose size does not depend on the number of photos; none without
            photos.
        """
        ...

    def fit(self, summaries: Sequence[Mapping[str, Float]]) -> Mapping[str, Float]:
        """Learn from the photos of several summaries.

        Args:
            summaries: what `summarize` returned; empty ones change nothing.

        Returns:
            float32 arrays by name, which `predict` takes; none if the photos do not show both
            background and at least one class.
        """
        ...

    def predict(self, learned: Mapping[str, Float], vectors: Float) -> Float:
        """Tell the class of patches.

        Args:
            learned: what `fit` returned, not empty.
            vectors: float32 (n, dim) of any patches.

        Returns:
            float32 (n, 1 + n_classes) in [0, 1], P of background (column 0) and of each class; rows
            sum to 1. 0 for a class that no photo showed. Each patch's answer depends on that patch
            alone.
        """
        ...


@runtime_checkable
class Refiner(Protocol):
    """Sharpens P(foreground) along the photo's edges.

    One that loads weights has ``weights_identity() -> str`` as well: which they are, such as their hash,
    without loading them. It is part of the cache's keys.
    """

    def refine(self, foreground: Float, image: NDArray[np.uint8]) -> Float:
        """Make P(foreground) follow the photo.

        Args:
            foreground: float32 (h, w) in [0, 1], enlarged from the patch grid.
            image: uint8 (h, w, 3) RGB, at most 1 024 pixels on the long side.

        Returns:
            float32 (h, w) in [0, 1]; above 0.5 is foreground.
        """
        ...


@runtime_checkable
class Separator(Protocol):
    """Foreground to regions, which may touch."""

    def separate(
        self,
        refined: Float,
        *,
        threshold: float,
        patches: PatchMaps,
        image: NDArray[np.uint8],
    ) -> NDArray[np.int32]:
        """Tell which pixels are one region.

        Small regions and surroundings are left out afterwards, and small holes are filled.

        Args:
            refined: float32 (h, w) in [0, 1], P(foreground) of each pixel.
            threshold: in (0, 1); pixels above are foreground.
            patches: what is known of the patches, on a grid over the same photo.
            image: uint8 (h, w, 3) RGB, at most 1 024 pixels on the long side.

        Returns:
            int32 (h, w): 0 where there is no region, else the region's number, from 1 without gaps.
        """
        ...


@runtime_checkable
class Splitter(Protocol):
    """What a separator has as well if it looks at each region once more, in the region's crop.

    It is asked where the embedder is a `CropEmbedder`.
    """

    def split(
        self,
        mask: NDArray[np.bool_],
        *,
        vectors: Float,
        image: NDArray[np.uint8],
    ) -> NDArray[np.int32]:
        """Tell which pixels of a region are one piece of it.

        Pieces are not split again. Each needs a vector of its own, which is another forward pass.

        Args:
            mask: bool (h, w), the region in its crop, with at least one pixel.
            vectors: float32 (rows, columns, dim), the crop's patches, relative to what is usual at
                their place, on a grid over the whole crop.
            image: uint8 (h, w, 3) RGB, the crop's pixels.

        Returns:
            int32 (h, w): 0 outside the mask, inside it the piece's number, from 1 without gaps. One
            piece leaves the region as it is.
        """
        ...


@runtime_checkable
class MoreRegions(Protocol):
    """What a separator has as well if it can make more regions than by its settings.

    It is asked where labelled photos show that objects share parts of the foreground.
    """

    def with_more_regions(self) -> Separator:
        """One of the same kind, with settings that make more regions; the same if there is none."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """Regions to vectors; regions with similar vectors become one class."""

    def embed(
        self,
        image: NDArray[np.uint8],
        masks: NDArray[np.bool_],
        *,
        features: PatchFeatures,
        backbone: Backbone,
    ) -> Float:
        """Describe the regions of one photo.

        Args:
            image: uint8 (h, w, 3) RGB, at most 1 024 pixels on the long side.
            masks: bool (n, h, w), n ≥ 1, each with at least one pixel.
            features: of the whole photo.
            backbone: for another forward pass.

        Returns:
            float32 (n, d), d the same for every photo. A region's vector does not depend on the
            other regions.
        """
        ...


@runtime_checkable
class CropEmbedder(Protocol):
    """What an embedder has as well if it puts each region's crop through the backbone."""

    def embed_crops(
        self,
        image: NDArray[np.uint8],
        masks: NDArray[np.bool_],
        *,
        features: PatchFeatures,
        backbone: Backbone,
    ) -> tuple[Float, Sequence[Crop]]:
        """Describe the regions of one photo, and give away what was seen of them.

        Args:
            image: as `Embedder.embed` gets it, and so are all others.
            masks: likewise.
            features: likewise.
            backbone: likewise.

        Returns:
            What ``embed`` returns, and each region's crop, with all of its pixels inside.
        """
        ...


@runtime_checkable
class PhotosEmbedder(Protocol):
    """What a `CropEmbedder` has as well if it fills the backbone's batches with crops of several photos.

    A GPU's batch is larger than what one photo needs.
    """

    def embed_photos(
        self,
        images: Sequence[NDArray[np.uint8]],
        masks: Sequence[NDArray[np.bool_]],
        *,
        features: Sequence[PatchFeatures],
        backbone: Backbone,
    ) -> Sequence[tuple[Float, Sequence[Crop]]]:
        """Describe the regions of several photos.

        Args:
            images: of each photo, what `Embedder.embed` gets, and so are all others.
            masks: likewise.
            features: likewise.
            backbone: for all of them.

        Returns:
            For each photo what ``embed_crops`` returns; it does not depend on the other photos.
        """
        ...


@runtime_checkable
class Exporter(Protocol):
    """Predictions to files."""

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        """Write predictions as one format.

        Args:
            predictions: streamed over once, never held together.
            folder: exists; only what the exporter itself writes is overwritten. Files are written
                beside and then renamed, so that what breaks off leaves the old ones.
            context: the photos' folder and the classes' names; its ``problems`` take what the
                format could not keep.

        Returns:
            The file or folder to show to the user.

        Raises:
            UserError: the format cannot hold the predictions.
        """
        ...


@runtime_checkable
class Reader(Protocol):
    """What an exporter has as well if its format can be read."""

    def recognizes(self, source: Path) -> bool:
        """Tell whether a file or folder is of this format, by a quick look; never raises."""
        ...

    def read(self, source: Path) -> Dataset:
        """Open the labels of a file or folder.

        Args:
            source: a file or folder of this format.

        Returns:
            The labels, read while they are streamed. What is wrong with one photo or label costs
            that one and is noted in the dataset's ``problems``.

        Raises:
            UserError: the source is damaged; names the file. Also while streaming.
        """
        ...


@runtime_checkable
class Engine(Protocol):
    """Jobs to their results, on one machine or many.

    What the jobs are is not known to it: a shard of photos is one, whose result is a file that
    another machine can read.
    """

    def map(self, prepare: Prepare[Job, Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """Do all jobs.

        Args:
            prepare: called once by each process that does jobs, to load what they share, such as
                weights; returns the function that does one. Both can be pickled.
            jobs: each can be pickled and holds no relative path. One whose process died is done
                again, so doing a job twice leaves what doing it once does.

        Returns:
            Each job's result once, as they are done, in any order. What a job or ``prepare`` raises
            is raised here, and ends the iteration.

        Raises:
            UserError: there is nothing to work on, such as a cluster that cannot be reached.
        """
        ...
