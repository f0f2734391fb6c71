"""Problems that strangers cause must fill neither the log nor the page."""

from __future__ import annotations

import pytest

from prelabel.label_studio.server.problems import ProblemLog


def test_refused__once_a_minute_and_few(caplog: pytest.LogCaptureFixture) -> None:
    problems = ProblemLog()
    for _ in range(5):
        problems.refused("the same")
    assert [p.text for p in problems.last()] == ["the same"]
    for n in range(1000):
        problems.refused(f"{n} {'x' * 10_000}")
    assert len(caplog.text) < 40_000
    problems.add("a problem")
    assert problems.last()[-1].text == "a problem"


def test_add__one_line_and_not_a_long_one(caplog: pytest.LogCaptureFixture) -> None:
    problems = ProblemLog()
    problems.add("a host\nprelabel: all is well\x1b[2J" + "x" * 100_000)
    (problem,) = problems.last()
    assert problem.text.startswith("a host prelabel: all is well [2J")
    assert len(problem.text) == 1000
    assert problem.text in caplog.text
