"""What `prelabel run`, `fit`, `predict` and `export` do, each into one folder."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prelabel.config import Config
from prelabel.data import images
from prelabel.data.dataset import ExportContext
from prelabel.data.records import Image, ImageFile, Prediction
from prelabel.errors import PhotoError
from prelabel.model import FittedModel
from prelabel.pipeline import fit, predict
from prelabel.report import Thumbnails, write_report
from prelabel.runs.folder import prepare_output_folder, write_facts
from prelabel.runs.predictions import FILE, read_predictions, write_predictions
from prelabel.runs.tally import Tally
from prelabel.segment import Segment
from prelabel.steps.photos import PhotoSet
from prelabel.storage.memory import peak_memory
from prelabel.storage.progress import Progress, RunLog
from prelabel.strategies import registry
from prelabel.strategies.protocols import Exporter


@dataclass(frozen=True)
class Summary:
    """What was done. ``facts``: JSON-ready, as in run.json. ``files``: what to look at, by name."""

    facts: dict[str, Any]
    files: dict[str, Path]

    @property
    def skipped(self) -> list[dict[str, str]]:
        """Photos left out: ``photo`` and ``reason`` of each."""
        found: list[dict[str, str]] = self.facts["photos"]["skipped"]
        return found


def run(
    photos: PhotoSet,
    out: Path,
    config: Config,
    *,
    formats: Sequence[str] = ("coco",),
    exporter_settings: Mapping[str, Mapping[str, Any]] | None = None,
    single_file: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Fit on the photos, predict all of them, export and report into the folder ``out``:
    model/, predictions.jsonl, a folder for each format, report/, run.json.

    What a killed run has computed is in the cache, so that the same call goes on from there.
    Raises UserError and OSError.
    """
    started = time.perf_counter()
    exporters = make_exporters(formats, exporter_settings)
    earlier = prepare_output_folder(out, command="run")
    log = RunLog(progress)
    config = _load_weights(config, log)
    pictures = _Pictures(Thumbnails(out / "report" / "thumbs"))
    model = fit(photos, config, log=log, hook=pictures)
    model.save(out / "model")
    tally = _predict(model, photos, out / FILE, log, pictures)
    context = ExportContext(photos.root, model.class_names, model.version)
    files = export(out / FILE, out, exporters, context, n_photos=tally.photos, log=log)

    facts = describe("run", model, photos, log, started=started, tally=tally)
    facts["photos"]["from_cache"] = max(0, tally.photos - pictures.new)
    facts["formats"] = list(exporters)
    facts["warnings"] += _stale(out, earlier, facts)
    facts["warnings"] += context.problems.lines()
    with log.stage("report", tally.photos), naming(out / "report"):
        files["report"] = write_report(
            out / "report",
            advancing(read_predictions(out / FILE), log),
            facts,
            classes=model.class_names,
            single_file=single_file,
        )
    facts |= _costs(log, started, tally)  # now with the report's own
    write_facts(out, facts)
    return Summary(facts, files)


def run_fit(
    photos: PhotoSet, out: Path, config: Config, *, progress: Progress | None = None
) -> Summary:
    """Fit on the photos and leave the model in ``out``, with a run.json beside it."""
    started = time.perf_counter()
    prepare_output_folder(out, command="fit")
    log = RunLog(progress)
    model = fit(photos, _load_weights(config, log), log=log)
    model.save(out)
    facts = describe("fit", model, photos, log, started=started)
    write_facts(out, facts)
    return Summary(facts, {"model": out})


def run_predict(
    model: FittedModel, photos: PhotoSet, out: Path, *, progress: Progress | None = None
) -> Summary:
    """Predict the photos with a model; leaves predictions.jsonl and run.json in ``out``."""
    started = time.perf_counter()
    prepare_output_folder(out, command="predict")
    log = RunLog(progress)
    _load_weights(model.config, log)
    pictures = _Pictures(None)
    tally = _predict(model, photos, out / FILE, log, pictures)
    facts = describe("predict", model, photos, log, started=started, tally=tally)
    facts["photos"]["from_cache"] = max(0, tally.photos - pictures.new)
    write_facts(out, facts)
    return Summary(facts, {"predictions": out / FILE})


def make_exporters(
    formats: Iterable[str], settings: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Exporter]:
    """Exporters by name, in the order asked for. Raises UserError for an unknown one."""
    own = settings or {}
    return {name: registry.make("exporter", name, own.get(name, {})) for name in formats}


def export(
    predictions: Path,
    out: Path,
    exporters: Mapping[str, Exporter],
    context: ExportContext,
    *,
    n_photos: int,
    log: RunLog,
) -> dict[str, Path]:
    """Write each format into a folder of its name in ``out``; returns what to look at, by name.

    The predictions are read from their file once for each format, never held together.
    """
    files = {}
    with log.stage("export", n_photos * len(exporters)):
        for name, exporter in exporters.items():
            folder = out / name
            folder.mkdir(parents=True, exist_ok=True)
            with naming(folder):
                stream = advancing(read_predictions(predictions), log)
                files[name] = exporter.write(stream, folder, context)
    return files


def describe(
    command: str,
    model: FittedModel,
    photos: PhotoSet,
    log: RunLog,
    *,
    started: float,
    tally: Tally | None = None,
) -> dict[str, Any]:
    """The facts of a run, JSON-ready: run.json, and the report's figures."""
    identity = dict(model.backbone)
    facts: dict[str, Any] = {
        "command": command,
        "state": "done",
        "prelabel": version("prelabel"),
        "model_version": model.version,
        "weights": {"name": identity.pop("weights", model.config.backbone.name), **identity},
        "photos": {
            "folder": str(photos.root.resolve()),
            "found": len(photos.photos) + len(photos.skipped),
            "fitted": model.n_photos,
            "skipped": [{"photo": p, "reason": r} for p, r in sorted(log.skipped.items())],
        },
        "classes": len(model.class_names),
        "class_names": list(model.class_names),
        "strategies": dict(model.origins),
        "config": model.config.model_dump(mode="json"),
        "warnings": [],
    }
    if tally:
        facts["photos"] |= {"predicted": tally.photos, "empty": tally.empty}
        facts["regions"] = tally.regions
        facts["classes_used"] = len(tally.used)
        facts["parts_left_out"] = tally.dropped
        facts["warnings"] = tally.warnings(model.config)
    return facts | _costs(log, started, tally)


def _load_weights(config: Config, log: RunLog) -> Config:
    """The config with its weights decided; they stay loaded."""
    with log.stage("weights", 1):
        backbone = config.strategy("backbone").resolve()
        backbone.identity()
        log.advance()
    return config.with_strategy("backbone", backbone)


def _predict(
    model: FittedModel, photos: PhotoSet, file: Path, log: RunLog, pictures: _Pictures
) -> Tally:
    """Predict into a file, counting."""
    # fit has a stage "regions" as well; most of these come from the cache then.
    own = RunLog(_Renamed(log.progress, "predictions"))
    own.skipped = log.skipped
    tally = Tally()
    stream = tally.watch(predict(model, photos, log=own, hook=pictures))
    write_predictions(file, pictures.completed(stream, photos.photos))
    log.seconds["predictions"] = sum(own.seconds.values())
    return tally


def _costs(log: RunLog, started: float, tally: Tally | None) -> dict[str, Any]:
    """Seconds and memory up to now. The rate leaves out loading the weights."""
    total = time.perf_counter() - started
    facts: dict[str, Any] = {
        "seconds": {name: round(s, 3) for name, s in (*log.seconds.items(), ("total", total))},
        "peak_memory_mb": round(peak_memory() / 1e6, 1),
    }
    if tally:
        working = max(total - log.seconds.get("weights", 0.0), 1e-9)
        facts["photos_per_second"] = round(tally.photos / working, 2)
    return facts


def _stale(out: Path, earlier: Mapping[str, Any], facts: Mapping[str, Any]) -> list[str]:
    """A warning for each export of an earlier run that this one did not replace."""
    if earlier.get("model_version") == facts["model_version"]:
        return []
    return [
        f"{out / name} is still an earlier run's: "
        f"prelabel export {out} --format {name} --out {out}, or remove it"
        for name in earlier.get("formats", [])
        if name not in facts["formats"] and (out / name).is_dir()
    ]


def advancing(predictions: Iterable[Prediction], log: RunLog) -> Iterator[Prediction]:
    """The same predictions; each one that was taken is a step of the stage."""
    for prediction in predictions:
        yield prediction
        log.advance()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An OSError that does not say which file it is about (a full disk's does not) gets a path."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


class _Pictures:
    """The pipeline's hook: makes the report's small pictures while a photo's pixels are there.

    ``new``: photos whose regions were found now and did not come from the cache.
    """

    def __init__(self, thumbnails: Thumbnails | None) -> None:
        self.thumbnails = thumbnails
        self.new = 0

    def __call__(self, photo: ImageFile, picture: Image, segment: Segment) -> None:
        self.new += 1
        if self.thumbnails:
            with naming(self.thumbnails.folder):
                self.thumbnails.add(picture, segment.regions)

    def completed(
        self, predictions: Iterable[Prediction], photos: Sequence[ImageFile]
    ) -> Iterator[Prediction]:
        """The same predictions, once their small pictures are there. Regions from the cache had no
        pixels with them: only if a picture is missing, the photo is decoded again."""
        files = iter(photos)
        for prediction in predictions:
            # The photos come in the same order, some left out.
            photo = next(p for p in files if p.name == prediction.photo)
            if self.thumbnails and not self.thumbnails.has(prediction):
                try:
                    picture = images.read_image(photo.file)
                except PhotoError:
                    picture = None  # it has gone since: the report shows an empty field
                if picture and picture.digest == prediction.digest:
                    with naming(self.thumbnails.folder):
                        self.thumbnails.add(picture, prediction.regions)
            yield prediction


class _Renamed:
    """Listens for somebody else, under another stage's name."""

    def __init__(self, progress: Progress, name: str) -> None:
        self.inner = progress
        self.name = name

    def start(self, stage: str, total: int) -> None:
        self.inner.start(self.name, total)

    def advance(self) -> None:
        self.inner.advance()

    def stop(self) -> None:
        self.inner.stop()
