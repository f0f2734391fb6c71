"""Embedders by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from prelabel.data.images import resize
from prelabel.data.records import PatchFeatures
from prelabel.strategies.protocols import CropEmbedder, Embedder, PhotosEmbedder
from prelabel.strategies.registry import make

Float = NDArray[np.float32]


def _features(patches: ArrayLike) -> PatchFeatures:
    grid = np.array(patches, dtype=np.float16)
    return PatchFeatures(grid, grid.mean(axis=(0, 1)), np.ones(grid.shape[:2], np.float16))


def test_region_pool__by_hand() -> None:
    features = _features([[[3, 0], [0, 8]], [[100, 100], [-100, 7]]])
    mask = np.zeros((1, 4, 4), dtype=np.bool_)
    mask[0, :2, :3] = True  # all of the first patch and half of the second: (3, 0) + (0, 8) / 2
    vectors = make("embedder", "region-pool", {}).embed(
        np.zeros((4, 4, 3), np.uint8), mask, features=features, backbone=None
    )
    assert np.allclose(vectors, [[0.6, 0.8]])


@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_region_pool__a_whole_photos_region_is_the_mean_and_no_region_is_lost(
    height: int, width: int, rows: int, columns: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    features = _features(rng.random((rows, columns, 5)) + 0.1)
    masks = np.zeros((2, height, width), dtype=np.bool_)
    masks[0] = True
    masks[1, rng.integers(height), rng.integers(width)] = True
    vectors = make("embedder", "region-pool", {}).embed(
        np.zeros((height, width, 3), np.uint8), masks, features=features, backbone=None
    )
    mean = features.patches.astype(np.float64).mean(axis=(0, 1))
    assert np.allclose(vectors[0], mean / np.linalg.norm(mean), atol=1e-3)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@dataclass(frozen=True)
class _Recorder:
    """A backbone that keeps what it is given; its CLS token is (1, mean of the photo / 255)."""

    batch: int = 3
    patch: int = 4
    dim: int = 1
    seen: list[NDArray[np.uint8]] = field(default_factory=list)

    def resolve(self) -> _Recorder:
        return self

    def identity(self) -> Mapping[str, object]:
        return {}

    def extract(self, images: NDArray[np.uint8]) -> list[PatchFeatures]:
        self.seen.append(images.copy())
        one = np.ones((1, 1, 1), np.float16)
        return [
            PatchFeatures(one, np.array([1, image.mean() / 255], np.float16), one[0])
            for image in images
        ]


def test_region_cls__crops_with_margin_in_full_batches() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    masks = np.zeros((4, 40, 60), dtype=np.bool_)
    masks[0, 10:20, 30:50] = True  # 10 × 20: a square of 20 and two margins of 4
    masks[1, 0:10, 0:10] = True  # at the corner: moved into the photo
    masks[2, 39, 59] = True  # one pixel: no margin
    masks[3] = True  # the photo is too small for a square
    crops = [image[1:29, 26:54], image[:14, :14], image[39:, 59:], image]
    backbone = _Recorder()
    vectors = make("embedder", "region-cls", {"size": 30, "margin": 0.2}).embed(
        image, masks, features=_features([[[0]]]), backbone=backbone
    )
    assert [batch.shape for batch in backbone.seen] == [(3, 32, 32, 3)] * 2  # whole patches of 4
    seen = np.concatenate(backbone.seen)
    for got, crop, vector in zip(seen, crops, vectors, strict=False):
        assert (got == resize(crop, height=32, width=32)).all()
        token = np.array([1, np.float16(got.mean() / 255)])
        assert np.allclose(vector, token / np.linalg.norm(token), atol=1e-4)
    assert not seen[4:].any()  # the last batch is filled up with black


@dataclass(frozen=True)
class _WithFaster(_Recorder):
    faster: _Recorder = field(default_factory=_Recorder)

    @property
    def for_crops(self) -> _Recorder:
        return self.faster


def test_region_cls__what_the_backbone_has_for_crops_sees_them() -> None:
    backbone = _WithFaster()
    known = {"features": _features([[[0]]]), "backbone": backbone}
    image, masks = np.zeros((40, 60, 3), np.uint8), np.ones((1, 40, 60), dtype=np.bool_)
    make("embedder", "region-cls", {}).embed(image, masks, **known)
    assert len(backbone.faster.seen) == 1
    assert not backbone.seen


def test_region_cls__crops_of_several_photos_share_batches() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (40, 60, 3), dtype=np.uint8) for _ in range(3)]
    masks = [np.zeros((n, 40, 60), dtype=np.bool_) for n in (1, 4, 2)]
    for own in masks:
        for number, mask in enumerate(own):
            mask[5 : 20 + number, 10 * number : 10 * number + 20] = True
    embedder = make("embedder", "region-cls", {"size": 32})
    features = _features([[[0]]])
    alone, together = _Recorder(), _Recorder()
    expected = [
        embedder.embed_crops(image, own, features=features, backbone=alone)
        for image, own in zip(images, masks, strict=True)
    ]
    assert isinstance(embedder, PhotosEmbedder)
    found = embedder.embed_photos(images, masks, features=[features] * 3, backbone=together)
    assert len(alone.seen) == 1 + 2 + 1
    assert len(together.seen) == 3  # seven crops, three in a batch
    for (vectors, crops), (own_vectors, own_crops) in zip(found, expected, strict=True):
        assert (vectors == own_vectors).all()
        assert [(c.rows, c.columns) for c in crops] == [(c.rows, c.columns) for c in own_crops]
    assert embedder.embed_photos([], [], features=[], backbone=together) == []


def test_region_cls__a_region_does_not_know_the_others() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    masks = np.zeros((5, 50, 70), dtype=np.bool_)
    for mask in masks:
        y, x = rng.integers(0, 40, 2)
        mask[y : y + 9, x : x + 17] = True
    backbone = make("backbone", "color-texture", {"patch": 8})
    embedder = make("embedder", "region-cls", {"size": 32})
    known = {"features": _features([[[0]]]), "backbone": backbone}
    together = embedder.embed(image, masks, **known)
    alone = [embedder.embed(image, masks[i : i + 1], **known)[0] for i in range(5)]
    assert (together == np.stack(alone)).all()


def test_region_cls__gives_away_the_crops_that_it_saw() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    masks = np.zeros((2, 40, 60), dtype=np.bool_)
    masks[0, 10:20, 30:50] = True
    masks[1, 0:10, 0:10] = True
    backbone = make("backbone", "color-texture", {"patch": 8})
    embedder = make("embedder", "region-cls", {"size": 32, "margin": 0.2})
    assert isinstance(embedder, CropEmbedder)
    known = {"features": _features([[[0]]]), "backbone": backbone}
    vectors, crops = embedder.embed_crops(image, masks, **known)
    assert isinstance(embedder, Embedder)
    assert (vectors == embedder.embed(image, masks, **known)).all()
    assert [(crop.rows, crop.columns) for crop in crops] == [
        (slice(1, 29), slice(26, 54)),
        (slice(0, 14), slice(0, 14)),
    ]
    for crop in crops:
        pixels = resize(image[crop.rows, crop.columns], height=32, width=32)
        expected = backbone.extract(np.repeat(pixels[None], backbone.batch, axis=0))[0]
        assert (crop.features.patches == expected.patches).all()
        assert crop.features.patches.shape[:2] == (4, 4)
