"""Writing the predictions of a file in several formats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from prelabel.data.dataset import ExportContext
from prelabel.runs.predictions import read_predictions
from prelabel.storage.files import named_errors
from prelabel.storage.progress import RunLog
from prelabel.strategies import registry
from prelabel.strategies.protocols import Exporter

Settings = Mapping[str, Mapping[str, object]]
"""Settings of formats, by name."""


def make_exporters(formats: Iterable[str], settings: Settings | None = None) -> dict[str, Exporter]:
    """Exporters by name, in the given order. Raises UserError for an unknown one."""
    own = settings or {}
    return {name: registry.make("exporter", name, own.get(name, {})) for name in formats}


def write_formats(
    predictions: Path,
    folders: Mapping[str, Path],
    exporters: Mapping[str, Exporter],
    context: ExportContext,
    *,
    n_photos: int,
    log: RunLog,
) -> dict[str, Path]:
    """Write each format into its folder; returns what to look at, by name.

    The predictions are read from their file once for each format, never held together.
    """
    files = {}
    with log.stage("export", n_photos * len(exporters)):
        for name, exporter in exporters.items():
            folders[name].mkdir(parents=True, exist_ok=True)
            with named_errors(folders[name]):
                stream = log.advancing(read_predictions(predictions))
                files[name] = exporter.write(stream, folders[name], context)
    return files
