"""What separators are told, regions with vectors, and regions that are split by a look at their crops."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PilImage

from prelabel.config import Config, change
from prelabel.data.images import read_image
from prelabel.data.records import Image, PatchFeatures
from prelabel.model import FittedModel
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.pipeline import fit, predict
from prelabel.segment import Segment, Segmenter, image_level_model
from prelabel.steps.cutting import Cutting
from support.small_photos import tiny_config

pytestmark = pytest.mark.usefixtures("empty_cache")
CROPS = ("embedder.name=region-cls", "embedder.size=64", "embedder.margin=0")
HALVES = ("separator.within=0.3", "separator.piece=0.4")


def _config(*settings: str) -> Config:
    """``merge`` is told to leave parts whole, so that all cuts are made in crops."""
    return tiny_config("separator.name=zoom", "separator.similar=-1", *settings, *CROPS)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A square whose left half is red and whose right half is blue, and one that is all red."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(6):
        pixels = rng.integers(30, 60, (64, 96, 3))
        left = 20 + 4 * i
        pixels[16:48, left : left + 32] = (230, 60, 40)
        if i % 2:
            pixels[16:48, left + 16 : left + 32] = (60, 80, 230)
        PilImage.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    return folder


def _photo(model: FittedModel, file: Path) -> tuple[Image, PatchFeatures]:
    image = read_image(file)
    return image, PhotoSegmenter(model, model.config).features([image])[0]


class _Counts:
    """A backbone that counts its calls."""

    def __init__(self, own: object) -> None:
        self._own = own
        self.calls = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._own, name)

    def extract(self, images: NDArray[np.uint8]) -> object:
        self.calls += 1
        return self._own.extract(images)  # type: ignore[attr-defined]


def _described(model: FittedModel, file: Path) -> tuple[Segment, int]:
    """A photo's segment, and how often the backbone was called for its vectors."""
    segmenter = Segmenter(model)
    backbone = _Counts(segmenter.backbone)
    segmenter.backbone = backbone  # type: ignore[assignment]
    image, features = _photo(model, file)
    return segmenter.describe(image, features, segmenter.find(image, features)), backbone.calls


def test_describe__a_region_whose_crop_shows_two_things_is_two(photos: Path) -> None:
    model = fit(photos, _config(*HALVES))
    segment, calls = _described(model, photos / "1.png")
    assert calls == 1 + 2  # the region's crop, and one for each piece
    boxes = sorted(region.box for region in segment.regions)
    assert len(boxes) == 2
    assert abs(boxes[1][0] - 40) <= 2  # where red turns to blue
    image, features = _photo(model, photos / "1.png")
    masks = np.stack([region.mask for region in segment.regions])
    own = PhotoSegmenter(model, model.config).embed(image, features, masks)
    cosines = segment.embeddings @ own.T  # the masks are at full size, with slightly other outlines
    assert cosines.diagonal().min() > 0.98
    assert cosines.argmax(axis=1).tolist() == [0, 1]


def test_describe_photos__as_each_alone(photos: Path) -> None:
    model = fit(photos, _config(*HALVES))
    segmenter = Segmenter(model)
    some = []
    for file in sorted(photos.iterdir()):
        image, features = _photo(model, file)
        some.append((image, features, segmenter.find(image, features)))
    nothing = replace(some[0][2], regions=(), masks=some[0][2].masks[:0], numbers=())
    some.insert(2, (*some[0][:2], nothing))
    together = segmenter.describe_photos(some)
    assert [len(segment.regions) for segment in together] == [1, 2, 0, 1, 2, 1, 2]
    for own, segment in zip(some, together, strict=True):
        alone = segmenter.describe(*own)
        assert segment.regions == alone.regions
        assert np.array_equal(segment.embeddings, alone.embeddings)
    assert segmenter.describe_photos([]) == []


def test_describe__what_is_not_split_costs_nothing_and_is_as_by_merge(photos: Path) -> None:
    model = fit(photos, _config(*HALVES))
    merge = tiny_config("separator.name=merge", "separator.similar=-1", *CROPS)
    segment, calls = _described(model, photos / "0.png")
    expected, expected_calls = _described(replace(model, config=merge), photos / "0.png")
    assert calls == expected_calls == len(segment.regions) == 1
    assert segment.regions == expected.regions
    assert np.array_equal(segment.embeddings, expected.embeddings)


def test_predict__the_same_from_the_cache_and_another_with_other_settings(photos: Path) -> None:
    model = fit(photos, _config(*HALVES))
    first = list(predict(model, photos))
    assert list(predict(model, photos)) == first
    assert [len(p.regions) for p in first] == [1, 2] * 3
    assert all(region.cluster >= 0 for p in first for region in p.regions)
    whole = replace(model, config=_config("separator.within=-1"))
    assert [len(p.regions) for p in predict(whole, photos)] == [1] * 6


def _segments(model: FittedModel | None, config: Config, photos: Path) -> Iterator[Segment]:
    segmenter = PhotoSegmenter(model, config)
    for file in sorted(photos.iterdir()):
        image = read_image(file)
        [features] = segmenter.features([image])
        yield segmenter.describe(image, features, segmenter.find(image, features))


def test_describe__without_a_model_nothing_is_split(photos: Path) -> None:
    config = _config(*HALVES)
    merge = tiny_config("separator.name=merge", "separator.similar=-1", *CROPS)
    found = [segment.regions for segment in _segments(None, config, photos)]
    assert found == [segment.regions for segment in _segments(None, merge, photos)]
    assert any(found)


def test_patch_maps__features_as_they_are_and_relative_to_what_is_usual() -> None:
    patches = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float16)
    ones = np.ones((3, 4), dtype=np.float16)
    features = PatchFeatures(patches=patches, cls=patches[0, 0], attention=ones)
    segmenter = Segmenter(image_level_model(tiny_config("levels.image_k=[2]"), features))
    results = segmenter.apply_levels(features)
    maps = segmenter.patch_maps(features, results, ones.astype(np.float32))
    assert (maps.raw == patches).all()
    usual = patches.astype(np.float32).mean(axis=(0, 1))
    np.testing.assert_allclose(maps.vectors, patches - usual, atol=1e-5)
    assert maps.clusters.shape[1:] == (3, 4)


def test_describe__nothing_is_split_where_the_embedder_sees_no_crops(photos: Path) -> None:
    chosen = tiny_config("separator.name=zoom", "separator.similar=-1", *HALVES)
    chosen = change(chosen, ["embedder.name=region-pool"])
    segment, calls = _described(fit(photos, chosen), photos / "1.png")
    assert calls == 0
    assert len(segment.regions) == len(segment.embeddings) == 1


def test_to_regions__limbs_stay_where_more_regions_are_made() -> None:
    rows, columns = np.mgrid[:40, :60]
    body = (rows - 20) ** 2 + (columns - 20) ** 2 <= 100
    limb = (rows - 20) ** 2 + (columns - 45) ** 2 <= 16
    foreground = (body | limb | ((rows == 20) & (columns > 20) & (columns < 45))).astype(np.float32)
    image = Image(np.zeros((40, 60, 3), dtype=np.uint8), width=60, height=40, digest="0" * 32)
    features = PatchFeatures(
        patches=np.ones((40, 60, 2), dtype=np.float16),
        cls=np.ones(2, dtype=np.float16),
        attention=np.ones((40, 60), dtype=np.float16),
    )
    config = tiny_config("refiner.name=none", "separator.name=connected", "levels.image_k=[2]")
    segmenter = Segmenter(image_level_model(config, features))

    def n_regions(cutting: Cutting) -> int:
        return len(segmenter.to_regions(image, foreground, foreground, cutting).regions)

    assert n_regions(Cutting()) == 1
    assert n_regions(Cutting(0.75)) == 2
    assert n_regions(Cutting(0.75, more_regions=True)) == 1
