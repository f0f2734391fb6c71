"""The pipeline over many photos: fit() and predict()."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from prelabel.config import Config, change
from prelabel.data.dataset import Dataset, Problems
from prelabel.data.records import ImageFile, Prediction
from prelabel.errors import UserError
from prelabel.finer import try_finer
from prelabel.label_classes import LabelClasses
from prelabel.labelled_photos import labelled_photos, match
from prelabel.model import FittedModel
from prelabel.model_code import code_now
from prelabel.overrides import backbone_settings
from prelabel.photo_segmenter import Hook, PhotoSegmenter
from prelabel.segment import Segment
from prelabel.steps.classes import learn_classes
from prelabel.steps.fit_levels import fit_levels
from prelabel.steps.patch_labels import LabelledPhoto
from prelabel.steps.photo_features import StoredFeatures, extract_photos
from prelabel.steps.photos import PhotoSet, draw_sample, find_photos
from prelabel.steps.scales import Scales
from prelabel.storage.progress import RunLog, reasons
from prelabel.storage.pruning import prune_cache
from prelabel.strategies import registry
from prelabel.teacher import Teacher

Source = str | Path | Sequence[str | Path] | PhotoSet


def fit(
    source: Source,
    config: Config | None = None,
    *,
    backbone: str = "",
    labels: Dataset | None = None,
    complete: bool = True,
    log: RunLog | None = None,
    hook: Hook | None = None,
) -> FittedModel:
    """Learn levels and classes from photos, without labels or with those of some of them.

    Features and regions are kept in the cache, so that a second call and `predict` go on from there.

    Args:
        source: a folder, a photo, a COCO ``.json``, a ``.txt`` with a path a line, or paths.
        config: all settings; left out, those of the recipe ``default``. At most
            ``config.fit.photos`` photos are looked at, drawn with ``config.fit.seed``; with 0 all,
            and every one of their patches.
        backbone: a model of timm, a file of weights, ``stand-in`` or a plugin, instead of ``config``'s.
        labels: of some of the photos, as `open_dataset` reads them. They teach where objects are and
            what they are called: how far they are believed is found by leaving labelled photos out.
            The classes of the labels come first, then those that were found without a name.
        complete: whether what is not labelled on a labelled photo is background; else it is unknown.
        log: takes seconds, skipped photos and progress.
        hook: called for each photo whose regions were just found.

    Returns:
        The model. Photos that cannot be used are left out and named in ``log.skipped``.

    Raises:
        UserError: there is no usable photo, the labels are of other photos, or weights cannot be
            loaded.

    Example:
        >>> model = prelabel.fit("photos/", prelabel.config.load("fast", ["classes.count=8"]))
        >>> model.save("model/")
    """
    photos, log = _photo_set(source, log)
    matched = match(labels, photos.photos) if labels else []
    config = change(config or Config(), backbone_settings(backbone) if backbone else [])
    config = config.with_strategy("backbone", config.strategy("backbone").resolve())
    most = config.fit.photos or len(photos.photos)
    sample = draw_sample(photos.photos, most=most, seed=config.fit.seed)
    model, seen = _fit_levels(sample, config, log)
    if labels:
        known = _known(model, matched, labels, log, complete=complete)
        finer = try_finer(model, known, log)
        if finer:
            log.remark(str(finer))
        if finer and finer.is_better:
            model, seen = _fit_levels(sample, finer.config(config), log)
            again = replace(labels, problems=Problems())  # what is wrong with them is counted once
            known = _known(model, matched, again, log, complete=complete)
        model = _taught(model, [photo for _, photo in known], log)
    return _with_classes(model, seen, log, hook)


def predict(
    model: FittedModel, source: Source, *, log: RunLog | None = None, hook: Hook | None = None
) -> Iterator[Prediction]:
    """Find the regions of photos and their classes, one photo at a time.

    The prediction of a photo depends on the model and on that photo alone.

    Args:
        model: what `fit` or `load_model` returned.
        source: a folder, a photo, a COCO ``.json``, a ``.txt`` with a path a line, or paths.
        log: takes seconds, skipped photos and progress.
        hook: called for each photo whose regions were just found.

    Yields:
        One `Prediction` for each photo, in order of names. Photos that cannot be used are left out
        and named in ``log.skipped``.

    Raises:
        UserError: there is no photo, or weights cannot be loaded.

    Example:
        >>> for prediction in predict(model, "photos/"):
        ...     for region in prediction.regions:
        ...         print(prediction.photo, region.cluster, region.mask.shape)
        cat.jpg 3 (480, 640)
    """
    for prediction, _ in predict_segments(model, source, log=log, hook=hook):
        yield prediction


def predict_segments(
    model: FittedModel, source: Source, *, log: RunLog | None = None, hook: Hook | None = None
) -> Iterator[tuple[Prediction, Segment]]:
    """As `predict`: each prediction with the segment that it was made of.

    A segment has the vectors of the same regions, in the same order.
    """
    photos, log = _photo_set(source, log)
    clusterer = model.config.strategy("clusterer")
    version = model.version
    label_classes = LabelClasses(model, model.taught) if model.taught else None
    for photo, segment in PhotoSegmenter(model, model.config).each(photos.photos, log, hook):
        prediction = segment.classified(photo.name, model, clusterer, version=version)
        yield label_classes(prediction, segment) if label_classes else prediction, segment


def _fit_levels(
    sample: Sequence[ImageFile], config: Config, log: RunLog
) -> tuple[FittedModel, list[ImageFile]]:
    """A model with levels, but without classes, and the photos that could be used."""
    backbone = config.strategy("backbone")
    with Scales(backbone, name=config.backbone.name, sizes=config.features.sizes) as scales:
        prune_cache(keep=scales.folders)
        seen = extract_photos(sample, scales, log)
        stored = StoredFeatures(seen, scales)
        model = FittedModel(
            config=config,
            backbone=dict(backbone.identity()),
            origins={k: registry.origin(k, name) for k, name in config.strategy_names.items()},
            code=code_now(config),
            levels=fit_levels([digest for _, digest in seen], stored, config, log),
            classes=np.zeros((0, 0), dtype=np.float32),
            n_photos=len(seen),
        )
    return model, [photo for photo, _ in seen]


def _known(
    model: FittedModel,
    matched: Sequence[tuple[ImageFile, Prediction]],
    labels: Dataset,
    log: RunLog,
    *,
    complete: bool,
) -> list[tuple[ImageFile, LabelledPhoto]]:
    """What the labels say of each photo, whose features stay in the cache."""
    segmenter = PhotoSegmenter(model, model.config, keep_features=True)
    with log.stage("labels", len(matched)):
        stream = labelled_photos(matched, labels, segmenter, log, complete=complete)
        return list(log.advancing(stream))


def _taught(model: FittedModel, photos: Sequence[LabelledPhoto], log: RunLog) -> FittedModel:
    """The model, taught with labelled photos."""
    segmenter = PhotoSegmenter(model, model.config, keep_features=True)
    with log.stage("labels", 1):
        taught = Teacher(model, segmenter.known_features).teach(photos)
        log.advance()
    return replace(model, taught=taught)


def _with_classes(
    model: FittedModel, photos: Sequence[ImageFile], log: RunLog, hook: Hook | None
) -> FittedModel:
    """The model, with classes of the regions in photos. Raises UserError if none can be used."""
    segments = PhotoSegmenter(model, model.config).each(photos, log, hook)
    found = [segment.embeddings for _, segment in segments]
    if not found:
        raise UserError(f"none of {len(photos)} photos can be used: {reasons(log.skipped)}")
    vectors = [own for own in found if len(own)]
    if not vectors:
        return model
    with log.stage("classes", 1):
        learned = learn_classes(np.concatenate(vectors), model.config)
        return replace(model, classes=learned.centroids, class_reach=learned.reach)


def _photo_set(source: Source, log: RunLog | None) -> tuple[PhotoSet, RunLog]:
    """The photos of a source, and the log, which names those whose name or folder is unreadable."""
    photos = source if isinstance(source, PhotoSet) else find_photos(source)
    log = log or RunLog()
    for name, reason in photos.skipped:
        log.skip(name, reason)
    return photos, log
