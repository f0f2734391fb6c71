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
