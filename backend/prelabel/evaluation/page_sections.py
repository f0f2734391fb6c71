"""Pieces of the page's HTML; names go through ``text``, so that none is taken for markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prelabel.data.colors import class_color
from prelabel.evaluation.costs import Costs
from prelabel.evaluation.measure import Evaluation
from prelabel.evaluation.protocol import FIGURES, protocol, shown
from prelabel.evaluation.tables import notes as notes_lines
from prelabel.report.sections import text

_SHARES = ("found_50", "found_75", "found_90", "kept_as_is", "touched_up", "redrawn")
_CONFUSED = 60
"""Rows and columns of the confusion on the page; JSON has all."""


def facts(found: Mapping[str, str]) -> str:
    """What was compared."""
    return "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in found.items()
    )


def figures(found: Mapping[str, Any]) -> str:
    """Every figure with its protocol."""
    return "".join(
        f'<tr id="figure-{key}"><th scope=row>{text(figure.title.strip())}</th>'
        f"<td class=number>{shown(key, found[key])}</td>"
        f"<td class=soft>{text(protocol(key, found['matching']))}</td></tr>"
        for key, figure in FIGURES.items()
        if key in found
    )


def notes(found: Mapping[str, Any]) -> str:
    """What was left out, or nothing."""
    lines = "".join(f"<li>{text(line)}</li>" for line in notes_lines(dict(found)))
    return f"<section class=warnings><h2>Left out</h2><ul>{lines}</ul></section>" if lines else ""


def sizes(found: Mapping[str, Any]) -> str:
    """Shares of objects by their size."""
    rows = [(size, row) for size, row in found["objects_by_size"].items()]
    return _table("size", rows, extra=())


def classes(found: Mapping[str, Any]) -> str:
    """One row for each class."""
    rows = [(row["class"], row) for row in found["per_class"]]
    return _table("class", rows, extra=(("IoU", "iou"), ("AP", "ap")))


def confusion(found: Mapping[str, Any]) -> str:
    """Share of each cluster's pixels in each class, as a table whose cells are tinted."""
    table = found["confusion"]
    columns = table["classes"][:_CONFUSED]
    head = "".join(f"<th scope=col><span>{text(name)}</span></th>" for name in columns)
    body = ""
    for name, pixels in list(zip(table["clusters"], table["pixels"], strict=True))[:_CONFUSED]:
        whole = sum(pixels) or 1
        cells = "".join(
            f'<td style="--share:{n / whole:.3f}" title="{n} pixels">'
            f"{f'{100 * n / whole:.0f}' if n / whole >= 0.005 else ''}</td>"
            for n in pixels[:_CONFUSED]
        )
        body += f"<tr><th scope=row>{text(name)}</th>{cells}</tr>"
    more = len(table["classes"]) > _CONFUSED or len(table["clusters"]) > _CONFUSED
    note = f"<p class=soft>The first {_CONFUSED} of each; JSON has all.</p>" if more else ""
    return (
        f"<table class=confusion><thead><tr><td></td>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>{note}"
    )


def costs(model: Costs) -> str:
    """The cost model's constants and where they come from."""
    about = (Costs.__doc__ or "").replace("``", "")
    paragraphs = "".join(
        f"<p class=soft>{text(' '.join(p.split()))}</p>" for p in about.split("\n\n")
    )
    return f"<p>{text(model.stated())}</p>{paragraphs}"


def pictures(*, missing: int, shown: int) -> str:
    """Says so where photos are not at hand."""
    if not missing:
        return ""
    which = "The photos" if missing == shown else f"{missing} of the {shown} photos"
    return (
        f"<p class=warnings id=no-pictures>{which} could not be shown (not here, or not of the "
        "masks’ size): masks stand alone. Name their folder with --photos.</p>"
    )


def colors(evaluation: Evaluation) -> list[dict[str, Any]]:
    """Name and colour of each class, by id."""
    return [
        {"name": name, "color": "rgb({}, {}, {})".format(*class_color(i))}
        for i, name in enumerate(evaluation.classes)
    ]


def _table(
    heading: str,
    rows: Sequence[tuple[str, Mapping[str, Any]]],
    *,
    extra: Sequence[tuple[str, str]],
) -> str:
    columns = [*(name for name, _ in extra), "objects", *(k.replace("_", " ") for k in _SHARES)]
    head = "".join(f"<th scope=col class=number>{name}</th>" for name in columns)
    body = "".join(
        f"<tr><th scope=row>{text(name)}</th>"
        + "".join(f"<td class=number>{_number(row.get(key))}</td>" for _, key in extra)
        + f"<td class=number>{row.get('objects', 0)}</td>"
        + "".join(f"<td class=number>{_number(row.get(key))}</td>" for key in _SHARES)
        + "</tr>"
        for name, row in rows
    )
    return (
        f"<table class=shares><thead><tr><th scope=col>{heading}</th>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
