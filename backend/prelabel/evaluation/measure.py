"""All figures of one set of predictions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from prelabel.data.dataset import Dataset, Problems
from prelabel.errors import UserError
from prelabel.evaluation import metrics
from prelabel.evaluation.average_precision import need_hotcoco
from prelabel.evaluation.costs import Costs
from prelabel.evaluation.figures import add_coco, add_objects, add_pixels, sources
from prelabel.evaluation.objects import Objects
from prelabel.evaluation.pairing import Pairing, pair
from prelabel.evaluation.pixels import Pixels
from prelabel.storage.progress import Progress, Silent

Matching = Literal["matched", "by-name"]
"""How clusters get classes: by Hungarian matching on IoU, or because they bear one name."""

GROUPS = ("pixels", "coco", "objects")
"""Groups of figures."""


@dataclass(frozen=True)
class Evaluation:
    """``figures``: what goes into JSON, keys as in ``protocol.FIGURES`` and tables beside them.

    The rest is for the page. ``pixels``, ``objects``: of the pairs in their order, where they were
    measured. ``rows``: the confusion's row of each cluster, from 1. ``class_of``: the class of each
    cluster, both from 0. ``classes``: names by id. ``clusters``: names by row. ``photos``: the
    folder that names are relative to, where one side knows it.
    """

    figures: dict[str, Any]
    pairing: Pairing
    pixels: Pixels
    objects: Objects
    rows: dict[int, int]
    class_of: dict[int, int]
    classes: tuple[str, ...]
    clusters: tuple[str, ...]
    costs: Costs
    photos: Path | None


def evaluate(
    predictions: Dataset,
    truth: Dataset,
    *,
    classes: Matching = "matched",
    only: Collection[str] = GROUPS,
    fast: bool = False,
    costs: Costs | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure predictions against ground truth, on the photos that both have.

    ``classes``: how clusters get classes. ``only``: groups of figures, of ``GROUPS``; matching needs
    the pixels all the same. ``fast``: COCO's figures with hotcoco. ``costs``: the cost model, by
    default ``Costs()``. What was left out, on reading or here, is in the figures' ``problems``.
    Raises UserError where nothing can be compared or a source is damaged.
    """
    if fast:
        need_hotcoco()
    costs = costs or Costs()
    problems = Problems()
    pairing = pair(predictions, truth, problems)
    rows = _rows(pairing)
    names = tuple(_name(predictions.classes, cluster) for cluster in rows)
    needs_pixels = "pixels" in only or classes == "matched"
    true_names = _true_names(truth, pairing, most=metrics.VOID - 1 if needs_pixels else None)
    n_clusters = sum(cluster >= 0 for cluster in rows)
    pixels, objects = Pixels(n_clusters=len(rows)), Objects()
    if needs_pixels or "objects" in only:
        _measure(pairing, rows, pixels if needs_pixels else None, objects, progress or Silent())

    if classes == "matched":
        assigned = metrics.match_classes(pixels.confusion, n_clusters=n_clusters).class_of
    else:
        assigned = _by_name(names[:n_clusters], true_names, pairing, problems)
    by_row = dict(enumerate(rows))
    class_of = {by_row[row]: index - 1 for row, index in assigned.items()}
    figures: dict[str, Any] = {
        "photos": len(pairing.pairs),
        "classes": len({item.cluster for one in pairing.pairs for item in one.truth.regions}),
        "clusters": n_clusters,
        "matching": classes,
        "class_cluster": {
            true_names[index]: cluster for cluster, index in sorted(class_of.items(), reverse=True)
        },
        "per_class": [{"class": name} for name in true_names],
    }
    if "pixels" in only:
        add_pixels(figures, pixels, assigned, list(rows), names, true_names)
    if "coco" in only:
        add_coco(figures, pairing, class_of, len(true_names), fast=fast)
    if "objects" in only:
        add_objects(figures, objects, class_of, costs)
    figures["per_class"] = [row for row in figures["per_class"] if len(row) > 1]
    figures |= sources(predictions, truth, pairing, problems)
    return Evaluation(
        figures=figures,
        pairing=pairing,
        pixels=pixels,
        objects=objects,
        rows=rows,
        class_of=class_of,
        classes=true_names,
        clusters=names,
        costs=costs,
        photos=predictions.photos or truth.photos,
    )


def _measure(
    pairing: Pairing,
    rows: dict[int, int],
    pixels: Pixels | None,
    objects: Objects,
    progress: Progress,
) -> None:
    progress.start("photos", len(pairing.pairs))
    try:
        for one in pairing.pairs:
            if pixels:
                pixels.add(one, rows)
            objects.add(one)
            progress.advance()
    finally:
        progress.stop()


def _rows(pairing: Pairing) -> dict[int, int]:
    """The confusion's row of each cluster, from 1; regions without a class come last."""
    found = {region.cluster for one in pairing.pairs for region in one.prediction.regions}
    return {cluster: row for row, cluster in enumerate(sorted(found, key=_classless_last), start=1)}


def _classless_last(cluster: int) -> tuple[bool, int]:
    return cluster < 0, cluster


def _true_names(truth: Dataset, pairing: Pairing, *, most: int | None) -> tuple[str, ...]:
    """Names of the ground truth's classes; one that it does not name gets a number. Raises UserError
    for more than ``most``."""
    used = {item.cluster for one in pairing.pairs for item in one.truth.regions}
    n = max([len(truth.classes), *(index + 1 for index in used)])
    if most is not None and n > most:
        raise UserError(
            f"the ground truth has {n} classes; at most {most} can be compared pixel by pixel: take "
            "--classes by-name --only coco --only objects"
        )
    return tuple(_name(truth.classes, index) for index in range(n))


def _by_name(
    names: Sequence[str], classes: Sequence[str], pairing: Pairing, problems: Problems
) -> dict[int, int]:
    """Row of each cluster, less 1, to the class of its name, from 1; what has none is noted."""
    index = {name: i for i, name in reversed(list(enumerate(classes, start=1)))}
    for name in names:
        if name not in index:
            problems.note("classes of the predictions that the ground truth does not have", name)
    present = {item.cluster for one in pairing.pairs for item in one.truth.regions}
    for i in sorted(present):
        if index[classes[i]] != i + 1:
            problems.note("classes of a name that another one has, never matched", classes[i])
        if classes[i] not in names:
            problems.note(
                "classes of the ground truth that the predictions do not have", classes[i]
            )
    return {row: index[name] for row, name in enumerate(names) if name in index}


def _name(classes: Sequence[str], cluster: int) -> str:
    if cluster < 0:
        return "no class"
    return classes[cluster] if cluster < len(classes) else f"object {cluster + 1}"
