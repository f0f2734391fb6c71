"""Foreground rules by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prelabel.strategies.protocols import Foreground
from prelabel.strategies.registry import make

Float = NDArray[np.float32]


def _score(
    name: str,
    clusters: Sequence[int],
    *,
    k: int,
    attention: Sequence[float] = (),
    border: Sequence[int] = (),
    photos: Sequence[int] = (),
    settings: Mapping[str, float] | None = None,
) -> Float:
    """Scores of k clusters; attention is 1 everywhere, no patch on the frame and all are of one photo
    unless given."""
    rule: Foreground = make("foreground", name, settings or {})
    n = len(clusters)
    return rule.score(
        np.array(clusters, dtype=np.int64),
        k=k,
        attention=np.array(attention or [1] * n, dtype=np.float32),
        border=np.array(border or [0] * n, dtype=np.bool_),
        photos=np.array(photos or [0] * n, dtype=np.int64),
    )


def test_attention__by_hand() -> None:
    # Means of the clusters are 2 and 0 where the mean of all is 1; cluster 2 is empty.
    for sharpness, expected in [(1, 2 / 3), (4, 16 / 17)]:
        settings = {"clip": 1.0, "sharpness": sharpness}
        scores = _score("attention", [0, 0, 1, 1], k=3, attention=[3, 1, 0, 0], settings=settings)
        assert np.allclose(scores, [expected, 0, 0])


def test_attention__outliers_are_clipped() -> None:
    # The 0.9 quantile of nine 1s and an 11 lies a tenth of the way from 1 to 11: at 2.
    settings = {"clip": 0.9, "sharpness": 1}
    scores = _score("attention", [0] * 9 + [1], k=2, attention=[1] * 9 + [11], settings=settings)
    assert np.allclose(scores, [(1 / 1.1) / (1 / 1.1 + 1), (2 / 1.1) / (2 / 1.1 + 1)])


def test_attention__is_a_half_where_all_attention_is_equal() -> None:
    assert np.allclose(_score("attention", [0, 1, 1], k=2, settings={"clip": 1.0}), [0.5, 0.5])


def test_border__by_hand() -> None:
    # Inside: three of four in cluster 0. On the frame: two of eight. 0.75 / (0.75 + 0.25).
    clusters = [0, 0, 0, 1] + [0, 0] + [1] * 6
    scores = _score("border", clusters, k=3, border=[0] * 4 + [1] * 8)
    assert np.allclose(scores, [0.75, 0.25, 0])


def test_border__one_sided() -> None:
    assert _score("border", [0, 1], k=2, border=[0, 1]).tolist() == [1, 0]
    assert _score("border", [0, 0], k=1, border=[1, 1]).tolist() == [0]


def test_everything__is_foreground() -> None:
    assert _score("everything", [0, 0, 2], k=3).tolist() == [1, 0, 1]


def test_rarity__by_hand() -> None:
    # Cluster 0 is equally on four photos: e = 4. Cluster 1 is on one: e = 1. Cluster 2 is on two, three
    # times as often on one of them: e = exp(-(0.75 ln 0.75 + 0.25 ln 0.25)) = 1.7548.
    clusters, photos = [0] * 4 + [1] * 2 + [2] * 4, [0, 1, 2, 3, 2, 2, 0, 0, 0, 1]
    for share, limit in [(0.1, 1.0), (0.5, 1.7548)]:
        settings = {"share": share, "sharpness": 2}
        scores = _score("rarity", clusters, k=4, photos=photos, settings=settings)
        expected = [1 / (1 + (e / limit) ** 2) for e in (4, 1, 1.7548)]
        assert np.allclose(scores, [*expected, 0], atol=1e-4)


def test_rarity__numbers_of_photos_do_not_matter() -> None:
    clusters = [0, 0, 1, 1, 1]
    scores = _score("rarity", clusters, k=2, photos=[0, 1, 1, 1, 2])
    assert np.array_equal(scores, _score("rarity", clusters, k=2, photos=[9, 4, 4, 4, 0]))


def test_rarity__one_photo_is_undecided() -> None:
    assert _score("rarity", [0, 0, 1], k=2).tolist() == [0.5, 0.5]
