"""One photo's pixels and features to its regions and their vectors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from prelabel.config import Config
from prelabel.data.bulges import Labels, connected_parts, cut_regions
from prelabel.data.image_hash import difference_hash
from prelabel.data.records import (
    Image,
    LevelResult,
    PatchFeatures,
    PatchMaps,
    Prediction,
    Region,
)
from prelabel.errors import UserError
from prelabel.model import FittedModel
from prelabel.steps import levels
from prelabel.steps.classes import classify
from prelabel.steps.cutting import Cutting
from prelabel.steps.patch_clusters import fit_dataset
from prelabel.steps.region_classes import region_shares
from prelabel.steps.region_embedding import RegionEmbedding
from prelabel.steps.regions import PhotoRegions, RegionSource, agreement, find_regions, upsample
from prelabel.steps.taught import points_of
from prelabel.strategies import registry
from prelabel.strategies.checks import check_array, refine, separate, with_more_regions
from prelabel.strategies.protocols import Clusterer, Splitter

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Segment:
    """A photo's regions before they have classes.

    ``embeddings``: float32 (n_regions, dim). ``shares``: float32 (n_regions, n_labels), the means of
    the learner's P of each class over each region; (n_regions, 0) if nothing was taught. ``cls``: the
    photo's CLS token, float16 (dim,); ``pixel_hash``: its difference hash, uint8 (16,).
    """

    digest: str
    width: int
    height: int
    regions: tuple[Region, ...]
    embeddings: Float
    shares: Float
    dropped: int
    cls: NDArray[np.float16]
    pixel_hash: NDArray[np.uint8]

    @classmethod
    def of(
        cls, image: Image, features: PatchFeatures, found: PhotoRegions, embeddings: Float
    ) -> Segment:
        """The regions of an image with their vectors."""
        return cls(
            digest=image.digest,
            width=image.width,
            height=image.height,
            regions=found.regions,
            embeddings=embeddings,
            shares=found.shares,
            dropped=found.dropped,
            cls=features.cls,
            pixel_hash=difference_hash(image.pixels),
        )

    def classified(
        self, photo: str, model: FittedModel | None, clusterer: Clusterer, *, version: str
    ) -> Prediction:
        """The regions of the photo of that name, each with the nearest class of the model that it is
        within reach of. Raises UserError for vectors that cannot be compared with its classes."""
        clusters: NDArray[np.int64] = np.full(len(self.regions), -1)
        if model and len(model.classes) and len(self.embeddings):
            classes = model.classes
            _check_dim("region", self.embeddings.shape[1], "classes", classes.shape[1])
            clusters = classify(
                self.embeddings, classes, clusterer=clusterer, reach=model.class_reach
            )
        return Prediction(
            photo=photo,
            digest=self.digest,
            width=self.width,
            height=self.height,
            regions=tuple(
                structs.replace(region, cluster=int(cluster))
                for region, cluster in zip(self.regions, clusters, strict=True)
            ),
            dropped=self.dropped,
            model_version=version,
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of a store's entry, which ``from_arrays`` reads back."""
        facts = {
            "digest": self.digest,
            "width": self.width,
            "height": self.height,
            "dropped": self.dropped,
            "regions": [
                {"rle": r.rle, "box": r.box, "area": r.area, "score": r.score} for r in self.regions
            ],
        }
        text = np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8)
        return {
            "facts": text,
            "embeddings": self.embeddings,
            "shares": self.shares,
            "cls": self.cls,
            "pixel_hash": self.pixel_hash,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Segment:
        """The segment of a store's entry."""
        facts = json.loads(arrays["facts"].tobytes())
        regions = tuple(
            Region(rle=r["rle"], box=tuple(r["box"]), area=r["area"], score=r["score"])
            for r in facts.pop("regions")
        )
        return cls(
            regions=regions,
            embeddings=arrays["embeddings"],
            shares=arrays["shares"],
            cls=arrays["cls"],
            pixel_hash=arrays["pixel_hash"],
            **facts,
        )


class Segmenter:
    """Finds regions with a model's levels and what labels have taught; classes are not needed.

    ``taught``: None if labels have taught nothing about masks.
    """

    def __init__(self, model: FittedModel) -> None:
        config = model.config
        self.model = model
        self.taught = model.taught if model.taught and model.taught.learned else None
        self.backbone = config.strategy("backbone")
        self.clusterer = config.strategy("clusterer")
        self.consistency = config.strategy("consistency")
        self.learner = config.strategy("learner")
        self.refiner = config.strategy("refiner")
        self.separator = config.strategy("separator")
        if self.taught and self.taught.facts.more_regions:
            self.separator = with_more_regions(self.separator)
        self.embedder = config.strategy("embedder")

    def describe(self, image: Image, features: PatchFeatures, found: PhotoRegions) -> Segment:
        """The regions of ``find`` with their vectors; here some separators split them again. Raises
        ContractError."""
        [segment] = self.describe_photos([(image, features, found)])
        return segment

    def describe_photos(
        self, photos: Sequence[tuple[Image, PatchFeatures, PhotoRegions]]
    ) -> list[Segment]:
        """As ``describe``, of each photo; their crops go through the backbone together."""
        embedding = RegionEmbedding(
            self.embedder, self.backbone, self.separator, self.model.levels.relative
        )
        answers = embedding([(image.pixels, features, found) for image, features, found in photos])
        return [
            Segment.of(image, features, *answer)
            for (image, features, _), answer in zip(photos, answers, strict=True)
        ]

    def find(self, image: Image, features: PatchFeatures) -> PhotoRegions:
        """Regions of one photo, without vectors. Raises ContractError."""
        results = self.apply_levels(features)
        combined = self.combine(features, results)
        maps = self.patch_maps(features, results, combined)
        if self.taught is None:
            return self.to_regions(image, combined, patches=maps)
        classes, foreground = self.blend(features, combined)
        weight = self.taught.facts.weight
        own = 1 - np.abs(classes.sum(axis=1).reshape(combined.shape) - foreground)
        agreed = (1 - weight) * agreement(results, combined) + weight * own
        maps = replace(maps, foreground=foreground)
        return self.to_regions(
            image, foreground, agreed, self.taught.cutting, patches=maps, classes=classes
        )

    def blend(self, features: PatchFeatures, combined: Float) -> tuple[Float, Float]:
        """What the learner says, P of each class float32 (h · w, n_classes), and P(foreground) float32
        (h, w) of it and the levels' ``combined``; no classes if nothing was taught. Raises
        ContractError."""
        if self.taught is None:
            return np.zeros((combined.size, 0), dtype=np.float32), combined
        points = points_of(features, self.model.levels.center)
        return self.taught.foreground(self.learner, points, combined)

    def combine(self, features: PatchFeatures, results: Sequence[LevelResult]) -> Float:
        """The levels' results as one P(foreground) float32 (h, w). Raises ContractError."""
        combined = self.consistency.combine(results)
        name = registry.title("consistency", self.consistency)
        return check_array(name, combined, features.attention.shape, probability=True)

    def apply_levels(self, features: PatchFeatures) -> list[LevelResult]:
        """The result of each level, coarse to fine. Raises UserError for features of another length."""
        config = self.model.config
        center = self.model.levels.center
        _check_dim("patch", features.patches.shape[-1], "levels", len(center))
        return levels.apply_levels(
            features,
            self.model.levels,
            image_ks=config.levels.image_k,
            clusterer=self.clusterer,
            seed=config.fit.seed,
        )

    def patch_maps(
        self, features: PatchFeatures, results: Sequence[LevelResult], foreground: Float
    ) -> PatchMaps:
        """What separators are told of the patches."""
        return PatchMaps(
            foreground=foreground,
            vectors=self.model.levels.relative(features),
            raw=features.patches,
            attention=features.attention.astype(np.float32),
            clusters=np.concatenate([result.clusters for result in results]),
        )

    def to_regions(
        self,
        image: Image,
        foreground: Float,
        agreed: Float | None = None,
        cutting: Cutting | None = None,
        *,
        patches: PatchMaps | None = None,
        classes: Float | None = None,
    ) -> PhotoRegions:
        """Refine P(foreground) and cut it into regions; ``agreed`` is how far it can be relied on. Both
        are float32 on the patch grid. Without ``agreed``, ``patches`` tell the regions' scores; without
        ``patches`` the connected parts are regions. ``classes``: what `blend` returned, for the regions'
        shares. Raises ContractError."""
        config = self.model.config
        cutting = cutting or Cutting()
        smallest = cutting.smallest
        height, width = image.pixels.shape[:2]
        coarse = upsample(foreground, height=height, width=width)
        refined = refine(self.refiner, coarse, image.pixels)
        labels = self._separate(refined, image, patches)
        if agreed is not None:
            agreed = upsample(agreed, height=height, width=width)

        def make(labels: Labels) -> PhotoRegions:
            found = find_regions(
                labels,
                coarse=coarse,
                agreed=agreed,
                vectors=None if patches is None else patches.vectors,
                min_area=config.regions.min_area if smallest is None else smallest,
                max_frame=config.regions.max_frame,
                min_hole=config.regions.min_hole,
                min_part=config.regions.min_part,
                min_score=config.regions.min_score,
                full_width=image.width,
                full_height=image.height,
            )
            if classes is None:
                return found
            rles = [region.rle for region in found.regions]
            return replace(found, shares=region_shares(classes, rles, *foreground.shape))

        labels = cut_regions(labels, cutting.neck, cutting.limb)
        found = make(labels)
        can_split = patches is not None and isinstance(self.separator, Splitter)
        return replace(found, source=RegionSource(labels, make)) if can_split else found

    def _separate(self, refined: Float, image: Image, patches: PatchMaps | None) -> Labels:
        """Numbers of regions from 1, int32 (h, w)."""
        threshold = self.model.config.regions.threshold
        if patches is None:
            return connected_parts(refined > threshold)
        return separate(
            self.separator, refined, threshold=threshold, patches=patches, image=image.pixels
        )


def image_level_model(config: Config, features: PatchFeatures) -> FittedModel:
    """A model whose dataset is one photo, without classes."""
    height, width, dim = features.patches.shape
    vectors = features.patches.reshape(height * width, dim).astype(np.float32)
    center = vectors.mean(axis=0)
    patches = levels.Patches(
        vectors - center,
        features.attention.ravel().astype(np.float32),
        levels.border_patches(height, width).ravel(),
        np.zeros(height * width, dtype=np.int64),
    )
    dataset = fit_dataset(
        patches,
        ks=config.levels.image_k,
        clusterer=config.strategy("clusterer"),
        foreground=config.strategy("foreground"),
        seed=config.fit.seed,
    )
    nothing = np.zeros((0, dim), dtype=np.float32)
    return FittedModel(
        config=config,
        backbone={},
        origins={},
        n_photos=1,
        levels=levels.Levels(center, dataset, nothing, np.zeros(0, dtype=np.float32), ()),
        classes=nothing,
    )


def _check_dim(what: str, found: int, where: str, expected: int) -> None:
    """Raise UserError if the installed code makes vectors of another length than the model's."""
    if found != expected:
        raise UserError(
            f"the vector of a {what} has {found} numbers, expected {expected} as in the model's "
            f"{where}: it was fitted by other code, fit again"
        )
