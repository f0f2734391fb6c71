"""What `prelabel export` does: predictions that lie in a file, in other formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prelabel import outputs
from prelabel.errors import UserError
from prelabel.predictions import read_predictions
from prelabel.progress import Clock, Progress
from prelabel.run import export, make_exporters
from prelabel.strategies import ExportContext


def export_predictions(
    source: Path,
    out: Path,
    formats: Sequence[str],
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    photos: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Path]:
    """Write each format into a folder of its name in ``out``; returns what to look at, by name.

    ``source``: the folder of a run or predict, or a predictions file. ``out`` may be that folder.
    ``photos``: the folder that names are relative to, where ``source`` does not know it.
    Raises UserError.
    """
    exporters = make_exporters(formats, settings)
    predictions, facts = outputs.find_predictions(source)
    context, n_photos = _context(predictions, facts, photos)
    own = out.resolve() == predictions.parent.resolve() and bool(facts)
    if not own:
        outputs.claim(out, command="export")
    files = export(predictions, out, exporters, context, n_photos=n_photos, clock=Clock(progress))
    if not own:
        facts = {"command": "export", "state": "done", "model_version": context.model_version}
    if facts["state"] == "done":
        known = dict.fromkeys([*facts.get("formats", []), *exporters])
        outputs.write_facts(out, {**facts, "formats": list(known)})
    return files


def _context(
    predictions: Path, facts: Mapping[str, Any], photos: Path | None
) -> tuple[ExportContext, int]:
    """What exporters want to know, and the number of photos; all checked before anything is
    written. Classes without names are counted."""
    n_photos, n_classes, version = 0, 0, ""
    for prediction in read_predictions(predictions):
        n_photos += 1
        n_classes = max([n_classes, *(region.cluster + 1 for region in prediction.regions)])
        version = prediction.model_version
    folder = photos or ("photos" in facts and Path(facts["photos"]["folder"]))
    if not folder:
        raise UserError(
            f"{str(predictions)!r} has no {outputs.MARKER} beside it that says where its photos "
            "lie: name their folder with --photos"
        )
    names = facts.get("class_names") or [f"object {i + 1}" for i in range(n_classes)]
    return ExportContext(folder, tuple(names), version or facts.get("model_version", "")), n_photos
