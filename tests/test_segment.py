"""What separators are told of a photo's patches."""

from __future__ import annotations

import numpy as np

from prelabel.data.records import PatchFeatures
from prelabel.segment import Segmenter, image_level_model
from support.small_photos import tiny_config


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
