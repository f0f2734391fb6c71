"""The memory of this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prelabel.storage.memory import peak_memory


def test_peak_memory__is_the_same_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    held = np.ones(8_000_000)
    peak = peak_memory()
    assert peak > held.nbytes

    def missing(file: Path, **_: object) -> str:
        raise FileNotFoundError(file)

    monkeypatch.setattr(Path, "read_text", missing)
    assert peak_memory() == pytest.approx(peak, rel=0.1)
