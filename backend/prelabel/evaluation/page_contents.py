"""What the page shows beside its photos, as data for the template."""

from __future__ import annotations

from typing import NamedTuple

from prelabel.evaluation.costs import Costs
from prelabel.evaluation.figures import Confusion, Figures, Shares
from prelabel.evaluation.protocol import FIGURES, shown
from prelabel.evaluation.tables import SHARES, class_cells, class_columns, share_cells

_CONFUSED = 60
"""Rows and columns of the confusion on the page; JSON has all."""


class FigureRow(NamedTuple):
    """A figure with its protocol."""

    key: str
    title: str
    value: str
    protocol: str


class Table(NamedTuple):
    """``rows``: the name and the cells of each."""

    columns: list[str]
    rows: list[tuple[str, list[str]]]


class ConfusionTable(NamedTuple):
    """``rows``: the name of each cluster, and for each class the share of the cluster's pixels and
    their number. ``is_cut``: there are more than ``most`` rows or columns."""

    classes: list[str]
    rows: list[tuple[str, list[tuple[float, int]]]]
    is_cut: bool
    most: int = _CONFUSED


def figure_rows(figures: Figures) -> list[FigureRow]:
    """Every figure that was measured."""
    return [
        FigureRow(key, FIGURES[key].title, shown(key, value), figures.protocol(key))
        for key, value in figures.values().items()
    ]


def size_table(by_size: dict[str, Shares]) -> Table:
    """Shares of objects by their size."""
    columns = ["objects", *(key.replace("_", " ") for key in SHARES)]
    return Table(columns, [(size, share_cells(shares)) for size, shares in by_size.items()])


def class_table(figures: Figures) -> Table:
    """One row for each class."""
    columns = [column.replace("_", " ") for column in class_columns(figures)]
    return Table(columns, [(row.name, class_cells(figures, row)) for row in figures.per_class])


def confusion_table(confusion: Confusion) -> ConfusionTable:
    """Share of each cluster's pixels in each class."""
    rows = []
    for name, pixels in zip(confusion.clusters, confusion.pixels, strict=True):
        whole = sum(pixels) or 1
        rows.append((name, [(n / whole, n) for n in pixels[:_CONFUSED]]))
    return ConfusionTable(
        confusion.classes[:_CONFUSED],
        rows[:_CONFUSED],
        is_cut=max(len(confusion.classes), len(rows)) > _CONFUSED,
    )


def about_costs() -> list[str]:
    """The paragraphs that say where the cost model's constants come from."""
    about = (Costs.__doc__ or "").replace("``", "")
    return [" ".join(paragraph.split()) for paragraph in about.split("\n\n")]
