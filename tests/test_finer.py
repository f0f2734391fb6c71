"""A larger input size, where labelled objects are small and it is clearly better."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from builders import prediction, region
from prelabel.data.dataset import Dataset
from prelabel.finer import LEAST_PHOTOS
from prelabel.model import FittedModel
from prelabel.pipeline import fit, predict
from prelabel.storage.progress import RunLog
from support.command_line import disc_labels, write_discs
from support.small_photos import tiny_config

N = 8


def _labelled(folder: Path, *, noise: bool = False) -> Dataset:
    """Photos of 96 × 64 pixels with six squares of 8 pixels each, of which a patch at size 112 has
    115 pixels. ``noise``: nothing is seen of the squares, and labels are somewhere."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    found = []
    for i in range(N):
        pixels = rng.integers(30, 60, (64, 96, 3))
        regions = []
        cells = rng.permutation(24)[:6]
        for row, column in zip(cells // 6, cells % 6, strict=True):
            top, left = row * 16 + rng.integers(0, 8), column * 16 + rng.integers(0, 8)
            mask = np.zeros((64, 96), dtype=np.bool_)
            mask[top : top + 8, left : left + 8] = True
            if not noise:
                pixels[mask] = (230, 60, 40)
            regions.append(region(mask, 0))
        PilImage.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
        found.append(prediction(f"{i}.png", *regions, version=""))
    return Dataset(folder, ("square",), lambda: iter(found))


def _fitted(labels: Dataset, *settings: str) -> tuple[FittedModel, RunLog]:
    log = RunLog()
    assert isinstance(labels.photos, Path)
    return fit(labels.photos, tiny_config("fit.finer=true", *settings), labels=labels, log=log), log


def test_fit__small_objects_are_seen_at_twice_the_size_as_well(tmp_path: Path) -> None:
    labels = _labelled(tmp_path / "photos")
    model, log = _fitted(labels)
    assert model.config.features.sizes == (112, 224)
    [remark] = log.remarks
    assert "covers 0.5 patches" in remark  # 64 of 96 · 64 pixels, on 7 × 7 patches
    assert "5 to 12 times as long" in remark
    assert "fit.finer=false" in remark
    quiet = RunLog()
    one_size = fit(tmp_path / "photos", tiny_config(), labels=labels, log=quiet)  # the default
    assert one_size.config.features.sizes == (112,)
    assert quiet.remarks == []
    truths = {p.photo: np.any([r.mask for r in p.regions], axis=0) for p in labels.stream()}
    finer, coarse = (_iou(one, tmp_path / "photos", truths) for one in (model, one_size))
    assert finer > coarse + 0.05


def _iou(model: FittedModel, photos: Path, truths: dict[str, np.ndarray]) -> float:  # type: ignore[type-arg]
    ious = []
    for found in predict(model, photos):
        nothing = np.zeros((found.height, found.width), dtype=np.bool_)
        mask = np.any([r.mask for r in found.regions] or [nothing], axis=0)
        truth = truths[found.photo]
        ious.append(float((mask & truth).sum() / (mask | truth).sum()))
    return float(np.mean(ious))


def test_fit__where_it_is_not_clearly_better_the_size_stays(tmp_path: Path) -> None:
    model, log = _fitted(_labelled(tmp_path / "photos", noise=True))
    assert model.config.features.sizes == (112,)
    [remark] = log.remarks
    assert "not clearly more: 112 stays" in remark


def test_fit__large_objects_and_few_photos_are_not_tried(tmp_path: Path) -> None:
    """And nothing is different from a fit that does not try."""
    discs = write_discs(tmp_path / "discs", LEAST_PHOTOS)
    labels = disc_labels(discs, [f"photo {i}.png" for i in range(LEAST_PHOTOS)])
    model, log = _fitted(labels, "features.size=224")
    assert log.remarks == []
    same, _ = _fitted(labels, "features.size=224", "fit.finer=false")
    assert model.taught
    assert same.taught
    assert model.taught.digest == same.taught.digest
    few = _labelled(tmp_path / "photos")
    first = list(few.stream())[: LEAST_PHOTOS - 1]
    model, log = _fitted(Dataset(few.photos, few.classes, lambda: iter(first)))
    assert (model.config.features.sizes, log.remarks) == ((112,), [])


@pytest.mark.parametrize("size", ["1100", "[112, 160]"])
def test_fit__sizes_that_cannot_be_doubled_stay(tmp_path: Path, size: str) -> None:
    model, log = _fitted(_labelled(tmp_path / "photos"), f"features.size={size}")
    assert log.remarks == []
    assert model.config.fit.finer


def test_fit__faults_of_labels_are_counted_once(tmp_path: Path) -> None:
    labels = _labelled(tmp_path / "photos")
    PilImage.new("RGB", (50, 50)).save(tmp_path / "photos" / "0.png")
    model, _ = _fitted(labels)
    assert model.config.features.sizes == (112, 224)
    [line] = labels.problems.lines()
    assert "another size" in line
    assert "0.png" in line
