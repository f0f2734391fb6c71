"""`prelabel export` and `prelabel convert`: existing labels in other formats."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prelabel.data.dataset import Dataset, ExportContext, Problems
from prelabel.errors import UserError
from prelabel.runs.datasets import run_dataset
from prelabel.runs.facts import FolderFacts
from prelabel.runs.folder import (
    add_formats,
    check_output_folder,
    find_predictions,
    locked,
    output_folder,
    write_facts,
)
from prelabel.runs.formats import (
    NothingKeptError,
    Settings,
    make_exporters,
    named_settings,
    write_formats,
)
from prelabel.runs.predictions import FILE, read_predictions, write_predictions
from prelabel.runs.tally import Tally
from prelabel.storage.marker import DONE, MARKER
from prelabel.storage.progress import Progress, RunLog
from prelabel.storage.remote import Place

_UNKNOWN_FOLDER = Path("photos")
"""Stands for the folder of photos in files that must name one, where it is not known."""


@dataclass(frozen=True)
class ExportSummary:
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
    photos: Place | None = None,
    progress: Progress | None = None,
) -> ExportSummary:
    """Write each format into a folder of its name in ``out``.

    ``source``: the folder of a run or predict, or a predictions file. ``out`` may be that folder.
    ``photos``: the folder that names are relative to, where ``source`` does not know it.
    Raises UserError.
    """
    exporters = make_exporters(formats, settings)
    predictions, facts = find_predictions(source)
    dataset = run_dataset(predictions, facts)
    tally = Tally.of(read_predictions(predictions))
    folder = photos or dataset.photos
    if folder is None:
        raise UserError(
            f"{str(predictions)!r} has no {MARKER} beside it that says where its photos "
            "lie: name their folder with --photos"
        )
    version = tally.model_version or dataset.model_version
    context = ExportContext(folder, dataset.classes, version)
    run = source if source.is_dir() else source.parent
    is_own_folder = facts is not None and out.resolve() == run.resolve()
    folders = {name: out / name for name in exporters}
    log = RunLog(progress)

    def write() -> dict[str, Path]:
        return write_formats(
            predictions,
            folders,
            exporters,
            context,
            n_photos=tally.photos,
            n_regions=tally.regions,
            log=log,
        )

    if is_own_folder:
        with locked(out):
            files = write()
            if facts and facts.state == DONE:
                add_formats(out, exporters, named_settings(exporters, settings))
    else:
        files = _write_into(out, "export", version, write)
    return ExportSummary(files, tally.photos, tally.regions, tuple(context.problems.lines()))


def export_dataset(
    dataset: Dataset,
    out: Path,
    formats: Sequence[str],
    *,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> ExportSummary:
    """Like ``export_predictions``, of labels from anywhere. Nothing is written before all of them
    have been read; what was wrong with them is in the notes."""
    folders = {name: out / name for name in formats}
    return _write(dataset, out, folders, "export", settings, progress)


def convert(
    dataset: Dataset,
    out: Path,
    format: str,
    *,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> ExportSummary:
    """Write labels from anywhere as one format into the folder ``out`` itself. Nothing is written
    before all of them have been read. Raises UserError."""
    return _write(dataset, out, {format: out}, "convert", settings, progress)


def _write(
    dataset: Dataset,
    out: Path,
    folders: dict[str, Path],
    command: str,
    settings: Settings | None,
    progress: Progress | None,
) -> ExportSummary:
    """Write a dataset into the folder of each format, in ``out``."""
    exporters = make_exporters(folders, settings)
    log = RunLog(progress)
    version = dataset.model_version
    context = ExportContext(
        dataset.photos or _UNKNOWN_FOLDER,
        dataset.classes,
        version,
        addresses=dataset.addresses,
        category_ids=dataset.category_ids,
    )
    check_output_folder(out, command=command)  # before much is read
    with _in_a_file(dataset, log) as (predictions, tally):
        _refuse_nothing(dataset.problems, tally)
        files = _write_into(
            out,
            command,
            version,
            lambda: write_formats(
                predictions,
                folders,
                exporters,
                context,
                n_photos=tally.photos,
                n_regions=tally.regions,
                log=log,
            ),
        )
    notes = (*dataset.problems.lines(), *context.problems.lines())
    return ExportSummary(files, tally.photos, tally.regions, notes)


def _write_into(
    out: Path, command: str, version: str, write: Callable[[], dict[str, Path]]
) -> dict[str, Path]:
    """Write formats into a folder of their own; where none has anything to hold, the folder is left
    as it was."""
    is_new = not out.exists()
    try:
        with output_folder(out, command=command) as earlier:
            try:
                files = write()
            except NothingKeptError as error:
                if error.written:
                    write_facts(out, FolderFacts(command, DONE, version, list(error.written)))
                elif earlier is not None:
                    write_facts(out, earlier)
                else:
                    (out / MARKER).unlink()
                raise
            write_facts(out, FolderFacts(command, DONE, version, list(files)))
    except NothingKeptError as error:
        if is_new and not error.written:
            shutil.rmtree(out)
        raise
    return files


def _refuse_nothing(problems: Problems, tally: Tally) -> None:
    """Raise UserError if nothing was found, or all that was found was left out."""
    if tally.photos and (tally.regions or not problems.labels_left_out):
        return
    found = (
        f"no label of {tally.photos} photos can be used" if tally.photos else "no photo can be used"
    )
    reason = "; ".join(problems.lines()) or "there is none"
    raise UserError(f"{found}, so nothing is written: {reason}")


@contextmanager
def _in_a_file(dataset: Dataset, log: RunLog) -> Iterator[tuple[Path, Tally]]:
    """A dataset's labels in a temporary file, so that they are read once, and to the end."""
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="prelabel-") as folder:
        file = Path(folder) / FILE
        with log.stage("read", 1):
            write_predictions(file, tally.watch(dataset.stream()))
            log.advance()
        yield file, tally
