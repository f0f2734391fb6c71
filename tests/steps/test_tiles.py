"""Large inputs that are seen tile by tile."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as PilImage
from pycocotools import mask as coco_mask

from prelabel.data import images
from prelabel.data.masks import box_rle
from prelabel.data.records import PatchFeatures, Prediction
from prelabel.errors import PhotoError
from prelabel.pipeline import fit, predict
from prelabel.steps.tiles import extract_tiled, tile_starts
from prelabel.storage.progress import RunLog
from support.small_photos import tiny_config


@given(st.integers(1, 300), st.integers(1, 300))
def test_tile_starts__cover_all_and_overlap(n: int, tile: int) -> None:
    tile = min(n, tile)
    starts = tile_starts(n, tile)
    assert (starts[0], starts[-1]) == (0, n - tile)
    steps = np.diff(starts)
    assert np.all(steps > 0)
    assert np.all(tile - steps >= round(0.25 * tile) - (tile > 1))  # the last but one is rounded


def _brightness(tiles: Sequence[NDArray[np.uint8]]) -> list[PatchFeatures]:
    """Two numbers a patch of 2 × 2 pixels: its mean, and where in the tile it is, as a network's
    patches tell too. Attention as the mean."""
    found = []
    for tile in tiles:
        means = tile[..., 0].astype(np.float32).reshape(len(tile) // 2, 2, -1, 2).mean(axis=(1, 3))
        place = np.linspace(-1, 1, len(means))[:, None] + np.zeros_like(means)
        attention = means / means.mean()
        patches = np.stack([means, place], axis=-1).astype(np.float16)
        found.append(PatchFeatures(patches, patches[0, 0], attention.astype(np.float16)))
    return found


def test_extract_tiled__is_what_a_tile_sees_without_seams() -> None:
    rng = np.random.default_rng(0)
    grey = np.repeat(np.repeat(rng.integers(50, 200, (500, 300)), 2, axis=0), 2, axis=1)
    pixels = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    [whole] = _brightness([pixels[::4, ::4]])
    seen: list[int] = []

    def extract(tiles: Sequence[NDArray[np.uint8]]) -> list[PatchFeatures]:
        seen.extend(len(tile) for tile in tiles)
        assert len(tiles) <= 3
        return _brightness(tiles)

    found = extract_tiled(pixels, whole, extract, patch=2, batch=3)
    assert seen == [448] * 6  # 500 × 300 patches in tiles of 224 × 224: three and two
    np.testing.assert_allclose(found.patches[..., 0], grey[::2, ::2], atol=0.1)
    steps = np.abs(np.diff(found.patches[:, 0, 1].astype(np.float32)))
    assert steps.max() < 0.05  # the place in the tile jumps by up to 1.5 at a tile's border
    relative = grey[::2, ::2] / grey.mean()
    assert found.attention.mean(dtype=np.float64) == pytest.approx(1, abs=1e-3)
    assert np.corrcoef(found.attention.ravel(), relative.ravel())[0, 1] > 0.99
    assert found.cls is whole.cls


def test_pixels_at__has_more_than_the_working_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (800, 1600, 3), dtype=np.uint8)
    file = tmp_path / "large.png"
    PilImage.fromarray(pixels).save(file)
    image = images.read_image(file)
    assert image.pixels.shape == (512, 1024, 3)
    assert np.array_equal(images.pixels_at(image, height=800, width=1600), pixels)
    small = images.pixels_at(image, height=256, width=512)
    assert np.array_equal(small, images.resize(image.pixels, height=256, width=512))
    in_memory = images.decode_image(file.read_bytes())
    assert np.array_equal(images.pixels_at(in_memory, height=800, width=1600), pixels)
    PilImage.fromarray(255 - pixels).save(file)
    with pytest.raises(PhotoError, match="was changed"):
        images.pixels_at(image, height=800, width=1600)


def test_fit_and_predict__a_photo_that_is_gone_when_more_pixels_are_needed_costs_that_photo(
    tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png"):
        pixels = rng.integers(0, 256, (60, 1100, 3), dtype=np.uint8)
        PilImage.fromarray(pixels).save(tmp_path / name)
    read_bytes = images.read_bytes

    def read_again(file: Path) -> bytes:
        if file.name == "b.png":
            raise PhotoError("cannot be read (gone)")
        return read_bytes(file)

    monkeypatch.setattr(images, "read_bytes", read_again)  # the first time it is read elsewhere
    log = RunLog()
    model = fit(tmp_path, tiny_config("features.size=260"), log=log)  # 1100 pixels wide
    assert log.skipped == {"b.png": "cannot be read (gone)"}
    assert model.n_photos == 2
    log = RunLog()
    assert [one.photo for one in predict(model, tmp_path, log=log)] == ["a.png", "c.png"]
    assert log.skipped == {"b.png": "cannot be read (gone)"}


SIDE = 80
"""Of an object, in pixels of a photo of 6 000 × 4 000: 14 of those that are kept."""


def _large_photo(file: Path, seed: int) -> list[tuple[int, int]]:
    """A dark photo with 40 bright squares, and where they are (top, left)."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(30, 60, (4000, 6000, 1), dtype=np.uint8).repeat(3, axis=2)
    cells = rng.permutation(14 * 9)[:40]
    corners = []
    for row, column in zip(cells // 14, cells % 14, strict=True):
        top = int(row * 430 + rng.integers(20, 280))
        left = int(column * 420 + rng.integers(20, 280))
        pixels[top : top + SIDE, left : left + SIDE] = (230, 60, 40)
        corners.append((top, left))
    PilImage.fromarray(pixels).save(file, quality=90)
    return corners


@pytest.mark.slow
def test_large_photo__each_small_thing_is_found_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that lie across the border of two tiles, too."""
    (tmp_path / "photos").mkdir()
    known = {f"{i}.jpg": _large_photo(tmp_path / "photos" / f"{i}.jpg", i) for i in range(2)}
    small = ("regions.min_area=0.0001", "levels.photos_per_group=20")
    tracemalloc.start()
    started = time.perf_counter()
    found = _predicted(tmp_path / "photos", "features.size=2048", *small)
    seconds = (time.perf_counter() - started) / len(known)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    with capsys.disabled():
        print(f"a photo of 24 megapixels, color-texture: {seconds:.1f} s, {peak:.0f} MB of arrays")
    assert peak < 400
    usual = _predicted(tmp_path / "photos", *small)
    ious, across, ious_usual = [], 0, []
    for name, corners in known.items():
        table = _ious(found[name], corners)
        assert table.shape == (40, 40)
        assert np.all((table > 0.1).sum(axis=0) == 1)  # each once, and by itself
        ious += table.max(axis=0).tolist()
        across += sum(_crosses(*corner) for corner in corners)
        ious_usual += _ious(usual[name], corners).max(axis=0, initial=0).tolist()
    print(np.mean(ious), np.min(ious), across, np.mean(ious_usual))
    assert min(ious) > 0.6
    assert across >= 10
    assert np.mean(ious) > np.mean(ious_usual) + 0.2


def _predicted(photos: Path, *settings: str) -> dict[str, Prediction]:
    return {one.photo: one for one in predict(fit(photos, tiny_config(*settings)), photos)}


def _ious(found: Prediction, corners: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """IoU (n regions, n squares)."""
    squares = [box_rle((x, y, SIDE, SIDE), height=4000, width=6000) for y, x in corners]
    masks = [region.rle for region in found.regions]
    nothing = np.zeros((0, len(squares)))
    return np.asarray(coco_mask.iou(masks, squares, [0] * len(squares))) if masks else nothing


def _crosses(top: int, left: int) -> bool:
    """Whether a tile begins or ends inside: of 104 × 157 patches of 16 pixels, tiles have 28 × 28."""
    scale = 6000 / 157
    for at, n in ((top, 104), (left, 157)):
        borders = [edge for start in tile_starts(n, 28) for edge in (start, start + 28)]
        if any(at < border * scale < at + SIDE for border in borders):
            return True
    return False
