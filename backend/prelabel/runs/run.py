"""`prelabel run`, `fit` and `predict`, each of which writes one folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

from msgspec import structs

from prelabel.config import Config
from prelabel.data.dataset import Dataset, ExportContext, Problems
from prelabel.model import FittedModel
from prelabel.pipeline import fit, predict_segments
from prelabel.report import Thumbnails, write_report
from prelabel.runs.facts import (
    FolderFacts,
    PhotoFacts,
    RecipeFacts,
    RunFacts,
    Skipped,
    TaughtFacts,
)
from prelabel.runs.folder import output_folder, write_facts
from prelabel.runs.formats import Settings, make_exporters, named_settings, write_formats
from prelabel.runs.predictions import FILE, read_predictions, write_predictions
from prelabel.runs.survey import Survey
from prelabel.runs.tally import Tally
from prelabel.runs.thumbnail_hook import ThumbnailHook
from prelabel.steps.photos import PhotoSet
from prelabel.storage.files import named_errors
from prelabel.storage.marker import DONE
from prelabel.storage.memory import peak_memory
from prelabel.storage.progress import Progress, RunLog


@dataclass(frozen=True)
class Summary:
    """What was done. ``facts``: as in run.json. ``files``: what to look at, by name."""

    facts: RunFacts
    files: dict[str, Path]


def run(
    photos: PhotoSet,
    out: Path,
    config: Config,
    *,
    recipe: RecipeFacts | None = None,
    labels: Dataset | None = None,
    complete: bool = True,
    formats: Sequence[str] = ("coco",),
    exporter_settings: Settings | None = None,
    single_file: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Fit on the photos, predict all of them, export and report into the folder ``out``:
    model/, predictions.jsonl, a folder for each format, report/, run.json. ``recipe``: if the photos
    chose it. ``labels``, ``complete``: as for `fit`.

    What a killed run has computed is in the cache, so that the same call goes on from there.
    Raises UserError and OSError.
    """
    started = time.perf_counter()
    exporters = make_exporters(formats, exporter_settings)
    log = RunLog(progress)
    config = load_weights(config, log)  # nothing is left where they cannot be had
    with output_folder(out, command="run") as earlier:
        hook = ThumbnailHook(Thumbnails(out / "report" / "thumbs"))
        model = fit(photos, config, labels=labels, complete=complete, log=log, hook=hook)
        model.save(out / "model")
        survey = Survey(config)
        tally = _predict(model, photos, out / FILE, log, hook, survey)
        context = ExportContext(photos.root, model.class_names, model.version)
        folders = {name: out / name for name in exporters}
        files = write_formats(
            out / FILE, folders, exporters, context, n_photos=tally.photos, log=log
        )

        facts = describe("run", model, photos, log, started=started, tally=tally, hook=hook)
        facts.recipe = recipe
        facts.formats = list(exporters)
        facts.format_settings = named_settings(exporters, exporter_settings)
        facts.single_file = single_file
        with log.stage("likeness", 1):
            facts.region_groups = survey.region_groups()
            facts.near_identical = survey.near_identical()
            log.advance()
        facts.warnings += label_problems(labels)
        facts.warnings += _stale_exports(out, earlier, facts)
        facts.warnings += context.problems.lines()
        with log.stage("report", tally.photos), named_errors(out / "report"):
            files["report"] = write_report(
                out / "report",
                log.advancing(read_predictions(out / FILE)),
                facts,
                single_file=single_file,
            )
        facts = structs.replace(facts, **costs(log, started, tally))  # now with the report's own
        write_facts(out, facts)
    return Summary(facts, files)


def run_fit(
    photos: PhotoSet,
    out: Path,
    config: Config,
    *,
    recipe: RecipeFacts | None = None,
    labels: Dataset | None = None,
    complete: bool = True,
    progress: Progress | None = None,
) -> Summary:
    """Fit on the photos and leave the model in ``out``, with a run.json beside it. ``recipe``: if the
    photos chose it. ``labels``, ``complete``: as for `fit`."""
    started = time.perf_counter()
    log = RunLog(progress)
    config = load_weights(config, log)
    with output_folder(out, command="fit"):
        model = fit(photos, config, labels=labels, complete=complete, log=log)
        model.save(out)
        facts = describe("fit", model, photos, log, started=started)
        facts.recipe = recipe
        facts.warnings += label_problems(labels)
        write_facts(out, facts)
    return Summary(facts, {"model": out})


def run_predict(
    model: FittedModel,
    photos: PhotoSet,
    out: Path,
    *,
    progress: Progress | None = None,
    wait: float = 0.0,
) -> Summary:
    """Predict the photos with a model; leaves predictions.jsonl and run.json in ``out``. ``wait``: as
    for `output_folder`."""
    started = time.perf_counter()
    log = RunLog(progress)
    hook = ThumbnailHook(None)
    load_weights(model.config, log)
    with output_folder(out, command="predict", wait=wait):
        tally = _predict(model, photos, out / FILE, log, hook)
        facts = describe("predict", model, photos, log, started=started, tally=tally, hook=hook)
        write_facts(out, facts)
    return Summary(facts, {"predictions": out / FILE})


def describe(
    command: str,
    model: FittedModel,
    photos: PhotoSet,
    log: RunLog,
    *,
    started: float,
    tally: Tally | None = None,
    hook: ThumbnailHook | None = None,
) -> RunFacts:
    """The facts of a run that is done. ``tally`` and ``hook``: of what was predicted."""
    identity = dict(model.backbone)
    facts = RunFacts(
        command=command,
        state=DONE,
        prelabel=version("prelabel"),
        model_version=model.version,
        weights={"name": identity.pop("weights", model.config.backbone.name), **identity},
        photos=PhotoFacts(
            folder=str(photos.root.resolve() if isinstance(photos.root, Path) else photos.root),
            found=len(photos.photos) + len(photos.skipped),
            fitted=model.n_photos,
            skipped=[Skipped(photo, reason) for photo, reason in sorted(log.skipped.items())],
        ),
        classes=len(model.class_names),
        class_names=list(model.class_names),
        strategies=dict(model.origins),
        config=model.config.model_dump(mode="json"),
        warnings=[
            *(tally.warnings(model.config) if tally else []),
            *photos.notes(),
            *log.remarks,
            *_notes(log),
        ],
        taught=_taught(model),
        **costs(log, started, tally),
    )
    if tally:
        facts.photos.predicted, facts.photos.empty = tally.photos, tally.empty
        facts.regions = tally.regions
        facts.classes_used = len(tally.used)
        facts.parts_left_out = tally.dropped
    if tally and hook:
        facts.photos.from_cache = max(0, tally.photos - hook.n_new)
    return facts


def _taught(model: FittedModel) -> TaughtFacts | None:
    """What labels have taught the model."""
    if model.taught is None:
        return None
    facts = model.taught.facts
    return TaughtFacts(
        photos=facts.photos,
        classes=list(facts.classes),
        weight=facts.weight,
        name_weight=facts.name_weight,
        foreground_iou=facts.scores,
        names_right=facts.name_scores,
        neck=facts.neck,
        more_regions=facts.more_regions,
    )


def label_problems(labels: Dataset | None) -> list[str]:
    """What was found wrong with the labels while they were read."""
    return [f"labels: {line}" for line in labels.problems.lines()] if labels else []


def _notes(log: RunLog) -> list[str]:
    """A line for each kind of fault that was mended."""
    problems = Problems()
    for photo, fault in sorted(log.notes.items()):
        problems.note(fault, photo)
    return problems.lines()


def load_weights(config: Config, log: RunLog) -> Config:
    """The config with the weights that ``resolve`` chose; they stay loaded."""
    with log.stage("weights", 1):
        backbone = config.strategy("backbone").resolve()
        backbone.identity()
        log.advance()
    return config.with_strategy("backbone", backbone)


def _predict(
    model: FittedModel,
    photos: PhotoSet,
    file: Path,
    log: RunLog,
    hook: ThumbnailHook,
    survey: Survey | None = None,
) -> Tally:
    """Predict into a file, counting."""
    # fit has a stage "regions" as well; most of these come from the cache then.
    own = RunLog(_RenamedStage(log.progress, "predictions"))
    own.skipped, own.notes = log.skipped, log.notes
    tally = Tally()
    found = predict_segments(model, photos, log=own, hook=hook)
    stream = tally.watch(survey.watch(found) if survey else (one for one, _ in found))
    write_predictions(file, hook.completed(stream, photos.photos))
    log.seconds["predictions"] = sum(own.seconds.values())
    return tally


class _Costs(TypedDict):
    seconds: dict[str, float]
    peak_memory_mb: float
    photos_per_second: float | None


def costs(log: RunLog, started: float, tally: Tally | None) -> _Costs:
    """Seconds and memory up to now. The rate leaves out loading the weights."""
    total = time.perf_counter() - started
    working = max(total - log.seconds.get("weights", 0.0), 1e-9)
    return {
        "seconds": {name: round(s, 3) for name, s in (*log.seconds.items(), ("total", total))},
        "peak_memory_mb": round(peak_memory() / 1e6, 1),
        "photos_per_second": round(tally.photos / working, 2) if tally else None,
    }


def _stale_exports(out: Path, earlier: FolderFacts | None, facts: RunFacts) -> list[str]:
    """A warning for each export of an earlier run that this one did not replace."""
    if earlier is None or earlier.model_version == facts.model_version:
        return []
    return [
        f"{out / name} is still an earlier run's: "
        f"prelabel export {out} --format {name} --out {out}, or remove it"
        for name in earlier.formats or []
        if name not in (facts.formats or []) and (out / name).is_dir()
    ]


class _RenamedStage:
    """Passes progress on under another stage's name."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._name = name

    def start(self, stage: str, total: int) -> None:
        self._progress.start(self._name, total)

    def advance(self) -> None:
        self._progress.advance()

    def stop(self) -> None:
        self._progress.stop()
