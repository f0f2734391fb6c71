"""Predictions of the same photos side by side: how far they differ, and the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import builders
from builders import region
from prelabel.data.records import Prediction, Region
from prelabel.report import comparison
from prelabel.report.comparison import Column, difference, write_comparison
from support.browser import chromium
from support.page_tab import PageTab
from support.report_data import Scripts, run_facts

SIZE = (4, 10)


def bar(start: int, stop: int, *, score: float = 0.5, cluster: int = 0) -> Region:
    """A region of all rows from one column up to another one: 4 pixels each."""
    mask = np.zeros(SIZE, dtype=np.bool_)
    mask[:, start:stop] = True
    return region(mask, cluster, score=score)


def photo(name: str, *regions: Region) -> Prediction:
    return builders.prediction(name, *regions, size=SIZE)


@pytest.mark.parametrize(
    ("first", "other", "expected"),
    [
        ([], [], 0.0),
        ([(0, 4)], [], 1.0),
        ([(0, 4)], [(0, 4)], 0.0),
        ([(0, 4)], [(2, 6)], 2 / 3),  # 2 of 6 columns are in both
        ([(0, 4)], [(4, 8)], 1.0),
        ([(0, 8)], [(0, 4), (4, 8)], 1 / 2),  # the same foreground, cut in two: one half is matched
        ([(0, 8)], [(0, 6), (6, 8)], 1 / 4),  # the larger part has the higher IoU
        ([(0, 2), (4, 6)], [(4, 6), (0, 2)], 0.0),
    ],
)
def test_difference__by_hand(
    first: list[tuple[int, int]], other: list[tuple[int, int]], expected: float
) -> None:
    pair = [photo("a", *(bar(*ends) for ends in own)) for own in (first, other)]
    assert difference(*pair) == pytest.approx(expected)
    assert difference(*pair[::-1]) == pytest.approx(expected)


def test_difference__does_not_look_at_classes_and_crowds() -> None:
    first = photo("a", bar(0, 4, cluster=1), region(np.ones(SIZE, dtype=np.bool_), crowd=True))
    assert difference(first, photo("a", bar(0, 4, cluster=7))) == 0


_MASKS = st.lists(
    st.lists(st.booleans(), min_size=40, max_size=40).map(lambda own: np.reshape(own, SIZE)),
    max_size=4,
)


@given(_MASKS, _MASKS)
def test_difference__is_in_range_and_none_from_itself(
    first: Sequence[NDArray[np.bool_]], other: Sequence[NDArray[np.bool_]]
) -> None:
    one, two = (
        photo("a", *(region(mask) for mask in masks if mask.any())) for masks in (first, other)
    )
    assert 0 <= difference(one, two) <= 1
    apart = [region(mask & (np.arange(10) // 3 == i)) for i, mask in enumerate(first)]
    disjoint = photo("a", *(own for own in apart if own.area))
    assert difference(disjoint, disjoint) == pytest.approx(0)


def columns(*streams: Sequence[Prediction]) -> list[Column]:
    return [Column(f"n={i}", str(i), run_facts(), own) for i, own in enumerate(streams, start=1)]


def test_page__most_different_first_and_totals(tmp_path: Path) -> None:
    first = [photo("a", bar(0, 4)), photo("b", bar(0, 4)), photo("c"), photo("d", bar(0, 2))]
    other = [photo("a", bar(0, 4)), photo("b", bar(2, 6)), photo("c", bar(0, 1), bar(2, 3))]
    totals = write_comparison(tmp_path / "index.html", columns(first, other))
    assert [own.photos for own in totals] == [3, 3]  # d was not predicted by both
    assert [own.regions for own in totals] == [2, 4]
    assert [own.empty for own in totals] == [1, 0]
    assert [own.foreground for own in totals] == pytest.approx([0.8 / 3, 1 / 3])
    assert [own.difference for own in totals] == pytest.approx([0, (0 + 2 / 3 + 1) / 3])
    data = Scripts(tmp_path / "index.html").data
    assert [shown["name"] for shown in data["photos"]] == ["c", "b", "a"]
    assert [len(own) for own in data["photos"][0]["regions"]] == [0, 2]
    assert data["photos"][1]["thumb"] == ""  # there is no picture


def test_page__keeps_only_the_most_different(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "MOST", 2)
    names = ["a", "b", "c", "d"]
    first = [photo(name, bar(0, 8)) for name in names]
    other = [photo(name, bar(0, 8 - i)) for i, name in enumerate(names)]
    totals = write_comparison(tmp_path / "index.html", columns(first, other))
    assert totals[0].photos == 4
    shown = Scripts(tmp_path / "index.html").data["photos"]
    assert [one["name"] for one in shown] == ["d", "c"]
    assert "The 2 of 4 photos that differ most" in (tmp_path / "index.html").read_text()


def test_page__names_stay_text(tmp_path: Path) -> None:
    awkward = "</script><b>x</b>\n\udcff.jpg"
    one = [photo(awkward, bar(0, 4))]
    named = [Column(awkward, str(i), run_facts(), one) for i in (1, 2)]
    write_comparison(tmp_path / "index.html", named)
    found = Scripts(tmp_path / "index.html")
    assert len(found.scripts) == 2
    assert found.data["photos"][0]["name"] == awkward
    assert "<b>x" not in (tmp_path / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_browser__sorts_and_hides_masks(tmp_path: Path) -> None:
    first = [photo("a", bar(0, 4)), photo("b", bar(0, 4)), photo("c", bar(0, 4))]
    other = [photo("a", bar(0, 4)), photo("b", bar(2, 6)), photo("c", bar(0, 1), bar(2, 3))]
    write_comparison(tmp_path / "index.html", columns(first, other))
    with chromium() as browser:
        tab = PageTab(browser, tmp_path / "index.html", viewport={"width": 1280, "height": 900})
        assert tab.names() == ["c", "b", "a"]
        captions = tab.page.locator("#cards figcaption").all_inner_texts()
        assert captions[:2] == ["n=1: 1 region", "n=2: 2 regions"]
        tab.page.select_option("#sort", "name")
        assert tab.names() == ["a", "b", "c"]
        path = tab.page.locator("#cards path").first
        assert path.is_visible()
        tab.page.keyboard.press("m")
        assert not path.is_visible()
        tab.page.fill("#text", "b")
        assert tab.names() == ["b"]
        tab.close()
