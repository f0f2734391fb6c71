"""The learner is believed as far as it is right on photos left out, and of photos like those."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from prelabel.steps.blending import Blend, LeftOut, choose_blend, reach_of, trust

Float = NDArray[np.float32]


def row(*values: float) -> Float:
    return np.array([values], dtype=np.float32)


def test_blend__by_weight_and_trust() -> None:
    learned, levels = row(1, 0), row(0, 0.5)
    # Held at 0.02 and 0.98 the odds are 49, 1 / 49 and 1: 49^(0.25 - 0.75) = 1 / 7, which is P = 1 / 8.
    second = 1 / (1 + 49**0.25)
    expected = row((1 / 8 - 0.02) / 0.96, (second - 0.02) / 0.96)
    assert Blend(0.25)(learned, levels) == pytest.approx(expected, abs=1e-6)
    assert Blend(1)(learned, levels) == pytest.approx(row(1, 0), abs=1e-6)
    assert Blend(1)(learned, levels, 0.5) == pytest.approx(row(0.5, expected[0, 0]), abs=1e-6)
    assert Blend(0)(learned, levels).tolist() == levels.tolist()
    assert Blend(1, 0.8, 0.9)(learned, levels, 0).tolist() == levels.tolist()


def test_blend__raised_to_its_peak() -> None:
    low = row(0.1, 0.4)
    assert Blend(1, peak=0.8)(low, low) == pytest.approx(row(0.2, 0.8))
    assert Blend(1, peak=0.3)(low, low) == pytest.approx(low)
    nothing = row(0, 0)
    assert Blend(1, peak=0.8)(nothing, nothing).tolist() == [[0, 0]]


def test_left_out__iou_of_what_is_known() -> None:
    photo = LeftOut(row(1, 1, 1, 0), row(0, 0, 0, 0), row(1, 0.5, 0, 0), row(1, 1, 0, 1))
    assert photo.iou(Blend(1)) == pytest.approx(1.5 / 2)
    assert photo.iou(Blend(0)) == 0
    background = LeftOut(row(1, 0), row(0, 0), row(0, 0), row(1, 1))
    assert background.iou(Blend(1)) == 0.5
    assert background.iou(Blend(0)) == 1


def test_choose_blend__the_one_that_is_right() -> None:
    truth, wrong, known = row(1, 0), row(0, 1), row(1, 1)
    blend, scores = choose_blend([LeftOut(truth, wrong, truth, known)])
    # 0.75 and 1 are e^(1 / 0.13²) times as likely as before, the others not: (0.75 + 0.5) / 1.5 of them.
    assert blend == Blend(0.83)
    assert scores == {"0": 0, "0.25": 0, "0.5": 0, "0.75": 1, "0.83": 1, "1": 1}
    blend, scores = choose_blend([LeftOut(wrong, truth, truth, known)] * 3)
    # Up to 0.25, and at 0.5 neither patch is foreground.
    assert blend == Blend(0.14)
    assert scores["0"] == scores["0.14"] == 1
    assert choose_blend([]) == (Blend(0.39), {})


def test_choose_blend__nothing_else_is_right() -> None:
    truth, known = row(1, 0), row(1, 1)
    only_learner = LeftOut(row(0.6, 0.2), row(0, 0), truth, known)
    only_levels = LeftOut(row(0, 0), row(0.6, 0.2), truth, known)
    assert choose_blend([only_learner] * 3)[0] == Blend(1)
    assert choose_blend([only_levels] * 3)[0] == Blend(0)


@pytest.mark.parametrize("times", [1, 10])
def test_choose_blend__gains_count_squared_and_photos_do_not(times: int) -> None:
    truth, known = row(1, 0), row(1, 1)
    learner, even = ((0.6, 0.2), (0.45, 0.8))  # right at 1 alone; right up to 0.75
    photos = [
        LeftOut(learned * truth, levels * truth, truth, known)
        for learned, levels in [*[learner] * 4, *[even] * 3, *[(1.0, 1.0)] * 3]
    ]
    blend, scores = choose_blend(photos * times, patches=1)
    assert [scores[w] for w in ("0", "0.25", "0.5", "0.75", "1")] == [0.6, 0.6, 0.6, 0.6, 0.7]
    likely = np.array([1.5, 2, 2, 1, 0.5 * np.exp((0.1 / 0.13) ** 2)])
    assert blend.weight == pytest.approx(likely @ [0, 0.25, 0.5, 0.75, 1] / likely.sum(), abs=0.005)


def test_choose_blend__a_photo_in_which_nothing_is_sure() -> None:
    unsure, truth = np.zeros((9, 9), np.float32), np.zeros((9, 9), np.float32)
    truth[2:7, 2:7], unsure[2:7, 2:7] = 1, 0.4
    photo = LeftOut(unsure, unsure * 0, truth, np.ones((9, 9), np.float32))
    blend, scores = choose_blend([photo])
    assert blend.peak > 0.5
    small = choose_blend([photo], patches=4)[0]
    assert small == Blend(0.39)  # nothing is smoothed
    assert scores["1"] == 0.84  # without the corners, which smoothing rounds off


def test_reach_and_trust__photos_unlike_all_labelled_ones() -> None:
    means = np.array([[0, 0], [3, 4], [0, 1]], dtype=np.float32)
    reach = reach_of(means, spread=0)
    assert reach == pytest.approx(np.hypot(3, 3))  # of (3, 4) from (0, 1)
    assert trust(np.array([0, 1], np.float32), means, 2) == 1
    assert trust(np.array([0, -2], np.float32), means, 2) == 1
    assert trust(np.array([0, -3], np.float32), means, 2) == 0.5
    assert trust(np.array([0, -9], np.float32), means, 2) == 0


def test_reach_and_trust__one_photo_or_none() -> None:
    one = np.zeros((1, 2), np.float32)
    assert reach_of(one, spread=8) == 2
    assert trust(np.array([0, 3], np.float32), one, 2) == 0.5
    assert trust(np.array([0, 3], np.float32), one[:0], 0) == 1
    assert trust(np.array([0, 0], np.float32), one, 0) == 1
    assert trust(np.array([0, 3], np.float32), one, 0) == 0
