"""Problems: what readers and exporters could not keep, counted."""

from __future__ import annotations

from prelabel.data.dataset import Problems


def test_problems__are_counted_by_kind_with_the_first_three_places() -> None:
    problems = Problems()
    for number in range(5):
        problems.note("holes filled", f"{number}.jpg")
    problems.note("sizes guessed")
    assert problems.lines() == ["5 holes filled (0.jpg; 1.jpg; 2.jpg)", "1 sizes guessed"]
    assert problems.counts == {"holes filled": 5, "sizes guessed": 1}
    assert Problems().lines() == []
