"""The report's page, written from a stream of predictions."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TextIO

from markupsafe import Markup

from prelabel.data.records import Prediction
from prelabel.report import contents
from prelabel.report.svg_paths import svg_path, view_size
from prelabel.report.thumbnails import COLUMNS, MAX_CUT_OUTS, Thumbnails
from prelabel.report.totals import Totals
from prelabel.runs.facts import RunFacts
from prelabel.storage.pages import script_json, write_page

THUMBS = "thumbs"
"""Folder of the thumbnails, beside the page."""


def write_report(
    report_folder: Path,
    predictions: Iterable[Prediction],
    facts: RunFacts,
    *,
    single_file: bool = False,
    kept: Collection[str] = (),
) -> Path:
    """Write ``report_folder/index.html`` and return its path.

    ``predictions`` is read once; memory grows with the names of the thumbnails only. Their small
    pictures are those that ``Thumbnails(report_folder / "thumbs")`` has; one that is missing is a
    hatched field. Thumbnails of no prediction are removed, but for those named in ``kept``.
    ``single_file``: the pictures go into the page itself. Raises OSError if a file cannot be written; a page that was there before then stays.
    """
    thumbnails = Thumbnails(report_folder / THUMBS)
    totals = Totals()
    used = set(kept)
    page = report_folder / "index.html"
    # The head of the page needs the totals, so the photos wait in a file, not in memory.
    with tempfile.TemporaryFile("w+", dir=report_folder, encoding="ascii") as rows:
        for prediction in predictions:
            names = thumbnails.names(prediction)
            pictures = [_source(thumbnails.folder / name, inline=single_file) for name in names]
            rows.write(",\n" if totals.photos else "")
            rows.write(script_json(_row(prediction, pictures)))
            totals.add(prediction)
            used.update(names)
        rows.seek(0)
        write_page(page, "report/page.html.j2", _values(totals, facts, rows))
    thumbnails.keep_only(used)
    return page


def _values(totals: Totals, facts: RunFacts, rows: TextIO) -> dict[str, object]:
    """What the template shows."""
    classes = contents.class_rows(totals, facts.class_names)
    return {
        "facts": facts,
        "tiles": contents.tiles(totals, facts),
        "is_stand_in": contents.is_stand_in(facts.weights),
        "weights": list(contents.flat(facts.weights)),
        "classes": classes,
        "histogram": contents.histogram(totals.histogram),
        "histogram_width": contents.HISTOGRAM_WIDTH,
        "histogram_height": contents.HISTOGRAM_HEIGHT,
        "timings": contents.timings(facts),
        "config": list(contents.flat(facts.config)),
        "others": contents.other_facts(facts),
        "data": {
            "classes": [{"id": c.id, "name": c.name, "color": c.color} for c in classes],
            "sprite": {"columns": COLUMNS, "cells": MAX_CUT_OUTS},
        },
        "rows": map(Markup, rows),
    }


def _row(prediction: Prediction, pictures: Sequence[str]) -> dict[str, object]:
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
            [region.cluster, round(region.score, 6), svg_path(region.mask)]
            for region in prediction.regions
        ],
    }


def _source(file: Path, *, inline: bool) -> str:
    """The src of an img; empty if the file does not exist."""
    if not file.exists():
        return ""
    if not inline:
        return f"{THUMBS}/{file.name}"
    return f"data:image/jpeg;base64,{base64.b64encode(file.read_bytes()).decode('ascii')}"
