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


@pytest.mark.parametrize("terminal", [True, False])
def test_progress__bars_on_a_terminal_and_else_lines(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    assert isinstance(console.progress(), console.Bars if terminal else console.Lines)


@pytest.mark.parametrize(("total", "shown"), [(1, "✓"), (3, "3/3")])
def test_bars__show_the_stage_and_how_much_is_done(
    total: int, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    bars = console.Bars()
    bars.start("features", total)
    for _ in range(total):
        bars.advance()
    bars.stop()
    printed = capsys.readouterr().err
    assert "features" in printed
    assert shown in printed
