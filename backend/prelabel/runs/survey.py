"""What is told of a run's photos and regions beside their counts: what regions look like, and photos
that are near-identical."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prelabel.config import Config
from prelabel.data.records import Prediction
from prelabel.runs.facts import GroupFacts
from prelabel.segment import Segment
from prelabel.steps.near_identical import PhotoPrints
from prelabel.steps.region_groups import FEWEST, RegionSample


class Survey:
    """Looks at all photos of a run with this config as they are predicted. Memory: about 1 kB a photo
    with a small ViT, and some MB."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._regions = RegionSample(seed=config.fit.seed)
        self._photos = PhotoPrints()

    def watch(self, stream: Iterable[tuple[Prediction, Segment]]) -> Iterator[Prediction]:
        """The predictions of a stream, looked at as they pass."""
        for prediction, segment in stream:
            self._photos.add(prediction.photo, segment.cls, segment.pixel_hash)
            classes = [region.cluster for region in prediction.regions]
            self._regions.add(segment.embeddings, classes)
            yield prediction

    def near_identical(self) -> list[list[str]]:
        """Names of the photos of each group of near-identical ones."""
        return self._photos.groups()

    def region_groups(self) -> GroupFacts | None:
        """What the regions look like; None where classes are the groups that were found."""
        if self._config.classes.count == "auto":
            return None
        clusterer = self._config.strategy("clusterer")
        found = self._regions.groups(clusterer=clusterer, seed=self._config.fit.seed)
        return GroupFacts(
            regions=found.n_regions,
            regions_needed=FEWEST,
            groups=found.n_groups,
            class_silhouette=found.class_silhouette,
            group_silhouette=found.group_silhouette,
        )
