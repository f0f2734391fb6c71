"""Writing the predictions of a file in several formats."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from prelabel.data.dataset import ExportContext, Problems
from prelabel.data.records import Prediction
from prelabel.errors import UserError
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


def named_settings(
    formats: Iterable[str], settings: Settings | None
) -> dict[str, dict[str, object]]:
    """The settings that were chosen for these formats; those without any are left out."""
    own = settings or {}
    return {name: dict(own[name]) for name in formats if own.get(name)}


class NothingKeptError(UserError):
    """A format would have none of the regions. ``written``: what to look at of the others, by name."""

    def __init__(self, reason: str, written: Mapping[str, Path]) -> None:
        super().__init__(reason)
        self.written = written


def write_formats(
    predictions: Path,
    folders: Mapping[str, Path],
    exporters: Mapping[str, Exporter],
    context: ExportContext,
    *,
    n_photos: int,
    log: RunLog,
    n_regions: int = 0,
) -> dict[str, Path]:
    """Write each format into its folder; returns what to look at, by name.

    The predictions are read from their file once for each format, never held together.
    ``n_regions``: how many they have, to refuse a format that would keep none of them; 0 not to.
    Raises NothingKeptError, when the others are written and nothing is of that format.
    """
    files = {}
    reasons = []
    with log.stage("export", n_photos * len(exporters)):
        for name, exporter in exporters.items():
            folder = folders[name]
            is_new = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            stream = log.advancing(read_predictions(predictions))
            try:
                with named_errors(folder):
                    kept = _refusing_nothing(stream, name, context.problems, n_regions)
                    files[name] = exporter.write(kept, folder, context)
            except _NothingError as error:
                reasons.append(str(error))
                if is_new:
                    shutil.rmtree(folder)
    if reasons:
        raise NothingKeptError("; ".join(reasons), files)
    return files


class _NothingError(UserError):
    """As in NothingKeptError, of one format."""


def _refusing_nothing(
    predictions: Iterable[Prediction], name: str, problems: Problems, n_regions: int
) -> Iterator[Prediction]:
    """The same predictions; the end is refused if everything was left out, while the exporter has
    not yet replaced any file."""
    earlier = Counter(problems.counts)
    before = problems.labels_left_out
    yield from predictions
    if 0 < n_regions <= problems.labels_left_out - before:
        counts = Counter(problems.counts) - earlier
        reason = "; ".join(f"{n} {kind}" for kind, n in counts.items())
        raise _NothingError(
            f"{name} would keep none of the {n_regions} regions ({reason}): nothing is written, "
            "choose another format, or name the classes first"
        )
