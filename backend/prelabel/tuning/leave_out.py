"""Measuring settings on labelled photos that are left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import structs

from prelabel.config import Config
from prelabel.data.dataset import Dataset, Problems
from prelabel.data.records import ImageFile, Prediction
from prelabel.errors import UserError
from prelabel.evaluation import Evaluation, evaluate
from prelabel.labelled_photos import labelled_photos, match
from prelabel.model import FittedModel
from prelabel.model_code import code_now
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.pipeline import fit, predict
from prelabel.steps.patch_labels import LabelledPhoto
from prelabel.steps.photos import PhotoSet, draw_sample
from prelabel.storage.progress import Progress, RunLog
from prelabel.strategies import registry
from prelabel.teacher import Teacher

LEAST = 3
"""Labelled photos that are needed."""
FOLDS = 5
"""Groups of labelled photos; each is left out once while the others teach."""
_MOST_PHOTOS = 300
"""Photos that levels and classes are fitted to, the labelled ones among them."""

_MOST_LABELLED = 100
"""Labelled photos that are left out in turn."""


@dataclass(frozen=True)
class Score:
    """How well settings do on the photos that were left out.

    Attributes:
        photos: by name, the IoU of foreground; of a photo without an object, the share of its pixels
            outside regions. Photos that are void alone are left out.
        time_saved: as `prelabel evaluate` estimates it over all of them; None where labels do not
            tell objects apart, or there are none.
        seconds: by name of each photo, an annotator's work with what was found, by the same costs;
            empty where ``time_saved`` is None.
    """

    photos: Mapping[str, float]
    time_saved: float | None
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Mean over photos."""
        return float(np.mean(list(self.photos.values())))

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return standard_error(list(self.photos.values()))

    def gain_over(self, other: Score) -> tuple[float, float]:
        """The mean of the differences on the same photos, and its standard error."""
        return _mean_difference(self.photos, other.photos)

    def spared_over(self, other: Score) -> tuple[float, float] | None:
        """The mean of the seconds of work that it spares a photo, and its standard error; None where
        that is not known."""
        if not self.seconds or not other.seconds:
            return None
        return _mean_difference(other.seconds, self.seconds)


def _mean_difference(
    these: Mapping[str, float], others: Mapping[str, float]
) -> tuple[float, float]:
    """On the photos that both have, with the standard error of the mean."""
    found = [value - others[name] for name, value in these.items() if name in others]
    return float(np.mean(found)), standard_error(found)


def standard_error(values: Sequence[float]) -> float:
    """Of the mean of two or more values; 0 for one."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0


@dataclass(frozen=True)
class _Fitted:
    """A model without labels, and the labelled photos with the features and vectors it needs."""

    model: FittedModel
    known: tuple[LabelledPhoto, ...]
    segmenter: PhotoSegmenter


class LeaveOut:
    """Measures settings on labelled photos: each is predicted by a model that others have taught.

    Levels and classes are fitted to a sample of the photos, anew only where settings need it; photos
    come from the cache where they were measured before, also after an interruption.
    """

    def __init__(self, photos: PhotoSet, labels: Dataset) -> None:
        """Raises UserError for labels of fewer than ``LEAST`` photos."""
        self._matched = draw_sample(match(labels, photos.photos), most=_MOST_LABELLED, seed=0)
        self._labels = labels
        self._require(len(self._matched), "labelled photos")
        self._photos = photos
        self._usable: list[tuple[ImageFile, Prediction]] | None = None
        self._fitted: dict[str, _Fitted] = {}
        self._teachers: dict[str, Teacher] = {}

    @property
    def n_photos(self) -> int:
        """Labelled photos that are left out in turn."""
        return len(self._matched if self._usable is None else self._usable)

    def measure(self, config: Config, progress: Progress) -> Score:
        """How well the settings do. Raises UserError if they cannot be used."""
        log = RunLog(progress)
        fitted = self._fit(config, log)
        model = _with_settings(fitted.model, config)
        with log.stage("photos left out", self.n_photos):
            predictions = list(self._predicted(model, fitted, log))
        classes = (*self._labels.classes, *_found_names(model))
        found = Dataset(self._photos.root, classes, lambda: iter(predictions))
        return _score(evaluate(found, self._truth(), classes="by-name", only=("pixels", "objects")))

    def _predicted(self, model: FittedModel, fitted: _Fitted, log: RunLog) -> Iterator[Prediction]:
        """The labelled photos, each predicted while its fold is left out."""
        key = f"{_fit_key(model.config)} {model.config.digest('learner')}"
        teacher = self._teachers.setdefault(key, Teacher(model, fitted.segmenter.known_features))
        files = [file for file, _ in self._usable or ()]
        ids = {name: i for i, name in reversed(list(enumerate(self._labels.classes)))}
        n = min(FOLDS, len(files))
        for fold in range(n):
            rest = [photo for i, photo in enumerate(fitted.known) if i % n != fold]
            taught = dataclasses.replace(model, taught=teacher.teach(rest))
            names = [ids[name] for name in taught.class_names[: -len(model.classes) or None]]
            ids_now = [*names, *(len(self._labels.classes) + i for i in range(len(model.classes)))]
            own = PhotoSet(self._photos.root, tuple(files[fold::n]))
            for one in log.advancing(predict(taught, own)):
                regions = tuple(
                    structs.replace(r, cluster=ids_now[r.cluster]) if r.cluster >= 0 else r
                    for r in one.regions
                )
                yield structs.replace(one, regions=regions)

    def _fit(self, config: Config, log: RunLog) -> _Fitted:
        key = _fit_key(config)
        if key not in self._fitted:
            model = fit(self._sample(config.fit.seed), config, log=log)
            segmenter = PhotoSegmenter(model, model.config, keep_features=True)
            first = self._usable is None
            labels = self._labels
            if not first:  # what is wrong with labels is counted once
                labels = dataclasses.replace(labels, problems=Problems())
            matched = self._usable or self._matched
            with log.stage("labels", len(matched)):
                stream = labelled_photos(matched, labels, segmenter, log, complete=True)
                known = {file.name: photo for file, photo in log.advancing(stream)}
            if first:
                self._require(len(known), "labelled photos that can be used")
                self._usable = [pair for pair in matched if pair[0].name in known]
            self._fitted[key] = _Fitted(model, tuple(known.values()), segmenter)
        return self._fitted[key]

    def _sample(self, seed: int) -> PhotoSet:
        """The labelled photos, and others drawn with the seed."""
        labelled = {file.name for file, _ in self._matched}
        others = [photo for photo in self._photos.photos if photo.name not in labelled]
        drawn = draw_sample(others, most=max(0, _MOST_PHOTOS - len(labelled)), seed=seed)
        names = labelled | {photo.name for photo in drawn}
        return PhotoSet(self._photos.root, tuple(p for p in self._photos.photos if p.name in names))

    def _truth(self) -> Dataset:
        own = [structs.replace(label, photo=file.name) for file, label in self._usable or ()]
        return dataclasses.replace(self._labels, stream=lambda: iter(own), problems=Problems())

    def _require(self, n: int, what: str) -> None:
        if n < LEAST:
            problems = "; ".join(self._labels.problems.lines())
            raise UserError(
                f"found {n} {what}, expected at least {LEAST}, of which each is left out in turn: "
                f"label more photos{f' ({problems})' if problems else ''}"
            )


def _with_settings(model: FittedModel, config: Config) -> FittedModel:
    """The model with other settings of what it was not fitted by, and the weights it has."""
    return dataclasses.replace(
        model,
        config=config.model_copy(update={"backbone": model.config.backbone}),
        origins={k: registry.origin(k, name) for k, name in config.strategy_names.items()},
        code=code_now(config),
    )


def _fit_key(config: Config) -> str:
    """What a fit without labels depends on, and of regions nothing: they are found anew."""
    return config.digest(*(s for s in Config.model_fields if s not in ("learner", "regions")))


def _found_names(model: FittedModel) -> list[str]:
    """Names of the classes that were found, which no label has."""
    return [f"found {i + 1}" for i in range(len(model.classes))]


def _score(evaluation: Evaluation) -> Score:
    measured = evaluation.measured
    photos = {
        pair.prediction.photo: photo.foreground_iou if photo.has_object else 1 - photo.foreground
        for pair, photo in zip(measured.pairing.pairs, measured.pixels.photos, strict=True)
        if photo.has_object is not None
    }
    if not photos:
        raise UserError("the labelled photos hold nothing but crowds and void: label objects")
    objects = evaluation.figures.objects
    if objects is None or objects.time_saved is None:
        return Score(photos, None)
    seconds = {
        pair.prediction.photo: measured.objects.seconds(
            range(i, i + 1), measured.class_of, measured.costs
        )[1]
        for i, pair in enumerate(measured.pairing.pairs)
    }
    return Score(photos, objects.time_saved, seconds)
