"""Warnings of weights whose patches hold artifacts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from prelabel.weights import artifacts
from prelabel.weights.artifacts import FEWEST, OutlyingNorms, warn_of_missing_registers
from prelabel.weights.models import MODELS, STAND_IN_ARCHITECTURE

PLAIN = {
    "vit_base_patch14_dinov2": "vit_base_patch14_reg4_dinov2",
    "vit_large_patch14_dinov2.lvd142m": "vit_large_patch14_reg4_dinov2.lvd142m",
    "vit_giant_patch14_dinov2.lvd142m": "vit_giant_patch14_reg4_dinov2.lvd142m",
}


@pytest.mark.parametrize(("name", "better"), PLAIN.items())
def test_warn_of_missing_registers__names_those_to_use(
    name: str, better: str, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of_missing_registers(name)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{name} has no registers")
    assert f"use {better} or DINOv3's" in record.getMessage()


def test_warn_of_missing_registers__no_others(caplog: pytest.LogCaptureFixture) -> None:
    for name in (*MODELS, *PLAIN.values(), STAND_IN_ARCHITECTURE, "vit_base_patch14_dinov2_other"):
        if name not in PLAIN and name != "vit_base_patch14_dinov2.lvd142m":
            warn_of_missing_registers(name)
    assert not caplog.records


def norms(n_photos: int, n_outlying: int, high: float) -> NDArray[np.float32]:
    """1 000 patches a photo with norms of 40 ± 10, the first ones ``high`` instead."""
    found = np.random.default_rng(0).uniform(30, 50, (n_photos, 1000)).astype(np.float32)
    found[:, :n_outlying] = high
    return found


@pytest.mark.parametrize(
    ("n_photos", "n_outlying", "high", "warned"),
    [
        (10, 24, 200, True),
        (10, 2, 200, True),  # 0.2 %
        (10, 1, 200, False),
        (9, 24, 200, False),  # 9 000 patches
        (10, 24, 100, False),  # 2.5 times the median
        (10, 24, 0, False),
    ],
)
def test_outlying_norms__enough_of_enough_patches(
    n_photos: int, n_outlying: int, high: float, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    OutlyingNorms("vit_huge").add(norms(n_photos, n_outlying, high))
    assert bool(caplog.records) == warned


def test_outlying_norms__says_what_was_found_once(caplog: pytest.LogCaptureFixture) -> None:
    seen = OutlyingNorms("vit_huge")
    for photo in norms(30, 24, 200.0):
        seen.add(photo[None])
    (record,) = caplog.records
    for part in ("vit_huge: 2.4 % of the patches", "more than 3 times", "reg4", "2309.16588"):
        assert part in record.getMessage()


def test_outlying_norms__what_its_name_says_is_not_said_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name in PLAIN:
        OutlyingNorms(name).add(norms(10, 24, 200.0))
    assert not caplog.records


@settings(max_examples=50, deadline=None)
@given(scale=st.floats(1e-3, 1e3), widest=st.floats(1.0, 2.9), seed=st.integers(0, 100))
def test_outlying_norms__none_within_three_medians(scale: float, widest: float, seed: int) -> None:
    drawn = np.random.default_rng(seed).uniform(1.0, widest, (20, 1000))
    with pytest.MonkeyPatch.context() as patch:
        said: list[object] = []
        patch.setattr(artifacts._log, "warning", lambda *parts: said.append(parts))
        OutlyingNorms("vit_huge").add((scale * drawn).astype(np.float32))
        assert not said


def test_outlying_norms__enough_patches_are_not_looked_at_again() -> None:
    norms = OutlyingNorms("vit")
    norms.add(np.ones((1, FEWEST - 1), dtype=np.float32))
    assert norms.wants_more
    norms.add(np.ones((1, 1), dtype=np.float32))
    assert not norms.wants_more
    assert not OutlyingNorms("vit_base_patch14_dinov2").wants_more  # its name has said it
