"""Predictions of a task's photos as one prediction of the server, in the project's own labels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

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
    unnamed_route,
)
from prelabel.label_studio.format.simplified import MAX_POINTS
from prelabel.label_studio.names.region_names import name_by_both
from prelabel.steps.exemplars import Likeliest, Names
from prelabel.steps.taught import Taught

Unnamed = Literal["add", "first", "leave"]
"""What regions of classes without a name get, so that people see them: ``add``: labels like ``object
3``, added to the project's label config until their classes are named; ``first``: the likeliest
label of the project; ``leave``: no label, and are drawn all but transparent."""


@dataclass(frozen=True)
class ResultOptions:
    """How regions become results. ``min_score``: those below are left out; the label config may ask
    for more. ``max_regions``: the most in a photo. ``gap``: fragments of one class within this
    many pixels are merged. ``tolerance``: pixels that a polygon may be from the outline.
    ``max_points``: its corners at most, 0 for any number. ``unnamed``: what regions of classes
    without a name get."""

    min_score: float = 0.0
    max_regions: int = 50
    gap: int = 0
    tolerance: float = 1.0
    max_points: int = MAX_POINTS
    unnamed: Unnamed = "first"


@dataclass(frozen=True)
class TaskPrediction:
    """One prediction of the server: ``result`` items, ``score`` (mean of the regions'), in [0, 1];
    ``n_regions`` and what was lost."""

    result: list[ResultItem]
    score: float
    n_regions: int
    losses: Losses

    def to_json(self, version: str) -> PredictionJson:
        """As /predict answers it."""
        return {"result": self.result, "score": self.score, "model_version": version}


@dataclass(frozen=True)
class NamedRegions:
    """A photo's prediction and a name, or None, for each of its regions. ``known``: whether people
    have named its class, so that the label config's default does not count. ``likeliest``: what
    each is most similar to, which says what it is called where it has no name."""

    photo: TaskPhoto
    prediction: Prediction
    names: Sequence[str | None]
    known: Sequence[bool]
    likeliest: Sequence[Likeliest]


def name_regions(
    photo: TaskPhoto,
    prediction: Prediction,
    embeddings: NDArray[np.float32],
    names: Names | None,
    taught: Taught | None = None,
    shares: NDArray[np.float32] | None = None,
) -> NamedRegions:
    """Names for a prediction's regions, whose vectors are float32 (n, dim); those that people have said
    are nothing are left out. ``taught``, ``shares``: as for ``name_by_both``."""
    n = len(prediction.regions)
    if names is None or not n or not len(embeddings):
        return NamedRegions(photo, prediction, [None] * n, [False] * n, [Likeliest()] * n)
    if shares is None:
        shares = np.zeros((n, 0), dtype=np.float32)
    nothing = names.is_nothing(embeddings, [region.cluster for region in prediction.regions])
    if any(nothing):
        kept = [number for number in range(n) if not nothing[number]]
        embeddings, shares = embeddings[kept], shares[kept]
        regions = tuple(prediction.regions[number] for number in kept)
        prediction = structs.replace(prediction, regions=regions)
    clusters = [region.cluster for region in prediction.regions]
    both = name_by_both(names, taught, embeddings, clusters, shares)
    found, known = [name for name, _ in both], [is_known for _, is_known in both]
    return NamedRegions(photo, prediction, found, known, names.likeliest(embeddings))


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
            router = _Router(controls, label_config, class_names, options.unnamed)
            prediction, routes = _routed(photo, router)
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
                    unnamed=sum(not routes[r.cluster].named for r in kept),
                )
    score = sum(scores) / len(scores) if scores else 0.0
    return TaskPrediction(items, score, len(scores), losses)


@dataclass(frozen=True)
class _Router:
    """Chooses where regions go among ``controls``, which are of one kind."""

    controls: Sequence[Control]
    label_config: LabelConfig
    class_names: Sequence[str]
    unnamed: Unnamed

    def route(self, cluster: int, name: str | None, known: bool, likeliest: Likeliest) -> Route:
        """Where a region goes; the arguments are as in ``NamedRegions``."""
        controls = self.controls
        class_name = self.class_names[cluster] if 0 <= cluster < len(self.class_names) else ""
        labels = [_label(c, name if known else class_name, known=known) for c in controls]
        route = choose_route(controls, labels, note="" if known and name else class_name)
        elsewhere = known and name and any(c.accepts(name) for c in self.label_config.controls)
        if route.named or elsewhere or self.unnamed == "leave":
            return route
        if len(self.label_config.label_names) == 1:
            [only] = self.label_config.label_names
            return choose_route(controls, [only if c.accepts(only) else None for c in controls])
        return unnamed_route(controls, class_name, self._guesses(likeliest))

    def _guesses(self, likeliest: Likeliest) -> Iterator[str | None]:
        """The names of the most similar exemplars, then the labels of the most similar classes for
        which the label config has one."""
        yield from likeliest.names
        for number in likeliest.classes:
            for control in self.controls:
                yield control.label_for(self.class_names[number])


def _routed(photo: NamedRegions, router: _Router) -> tuple[Prediction, dict[int, Route]]:
    """The prediction with a cluster for each control and label, and for each class that has no
    name, and the clusters' routes: regions of one label are one class from here on. A region
    without a class is one by itself."""
    clusters: dict[tuple[Control, str | None, int], int] = {}
    routes: dict[int, Route] = {}
    regions: list[Region] = []
    for region, name, known, likeliest in zip(
        photo.prediction.regions, photo.names, photo.known, photo.likeliest, strict=True
    ):
        route = router.route(region.cluster, name, known, likeliest)
        alone = region.cluster if region.cluster >= 0 else -2 - len(regions)
        key = (route.control, route.label, -1 if route.named else alone)
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
