"""The records that travel through the pipeline. All are frozen; arrays in them are not written to.

Those that files hold are msgspec structs, which are read and written several times as fast as
dataclasses: ``msgspec.structs.replace`` changes one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import Mask, Rle, decode_rle, rles_share
from prelabel.storage.remote import RemoteFile

AttributeValue = str | int | float | list[str]
"""An answer about one region: a text, a number, or several texts."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """Where a photo is.

    Attributes:
        name: its path relative to the dataset's folder, with ``/``: the photo's identity.
        file: its path, or where it is in object storage.
    """

    name: str
    file: Path | RemoteFile


@dataclass(frozen=True, slots=True)
class Image:
    """A photo's pixels, oriented by EXIF and reduced to the working size.

    Attributes:
        pixels: uint8 (h, w, 3) RGB, at most ``images.WORKING_SIDE`` on the long side.
        width: of the oriented photo at full size, in pixels.
        height: likewise.
        digest: hash of the file's bytes, 32 hex digits.
        read_again: gives these bytes, for more pixels than the working size keeps; None if there are
            none. Raises PhotoError.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    digest: str
    read_again: Callable[[], bytes] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class PatchFeatures:
    """A backbone's features of one photo, on a grid of h × w patches.

    Attributes:
        patches: float16 (h, w, dim).
        cls: float16 (dim,).
        attention: float16 (h, w), the CLS token's attention to each patch (mean over heads)
            relative to the photo's mean: 1 is average, never negative.
    """

    patches: NDArray[np.float16]
    cls: NDArray[np.float16]
    attention: NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Crop:
    """A part of an image that was put through the backbone by itself.

    Attributes:
        rows: of the image, from the first to before the last.
        columns: likewise.
        features: of these pixels, on a grid over the whole crop, whatever its proportions.
    """

    rows: slice
    columns: slice
    features: PatchFeatures


@dataclass(frozen=True, slots=True)
class LabelledPatches:
    """Patches of one photo whose labels are known, in part or wholly.

    Attributes:
        vectors: float32 (n, dim), the patches' features.
        shares: float32 (n, 1 + n_classes) in [0, 1], how much of each patch background (column 0)
            and each class cover. What is missing to 1 is unknown and teaches nothing.
    """

    vectors: NDArray[np.float32]
    shares: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LevelResult:
    """One level's answer for one photo; a level runs several clusterings, one for each k.

    Attributes:
        name: "dataset", "category" or "image".
        clusters: int16 (n_runs, h, w), the cluster of each patch.
        scores: for each run float32 (k,), each cluster's P(foreground) in [0, 1].
        foreground: float32 (h, w) in [0, 1], the mean of the runs' scores at each patch.
    """

    name: str
    clusters: NDArray[np.int16]
    scores: tuple[NDArray[np.float32], ...]
    foreground: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PatchMaps:
    """What is known of a photo's patches once the levels were applied, on a grid of h × w patches.

    Attributes:
        foreground: float32 (h, w) in [0, 1], P(foreground) before it was refined.
        vectors: float32 (h, w, dim), the features, relative to what is usual at their place.
        raw: float16 (h, w, dim), the features as the backbone gave them.
        attention: float32 (h, w), as in `PatchFeatures`.
        clusters: int16 (n_runs, h, w), the clusters of each patch in the clusterings of all levels,
            coarse to fine; n_runs ≥ 1.
    """

    foreground: NDArray[np.float32]
    vectors: NDArray[np.float32]
    raw: NDArray[np.float16]
    attention: NDArray[np.float32]
    clusters: NDArray[np.int16]


class Region(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A part of a photo's foreground; it may hold several touching objects.

    Attributes:
        rle: the mask at the photo's full size, as COCO's compressed run lengths.
        box: x, y, width, height in whole pixels, from the upper left corner.
        area: pixels inside the mask.
        score: in [0, 1], an estimate of the P that its IoU with an object is 0.5 or more; once labels
            have taught, the mean P(foreground) inside times how far it can be relied on.
        cluster: class id, from 0; -1 before classes are known.
        crowd: in ground truth, pixels that count neither as right nor as wrong (COCO's crowds;
            with cluster -1, VOC's void).
        is_box: only the box is known; the mask is the box, filled.
        attributes: what people said of it beside its class, by name; none for what was predicted.

    Example:
        >>> cutout = photo[region.mask]  # photo: (h, w, 3); all pixels of the region, (area, 3)
    """

    rle: Rle
    box: tuple[int, int, int, int]
    area: int
    score: float
    cluster: int = -1
    crowd: bool = False
    is_box: bool = False
    attributes: dict[str, AttributeValue] = {}

    @property
    def mask(self) -> Mask:
        """The mask as bool (h, w), the EXIF-oriented photo's height and width.

        It is decoded anew each time: keep it where you need it twice.
        """
        return decode_rle(self.rle)


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """All regions of one photo, highest score first; none is a valid answer.

    Attributes:
        photo: the photo's name: its path relative to the folder of photos, with ``/``.
        digest: hash of the file's bytes, 32 hex digits; "" where there was no file.
        width: of the EXIF-oriented photo, in pixels.
        height: likewise.
        regions: what was found.
        dropped: how many connected parts were left out: too small, too unlikely or surroundings.
        model_version: of the model that predicted it; "" for what people made.

    Example:
        >>> for region in prediction.regions:
        ...     print(region.cluster, region.box, round(region.score, 2))
        3 (12, 40, 200, 180) 0.81
    """

    photo: str
    digest: str
    width: int
    height: int
    regions: tuple[Region, ...]
    dropped: int
    model_version: str

    @property
    def score(self) -> float:
        """Mean of the regions' scores, in [0, 1]; 0 without regions."""
        return float(np.mean([r.score for r in self.regions])) if self.regions else 0.0

    @property
    def foreground(self) -> float:
        """The share of the photo's pixels that lie in any of the regions, crowds apart, in [0, 1].

        It is measured anew each time: keep it where you need it twice.
        """
        masks = [region.rle for region in self.regions if not region.crowd]
        return rles_share(masks, height=self.height, width=self.width)
