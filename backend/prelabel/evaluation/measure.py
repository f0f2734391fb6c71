"""Measuring one set of predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

from prelabel.data.dataset import Dataset, Problems
from prelabel.errors import UserError
from prelabel.evaluation import metrics
from prelabel.evaluation.average_precision import average_precision
from prelabel.evaluation.boxes import compared_as_boxes
from prelabel.evaluation.coco_eval import need_hotcoco
from prelabel.evaluation.costs import Costs
from prelabel.evaluation.figures import ClassFigures, Figures, Matching, Sources, Unpaired
from prelabel.evaluation.objects import Objects
from prelabel.evaluation.pairing import Pairing, pair
from prelabel.evaluation.pixels import Clusters, Pixels, pixel_figures
from prelabel.storage.progress import Progress, RunLog
from prelabel.storage.remote import Place

GROUPS = ("pixels", "coco", "objects")
"""Groups of figures."""
_MOST_CLASSES = metrics.VOID - 1
"""Classes that can be compared pixel by pixel."""


@dataclass(frozen=True)
class Measured:
    """What was measured of each photo, from which the figures and the page are made.

    ``pixels``, ``objects``: of the pairs in their order, where they were measured. ``clusters``: the
    confusion's rows. ``class_of_row``: the class, from 1, of each of them that has one. ``classes``:
    names by id.
    """

    pairing: Pairing
    pixels: Pixels
    objects: Objects
    clusters: Clusters
    class_of_row: Mapping[int, int]
    classes: tuple[str, ...]
    costs: Costs

    @property
    def can_show_photos(self) -> bool:
        """Whether photos can be compared pixel by pixel: there are not too many classes."""
        return len(self.classes) <= _MOST_CLASSES

    def complete(self) -> Self:
        """The same with the pixels of every photo, if ``can_show_photos``."""
        if self.pixels.photos or not self.can_show_photos:
            return self
        pixels, rows = Pixels(n_clusters=len(self.clusters.ids)), self.clusters.rows
        for one in self.pairing.pairs:
            pixels.add(one, rows)
        return dataclasses.replace(self, pixels=pixels)

    @property
    def class_of(self) -> dict[int, int]:
        """The class of each cluster that has one, both from 0."""
        return {self.clusters.ids[row]: index - 1 for row, index in self.class_of_row.items()}


@dataclass(frozen=True)
class Evaluation:
    """``photos``: the folder that names are relative to, where one side knows it."""

    figures: Figures
    measured: Measured
    photos: Place | None


def evaluate(
    predictions: Dataset,
    truth: Dataset,
    *,
    classes: Matching = "matched",
    only: Collection[str] = GROUPS,
    fast: bool = False,
    max_regions: int | None = None,
    costs: Costs | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure predictions against ground truth, on the photos that both have.

    ``classes``: how clusters get classes. ``only``: groups of figures, of ``GROUPS``; matching needs
    the pixels all the same; without objects on either side there are only pixels. ``fast``: COCO's
    figures with hotcoco. ``max_regions``: of a photo that count in COCO's figures, the best scores
    first; by default all, and at least COCO's own 100. ``costs``: the cost model, by default ``Costs()``. What was left out, on
    reading or here, is in the figures' ``problems``. Raises UserError where nothing can be compared
    or a source is damaged.
    """
    only = _measurable(predictions, truth, only)
    if fast:
        need_hotcoco()
    problems = Problems()
    pairing = pair(predictions, truth, problems)
    pairing = dataclasses.replace(pairing, pairs=compared_as_boxes(pairing.pairs, problems))
    clusters = _clusters(predictions, pairing)
    needs_pixels = "pixels" in only or classes == "matched"
    names = _class_names(truth, pairing, most=_MOST_CLASSES if needs_pixels else None)
    pixels, objects = Pixels(n_clusters=len(clusters.ids)), Objects()
    log, rows = RunLog(progress), clusters.rows
    if needs_pixels or "objects" in only:
        with log.stage("photos", len(pairing.pairs)):
            for one in log.advancing(pairing.pairs):
                if needs_pixels:
                    pixels.add(one, rows)
                if "objects" in only:
                    objects.add(one)
    if classes == "matched":
        class_of_row = metrics.match_classes(pixels.confusion, n_clusters=clusters.n).class_of
    else:
        class_of_row = _classes_by_name(clusters, names, pairing, problems)
    measured = Measured(pairing, pixels, objects, clusters, class_of_row, names, costs or Costs())
    if "coco" in only and max_regions is not None:
        for one in pairing.pairs:
            for _ in one.prediction.regions[max_regions:]:
                kind = f"regions beyond a photo's {max_regions}, not in COCO's figures"
                problems.note(kind, one.prediction.photo)
    sources = _sources(predictions, truth, pairing, problems)
    figures = _figures(
        measured, sources, matching=classes, only=only, fast=fast, max_regions=max_regions
    )
    return Evaluation(figures, measured, predictions.photos or truth.photos)


def _figures(
    measured: Measured,
    sources: Sources,
    *,
    matching: Matching,
    only: Collection[str],
    fast: bool,
    max_regions: int | None,
) -> Figures:
    """The groups of figures to compute."""
    pairing, class_of = measured.pairing, measured.class_of
    per_class = [ClassFigures(name) for name in measured.classes]
    n_classes = len(_present(pairing))
    pixels = coco = objects = None
    if "pixels" in only:
        pixels, class_pixels = pixel_figures(
            measured.pixels, measured.clusters, measured.class_of_row, measured.classes
        )
        n_classes = len(class_pixels)  # a class whose objects others cover has no pixels
        for index, own in class_pixels.items():
            per_class[index].pixels = own
    if "coco" in only:
        coco, aps = average_precision(
            pairing.pairs,
            class_of,
            n_classes=len(measured.classes),
            fast=fast,
            max_regions=max_regions,
        )
        for index, ap in aps.items():
            per_class[index].ap = ap
    if "objects" in only:
        objects = measured.objects.figures(class_of, measured.costs)
        for index, shares in measured.objects.shares_by_class(class_of).items():
            per_class[index].shares = shares
    return Figures(
        photos=len(pairing.pairs),
        classes=n_classes,
        clusters=measured.clusters.n,
        matching=matching,
        class_cluster={
            measured.classes[index]: cluster
            for cluster, index in sorted(class_of.items(), reverse=True)
        },
        per_class=[row for row in per_class if row.is_measured],
        pixels=pixels,
        coco=coco,
        objects=objects,
        sources=sources,
    )


def _sources(predictions: Dataset, truth: Dataset, pairing: Pairing, problems: Problems) -> Sources:
    """What was compared, and what was left out."""
    n_unpredicted, unpredicted = pairing.only_true
    n_without_truth, without_truth = pairing.only_predicted
    return Sources(
        photos_without_prediction=n_unpredicted,
        photos_without_truth=n_without_truth,
        photos_matched_by=pairing.matched_by,
        named=Unpaired(unpredicted, without_truth),
        problems=[
            *(f"predictions: {line}" for line in predictions.problems.lines()),
            *(f"ground truth: {line}" for line in truth.problems.lines()),
            *problems.lines(),
        ],
        model_version=predictions.model_version,
        has_objects=predictions.has_objects and truth.has_objects,
    )


def _measurable(predictions: Dataset, truth: Dataset, only: Collection[str]) -> list[str]:
    """The groups that can be measured. Raises UserError if none of ``only`` can."""
    groups = [group for group in GROUPS if group in only]
    for name, side in (("predictions", predictions), ("ground truth", truth)):
        if not side.has_objects:
            groups = [group for group in groups if group == "pixels"]
            if not groups:
                raise UserError(
                    f"the {name} are masks of classes, which do not tell objects apart: only pixels "
                    "can be compared (--only pixels)"
                )
    return groups


def _clusters(predictions: Dataset, pairing: Pairing) -> Clusters:
    """The clusters that any region is of; regions without a class come last."""
    found = {region.cluster for one in pairing.pairs for region in one.prediction.regions}
    ids = sorted(found, key=lambda cluster: (cluster < 0, cluster))
    return Clusters(ids, [_name(predictions.classes, cluster) for cluster in ids])


def _present(pairing: Pairing) -> set[int]:
    """Classes of the ground truth that have an object."""
    return {item.cluster for one in pairing.pairs for item in one.truth.regions}


def _class_names(truth: Dataset, pairing: Pairing, *, most: int | None) -> tuple[str, ...]:
    """Names of the ground truth's classes; one that it does not name gets a number. Raises UserError
    for more than ``most``."""
    n = max([len(truth.classes), *(index + 1 for index in _present(pairing))])
    if most is not None and n > most:
        raise UserError(
            f"the ground truth has {n} classes; at most {most} can be compared pixel by pixel: take "
            "--classes by-name --only coco --only objects"
        )
    return tuple(_name(truth.classes, index) for index in range(n))


def _classes_by_name(
    clusters: Clusters, classes: tuple[str, ...], pairing: Pairing, problems: Problems
) -> dict[int, int]:
    """The class, from 1, of each row that has one of its name; what has none is noted."""
    names = clusters.names[: clusters.n]
    index = {name: i for i, name in reversed(list(enumerate(classes, start=1)))}
    for name in names:
        if name not in index:
            problems.note("classes of the predictions that the ground truth does not have", name)
    for i in sorted(_present(pairing)):
        if index[classes[i]] != i + 1:
            problems.note("classes with the name of another one, never matched", classes[i])
        if classes[i] not in names:
            problems.note(
                "classes of the ground truth that the predictions do not have", classes[i]
            )
    return {row: index[name] for row, name in enumerate(names) if name in index}


def _name(classes: tuple[str, ...], cluster: int) -> str:
    if cluster < 0:
        return "no class"
    return classes[cluster] if cluster < len(classes) else f"object {cluster + 1}"
