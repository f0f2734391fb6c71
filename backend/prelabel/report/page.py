"""The report's one page, written while the predictions stream by."""

from __future__ import annotations

import base64
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, TextIO

from prelabel.data.colors import class_color
from prelabel.data.records import Prediction
from prelabel.report import sections
from prelabel.report.outlines import svg_path, view_size
from prelabel.report.thumbnails import COLUMNS, MAX_CUT_OUTS, Thumbnails
from prelabel.report.totals import Totals
from prelabel.storage.files import replacing

THUMBS = "thumbs"
"""Folder of the thumbnails, beside the page."""

_MARK = re.compile(r"\{\{(\w+)\}\}")


def write_report(
    report_folder: Path,
    predictions: Iterable[Prediction],
    info: Mapping[str, Any],
    *,
    classes: Sequence[str],
    single_file: bool = False,
) -> Path:
    """Write ``report_folder/index.html`` and return its path.

    ``predictions`` is read once; memory grows with the names of the thumbnails only. Their small
    pictures are those that ``Thumbnails(report_folder / "thumbs")`` has; one that is missing is a
    hatched field. Thumbnails of no prediction are removed.
    ``info``: JSON-able facts of the run; known keys get a place of their own, others a line.
    ``classes``: name by class id. ``single_file``: the pictures go into the page itself.
    Raises OSError if a file cannot be written; a page that was there before then stays.
    """
    thumbnails = Thumbnails(report_folder / THUMBS)
    totals = Totals()
    used: set[str] = set()
    page = report_folder / "index.html"
    # The head of the page needs the totals, so the photos wait in a file, not in memory.
    with tempfile.TemporaryFile("w+", dir=report_folder, encoding="ascii") as rows:
        for prediction in predictions:
            names = thumbnails.names(prediction)
            pictures = [_source(thumbnails.folder / name, inline=single_file) for name in names]
            rows.write(",\n" if totals.photos else "")
            rows.write(_json(_row(prediction, pictures)))
            totals.add(prediction)
            used.update(names)
        rows.seek(0)
        with (
            replacing(page) as beside,
            # A file name that is no valid Unicode holds lone surrogates: references, not an error.
            beside.open("w", encoding="utf-8", errors="xmlcharrefreplace", newline="\n") as file,
        ):
            _write_page(file, rows, totals, info, classes=classes)
    thumbnails.keep_only(used)
    return page


def _write_page(
    file: TextIO,
    rows: TextIO,
    totals: Totals,
    info: Mapping[str, Any],
    *,
    classes: Sequence[str],
) -> None:
    ids = sorted(
        {*range(len(classes)), *totals.class_sizes}, key=lambda i: (-totals.class_sizes[i], i)
    )
    names = {i: classes[i] if 0 <= i < len(classes) else f"class {i}" for i in ids} | {
        -1: "no class"
    }
    colors = {i: "rgb({}, {}, {})".format(*class_color(max(i, -1))) for i in ids}
    parts = {
        "style": _file("style.css"),
        "script": _file("script.js"),
        "tiles": sections.tiles(totals, info, classes=classes),
        "weights": sections.weights(info),
        "warnings": sections.warnings(info),
        "class_bars": sections.class_bars(
            [(i, names[i], colors[i], totals.class_sizes[i]) for i in ids]
        ),
        "histogram": sections.histogram(totals.histogram),
        "timings": sections.timings(info),
        "skipped": sections.skipped(info),
        "config": sections.config(info),
        "others": sections.others(info),
        "classes": _json([{"id": i, "name": names[i], "color": colors[i]} for i in ids]),
        "sprite": _json({"columns": COLUMNS, "cells": MAX_CUT_OUTS}),
    }
    head, tail = _file("index.html").split("{{photos}}")
    # One pass, so that a photo named "{{style}}" stays just that.
    file.write(_MARK.sub(lambda mark: parts[mark[1]], head))
    shutil.copyfileobj(rows, file)
    file.write(_MARK.sub(lambda mark: parts[mark[1]], tail))


def _row(prediction: Prediction, pictures: Sequence[str]) -> dict[str, Any]:
    """What the script needs of one photo; scores are rounded for people, not for order."""
    width, height = prediction.width, prediction.height
    return {
        "name": prediction.photo,
        "thumb": pictures[0],
        "cuts": pictures[1] if prediction.regions else "",
        "width": width,
        "height": height,
        "view": view_size(width, height),
        "score": round(prediction.score, 6),
        "foreground": round(prediction.foreground, 4),
        "regions": [
            [region.cluster, round(region.score, 6), svg_path(region, width=width, height=height)]
            for region in prediction.regions
        ],
    }


def _source(file: Path, *, inline: bool) -> str:
    """What an img's src needs; empty if there is no such file."""
    if not file.exists():
        return ""
    if not inline:
        return f"{THUMBS}/{file.name}"
    return f"data:image/jpeg;base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"


def _json(value: object) -> str:
    """JSON in ASCII that is safe inside a script element: no ``</script`` and no ``<!--``."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _file(name: str) -> str:
    return files("prelabel.report").joinpath(name).read_text(encoding="utf-8")
