"""Predictions of a task's photos as one prediction of the server, in the project's own labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from prelabel.data.records import Prediction, Region
from prelabel.label_studio.format.fragments import merge_fragments
from prelabel.label_studio.format.items import Losses, PredictionJson, ResultItem
from prelabel.label_studio.format.label_config import Control, LabelConfig
from prelabel.label_studio.format.photos import TaskPhoto
from prelabel.label_studio.format.routing import (
    Route,
    choose_route,
    control_groups,
    encode_routed,
)
from prelabel.label_studio.format.simplified import MAX_POINTS
from prelabel.label_studio.names.table import Names


@dataclass(frozen=True)
class ResultOptions:
    """How regions become results. ``min_score``: those below are left out; the label config may ask
    for more. ``max_regions``: the most in a photo. ``gap``: fragments of one class within this
    many pixels are merged. ``tolerance``: pixels that a polygon may be from the outline.
    ``max_points``: its corners at most, 0 for any number."""

    min_score: float = 0.0
    max_regions: int = 50
    gap: int = 0
    tolerance: float = 1.0
    max_points: int = MAX_POINTS


@dataclass(frozen=True)
class TaskPrediction:
    """One prediction of the server: ``result`` items, ``score`` (mean of the regions'), in [0, 1];
    ``n_regions`` and what was lost."""

    result: list[ResultItem]
    score: float
    n_regions: int
    losses: Losses

    @property
    def n_numbers(self) -> int:
        """How many numbers its brush masks hold, which is most of its JSON."""
        masks = (item["value"].get("rle") for item in self.result)
        return sum(len(mask) for mask in masks if isinstance(mask, list))

    def to_json(self, version: str) -> PredictionJson:
        """As /predict answers it."""
        return {"result": self.result, "score": self.score, "model_version": version}


@dataclass(frozen=True)
class NamedRegions:
    """A photo's prediction and a name, or None, for each of its regions. ``known``: whether people
    have named its class, so that the label config's default does not count."""

    photo: TaskPhoto
    prediction: Prediction
    names: Sequence[str | None]
    known: Sequence[bool]


def name_regions(
    photo: TaskPhoto,
    prediction: Prediction,
    embeddings: NDArray[np.float32],
    names: Names | None,
) -> NamedRegions:
    """Names for a prediction's regions, whose vectors are float32 (n, dim)."""
    regions = prediction.regions
    if names is None or not regions or not len(embeddings):
        return NamedRegions(photo, prediction, [None] * len(regions), [False] * len(regions))
    clusters = [region.cluster for region in regions]
    known = [names.knows(cluster) for cluster in clusters]
    return NamedRegions(photo, prediction, names(embeddings, clusters), known)


def build_task_prediction(
    photos: Iterable[NamedRegions],
    label_config: LabelConfig,
    class_names: Sequence[str],
    options: ResultOptions,
) -> TaskPrediction:
    """The prediction of one task.

    A region goes to the finest of an image's controls that has its label; one whose label none of
    them has, to the finest of all. ``control_groups`` says which controls have it once more.
    """
    items: list[ResultItem] = []
    scores: list[float] = []
    losses = Losses()
    min_score = max(options.min_score, label_config.score_threshold)
    for photo in photos:
        groups = control_groups(label_config.controls, photo.photo.key)
        for number, controls in enumerate(groups):
            prediction, routes = _routed(photo, controls, class_names)
            regions = merge_fragments(prediction, options.gap).regions
            good = sorted((r for r in regions if r.score >= min_score), key=lambda r: -r.score)
            kept = good[: options.max_regions]
            for _, found, lost in encode_routed(
                structs.replace(prediction, regions=tuple(kept)),
                routes,
                controls,
                tolerance=options.tolerance,
                max_points=options.max_points,
                item_index=photo.photo.index,
            ):
                items += found
                losses += replace(lost, unnamed=0, empty=0)
            if number == 0:  # another group has the same regions once more
                scores += [region.score for region in kept]
                losses += Losses(
                    below_threshold=len(regions) - len(good),
                    over_limit=len(good) - len(kept),
                    unnamed=sum(routes[r.cluster].label is None for r in kept),
                )
    score = sum(scores) / len(scores) if scores else 0.0
    return TaskPrediction(items, score, len(scores), losses)


def _routed(
    photo: NamedRegions, controls: Sequence[Control], class_names: Sequence[str]
) -> tuple[Prediction, dict[int, Route]]:
    """The prediction with a cluster for each control and label, and for each class that has no
    label, and the clusters' routes: regions of one label are one class from here on. A region
    without a class is one by itself."""
    clusters: dict[tuple[Control, str | None, int], int] = {}
    routes: dict[int, Route] = {}
    regions: list[Region] = []
    for region, name, known in zip(photo.prediction.regions, photo.names, photo.known, strict=True):
        class_name = class_names[region.cluster] if 0 <= region.cluster < len(class_names) else ""
        labels = [_label(c, name if known else class_name, known=known) for c in controls]
        route = choose_route(controls, labels, note=class_name)
        alone = region.cluster if region.cluster >= 0 else -2 - len(regions)
        key = (route.control, route.label, alone if route.label is None else -1)
        cluster = clusters.setdefault(key, len(clusters))
        routes.setdefault(cluster, route)
        regions.append(structs.replace(region, cluster=cluster))
    return structs.replace(photo.prediction, regions=tuple(regions)), routes


def _label(control: Control, name: str | None, *, known: bool) -> str | None:
    """The label of a class in a control. ``known``: its name was given by people, so it is the
    label itself."""
    if not name:
        return None
    if known:
        return control.stored(name)
    return control.label_for(name)
