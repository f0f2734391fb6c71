"""COCO's figures on COCO's own polygons: the truth itself scores 1, changed copies score what
pycocotools, used directly, and hotcoco say."""

from __future__ import annotations

import contextlib
import io
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from builders import box, prediction, region
from prelabel.data.dataset import Dataset
from prelabel.data.masks import Mask, rle_area
from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel.evaluation import evaluate
from prelabel.evaluation.figures import CocoStats
from support.evaluation_data import changed, dataset, figures_of, read_coco
from support.places import DATA, require

FILE = DATA / "coco"
STATS = CocoStats.__struct_fields__
NOT_OF_SIZE = [stat for stat in STATS if not stat.endswith(("small", "medium", "large"))]

needs_hotcoco = pytest.mark.skipif(find_spec("hotcoco") is None, reason="no hotcoco installed")


@pytest.fixture(scope="module")
def instances() -> Path:
    file = FILE / "instances.json"
    require("data", file.is_file(), f"no {file}")
    return file


@pytest.fixture(scope="module")
def truth(instances: Path) -> Dataset:
    return read_coco(instances)


def _shifted(mask: Mask) -> Mask:
    return np.roll(mask, 6, axis=1)


def _eroded(mask: Mask) -> Mask:
    return cv2.erode(mask.astype(np.uint8), np.ones((5, 5), dtype=np.uint8)).astype(bool)


def _every_third_dropped(mask: Mask) -> Mask | None:
    return mask if int(mask.sum()) % 3 else None


CHANGES = {"shifted": _shifted, "eroded": _eroded, "dropped": _every_third_dropped}


@pytest.mark.slow
def test_coco__the_truth_itself_scores_exactly_one(truth: Dataset) -> None:
    figures = figures_of(truth, truth, only=["coco"], classes="by-name")
    for group, stats in figures["coco"].items():
        for stat in STATS:
            if stat not in ("ar1", "ar10"):  # photos with more than 10 objects: not all are taken
                assert stats[stat] == 1.0, (group, stat)
    assert all(row["ap"] == 1.0 for row in figures["per_class"])
    assert len(figures["per_class"]) == 71  # of 80 classes, those with an object


@pytest.mark.slow
@pytest.mark.parametrize("change", list(CHANGES))
def test_coco__changed_copies_score_what_pycocotools_gives(
    instances: Path, truth: Dataset, change: str
) -> None:
    found = changed(truth, CHANGES[change])
    figures = figures_of(
        dataset(*found, classes=truth.classes), truth, only=["coco"], classes="by-name"
    )["coco"]
    for kind in ("segm", "bbox"):
        for name, use_categories in (("agnostic", False), ("by_class", True)):
            stats = _direct(instances, found, kind, use_categories=use_categories)
            for stat in STATS:
                ours = figures[f"{kind}_{name}"][stat]
                assert ours == pytest.approx(stats[stat], abs=1e-9), (kind, name, stat)
    assert 0.1 < figures["segm_agnostic"]["ap"] < 0.9  # neither perfect nor nothing


@pytest.mark.slow
def test_coco__file_areas_change_nothing_but_sizes(instances: Path, truth: Dataset) -> None:
    found = changed(truth, _eroded)
    figures = figures_of(
        dataset(*found, classes=truth.classes), truth, only=["coco"], classes="by-name"
    )["coco"]["segm_by_class"]
    stats = _direct(instances, found, "segm", use_categories=True, areas="file")
    for stat in NOT_OF_SIZE:
        assert figures[stat] == pytest.approx(stats[stat], abs=1e-9)


@needs_hotcoco
@pytest.mark.slow
@pytest.mark.parametrize("change", list(CHANGES))
def test_fast__agrees_with_pycocotools(truth: Dataset, change: str) -> None:
    found = dataset(*changed(truth, CHANGES[change]), classes=truth.classes)
    options: dict[str, Any] = {"only": ["coco"], "classes": "by-name"}
    slow, fast = (figures_of(found, truth, fast=fast, **options) for fast in (False, True))
    assert (slow["coco_by"], fast["coco_by"]) == ("pycocotools", "hotcoco")
    for group, stats in slow["coco"].items():
        assert fast["coco"][group] == pytest.approx(stats, abs=1e-6), group
    assert [row["ap"] for row in fast["per_class"]] == pytest.approx(
        [row["ap"] for row in slow["per_class"]], abs=1e-6
    )


def test_fast__says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "prelabel.evaluation.coco_eval.find_spec"
    monkeypatch.setattr(module, lambda name: None)
    one = dataset(prediction("a.jpg", region(box(0, 0, 3, 3))))
    with pytest.raises(UserError, match=r"prelabel\[fast-evaluation\]"):
        evaluate(one, one, fast=True)


@pytest.mark.parametrize("fast", [False, pytest.param(True, marks=needs_hotcoco)])
def test_coco__clusters_without_a_class_count_without_classes_only(fast: bool) -> None:
    mask = box(0, 0, 3, 3)
    truth = dataset(prediction("a.jpg", region(mask, 0)))
    found = dataset(prediction("a.jpg", region(mask, 0)), classes=["bird"])
    figures = figures_of(found, truth, classes="by-name", only=["coco"], fast=fast)
    assert figures["ap"] == 1.0
    assert figures["segm_by_class_ap"] == 0.0
    assert figures["ap_large"] is None  # there is no large object
    assert figures["coco"]["segm_by_class"]["ap_large"] is None
    assert figures["per_class"] == [{"class": "cat", "ap": 0.0}]


@pytest.mark.parametrize("fast", [False, pytest.param(True, marks=needs_hotcoco)])
def test_coco__void_is_neither_right_nor_wrong(fast: bool) -> None:
    good, in_crowd = box(0, 0, 3, 3), box(5, 3, 3, 3)
    truth = dataset(
        prediction("a.jpg", region(good, 0), region(in_crowd, 0, crowd=True)),
        prediction("b.jpg", region(good, 0), region(in_crowd, -1, crowd=True)),
    )
    regions = [region(good, 0, score=0.5), region(in_crowd, 0, score=0.9)]
    found = dataset(prediction("a.jpg", *regions), prediction("b.jpg", *regions))
    figures = figures_of(found, truth, classes="by-name", only=["coco"], fast=fast)
    assert figures["ap"] == 1.0
    assert figures["segm_by_class_ap"] == figures["bbox_by_class_ap"] == 1.0


def _direct(
    file: Path,
    found: list[Prediction],
    kind: str,
    *,
    use_categories: bool,
    areas: str = "masks",
) -> dict[str, float]:
    """COCOeval used as its own documentation does, on the original file."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = json.loads(file.read_text())
        truth.createIndex()
        for annotation in truth.anns.values():
            rle = truth.annToRLE(annotation)
            if areas == "masks":
                annotation["area"] = rle_area(rle)
                annotation["bbox"] = _own_box(rle)
        ids = {image["file_name"]: image["id"] for image in truth.imgs.values()}
        categories = sorted(truth.cats)
        results = [
            {
                "image_id": ids[labels.photo],
                "category_id": categories[item.cluster],
                "score": item.score,
                **({"segmentation": item.rle} if kind == "segm" else {"bbox": list(item.box)}),
            }
            for labels in found
            for item in labels.regions
        ]
        scorer = COCOeval(truth, truth.loadRes(results), kind)
        scorer.params.useCats = int(use_categories)
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    return dict(zip(STATS, scorer.stats.tolist(), strict=True))


def _own_box(rle: dict[str, Any]) -> list[float]:
    from pycocotools import mask as coco_mask

    return list(coco_mask.toBbox(rle))


def _many(n: int) -> Dataset:
    """A photo with n objects that are apart."""
    masks = [box(20 * (i % 15), 20 * (i // 15), 14, 14, photo=(240, 320)) for i in range(n)]
    return dataset(
        prediction("a.jpg", *(region(mask, score=1 - i / n) for i, mask in enumerate(masks)))
    )


@pytest.mark.parametrize(
    "fast", [pytest.param(False, marks=pytest.mark.slow), pytest.param(True, marks=needs_hotcoco)]
)
def test_coco__no_region_is_cut_off_unless_it_is_asked_for(fast: bool) -> None:
    many = _many(150)
    coco = evaluate(many, many, only=["coco"], classes="by-name", fast=fast).figures.coco
    assert coco
    assert (coco.max_regions, coco.segm_agnostic.ap, coco.segm_agnostic.ar) == (150, 1, 1)
    cut = evaluate(
        many, many, only=["coco"], classes="by-name", fast=fast, max_regions=100
    ).figures.coco
    assert cut
    # As COCOeval: recall ends at 2/3, so that 67 of its 101 points have precision 1.
    assert cut.max_regions == 100
    assert cut.segm_agnostic.ap == cut.bbox_by_class.ap == pytest.approx(67 / 101)
    assert cut.segm_agnostic.ar == pytest.approx(2 / 3)
    few = evaluate(many, many, only=["coco"], classes="by-name", fast=fast, max_regions=3)
    assert few.figures.coco
    assert few.figures.coco.segm_agnostic.ar10 == pytest.approx(3 / 150)


def test_coco__counts_at_least_cocos_own_hundred() -> None:
    coco = evaluate(_many(3), _many(3), only=["coco"], classes="by-name").figures.coco
    assert coco
    assert coco.max_regions == 100
    nothing = dataset(prediction("a.jpg", size=(240, 320)))
    coco = evaluate(nothing, _many(3), only=["coco"], classes="by-name").figures.coco
    assert coco
    assert coco.max_regions == 100
