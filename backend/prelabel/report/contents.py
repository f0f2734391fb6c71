"""What the page shows beside its photos, as data for the template."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from prelabel.data.colors import css_color
from prelabel.report.totals import N_BINS, Totals
from prelabel.runs.facts import RunFacts

_SHOWN_ELSEWHERE = {
    "seconds", "weights", "warnings", "config", "regions", "class_names", "classes_used",
    "photos_per_second", "peak_memory_mb", "command", "state", "photos",
    "taught", "region_groups", "near_identical",
}  # fmt: skip
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 600, 180
"""In the units of its SVG."""


class Tile(NamedTuple):
    """A main figure at the head of the page. ``link``: leads to an explanation, with ``note``."""

    name: str
    value: str
    note: str = ""
    link: str = ""


class ClassRow(NamedTuple):
    """A class. ``color``: of CSS. ``size``: how many regions it has."""

    id: int
    name: str
    color: str
    size: int


class Bar(NamedTuple):
    """A bar of the histogram: its left side and height in the SVG's units; the scores from ``low``
    to ``high`` and how many regions have them."""

    x: float
    height: float
    low: float
    high: float
    n_regions: int


def tiles(totals: Totals, facts: RunFacts) -> list[Tile]:
    """The main figures."""
    photos, used = max(totals.photos, 1), len(totals.class_sizes)
    n_skipped = len(facts.photos.skipped)
    found = [
        Tile("photos", _count(totals.photos)),
        Tile("regions", _count(totals.regions), f"{totals.regions / photos:.1f} per photo"),
        Tile("classes", _count(max(facts.classes, used)), f"{used} with regions"),
        Tile(
            "empty photos", _count(totals.empty), f"{100 * totals.empty / photos:.0f} % of photos"
        ),
        Tile("skipped", _count(n_skipped), *(("reasons", "#skipped") if n_skipped else ())),
    ]
    if alike := facts.near_identical:
        note = f"in {len(alike)} group{'s' * (len(alike) != 1)}"
        found.append(Tile("near-identical", _count(sum(map(len, alike))), note, "#near-identical"))
    if facts.photos_per_second is not None:
        found.append(Tile("photos per second", f"{facts.photos_per_second:.3g}"))
    found.append(Tile("MB peak memory", _count(round(facts.peak_memory_mb))))
    return found


def class_rows(totals: Totals, names: Sequence[str]) -> list[ClassRow]:
    """Classes that have a name or a region, those with most regions first."""
    sizes = totals.class_sizes
    ids = sorted({*range(len(names)), *sizes}, key=lambda i: (-sizes[i], i))
    return [ClassRow(i, _class_name(i, names), css_color(i), sizes[i]) for i in ids]


def histogram(counts: Sequence[int]) -> list[Bar]:
    """Regions by score, N_BINS bins from 0 to 1."""
    step, highest = HISTOGRAM_WIDTH / N_BINS, max(counts) or 1
    return [
        Bar(i * step, HISTOGRAM_HEIGHT * n / highest, i / N_BINS, (i + 1) / N_BINS, n)
        for i, n in enumerate(counts)
    ]


def timings(facts: RunFacts) -> list[tuple[str, float, float | None]]:
    """Each stage with its seconds and its share of the whole; the total without one."""
    whole = sum(s for stage, s in facts.seconds.items() if stage != "total") or 1.0
    return [
        (stage, seconds, None if stage == "total" else seconds / whole)
        for stage, seconds in facts.seconds.items()
    ]


def flat(value: object, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as the names and values that ``--set`` takes."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from flat(item, f"{prefix}.{key}" if prefix else str(key))
    elif prefix:
        yield prefix, value if isinstance(value, str) else json.dumps(value, default=str)


def other_facts(facts: RunFacts) -> list[tuple[str, str]]:
    """Everything that has no place of its own on the page."""
    written = msgspec.to_builtins(facts)
    photos = {key: value for key, value in written["photos"].items() if key != "skipped"}
    rest = {key: value for key, value in written.items() if key not in _SHOWN_ELSEWHERE}
    return list(flat({**rest, "photos": photos}))


def is_stand_in(weights: Mapping[str, object]) -> bool:
    """Whether the weights are not DINO's, of which the page warns."""
    return any("stand-in" in str(value).lower() for value in weights.values())


def _class_name(index: int, names: Sequence[str]) -> str:
    if index < 0:
        return "no class"
    return names[index] if index < len(names) else f"class {index}"


def _count(n: int) -> str:
    return f"{n:,}".replace(",", "\u202f")
