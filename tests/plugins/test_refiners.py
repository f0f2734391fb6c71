"""Refiners by hand and against a plain guided filter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prelabel.strategies.registry import make

Float = NDArray[np.float32]


def _plain_guided_filter(
    p: Float, image: NDArray[np.uint8], radius: int, epsilon: float
) -> NDArray[np.float64]:
    """He, Sun and Tang's equations 5 to 8, window by window, as ridge regressions."""
    side = 2 * radius + 1
    guide = np.pad(image / 255.0, ((radius,) * 2, (radius,) * 2, (0, 0)), mode="symmetric")
    target = np.pad(p.astype(np.float64), radius, mode="symmetric")
    height, width = p.shape
    model = np.zeros((height, width, 4))
    ridge = np.hstack([np.sqrt(epsilon * side * side) * np.eye(3), np.zeros((3, 1))])
    for y in range(height):
        for x in range(width):
            window = guide[y : y + side, x : x + side].reshape(-1, 3)
            rows = np.vstack([np.hstack([window, np.ones((side * side, 1))]), ridge])
            values = np.append(target[y : y + side, x : x + side].ravel(), np.zeros(3))
            model[y, x] = np.linalg.lstsq(rows, values, rcond=None)[0]
    padded = np.pad(model, ((radius,) * 2, (radius,) * 2, (0, 0)), "symmetric")
    result = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            mean = padded[y : y + side, x : x + side].reshape(-1, 4).mean(axis=0)
            result[y, x] = mean[:3] @ (image[y, x] / 255.0) + mean[3]
    return np.asarray(np.clip(result, 0, 1))


def test_guided_filter__one_round_is_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prelabel_plugins.refiners.guided_filter._REDUCTION", 1)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (10, 16, 3), dtype=np.uint8)
    foreground = rng.random((10, 16)).astype(np.float32)
    refiner = make("refiner", "guided-filter", {"radius": 0.125, "epsilon": 0.01, "rounds": 1})
    expected = _plain_guided_filter(foreground, image, radius=2, epsilon=0.01)
    assert np.allclose(refiner.refine(foreground, image), expected, atol=1e-4)


def _step(height: int, width: int, at: int) -> NDArray[np.uint8]:
    image = np.full((height, width, 3), 30, dtype=np.uint8)
    image[:, at:] = (220, 180, 90)
    return image


@pytest.mark.parametrize("rounds", [1, 3])
def test_guided_filter__a_blurred_step_is_cut_at_the_photos_step(rounds: int) -> None:
    image = _step(64, 96, at=48)
    ramp = np.clip((np.arange(96) - 51.5) / 24 + 0.5, 0, 1).astype(np.float32)  # 4 pixels off
    foreground = np.tile(ramp, (64, 1))
    assert (foreground > 0.5).sum(axis=1).tolist() == [44] * 64
    options = {"radius": 0.1, "epsilon": 1e-4, "rounds": rounds, "sharpness": 20.0}
    refined = make("refiner", "guided-filter", options).refine(foreground, image)
    assert ((refined > 0.5) == (np.arange(96) >= 48)).all()
    assert (refined[:, 48] - refined[:, 47]).min() > 0.3


@given(value=st.sampled_from([0.0, 0.25, 0.5, 1.0]), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_guided_filter__constant_p_stays_constant(value: float, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    foreground = np.full((24, 40), value, dtype=np.float32)
    refiner = make("refiner", "guided-filter", {"radius": 0.1, "epsilon": 1e-3, "rounds": 1})
    assert np.allclose(refiner.refine(foreground, image), value, atol=2e-3)
    rounds = make(
        "refiner",
        "guided-filter",
        {"radius": 0.1, "epsilon": 1e-3, "rounds": 3, "sharpness": 20.0},
    )
    refined = rounds.refine(foreground, image)
    assert np.ptp(refined) < 5e-3
    assert np.sign(np.round(refined.mean() - 0.5, 3)) == np.sign(value - 0.5)


@pytest.mark.parametrize("name", ["guided-filter", "dense-crf", "none"])
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 300),
    seed=st.integers(0, 99),
    tall=st.booleans(),
)
@settings(max_examples=25)
def test_refiners__any_shape(name: str, height: int, width: int, seed: int, tall: bool) -> None:
    if name == "dense-crf":
        pytest.importorskip("pydensecrf", reason="pydensecrf is not installed (no compiler)")
    shape = (width, height) if tall else (height, width)
    rng = np.random.default_rng(seed)
    foreground = rng.random(shape).astype(np.float32)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    refined = make("refiner", name, {}).refine(foreground, image)
    assert refined.shape == shape
    assert refined.dtype == np.float32
    assert np.isfinite(refined).all()
    assert refined.min() >= 0
    assert refined.max() <= 1


def test_none__returns_a_copy() -> None:
    foreground = np.array([[0.1, 0.9]], dtype=np.float32)
    refined = make("refiner", "none", {}).refine(foreground, np.zeros((1, 2, 3), dtype=np.uint8))
    assert refined.tolist() == foreground.tolist()
    assert not np.shares_memory(refined, foreground)


def _disc(side: int, radius: float) -> NDArray[np.bool_]:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.asarray(np.hypot(y, x) < radius)


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("name", ["dense-crf", "guided-filter"])
def test_refiners__better_than_the_patches_alone(name: str) -> None:
    if name == "dense-crf":
        pytest.importorskip("pydensecrf", reason="pydensecrf is not installed (no compiler)")
    truth = _disc(96, 30)
    image = np.where(truth[..., None], (200, 60, 40), (40, 90, 160)).astype(np.uint8)
    image.flags.writeable = False  # Pillow's arrays are
    patches = truth.reshape(6, 16, 6, 16).mean(axis=(1, 3)).astype(np.float32)
    foreground = np.kron(patches * 0.8 + 0.1, np.ones((16, 16), dtype=np.float32))
    options = {"radius": 0.15, "epsilon": 1e-4, "rounds": 3} if name == "guided-filter" else {}
    refined = make("refiner", name, options).refine(foreground, image)
    before, after = _iou(foreground > 0.5, truth), _iou(refined > 0.5, truth)
    assert before < 0.9
    assert after > 0.98
