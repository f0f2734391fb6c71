"""What tests of weights share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from prelabel.weights.load import default_choice
from support.random_vit import TINY, State, random_state


@pytest.fixture(scope="session")
def tiny() -> State:
    """Random weights of timm's smallest vision transformer."""
    return random_state(TINY)


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    default_choice.cache_clear()
    yield
    default_choice.cache_clear()
