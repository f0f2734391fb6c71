"""The whole way of a photo: fit() and predict()."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from prelabel.config import Config
from prelabel.data import images
from prelabel.data.records import Image, ImageFile, PatchFeatures, Prediction
from prelabel.errors import PhotoError, UserError
from prelabel.model import FittedModel
from prelabel.model_code import code_now
from prelabel.segment import Segment, Segmenter
from prelabel.steps import levels
from prelabel.steps.classes import fit_classes, number_of_classes
from prelabel.steps.features import Extractor, from_arrays, to_arrays
from prelabel.steps.groups import group_photos
from prelabel.steps.photos import PhotoSet, find_photos
from prelabel.storage.files import cache_folder, prune_cache
from prelabel.storage.memory import trim_heap
from prelabel.storage.progress import RunLog
from prelabel.storage.shards import ShardStore
from prelabel.storage.threads import cores, prefetch_map
from prelabel.strategies import registry
from prelabel.strategies.checks import assign
from prelabel.strategies.protocols import Backbone, Clusterer

T = TypeVar("T")
Float = NDArray[np.float32]
Source = str | Path | Sequence[str | Path] | PhotoSet
Hook = Callable[[ImageFile, Image, Segment], None]
"""Called for each photo whose regions were just found, while its pixels are in memory."""


def fit(
    source: Source,
    config: Config | None = None,
    *,
    log: RunLog | None = None,
    hook: Hook | None = None,
) -> FittedModel:
    """Learn levels and classes from photos, without labels.

    Features and regions are kept in the cache, so that a second call and `predict` go on from there.

    Args:
        source: a folder, a photo, a COCO ``.json``, a ``.txt`` with a path a line, or paths.
        config: all settings; left out, those of the recipe ``default``. At most
            ``config.fit.photos`` photos are looked at, drawn with ``config.fit.seed``.
        log: takes seconds, skipped photos and progress.
        hook: called for each photo whose regions were just found.

    Returns:
        The model. Photos that cannot be used are left out and named in ``log.skipped``.

    Raises:
        UserError: there is no usable photo, or weights cannot be had.

    Example:
        >>> from prelabel import config, fit
        >>> model = fit("photos/", config.load("fast", ["classes.count=8"]))
        >>> model.save("model/")
    """
    photos, config, log = _photo_set(source), config or Config(), log or RunLog()
    for name, reason in photos.skipped:
        log.skip(name, reason)
    backbone: Backbone = config.strategy("backbone").resolve()
    config = config.with_strategy("backbone", backbone)
    extractor = Extractor(backbone, name=config.backbone.name, size=config.features.size)

    with extractor.store() as features:
        prune_cache(keep=features.folder)
        sample = choose(photos.photos, most=config.fit.photos, seed=config.fit.seed)
        seen = _extract(sample, extractor, features, log)
        model = FittedModel(
            config=config,
            backbone=dict(backbone.identity()),
            origins={k: registry.origin(k, name) for k, name in config.strategy_names.items()},
            code=code_now(config),
            levels=_fit_levels([digest for _, digest in seen], features, config, log),
            classes=np.zeros((0, 0), dtype=np.float32),
            n_photos=len(seen),
        )
        embeddings = [
            segment.embeddings
            for _, segment in segments([photo for photo, _ in seen], model, log, hook)
            if len(segment.embeddings)
        ]
    return replace(model, classes=_fit_classes(embeddings, config, log))


def predict(
    model: FittedModel, source: Source, *, log: RunLog | None = None, hook: Hook | None = None
) -> Iterator[Prediction]:
    """Find the regions of photos and their classes, one photo at a time.

    A photo's answer depends on the model and that photo alone.

    Args:
        model: what `fit` or `load_model` returned.
        source: a folder, a photo, a COCO ``.json``, a ``.txt`` with a path a line, or paths.
        log: takes seconds, skipped photos and progress.
        hook: called for each photo whose regions were just found.

    Yields:
        One `Prediction` for each photo, in order of names. Photos that cannot be used are left out
        and named in ``log.skipped``.

    Raises:
        UserError: there is no photo, or weights cannot be had.

    Example:
        >>> for prediction in predict(model, "photos/"):
        ...     for region in prediction.regions:
        ...         print(prediction.photo, region.cluster, region.mask.shape)
        cat.jpg 3 (480, 640)
    """
    photos, log = _photo_set(source), log or RunLog()
    for name, reason in photos.skipped:
        log.skip(name, reason)
    clusterer: Clusterer = model.config.strategy("clusterer")
    version = model.version
    for photo, segment in segments(photos.photos, model, log, hook):
        yield classified(
            photo.name, segment, classes=model.classes, clusterer=clusterer, version=version
        )


def classified(
    photo: str, segment: Segment, *, classes: Float, clusterer: Clusterer, version: str
) -> Prediction:
    """A photo's regions with the class nearest to each, of centroids float32 (n_classes, dim)."""
    clusters: NDArray[np.int64] = np.full(len(segment.regions), -1)
    if len(classes) and len(segment.embeddings):
        clusters = assign(clusterer, segment.embeddings, classes)
    return Prediction(
        photo=photo,
        digest=segment.digest,
        width=segment.width,
        height=segment.height,
        regions=tuple(
            structs.replace(region, cluster=int(cluster))
            for region, cluster in zip(segment.regions, clusters, strict=True)
        ),
        foreground=segment.foreground,
        dropped=segment.dropped,
        model_version=version,
    )


def segments(
    photos: Sequence[ImageFile], model: FittedModel, log: RunLog, hook: Hook | None = None
) -> Iterator[tuple[ImageFile, Segment]]:
    """Each photo's segment: from the cache, or found now and put there. Classes are not needed."""
    model.tell_if_fitted_by_other_code()
    segmenter = Segmenter(model)
    config = model.config
    extractor = Extractor(segmenter.backbone, name=config.backbone.name, size=config.features.size)
    folder = cache_folder() / "segments" / model.segment_hash
    with log.stage("regions", len(photos)), ShardStore(folder) as done:
        pictures = _read(photos, done.__contains__, log)
        seen = _with_features(pictures, extractor, extractor.store())
        for (photo, digest, picture, features), found in prefetch_map(
            lambda item: segmenter.find(item[2], item[3]) if item[2] and item[3] else None,
            seen,
            workers=cores(),
        ):
            if picture and features and found:
                segment = segmenter.describe(picture, features, found)
                done.add(digest, segment.to_arrays())
                if hook:
                    hook(photo, picture, segment)
            else:
                segment = Segment.from_arrays(done.read(digest))
            log.advance()
            yield photo, segment


def _extract(
    photos: Sequence[ImageFile], extractor: Extractor, features: ShardStore, log: RunLog
) -> list[tuple[ImageFile, str]]:
    """Fill the store; photos and digests of those that could be read. UserError if none could."""
    seen = []
    with log.stage("features", len(photos)), features:
        for chunk in _chunks(_read(photos, features.__contains__, log), extractor.chunk):
            new = [picture for _, _, picture in chunk if picture is not None]
            for picture, answer in zip(new, extractor.extract(new), strict=True):
                features.add(picture.digest, to_arrays(answer))
            for photo, digest, _ in chunk:
                seen.append((photo, digest))
                log.advance()
    if not log.skipped and not seen:
        raise UserError("there is no photo to fit on")
    if not seen:
        name, reason = next(iter(log.skipped.items()))
        raise UserError(f"none of {len(log.skipped)} photos can be used; {name}: {reason}")
    return seen


def _with_features(
    pictures: Iterable[tuple[ImageFile, str, Image | None]],
    extractor: Extractor,
    stored: ShardStore,
) -> Iterator[tuple[ImageFile, str, Image | None, PatchFeatures | None]]:
    """The same with features, for those that have pixels.

    They are read from the store; those that are not there are computed and not stored, since
    nothing will ask for them again.
    """
    for chunk in _chunks(pictures, extractor.chunk):
        missing = [p for _, _, p in chunk if p is not None and p.digest not in stored]
        fresh = {p.digest: f for p, f in zip(missing, extractor.extract(missing), strict=True)}
        for photo, digest, picture in chunk:
            features = None
            if picture is not None:
                features = fresh.get(digest) or from_arrays(stored.read(digest))
            yield photo, digest, picture, features


def _fit_levels(
    digests: Sequence[str], stored: ShardStore, config: Config, log: RunLog
) -> levels.Levels:
    digests = sorted(digests)  # names must not decide which patches are drawn
    groups, reach, members = group_photos(
        np.stack([stored.read(d)["cls"] for d in digests]).astype(np.float32),
        settings=config.levels,
        clusterer=config.strategy("clusterer"),
        seed=config.fit.seed,
    )
    with log.stage("levels", 1 + len(groups)):
        center, dataset = _fit_dataset(digests, stored, config)
        log.advance()
        categories = []
        for group in range(len(groups)):
            own = [d for d, g in zip(digests, members, strict=True) if g == group]
            categories.append(_fit_category(own, stored, center, dataset, config))
            log.advance()
    return levels.Levels(center, dataset, groups, reach, tuple(categories))


def _fit_dataset(
    digests: Sequence[str], stored: ShardStore, config: Config
) -> tuple[Float, levels.Clusters]:
    """The mean patch float32 (dim,) and the dataset level."""
    trim_heap()
    patches = _draw(digests, stored, ks=config.levels.dataset_k, config=config)
    center = patches.vectors.mean(axis=0)
    patches.vectors[:] -= center
    return center, levels.fit_dataset(
        patches,
        ks=config.levels.dataset_k,
        clusterer=config.strategy("clusterer"),
        foreground=config.strategy("foreground"),
        seed=config.fit.seed,
    )


def _fit_category(
    digests: Sequence[str],
    stored: ShardStore,
    center: Float,
    dataset: levels.Clusters,
    config: Config,
) -> levels.Clusters:
    """The category level of one group of photos."""
    trim_heap()
    clusterer: Clusterer = config.strategy("clusterer")
    patches = _draw(digests, stored, ks=config.levels.category_k, config=config)
    patches.vectors[:] -= center
    return levels.fit_category(
        patches,
        levels.score_patches(patches.vectors, dataset, clusterer),
        ks=config.levels.category_k,
        clusterer=clusterer,
        foreground=config.strategy("foreground"),
        seed=config.fit.seed,
    )


def _draw(
    digests: Sequence[str], stored: ShardStore, *, ks: Sequence[int], config: Config
) -> levels.Patches:
    """Patches of all photos, the same number of each, drawn with the seed.

    In all they are ``patches_per_cluster`` for each cluster of the largest k.
    """
    wanted = -(-config.levels.patches_per_cluster * max(ks) // len(digests))
    patches, n = levels.Patches.empty(0, 0), 0
    for i, digest in enumerate(digests):
        features = from_arrays(stored.read(digest))
        height, width, dim = features.patches.shape
        chosen = np.random.default_rng((config.fit.seed, i)).permutation(height * width)[:wanted]
        if i == 0:  # one block, not a piece for each photo: memory must not grow with them
            patches = levels.Patches.empty(wanted * len(digests), dim)
        own = slice(n, n := n + len(chosen))
        patches.vectors[own] = features.patches.reshape(height * width, -1)[chosen]
        patches.attention[own] = features.attention.ravel()[chosen]
        patches.border[own] = levels.border_patches(height, width).ravel()[chosen]
    return patches.first(n)


def _fit_classes(embeddings: Sequence[Float], config: Config, log: RunLog) -> Float:
    if not embeddings:
        return np.zeros((0, 0), dtype=np.float32)
    vectors = np.concatenate(embeddings)
    k = number_of_classes(
        wanted=config.classes.count,
        n_labels=len(config.classes.labels),
        n_regions=len(vectors),
    )
    with log.stage("classes", 1):
        clusterer: Clusterer = config.strategy("clusterer")
        return fit_classes(vectors, k=k, clusterer=clusterer, seed=config.fit.seed)


def choose(items: Sequence[T], *, most: int, seed: int) -> list[T]:
    """All items, or a seeded sample of ``most``, in order."""
    if len(items) <= most:
        return list(items)
    chosen = np.sort(np.random.default_rng(seed).choice(len(items), most, replace=False))
    return [items[i] for i in chosen]


def _read(
    photos: Sequence[ImageFile], known: Callable[[str], bool], log: RunLog
) -> Iterator[tuple[ImageFile, str, Image | None]]:
    """Photos with digest and pixels (None where the digest is known), decoded one ahead."""

    def read(photo: ImageFile) -> tuple[str, Image | None] | PhotoError:
        try:
            data = images.read_bytes(photo.file)
            digest = images.digest(data)
            return digest, None if known(digest) else images.decode_image(data)
        except PhotoError as error:
            return error

    for photo, answer in prefetch_map(read, photos, workers=1):
        if isinstance(answer, PhotoError):
            log.skip(photo.name, str(answer))
            log.advance()
        else:
            yield photo, *answer


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def _photo_set(source: Source) -> PhotoSet:
    return source if isinstance(source, PhotoSet) else find_photos(source)
