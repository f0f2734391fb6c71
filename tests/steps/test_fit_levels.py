"""Levels of every patch against those of a sample that holds them all, and by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prelabel import config
from prelabel.config import Config
from prelabel.data.images import read_image
from prelabel.data.records import Image, ImageFile, PatchFeatures
from prelabel.steps import patch_blocks, patch_clusters
from prelabel.steps.features import from_arrays, to_arrays
from prelabel.steps.fit_levels import fit_levels
from prelabel.steps.levels import Clusters, Levels, without_place
from prelabel.steps.patch_blocks import PatchTotals, stored_blocks
from prelabel.steps.photo_features import StoredFeatures
from prelabel.steps.positions import GRID
from prelabel.storage import shards
from prelabel.storage.progress import RunLog
from prelabel.storage.shards import ShardStore
from support.small_photos import write_scenes

Float = NDArray[np.float32]
DIM = 12
N_KINDS = 4


def _photo(number: int, *, spread: float = 0.05) -> PatchFeatures:
    """Three kinds of patches, one of them only on photos of the own group, on grids of three sizes."""
    rng = np.random.default_rng(number)
    centres = np.random.default_rng(99).normal(size=(N_KINDS, DIM)) * 2 + 1
    height, width = [(4, 6), (6, 4), (5, 5)][number % 3]
    kinds = rng.choice([0, 1, 2 + number % 2], (height, width))
    patches = centres[kinds] + spread * rng.normal(size=(height, width, DIM))
    attention = (kinds + 0.5) / (kinds + 0.5).mean()
    cls = np.eye(DIM)[number % 2] + 0.01 * rng.normal(size=DIM)
    arrays = (patches, cls, attention)
    return PatchFeatures(*(array.astype(np.float16) for array in arrays))


def _digest(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"


class _Scales:
    """What one store holds, and of what is missing the first photo."""

    def __init__(self, store: ShardStore) -> None:
        self._store = store
        self.calls: list[int] = []

    def kept(self, digest: str, *, verify: bool = True) -> PatchFeatures | None:
        found = self._store.get(digest, verify=verify)
        return None if found is None else from_arrays(found)

    def extract(self, images: Sequence[Image], *, store: bool) -> list[PatchFeatures]:
        assert store
        self.calls.append(len(images))
        for image in images:
            self._store.add(image.digest, to_arrays(_photo(0)))
        return [_photo(0) for _ in images]


def _stored(folder: Path, numbers: Sequence[int], *, spread: float = 0.05) -> StoredFeatures:
    with ShardStore(folder) as store:
        for number in numbers:
            store.add(_digest(number), to_arrays(_photo(number, spread=spread)))
    scales: Any = _Scales(ShardStore(folder))
    return StoredFeatures([], scales)


def _config(*overrides: str) -> Config:
    own = ["levels.photos_per_group=20", "levels.dataset_k=[2,4]", "levels.category_k=[2,3]"]
    return config.load("default", [*own, *overrides])


def _fitted(stored: StoredFeatures, n: int, *overrides: str) -> Levels:
    return fit_levels([_digest(i) for i in range(n)], stored, _config(*overrides), RunLog())


def _bytes(levels: Levels) -> bytes:
    return b"".join(array.tobytes() for _, array in sorted(levels.to_arrays().items()))


def _matched(one: Clusters, other: Clusters) -> list[NDArray[np.int64]]:
    """For each clustering the clusters of ``other`` that are those of ``one``: centroids are equal."""
    orders = []
    for mine, theirs in zip(one.centroids, other.centroids, strict=True):
        assert mine.shape == theirs.shape
        order = np.argmax(mine @ theirs.T, axis=1)
        assert sorted(order) == list(range(len(mine)))
        assert np.allclose(mine, theirs[order], atol=1e-4)
        orders.append(order)
    return orders


def test_every_patch__as_a_sample_that_holds_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patch_blocks, "_BLOCK", 100)  # 10 blocks of four photos
    stored = _stored(tmp_path, range(40))
    sampled = _fitted(stored, 40, "fit.photos=40", "levels.patches_per_cluster=100000")
    every = _fitted(stored, 40, "fit.photos=0", "levels.patches_per_cluster=8")
    assert np.allclose(every.center, sampled.center, atol=1e-5)
    assert np.array_equal(every.positions, sampled.positions)
    assert np.allclose(every.groups, sampled.groups, atol=1e-5)
    assert np.allclose(every.reach, sampled.reach, atol=1e-5)
    assert len(every.categories) == 2
    levels = [(every.dataset, sampled.dataset)]
    levels += zip(every.categories, sampled.categories, strict=True)
    for one, other in levels:
        for i, order in enumerate(_matched(one, other)):
            assert np.allclose(one.scores[i], other.scores[i][order], atol=1e-4)


def test_every_patch__better_than_a_sample_where_clusters_overlap(tmp_path: Path) -> None:
    stored = _stored(tmp_path, range(40), spread=2)
    every = _fitted(stored, 40, "fit.photos=0", "levels.patches_per_cluster=8")
    sampled = _fitted(stored, 40, "levels.patches_per_cluster=8")
    relative = np.concatenate(
        [every.relative(stored.read(_digest(i))).reshape(-1, DIM) for i in range(40)]
    )
    unit = relative / np.linalg.norm(relative, axis=1, keepdims=True)

    def inertias(levels: Levels) -> list[float]:
        return [float(1 - (unit @ c.T).max(axis=1).mean()) for c in levels.dataset.centroids]

    for own, its in zip(inertias(every), inertias(sampled), strict=True):
        assert own < its


@pytest.mark.slow
def test_every_patch__the_same_bytes_however_the_shards_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patch_blocks, "_BLOCK", 100)
    found = set()
    for size, order in ((32, range(40)), (3, range(39, -1, -1)), (7, [*range(1, 40), 0])):
        monkeypatch.setattr(shards, "SHARD", size)
        for n_cores in (1, 3):
            monkeypatch.setattr(patch_blocks, "cores", lambda n=n_cores: n)
            stored = _stored(tmp_path / str(size), order, spread=1)
            found.add(_bytes(_fitted(stored, 40, "fit.photos=0")))
    assert len(found) == 1


def test_every_patch__a_rule_is_given_a_share_of_very_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = _stored(tmp_path, range(40))
    exact = _fitted(stored, 40, "fit.photos=0").dataset
    monkeypatch.setattr(patch_clusters, "_RATED", 400)  # of about 980
    thinned = _fitted(stored, 40, "fit.photos=0").dataset
    for all_of_them, some in zip(exact.scores, thinned.scores, strict=True):
        assert np.allclose(all_of_them, some, atol=0.15)
        assert not np.array_equal(all_of_them, some)


def test_sample__of_more_photos_than_patches_takes_one_each_of_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = _stored(tmp_path, range(40))
    sizes = []
    fit_dataset = patch_clusters.fit_dataset

    def counted(patches: Any, **options: Any) -> Clusters:
        sizes.append(len(patches.vectors))
        return fit_dataset(patches, **options)

    monkeypatch.setattr(patch_clusters, "fit_dataset", counted)
    few = ("levels.dataset_k=[2]", "levels.patches_per_cluster=8", "levels.max_groups=1")
    _fitted(stored, 40, *few)
    _fitted(stored, 12, *few)
    assert sizes == [16, 24]  # 2 × 8; two of each of 12


def test_totals__the_mean_of_all_without_their_place() -> None:
    rng = np.random.default_rng(0)
    positions = rng.normal(size=(GRID, GRID, DIM)).astype(np.float32)
    photos, totals = [_photo(i) for i in range(7)], PatchTotals()
    for photo in photos:
        totals.add(photo.patches)
    rest = [without_place(photo, positions).reshape(-1, DIM) for photo in photos]
    assert np.allclose(totals.mean(positions), np.concatenate(rest).mean(axis=0), atol=1e-4)
    nowhere = np.zeros((0, 0, 0), np.float32)
    plain = np.concatenate([photo.patches.reshape(-1, DIM) for photo in photos])
    assert np.allclose(totals.mean(nowhere), plain.astype(np.float64).mean(axis=0), atol=1e-5)


def test_blocks__are_what_levels_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch_blocks, "_BLOCK", 60)
    stored, rng = _stored(tmp_path, range(5)), np.random.default_rng(0)
    center = rng.normal(size=DIM).astype(np.float32)
    positions = rng.normal(size=(GRID, GRID, DIM)).astype(np.float32)
    empty = Clusters((), ())
    none = np.zeros((0, DIM), np.float32)
    levels = Levels(center, empty, none, np.zeros(0, np.float32), (), positions)
    digests = [_digest(i) for i in range(5)]
    n = sum(_photo(i).attention.size for i in range(5))
    for _ in range(2):  # it can be read anew
        blocks = list(
            stored_blocks(digests, stored, n=n, positions=positions, center=center).read()
        )
        assert len(blocks) == 3
        vectors = np.concatenate([block.vectors for block in blocks])
        expected = [levels.relative(_photo(i)).reshape(-1, DIM) for i in range(5)]
        assert np.allclose(vectors, np.concatenate(expected), atol=1e-5)
        attention = np.concatenate([block.attention for block in blocks])
        assert attention.tolist() == [a for i in range(5) for a in _photo(i).attention.ravel()]
        assert sum(int(block.border.sum()) for block in blocks) == 5 * 16  # 16 in each


def test_blocks__a_photo_that_was_removed_is_extracted_again_once(tmp_path: Path) -> None:
    (file,) = write_scenes(tmp_path, 1)
    digest = read_image(file).digest
    scales: Any = _Scales(ShardStore(tmp_path / "store"))
    stored = StoredFeatures([(ImageFile("scene", file), digest)], scales)
    nowhere, center = np.zeros((0, 0, 0), np.float32), np.zeros(DIM, np.float32)
    blocks = stored_blocks([digest] * 4, stored, n=96, positions=nowhere, center=center)
    (block,) = blocks.read()
    assert scales.calls == [1]
    assert np.array_equal(block.vectors[:24], _photo(0).patches.reshape(24, DIM))
    assert np.array_equal(block.vectors[:24], block.vectors[72:])
