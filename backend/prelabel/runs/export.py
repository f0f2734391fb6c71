"""What `prelabel export` and `prelabel convert` do: labels that are there, in other formats."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prelabel.data.dataset import Dataset, ExportContext, Problems
from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel.runs.folder import find_predictions, prepare_output_folder, write_facts
from prelabel.runs.predictions import FILE, read_predictions, write_predictions
from prelabel.runs.run import advancing, export, make_exporters, naming
from prelabel.storage.marker import MARKER
from prelabel.storage.progress import Progress, RunLog
from prelabel.strategies.protocols import Exporter

Settings = Mapping[str, Mapping[str, Any]]
"""Settings of formats, by name."""
_SOMEWHERE = Path("photos")
"""The folder of photos in files that must name one, where nothing tells it."""


@dataclass(frozen=True)
class Exported:
    """``files``: what to look at, by format. ``photos``, ``regions``: how many there are.
    ``notes``: what was left out or changed, a line for each kind, reading before writing."""

    files: dict[str, Path]
    photos: int
    regions: int
    notes: tuple[str, ...]


def export_predictions(
    source: Path,
    out: Path,
    formats: Sequence[str],
    *,
    settings: Settings | None = None,
    photos: Path | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write each format into a folder of its name in ``out``.

    ``source``: the folder of a run or predict, or a predictions file. ``out`` may be that folder.
    ``photos``: the folder that names are relative to, where ``source`` does not know it.
    Raises UserError.
    """
    exporters = make_exporters(formats, settings)
    predictions, facts = find_predictions(source)
    counts = _count(predictions)
    context = _context(predictions, facts, photos, counts)
    own = out.resolve() == predictions.parent.resolve() and bool(facts)
    if not own:
        prepare_output_folder(out, command="export")
    found = _export(predictions, out, exporters, context, counts, RunLog(progress))
    if not own:
        facts = {"command": "export", "state": "done", "model_version": context.model_version}
    if facts["state"] == "done":
        known = dict.fromkeys([*facts.get("formats", []), *exporters])
        write_facts(out, {**facts, "formats": list(known)})
    return found


def export_dataset(
    dataset: Dataset,
    out: Path,
    formats: Sequence[str],
    *,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Like ``export_predictions``, of labels from anywhere. Nothing is written before all of them
    have been read; what was wrong with them is in the notes."""
    exporters = make_exporters(formats, settings)
    log = RunLog(progress)
    with _kept(dataset, log) as (predictions, counts):
        prepare_output_folder(out, command="export")
        context = _context_of(dataset)
        found = _export(predictions, out, exporters, context, counts, log, dataset.problems)
    _done(out, "export", dataset, formats)
    return found


def convert(
    dataset: Dataset,
    out: Path,
    name: str,
    *,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write labels from anywhere as one format into the folder ``out`` itself. Nothing is written
    before all of them have been read. Raises UserError."""
    (exporter,) = make_exporters([name], settings).values()
    log = RunLog(progress)
    with _kept(dataset, log) as (predictions, counts):
        prepare_output_folder(out, command="convert")
        context = _context_of(dataset)
        with log.stage("export", counts.photos):
            stream = advancing(read_predictions(predictions), log)
            with naming(out):
                file = exporter.write(stream, out, context)
    _done(out, "convert", dataset, [name])
    notes = (*dataset.problems.lines(), *context.problems.lines())
    return Exported({name: file}, counts.photos, counts.regions, notes)


@dataclass
class _Counts:
    """``classes``: one more than the highest class id."""

    photos: int = 0
    regions: int = 0
    classes: int = 0
    model_version: str = ""

    def watch(self, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        """The same predictions, counted."""
        for prediction in predictions:
            self.photos += 1
            self.regions += len(prediction.regions)
            self.classes = max([self.classes, *(r.cluster + 1 for r in prediction.regions)])
            self.model_version = prediction.model_version
            yield prediction


def _count(predictions: Path) -> _Counts:
    counts = _Counts()
    for _ in counts.watch(read_predictions(predictions)):
        pass
    return counts


@contextmanager
def _kept(dataset: Dataset, log: RunLog) -> Iterator[tuple[Path, _Counts]]:
    """A dataset's labels in a file of this process, so that they are read once, and to the end."""
    counts = _Counts()
    with tempfile.TemporaryDirectory(prefix="prelabel-") as folder:
        file = Path(folder) / FILE
        with log.stage("read", 1):
            write_predictions(file, counts.watch(dataset.stream()))
            log.advance()
        yield file, counts


def _export(
    predictions: Path,
    out: Path,
    exporters: Mapping[str, Exporter],
    context: ExportContext,
    counts: _Counts,
    log: RunLog,
    problems: Problems | None = None,
) -> Exported:
    files = export(predictions, out, exporters, context, n_photos=counts.photos, log=log)
    notes = [*(problems.lines() if problems else ()), *context.problems.lines()]
    return Exported(files, counts.photos, counts.regions, tuple(notes))


def _context(
    predictions: Path, facts: Mapping[str, Any], photos: Path | None, counts: _Counts
) -> ExportContext:
    """What exporters want to know; checked before anything is written. Classes without names are
    counted."""
    folder = photos or ("photos" in facts and Path(facts["photos"]["folder"]))
    if not folder:
        raise UserError(
            f"{str(predictions)!r} has no {MARKER} beside it that says where its photos "
            "lie: name their folder with --photos"
        )
    names = facts.get("class_names") or [f"object {i + 1}" for i in range(counts.classes)]
    version = counts.model_version or facts.get("model_version", "")
    return ExportContext(folder, tuple(names), version)


def _context_of(dataset: Dataset) -> ExportContext:
    return ExportContext(dataset.photos or _SOMEWHERE, dataset.classes, dataset.model_version)


def _done(out: Path, command: str, dataset: Dataset, formats: Sequence[str]) -> None:
    facts = {
        "command": command,
        "state": "done",
        "model_version": dataset.model_version,
        "formats": list(dict.fromkeys(formats)),
    }
    write_facts(out, facts)
