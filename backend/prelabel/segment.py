"""One photo's pixels and features to its regions and their vectors (steps 4 to 7 and 8's first)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import Image, LevelResult, PatchFeatures, Region
from prelabel.model import FittedModel
from prelabel.steps import levels
from prelabel.steps.regions import Found, agreement, find_regions, upsample
from prelabel.strategies.checks import check_array
from prelabel.strategies.protocols import Backbone, Clusterer, Consistency, Embedder, Refiner

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Segment:
    """A photo's regions before they have classes. ``embeddings``: float32 (n_regions, dim)."""

    digest: str
    width: int
    height: int
    regions: tuple[Region, ...]
    embeddings: Float
    dropped: int

    @property
    def foreground(self) -> float:
        """Share of the photo's pixels inside regions."""
        return sum(r.area for r in self.regions) / (self.width * self.height)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """As a store keeps it; ``from_arrays`` reads it back."""
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
        return {"facts": text, "embeddings": self.embeddings}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Segment:
        """The segment that ``to_arrays`` stored."""
        facts = json.loads(arrays["facts"].tobytes())
        regions = tuple(
            Region(rle=r["rle"], box=tuple(r["box"]), area=r["area"], score=r["score"])
            for r in facts.pop("regions")
        )
        return cls(regions=regions, embeddings=arrays["embeddings"], **facts)


class Segmenter:
    """Finds regions with a model's levels; classes are not needed."""

    def __init__(self, model: FittedModel) -> None:
        config = model.config
        self.model = model
        self.backbone: Backbone = config.strategy("backbone")
        self.clusterer: Clusterer = config.strategy("clusterer")
        self.consistency: Consistency = config.strategy("consistency")
        self.refiner: Refiner = config.strategy("refiner")
        self.embedder: Embedder = config.strategy("embedder")

    def describe(self, picture: Image, features: PatchFeatures, found: Found) -> Segment:
        """What ``find`` found, with vectors. Raises ContractError."""
        vectors: Float = np.zeros((0, 0), dtype=np.float32)
        if found.regions:
            vectors = self.embedder.embed(
                picture.pixels, found.masks, features=features, backbone=self.backbone
            )
            name = self.model.config.embedder.name
            check_array(f"embedder {name!r}", vectors, (len(found.regions), None))
        return Segment(
            digest=picture.digest,
            width=picture.width,
            height=picture.height,
            regions=found.regions,
            embeddings=np.asarray(vectors, dtype=np.float32),
            dropped=found.dropped,
        )

    def find(self, picture: Image, features: PatchFeatures) -> Found:
        """Regions of one photo without vectors."""
        results = self.judge(features)
        combined = self.consistency.combine(results)
        name = f"consistency {self.model.config.consistency.name!r}"
        check_array(name, combined, features.attention.shape, probability=True)
        return self.cut(picture, combined, agreement(results, combined))

    def judge(self, features: PatchFeatures) -> list[LevelResult]:
        """Each level's answer, coarse to fine."""
        config = self.model.config
        return levels.judge(
            features,
            self.model.levels,
            image_ks=config.levels.image_k,
            clusterer=self.clusterer,
            seed=config.fit.seed,
        )

    def cut(self, picture: Image, foreground: Float, agreed: Float) -> Found:
        """Regions from P(foreground) and the levels' agreement, both float32 on the patch grid."""
        config = self.model.config
        height, width = picture.pixels.shape[:2]
        coarse = upsample(foreground, height=height, width=width)
        refined = self.refiner.refine(coarse, picture.pixels)
        check_array(f"refiner {config.refiner.name!r}", refined, coarse.shape, probability=True)
        return find_regions(
            refined,
            coarse=coarse,
            agreed=upsample(agreed, height=height, width=width),
            threshold=config.regions.threshold,
            min_area=config.regions.min_area,
            max_frame=config.regions.max_frame,
            full_width=picture.width,
            full_height=picture.height,
        )
