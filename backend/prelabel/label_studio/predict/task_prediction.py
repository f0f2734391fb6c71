"""Predictions of a task's photos as one prediction of the server, in the project's own labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from prelabel.data.records import Prediction, Region
from prelabel.label_studio.format.items import Item, Losses, encode_regions, merge_fragments
from prelabel.label_studio.format.label_config import Control, LabelConfig
from prelabel.label_studio.format.photos import TaskPhoto
from prelabel.label_studio.names.table import Names


@dataclass(frozen=True)
class ResultOptions:
    """How regions become results. ``min_score``: those below are left out; the label config may ask
    for more. ``max_regions``: at most so many in a photo. ``gap``: fragments of one class closer
    than so many pixels are one region. ``tolerance``: pixels that a polygon may stray."""

    min_score: float = 0.0
    max_regions: int = 50
    gap: int = 0
    tolerance: float = 1.0


@dataclass(frozen=True)
class TaskPrediction:
    """One prediction of the server: ``result`` items, ``score`` (mean of the regions'), in [0, 1];
    ``n_regions`` and what was lost."""

    result: list[Item]
    score: float
    n_regions: int
    losses: Losses

    def to_json(self, version: str) -> dict[str, Any]:
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
    n_classes: int,
) -> NamedRegions:
    """Names for a prediction's regions, whose vectors are float32 (n, dim)."""
    regions = prediction.regions
    if names is None or not regions or not len(embeddings):
        return NamedRegions(photo, prediction, [None] * len(regions), [False] * len(regions))
    table = names.table(n_classes)
    clusters = [region.cluster for region in regions]
    known = [0 <= c < len(table) and bool(table[c]) for c in clusters]
    return NamedRegions(photo, prediction, names(embeddings, clusters), known)


def build_task_prediction(
    photos: Iterable[NamedRegions],
    label_config: LabelConfig,
    class_names: Sequence[str],
    options: ResultOptions,
) -> TaskPrediction:
    """The prediction of one task.

    Every kind of control gets the regions. Among several of one kind for one image, a region goes
    to the first that has its label; one whose label none of them has, to the first of all.
    """
    items: list[Item] = []
    scores: list[float] = []
    losses = Losses()
    min_score = max(options.min_score, label_config.score_threshold)
    for photo in photos:
        own = [c for c in label_config.controls if c.image_key == photo.photo.key]
        for i, kind in enumerate(dict.fromkeys(control.kind for control in own)):
            controls = [control for control in own if control.kind == kind]
            groups, prediction = _grouped(photo, controls, class_names)
            regions = merge_fragments(prediction, options.gap).regions
            good = sorted((r for r in regions if r.score >= min_score), key=lambda r: -r.score)
            kept = good[: options.max_regions]
            for index, control in enumerate(controls):
                of_control = tuple(r for r in kept if groups[r.cluster].control == index)
                found, lost = encode_regions(
                    structs.replace(prediction, regions=of_control),
                    [group.label for group in groups],
                    control,
                    tolerance=options.tolerance,
                    max_regions=len(of_control),
                    item_index=photo.photo.index,
                    notes=[group.note for group in groups],
                )
                items += found
                losses += Losses(holes=lost.holes, hole_pixels=lost.hole_pixels)
            if i == 0:  # another kind has the same regions once more
                scores += [region.score for region in kept]
                losses += Losses(
                    below_threshold=len(regions) - len(good),
                    over_limit=len(good) - len(kept),
                    unnamed=sum(groups[region.cluster].label is None for region in kept),
                )
    score = sum(scores) / len(scores) if scores else 0.0
    return TaskPrediction(items, score, len(scores), losses)


@dataclass(frozen=True)
class _Group:
    """``control``: its index. ``note``: which class it is, where it has no label."""

    control: int
    label: str | None
    note: str


def _grouped(
    photo: NamedRegions, controls: Sequence[Control], class_names: Sequence[str]
) -> tuple[list[_Group], Prediction]:
    """The prediction with a cluster for each control and label, or class that has no label; and
    which control and label that is: regions of one label are one class from here on. A region
    without a class is one by itself."""
    groups: dict[tuple[int, str | None, int], int] = {}
    notes: list[str] = []
    regions: list[Region] = []
    for region, name, known in zip(photo.prediction.regions, photo.names, photo.known, strict=True):
        index, label = _place(region.cluster, name, known, controls, class_names)
        alone = region.cluster if region.cluster >= 0 else -2 - len(regions)
        key = (index, label, alone if label is None else -1)
        if key not in groups:
            groups[key] = len(groups)
            unnamed = label is None and 0 <= region.cluster < len(class_names)
            notes.append(class_names[region.cluster] if unnamed else "")
        regions.append(structs.replace(region, cluster=groups[key]))
    prediction = structs.replace(photo.prediction, regions=tuple(regions))
    found = [_Group(*key[:2], note) for key, note in zip(groups, notes, strict=True)]
    return found, prediction


def _place(
    cluster: int,
    name: str | None,
    known: bool,
    controls: Sequence[Control],
    class_names: Sequence[str],
) -> tuple[int, str | None]:
    """The control that a region goes to, and its label there."""
    for index, control in enumerate(controls):
        if known:
            label = name if any(name == own.value for own in control.labels) else None
        elif 0 <= cluster < len(class_names):
            label = control.label_for(class_names[cluster])
        else:
            label = None
        if label is not None:
            return index, label
    return 0, None
