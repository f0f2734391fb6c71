"""`prelabel find`: what is like drawn objects, in a folder like a run's."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from prelabel.config import Config
from prelabel.data.dataset import Dataset, ExportContext
from prelabel.data.records import Image, Prediction, Region
from prelabel.examples import ExampleChoice, choose_examples
from prelabel.finding import Finder, Searched, search
from prelabel.labelled_photos import match
from prelabel.model import FittedModel
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.pipeline import fit
from prelabel.report import Thumbnails, write_report
from prelabel.runs.folder import output_folder, write_facts
from prelabel.runs.formats import Settings, make_exporters, write_formats
from prelabel.runs.predictions import FILE, read_predictions, write_predictions
from prelabel.runs.run import Summary, costs, describe, label_problems, load_weights
from prelabel.runs.tally import Tally
from prelabel.steps.photos import PhotoSet
from prelabel.storage.csv_file import write_csv
from prelabel.storage.files import named_errors
from prelabel.storage.progress import Progress, RunLog

RANKED = "found.csv"


@dataclass(frozen=True)
class FoundObject:
    """A row of found.csv. ``box``: as of a region. ``missed``: no region of the model is the same."""

    photo: str
    label: str
    score: float
    box: tuple[int, int, int, int]
    missed: bool


def run_find(
    photos: PhotoSet,
    labels: Dataset,
    out: Path,
    source: FittedModel | Config,
    *,
    choice: ExampleChoice,
    formats: Sequence[str] = ("coco",),
    exporter_settings: Settings | None = None,
    single_file: bool = False,
    progress: Progress | None = None,
) -> tuple[Summary, list[FoundObject]]:
    """Search all photos but the examples for their like: predictions.jsonl, a folder for each format,
    report/, found.csv, run.json in the folder ``out``; and what was found, the best first.

    ``source``: a model, else the settings that one is fitted with. Raises UserError and OSError.
    """
    started = time.perf_counter()
    exporters = make_exporters(formats, exporter_settings)
    log = RunLog(progress)
    chosen = choose_examples(match(labels, photos.photos), labels, photos.photos, choice)
    config = source if isinstance(source, Config) else source.config
    config = load_weights(config, log)
    with output_folder(out, command="find"):
        model = fit(photos, config, log=log) if isinstance(source, Config) else source
        own = PhotoSegmenter(model, model.config, keep_features=True)
        finder = Finder(model, chosen.read(own, log), own.known_features)
        tally, ranked = Tally(), _Ranked(finder.model.class_names)
        thumbnails = Thumbnails(out / "report" / "thumbs")

        def shown(image: Image, regions: Sequence[Region]) -> None:
            with named_errors(thumbnails.folder):
                thumbnails.add(image, regions)

        found = search(finder, own, chosen.others, log, shown)
        write_predictions(out / FILE, tally.watch(ranked.watch(found)))
        own.flush()
        context = ExportContext(photos.root, finder.model.class_names, finder.model.version)
        folders = {name: out / name for name in exporters}
        files = write_formats(
            out / FILE, folders, exporters, context, n_photos=tally.photos, log=log
        )
        rows = ranked.rows()
        files["found"] = _write(out / RANKED, rows)
        facts = describe("find", finder.model, photos, log, started=started, tally=tally)
        facts.taught, facts.formats = None, list(exporters)
        facts.warnings = label_problems(labels) + photos.notes() + context.problems.lines()
        with log.stage("report", tally.photos), named_errors(out / "report"):
            files["report"] = write_report(
                out / "report",
                log.advancing(read_predictions(out / FILE)),
                facts,
                single_file=single_file,
            )
        facts = structs.replace(facts, **costs(log, started, tally))
        write_facts(out, facts)
    return Summary(facts, files), rows


class _Ranked:
    """Ranks what was found, as it passes."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self._class_names = class_names
        self._rows: list[FoundObject] = []

    def watch(self, photos: Iterable[Searched]) -> Iterator[Prediction]:
        """Their predictions."""
        for one in photos:
            for region, missed in zip(one.prediction.regions, one.missed, strict=True):
                label = self._class_names[region.cluster]
                self._rows.append(
                    FoundObject(one.prediction.photo, label, region.score, region.box, missed)
                )
            yield one.prediction

    def rows(self) -> list[FoundObject]:
        """The best first."""
        return sorted(self._rows, key=lambda row: -row.score)


def _write(file: Path, rows: Sequence[FoundObject]) -> Path:
    header = ("photo", "class", "score", "x", "y", "width", "height", "missed")
    cells = (
        (row.photo, row.label, f"{row.score:.4f}", *row.box, "yes" if row.missed else "no")
        for row in rows
    )
    write_csv(file, header, cells)
    return file
