"""Figures for a terminal, and of several sets of predictions together."""

from __future__ import annotations

import io
import json
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from prelabel.evaluation.costs import Costs
from prelabel.evaluation.measure import Evaluation
from prelabel.evaluation.protocol import FIGURES, protocol, shown
from prelabel.storage.files import replacing
from prelabel.storage.text import one_line

_ROWS = 25
"""Classes in the terminal's table; JSON and the page have all."""
Figures = dict[str, Any]


def over_sets(sets: Sequence[Figures]) -> Figures:
    """Mean and sample standard deviation (n - 1) of every figure, None where a set has none."""
    both = {}
    for key in FIGURES:
        if key not in sets[0]:
            continue
        values = [own[key] for own in sets]
        known = all(value is not None for value in values)
        both[key] = {
            "mean": statistics.fmean(values) if known else None,
            "standard_deviation": statistics.stdev(values) if known else None,
        }
    return both


def format_table(*sets: Figures) -> str:
    """The figures of one set of predictions, or mean ± standard deviation of several (seeds), each
    with its protocol; then classes and sizes of the first or only one, costs and problems."""
    first = sets[0]
    table = _table("", "", "protocol")
    both = over_sets(sets) if len(sets) > 1 else {}
    for key, figure in FIGURES.items():
        if key not in first:  # its group was not wanted
            continue
        text = _mean(key, both[key]["mean"]) if both else shown(key, first[key])
        if both and both[key]["mean"] is not None:
            text += f" ± {both[key]['standard_deviation']:.3f}"
        table.add_row(figure.title, text, protocol(key, first["matching"]))
    lines = [_drawn(table)]
    of_first = f" (set 1 of {len(sets)})" if both else ""
    if both:
        lines.append(f"mean ± standard deviation (n - 1) over {len(sets)} sets of predictions")
    if "objects" in first:
        lines += ["", _drawn(_shares("size", _sizes(first), of_first))]
    lines += ["", _drawn(_shares("class", _classes(first), of_first))]
    if (left := len(first["per_class"]) - _ROWS) > 0:
        lines.append(f"and {left} more classes")
    if "costs" in first:
        lines.append(f"costs: {Costs(**first['costs']).stated()}")
    for number, own in enumerate(sets, start=1):
        which = f"set {number}: " if both else ""
        lines += [which + line for line in notes(own)]
    return "\n".join(lines)


def _mean(key: str, value: float | None) -> str:
    """Like ``shown``; a mean of counts need not be a whole number."""
    is_part = value is not None and FIGURES[key].unit == "count" and value % 1
    return f"{value:.1f}" if is_part else shown(key, value)


def write_json(file: Path, sources: Sequence[Path], evaluations: Sequence[Evaluation]) -> Path:
    """One evaluation's figures, or those of several and mean and standard deviation; replaces
    ``file`` whole and returns it. ``protocol`` says how each figure is computed."""
    sets = [
        {"predictions": str(source), **one.figures}
        for source, one in zip(sources, evaluations, strict=True)
    ]
    matching = sets[0]["matching"]
    protocols = {key: protocol(key, matching) for key in FIGURES if key in sets[0]}
    facts = sets[0] if len(sets) == 1 else {"over_sets": over_sets(sets), "sets": sets}
    with replacing(file) as beside:
        text = json.dumps({**facts, "protocol": protocols}, indent=1, allow_nan=False)
        beside.write_text(text + "\n", encoding="ascii")
    return file


def notes(figures: Figures) -> list[str]:
    """What was left out, in words."""
    lines = []
    for key, side in (("without_prediction", "ground truth"), ("without_truth", "predictions")):
        if n := figures[f"photos_{key}"]:
            names = figures["named"][key]
            more = f" and {n - 3} more" if n > 3 else ""
            lines.append(f"{n} photos only in the {side}: {', '.join(names[:3])}{more}")
    if figures["photos_matched_by"] != "the whole name":
        lines.append(f"photos matched by {figures['photos_matched_by']}")
    return [one_line(line) for line in (*lines, *figures["problems"])]


def _sizes(figures: Figures) -> list[tuple[str, Figures]]:
    return list(figures["objects_by_size"].items())


def _classes(figures: Figures) -> list[tuple[str, Figures]]:
    return [(row["class"], row) for row in figures["per_class"][:_ROWS]]


def _shares(heading: str, rows: Sequence[tuple[str, Figures]], note: str) -> Table:
    keys = ("found_50", "found_75", "found_90", "kept_as_is", "touched_up", "redrawn")
    by_class = heading == "class"
    table = _table(heading + note, "objects", *keys, *(("IoU", "AP") if by_class else ()))
    for name, row in rows:
        cells = [str(row.get("objects", "–")), *(shown(key, row.get(key)) for key in keys)]
        if by_class:
            cells += [shown("mean_iou", row.get("iou")), shown("ap", row.get("ap"))]
        table.add_row(one_line(name), *cells)
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
