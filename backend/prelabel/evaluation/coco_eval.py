"""COCOeval on arrays, by pycocotools or, faster, by hotcoco."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prelabel import extras


@dataclass(frozen=True)
class Columns:
    """Objects or regions, one place each in every column. ``image``, ``category``: from 1; the
    category after the last class stands for no class. ``box``: (n, 4) x, y, width, height. ``rles``:
    of `Rle`, which both libraries have types of their own for."""

    image: NDArray[np.int64]
    category: NDArray[np.int64]
    box: NDArray[np.float64]
    area: NDArray[np.float64]
    crowd: NDArray[np.bool_]
    score: NDArray[np.float64]
    rles: list[Any]


class Scored(NamedTuple):
    """``stats``: COCOeval's twelve figures. ``precision``: its table, (IoUs, recalls, classes, sizes,
    numbers of regions)."""

    stats: Sequence[float]
    precision: NDArray[np.float64]


Score = Callable[[str, bool], Scored]
"""Takes "segm" or "bbox", and whether classes count."""


def need_hotcoco() -> None:
    """Raises UserError, with what to do, unless hotcoco is installed."""
    if find_spec("hotcoco") is None:
        raise extras.missing("hotcoco", "fast-evaluation")


def with_pycocotools(
    truth: Columns, found: Columns, sizes: Sequence[tuple[int, int]], n_classes: int
) -> Score:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def load(columns: Columns, areas: NDArray[np.float64]) -> COCO:
        coco = COCO()
        coco.dataset = {
            "images": _images(sizes),
            "categories": _categories(n_classes),
            "annotations": _annotations(columns, areas),
        }
        coco.createIndex()
        return coco

    known = load(truth, truth.area)
    results = {
        "segm": load(found, found.area),
        "bbox": load(found, found.box[:, 2] * found.box[:, 3]),
    }

    def score(kind: str, by_class: bool) -> Scored:
        scorer = COCOeval(known, results[kind], kind)
        scorer.params.useCats = int(by_class)
        if by_class:
            scorer.params.catIds = list(range(1, n_classes + 1))
        return _scored(scorer)

    return score


def with_hotcoco(
    truth: Columns, found: Columns, sizes: Sequence[tuple[int, int]], n_classes: int
) -> Score:
    import hotcoco

    known = hotcoco.COCO.from_arrays(
        _images(sizes),
        _categories(n_classes),
        truth.image,
        truth.category,
        truth.box,
        area=truth.area,
        iscrowd=truth.crowd,
        segmentation=truth.rles,
    )
    rows = np.column_stack([found.image, found.box, found.score, found.category])
    results = {
        "segm": known.load_res(rows, segmentation=found.rles),
        "bbox": known.load_res(rows),
    }
    # Both have their boxes' areas now.
    results["segm"].update_anns(ids=np.arange(1, len(rows) + 1), area=found.area)

    def score(kind: str, by_class: bool) -> Scored:
        scorer = hotcoco.COCOeval(known, results[kind], kind)
        scorer.params.use_cats = by_class
        if by_class:
            scorer.params.cat_ids = list(range(1, n_classes + 1))
        return _scored(scorer)

    return score


def _scored(scorer: Any) -> Scored:
    """What a COCOeval of either library gives."""
    scorer.evaluate()
    scorer.accumulate()
    scorer.summarize()
    return Scored(scorer.stats, np.asarray(scorer.eval["precision"]))


def _annotations(columns: Columns, areas: NDArray[np.float64]) -> list[dict[str, object]]:
    rows = zip(
        columns.image.tolist(), columns.category.tolist(), columns.box.tolist(), areas.tolist(),
        columns.crowd.tolist(), columns.score.tolist(), columns.rles,
        strict=True,
    )  # fmt: skip
    return [
        {
            "id": i,
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "area": area,
            "iscrowd": int(crowd),
            "score": score,
            "segmentation": rle,
        }
        for i, (image, category, box, area, crowd, score, rle) in enumerate(rows, start=1)
    ]


def _images(sizes: Sequence[tuple[int, int]]) -> list[dict[str, int]]:
    return [{"id": i, "width": w, "height": h} for i, (w, h) in enumerate(sizes, start=1)]


def _categories(n_classes: int) -> list[dict[str, object]]:
    return [{"id": i, "name": str(i)} for i in range(1, n_classes + 2)]
