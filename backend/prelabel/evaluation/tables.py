"""Figures for a terminal and for JSON, of one set of predictions or several together."""

from __future__ import annotations

import io
import json
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from prelabel.evaluation.figures import ClassFigures, Figures, Shares
from prelabel.evaluation.protocol import FIGURES, shown
from prelabel.evaluation.verdict import verdict
from prelabel.storage.files import replacing
from prelabel.storage.text import one_line

_ROWS = 25
"""Classes in the terminal's table; JSON and the page have all."""
SHARES = ("found_50", "found_75", "found_90", "kept_as_is", "touched_up", "redrawn")
"""Those of `Shares` that tables show beside the number of objects."""
_NAMED = 3
"""Photos that a note names."""


class Spread(msgspec.Struct):
    """A figure over sets; ``standard_deviation``: of the sample (n - 1). None where a set has none."""

    mean: float | None
    standard_deviation: float | None


def over_sets(sets: Sequence[Figures]) -> dict[str, Spread]:
    """Every figure over several sets of predictions, by key."""
    numbers = [own.values() for own in sets]
    spreads = {}
    for key in numbers[0]:
        values = [value for own in numbers if (value := own[key]) is not None]
        spreads[key] = (
            Spread(statistics.fmean(values), statistics.stdev(values))
            if len(values) == len(sets)
            else Spread(None, None)
        )
    return spreads


def format_table(*sets: Figures) -> str:
    """The verdict; the figures of one set of predictions, or mean ± standard deviation of several
    (seeds), each with its protocol; then classes and sizes of the first or only one, costs and problems."""
    first, is_one = sets[0], len(sets) == 1
    numbers = first.values()
    if is_one:
        texts = {key: shown(key, value) for key, value in numbers.items()}
    else:
        texts = {key: _spread(key, own) for key, own in over_sets(sets).items()}
    table = _table("", "", "protocol")
    for key in numbers:
        table.add_row(FIGURES[key].title, texts[key], first.protocol(key))
    lines = [*verdict(sets), "", _drawn(table)]
    of_first = "" if is_one else f" (set 1 of {len(sets)})"
    if not is_one:
        lines.append(f"mean ± standard deviation (n - 1) over {len(sets)} sets of predictions")
    if first.objects:
        lines += ["", _drawn(_size_table(first.objects.by_size, of_first))]
    lines += ["", _drawn(_class_table(first, of_first))]
    if (left := len(first.per_class) - _ROWS) > 0:
        lines.append(f"and {left} more classes")
    if first.objects:
        lines.append(f"costs: {first.objects.costs.stated()}")
    for number, own in enumerate(sets, start=1):
        which = "" if is_one else f"set {number}: "
        lines += [which + line for line in notes(own)]
    return "\n".join(lines)


def write_json(file: Path, sources: Sequence[Path], sets: Sequence[Figures]) -> Path:
    """One set's figures, or those of several and mean and standard deviation; replaces ``file``
    whole and returns it. ``protocol`` says how each figure is computed."""
    written = [
        {"predictions": str(source), **own.as_json()}
        for source, own in zip(sources, sets, strict=True)
    ]
    facts: dict[str, object] = written[0]
    if len(sets) > 1:
        facts = {"over_sets": msgspec.to_builtins(over_sets(sets)), "sets": written}
    protocols = {key: sets[0].protocol(key) for key in sets[0].values()}
    with replacing(file) as beside:
        text = json.dumps({**facts, "protocol": protocols}, indent=1, allow_nan=False)
        beside.write_text(text + "\n", encoding="ascii")
    return file


def notes(figures: Figures) -> list[str]:
    """What was left out, in words."""
    sources = figures.sources
    lines = []
    for n, names, side in (
        (sources.photos_without_prediction, sources.named.without_prediction, "ground truth"),
        (sources.photos_without_truth, sources.named.without_truth, "predictions"),
    ):
        if n:
            more = f" and {n - _NAMED} more" if n > _NAMED else ""
            lines.append(f"{n} photos only in the {side}: {', '.join(names[:_NAMED])}{more}")
    if sources.photos_matched_by != "the whole name":
        lines.append(f"photos matched by {sources.photos_matched_by}")
    return [one_line(line) for line in (*lines, *sources.problems)]


def share_cells(shares: Shares | None) -> list[str]:
    """The number of objects and their ``SHARES``."""
    if shares is None:
        return ["0", *["–"] * len(SHARES)]
    return [str(shares.objects), *(shown(key, getattr(shares, key)) for key in SHARES)]


def _spread(key: str, spread: Spread) -> str:
    """Like ``shown``; a mean of counts need not be a whole number."""
    mean, deviation = spread.mean, spread.standard_deviation
    if mean is None or deviation is None:
        return shown(key, None)
    is_part = FIGURES[key].unit == "count" and mean % 1
    return f"{f'{mean:.1f}' if is_part else shown(key, mean)} ± {deviation:.3f}"


def _size_table(by_size: dict[str, Shares], of_first: str) -> Table:
    table = _table(f"size{of_first}", "objects", *SHARES)
    for size, shares in by_size.items():
        table.add_row(size, *share_cells(shares))
    return table


def class_columns(figures: Figures) -> list[str]:
    """What was measured of classes: headings of tables."""
    return [
        *(["objects", *SHARES] if figures.objects else []),
        *(["IoU"] if figures.pixels else []),
        *(["AP"] if figures.coco else []),
    ]


def class_cells(figures: Figures, row: ClassFigures) -> list[str]:
    """The cells of a class in these columns."""
    return [
        *(share_cells(row.shares) if figures.objects else []),
        *([shown("mean_iou", row.pixels.iou if row.pixels else None)] if figures.pixels else []),
        *([shown("ap", row.ap if isinstance(row.ap, float) else None)] if figures.coco else []),
    ]


def _class_table(figures: Figures, of_first: str) -> Table:
    table = _table(f"class{of_first}", *class_columns(figures))
    for row in figures.per_class[:_ROWS]:
        table.add_row(one_line(row.name), *class_cells(figures, row))
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for i, heading in enumerate(headings):
        number = i > 0 and heading != "protocol"
        table.add_column(
            heading.replace("_", " "), justify="right" if number else "left", no_wrap=number
        )
    return table


def _drawn(table: Table) -> str:
    width = max(100, shutil.get_terminal_size((120, 24)).columns)
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, markup=False, emoji=False).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
