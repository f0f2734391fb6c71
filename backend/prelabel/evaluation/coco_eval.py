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
    """COCOeval's tables, -1 where there is no true object. ``precision``: (IoUs, recalls, classes,
    sizes, numbers of regions). ``recall``: the same without recalls."""

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    def stats(self) -> list[float | None]:
        """COCOeval's twelve figures in its order, at the most regions; None where it has -1.

        Its own ``summarize`` computes AP for 100 regions and nothing else.
        """
        precision, recall = self.precision, self.recall
        found = [
            *(precision[..., 0, -1], precision[0, ..., 0, -1], precision[5, ..., 0, -1]),
            *(precision[..., size, -1] for size in (1, 2, 3)),
            *(recall[..., 0, number] for number in (0, 1, -1)),
            *(recall[..., size, -1] for size in (1, 2, 3)),
        ]
        return [float(own[own > -1].mean()) if (own > -1).any() else None for own in found]


Score = Callable[[str, bool], Scored]
"""Takes "segm" or "bbox", and whether classes count."""


def need_hotcoco() -> None:
    """Raises UserError, with what to do, unless hotcoco is installed."""
    if find_spec("hotcoco") is None:
        raise extras.missing("hotcoco", "fast-evaluation")


def with_pycocotools(
    truth: Columns,
    found: Columns,
    sizes: Sequence[tuple[int, int]],
    n_classes: int,
    max_regions: int,
) -> Score:
    """``max_regions``: of a photo, those with the best scores."""
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
        scorer.params.maxDets = _steps(max_regions)
        scorer.params.useCats = int(by_class)
        if by_class:
            scorer.params.catIds = list(range(1, n_classes + 1))
        return _scored(scorer)

    return score


def with_hotcoco(
    truth: Columns,
    found: Columns,
    sizes: Sequence[tuple[int, int]],
    n_classes: int,
    max_regions: int,
) -> Score:
    """Like ``with_pycocotools``."""
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
        scorer.params.max_dets = _steps(max_regions)
        scorer.params.use_cats = by_class
        if by_class:
            scorer.params.cat_ids = list(range(1, n_classes + 1))
        return _scored(scorer)

    return score


def _scored(scorer: Any) -> Scored:
    """What a COCOeval of either library gives."""
    scorer.evaluate()
    scorer.accumulate()
    return Scored(np.asarray(scorer.eval["precision"]), np.asarray(scorer.eval["recall"]))


def _steps(max_regions: int) -> list[int]:
    """Numbers of regions that AR is computed at; COCO's are 1, 10 and 100."""
    return [1, min(10, max_regions), max_regions]


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
