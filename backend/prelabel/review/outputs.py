"""The exports and the report of a run, with the names that a review has given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgspec import structs

from prelabel.data.dataset import ExportContext
from prelabel.data.images import read_image
from prelabel.data.records import Prediction
from prelabel.errors import PhotoError
from prelabel.report import Thumbnails, write_report
from prelabel.runs.facts import RunFacts
from prelabel.runs.folder import find_predictions, locked
from prelabel.runs.formats import make_exporters, write_formats
from prelabel.runs.predictions import FILE, read_predictions
from prelabel.runs.reviewed import FOLDER
from prelabel.storage.files import named_errors, replacing
from prelabel.storage.json import decode
from prelabel.storage.marker import MARKER
from prelabel.storage.progress import Progress, RunLog
from prelabel.storage.remote import Place, file_in, place

_WRITTEN = "outputs"
"""In the review's folder: what the outputs were last written with."""


def write_outputs(
    run: Path, *, photos: Path | None = None, progress: Progress | None = None
) -> dict[str, Path]:
    """Write the run's report again, and each export that lies in it, with the settings that it had.

    Returns what to look at, by name; nothing if all of it has these names already. ``photos``: the
    folder of the photos, if they were moved. Raises UserError and OSError.
    """
    log = RunLog(progress)
    with locked(run):
        predictions, found = find_predictions(run)
        facts = decode((run / MARKER).read_bytes(), RunFacts)
        version = (found and found.model_version) or facts.model_version
        if found is None or _is_written(run, version, facts):
            return {}
        names = tuple(found.class_names or ())
        folder = photos or place(facts.photos.folder)
        formats = [name for name in facts.formats or [] if (run / name).is_dir()]
        files = write_formats(
            predictions,
            {name: run / name for name in formats},
            make_exporters(formats, facts.format_settings),
            ExportContext(folder, names, version),
            n_photos=facts.photos.predicted or 0,
            log=log,
        )
        facts = structs.replace(
            facts, model_version=version, classes=len(names), class_names=list(names)
        )
        with log.stage("report", facts.photos.predicted or 0), named_errors(run / "report"):
            thumbnails = Thumbnails(run / "report" / "thumbs")
            own = {n for p in read_predictions(run / FILE) for n in thumbnails.names(p)}
            files["report"] = write_report(
                run / "report",
                log.advancing(_with_pictures(read_predictions(predictions), thumbnails, folder)),
                facts,
                single_file=facts.single_file,
                kept=own,  # what was background may be an object again
            )
        with replacing(run / FOLDER / _WRITTEN) as beside:
            beside.write_text(_state(run, version), encoding="utf-8")
    return files


def _with_pictures(
    predictions: Iterator[Prediction], thumbnails: Thumbnails, photos: Place
) -> Iterator[Prediction]:
    """The same predictions; cut-outs of photos with fewer regions than before are made."""
    for prediction in predictions:
        if not thumbnails.has(prediction):
            with suppress(PhotoError):
                thumbnails.add(read_image(file_in(photos, prediction.photo)), prediction.regions)
        yield prediction


def _is_written(run: Path, version: str, facts: RunFacts) -> bool:
    """Whether the outputs have the names of this version: by the last call here, or by the run."""
    try:
        found = (run / FOLDER / _WRITTEN).read_text(encoding="utf-8")
    except OSError:
        found = ""
    return found == _state(run, version) or (not found and version == facts.model_version)


def _state(run: Path, version: str) -> str:
    """Changes with the names, and when the command is run again."""
    return f"{version} {(run / MARKER).stat().st_mtime_ns}"
