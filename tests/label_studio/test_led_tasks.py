"""Which tasks come first, as it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from prelabel.errors import UserError
from prelabel.label_studio.led_tasks import LED, Leading, read_leading, write_leading
from support.messages import assert_says


def test_read_leading__gives_what_was_written(tmp_path: Path) -> None:
    leading = Leading(tasks=(7, 3), tab=1, sampling="Uniform sampling")
    write_leading(tmp_path, leading)
    assert read_leading(tmp_path) == leading
    write_leading(tmp_path, Leading())
    assert read_leading(tmp_path) == Leading()
    assert not list(tmp_path.iterdir())


def test_read_leading__names_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "leading.json").write_text('{"tasks": 3}')
    with pytest.raises(UserError) as caught:
        read_leading(tmp_path)
    assert_says(caught.value, "leading.json", "damaged")


def test_scores__rise_from_minus_one_and_stay_below_those_of_other_tasks() -> None:
    scores = Leading(tasks=tuple(range(LED + 1))).scores
    assert (scores[0], scores[LED // 2], LED in scores) == (-1, -0.5, False)
    assert list(scores.values()) == sorted(scores.values())
    assert max(scores.values()) < 0
