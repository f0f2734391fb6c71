"""What a terminal shows of a run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from prelabel.cli import console
from prelabel.runs.facts import GroupFacts
from prelabel.runs.run import Summary
from support.report_data import run_facts


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


def test_summary__what_regions_look_like_and_photos_that_are_alike() -> None:
    facts = run_facts(
        classes_used=2,
        region_groups=GroupFacts(80, 50, 4, 0.1, 0.4),
        near_identical=[list("abcdefg"), *([f"{i}\n", f"{i}'"] for i in range(6))],
    )
    lines = console.summary_lines(Summary(facts, {"model": Path("m")}))
    at = lines.index("classes    3 (2 used)") + 1
    assert lines[at : at + 8] == [
        "groups     2 classes used (silhouette 0.10); regions look like about 4 groups (silhouette 0.40)",
        "alike      19 photos are near-identical to others, in 7 groups",
        "  a, b, c, d, e and 2 more",
        *(f"  {i}\\n, {i}'" for i in range(4)),
        "  and 2 more groups, all named in run.json",
    ]


def test_summary__says_nothing_of_what_is_not_known() -> None:
    text = "\n".join(console.summary_lines(Summary(run_facts(), {"model": Path("m")})))
    assert "groups" not in text
    assert "alike" not in text
