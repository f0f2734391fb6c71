"""What a terminal shows of a run."""

from __future__ import annotations

import time

import pytest

from prelabel.cli import console


def test_lines__say_how_long_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lines = console.Lines()
    lines.start("features", 30)
    for _ in range(10):
        now += 1.2
        lines.advance()
    now += 3.0
    lines.stop()
    # 9 photos in 10.8 s are 0.833 a second; the other 21 take 25.2 s; 10 in 15 s at the end
    assert capsys.readouterr().err.splitlines() == [
        "features: 9 of 30, 0.833 a second, 25.2 s left",
        "features: 10 of 30, 15.0 s, 0.667 a second",
    ]
