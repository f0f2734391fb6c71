"""Checks that a strategy fulfils the contract of its kind, which its Protocol states."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeGuard, get_type_hints

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from prelabel.data.records import LabelledPatches, PatchFeatures
from prelabel.errors import UserError
from prelabel.storage.text import error_line, nearest
from prelabel.strategies import registry
from prelabel.strategies.checks import (
    Array,
    check_crops,
    check_features,
    check_labels,
    check_named,
    check_pieces,
    check_refitted,
    check_regions,
)
from prelabel.strategies.engine_contract import check_engine
from prelabel.strategies.export_contract import check_exporter
from prelabel.strategies.harness import (
    FAILED,
    Harness,
    MeanColour,
    equal,
    level,
    patch_maps,
)
from prelabel.strategies.protocols import (
    Backbone,
    BlockClusterer,
    Clusterer,
    Concurrent,
    Consistency,
    CropBackbone,
    CropEmbedder,
    Embedder,
    Foreground,
    Learner,
    MoreRegions,
    PhotosEmbedder,
    Refiner,
    Separator,
    Splitter,
)


def check(section: str, name: str, settings: Mapping[str, object] | None = None) -> list[str]:
    """Run the contract of its kind against a strategy with these settings, or its default ones.

    Returns broken promises, a line each, with what was found and what was expected; none if all are
    kept. Nothing that the strategy raises leaves this function. Raises UserError only for an
    unknown section.
    """
    if section not in _CONTRACTS:
        raise UserError(f"{section!r} is not a kind of strategy{nearest(section, _CONTRACTS)}")
    try:
        strategy = registry.make(section, name, settings or {})
    except UserError as error:
        return [str(error)]
    except Exception as error:
        how = "these" if settings else "its default"
        return [f"cannot be made with {how} settings ({error_line(error)})"]
    return check_made(section, strategy)


def check_made(section: str, strategy: object) -> list[str]:
    """Like ``check``, for a strategy that is made already."""
    harness: Harness[Any] = Harness(strategy)
    for contract in (_check_form, _CONTRACTS[section]):
        try:
            contract(harness)
        except UserError as error:  # such as weights that cannot be had
            harness.note("contract", "", f"could not be checked: {error}")
        except Exception as error:
            harness.note("contract", "", f"stopped with {error_line(error)}")
    return harness.broken


# What every strategy promises.


def _check_form(harness: Harness[Any]) -> None:
    strategy = harness.strategy
    if not dataclasses.is_dataclass(strategy):
        harness.note("form", "", "is not a dataclass, expected a frozen one")
        return
    hints = get_type_hints(type(strategy))
    for field in dataclasses.fields(strategy):
        has_default = (field.default, field.default_factory) != (dataclasses.MISSING,) * 2
        harness.expect(has_default, "setting", field.name, "has no default")
        harness.expect(hints[field.name] is not Any, "setting", field.name, "has type Any")
    try:
        setattr(copy.copy(strategy), "no_such_setting", 1)  # noqa: B010 (no type has it)
        harness.note("form", "", "an attribute could be set, expected a frozen dataclass")
    except (AttributeError, TypeError):
        pass  # TypeError: a bug of CPython's for frozen dataclasses with slots
    for how, again in {"pickled": _pickled, "written to a config and read": _configured}.items():
        try:
            same = again(strategy) == strategy
        except Exception as error:
            harness.note("form", "", f"cannot be {how} ({error_line(error)})")
        else:
            harness.expect(same, "form", "", f"another strategy came back when {how}")


def _pickled(strategy: object) -> object:
    return pickle.loads(pickle.dumps(strategy))


def _configured(strategy: Any) -> object:
    settings = json.loads(json.dumps(dataclasses.asdict(strategy)))
    return TypeAdapter(type(strategy)).validate_python(settings)


# One function per kind.


def _check_backbone(harness: Harness[Backbone]) -> None:
    strategy = harness.strategy
    for name in ("patch", "dim", "batch"):
        value = getattr(strategy, name)
        if not (isinstance(value, int) and value >= 1):
            harness.note(name, "", f"is {value!r}, expected a whole number of at least 1")
            return
    resolved = strategy.resolve()
    fits = type(resolved) is type(strategy) and resolved.resolve() == resolved
    found = f"returned {resolved!r}, expected the same strategy, fully specified"
    harness.expect(fits, "resolve", "", found)
    try:
        same = json.dumps(dict(strategy.identity())) == json.dumps(dict(strategy.identity()))
        harness.expect(
            same, "identity", "", "two calls gave different answers, expected equal ones"
        )
    except (TypeError, ValueError) as error:
        harness.note("identity", "", f"returned what JSON cannot hold ({error})")

    if isinstance(strategy, CropBackbone):
        _check_for_crops(harness, strategy.for_crops)

    patch, batch = strategy.patch, strategy.batch
    calls: list[tuple[Callable[[], object], object]] = []
    for rows, columns in ((1, 1), (2, 3), (5, 2)):
        shape = (batch, rows * patch, columns * patch, 3)
        noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        for kind, photos in {"noise": noise, "black": noise * 0}.items():
            case = f"{rows} × {columns} patches, {kind}"
            answers = harness.call(case, "extract", photos)
            if answers is FAILED or not _are_features(answers, harness, case, rows, columns):
                continue
            others = photos.copy()
            others[1:] = 255 - others[1:]
            same = equal(answers[0], strategy.extract(others)[0])
            harness.expect(same, "extract", case, "a photo's features changed with its neighbours")
            calls.append((partial(strategy.extract, photos), answers))
    _check_threads(harness, "extract", calls)


def _check_for_crops(harness: Harness[Backbone], crops: Backbone) -> None:
    strategy = harness.strategy
    for name in ("patch", "dim", "batch"):
        found, expected = getattr(crops, name), getattr(strategy, name)
        harness.expect(found == expected, "for_crops", name, f"is {found!r}, expected {expected!r}")
    if isinstance(strategy, Concurrent):
        threads = crops.threads if isinstance(crops, Concurrent) else 1
        found = f"is {threads}, expected at least {strategy.threads}"
        harness.expect(threads >= strategy.threads, "for_crops", "threads", found)
    shape = (strategy.batch, 2 * strategy.patch, 3 * strategy.patch, 3)
    own: Harness[Backbone] = Harness(crops)
    answers = own.call("black", "extract", np.zeros(shape, dtype=np.uint8))
    if answers is not FAILED:
        _are_features(answers, own, "black", 2, 3)
    for line in own.broken:
        harness.note("for_crops", "", line)


def _check_threads(
    harness: Harness[Any], method: str, calls: Sequence[tuple[Callable[[], object], object]]
) -> None:
    """Whether a strategy that says so may be used by several threads: calls beside each other, with what
    each of them answered alone."""
    if not isinstance(harness.strategy, Concurrent):
        return
    threads = harness.strategy.threads
    if not (isinstance(threads, int) and threads >= 1):
        harness.note("threads", "", f"is {threads!r}, expected a whole number of at least 1")
    elif threads > 1:
        with ThreadPoolExecutor(min(threads, 4)) as pool:
            running = [(pool.submit(call), expected) for call, expected in list(calls) * 4]
        for run, expected in running:
            if error := run.exception():
                harness.note(method, "several threads", f"raised {error_line(error)}")
            else:
                same = equal(run.result(), expected)
                found = "another answer than from one thread"
                harness.expect(same, method, "several threads", found)


def _are_features(
    answers: object, harness: Harness[Backbone], case: str, rows: int, columns: int
) -> TypeGuard[Sequence[PatchFeatures]]:
    batch, dim = harness.strategy.batch, harness.strategy.dim
    if not isinstance(answers, Sequence) or len(answers) != batch:
        n = len(answers) if isinstance(answers, Sequence) else type(answers).__name__
        harness.note("extract", case, f"returned {n} results, expected {batch}")
        return False
    for answer in answers:
        check = partial(check_features, "", answer, (rows, columns), dim=dim)
        if not harness.passes(answer, "extract", case, check):
            return False
        low, mean = float(answer.attention.min()), float(answer.attention.mean(dtype=np.float64))
        fits = low >= 0 and abs(mean - 1) < 0.01
        found = f"attention is at least {low:.3g} with mean {mean:.3g}, expected at least 0, mean 1"
        harness.expect(fits, "extract", case, found)
    return True


def _check_clusterer(harness: Harness[Clusterer]) -> None:
    rng = np.random.default_rng(0)
    cases = {
        "60 points, k = 4": (rng.normal(size=(60, 5)), 4),
        "60 points, k = 1": (rng.normal(size=(60, 5)), 1),
        "60 points around 10000, k = 4": (rng.normal(size=(60, 5)) + 1e4, 4),
        "60 points within 0.001 of 0, k = 4": (rng.uniform(-1e-3, 1e-3, size=(60, 5)), 4),
        "one point, k = 3": (rng.normal(size=(1, 5)), 3),
        "3 points, k = 8": (rng.normal(size=(3, 5)), 8),
        "20 identical points, k = 4": (np.ones((20, 5)), 4),
        "20 points at 0, k = 4": (np.zeros((20, 5)), 4),
    }
    for case, (values, k) in cases.items():
        points = values.astype(np.float32)
        most = min(k, len(np.unique(points, axis=0)))
        centroids = harness.call(case, "fit", points, k=k, seed=0)
        if not harness.is_array(centroids, (None, 5), "fit", case):
            continue
        if not 1 <= len(centroids) <= most:
            found = f"returned {len(centroids)} centroids, expected 1 to {most}"
            harness.note("fit", case, found)
            continue
        if (labels := harness.call(case, "assign", points, centroids)) is not FAILED:
            _check_assigned(harness, case, labels, points, centroids)
        if isinstance(harness.strategy, BlockClusterer):
            _check_fit_blocks(harness, case, points, centroids)


def _check_fit_blocks(
    harness: Harness[Clusterer], case: str, points: NDArray[np.float32], centroids: Array
) -> None:
    """All points are at least as similar to what comes of two clusterings as to their starts."""
    points = points.copy()
    points.flags.writeable = False
    cut = np.array_split(points, 3) if len(points) > 2 else [points]
    starts = [centroids, centroids[:1]]
    answer = harness.call(case, "fit_blocks", lambda: iter(cut), starts)
    check = partial(check_refitted, "", answer, starts)
    if not harness.passes(answer, "fit_blocks", case, check):
        return
    for fitted, start in zip(check(), starts, strict=True):
        before, after = (_mean_similarity(harness.strategy, points, c) for c in (start, fitted))
        found = f"the mean similarity to centroids fell from {before:.3g} to {after:.3g}"
        kept = after >= before - 1e-3 * max(1.0, abs(before))
        harness.expect(kept, "fit_blocks", case, found)


def _mean_similarity(clusterer: Clusterer, points: NDArray[np.float32], centroids: Array) -> float:
    similar = np.stack([clusterer.similarity(points, centroid) for centroid in centroids])
    return float(similar.max(axis=0).mean())


def _check_assigned(
    harness: Harness[Clusterer],
    case: str,
    answer: object,
    points: NDArray[np.float32],
    centroids: Array,
) -> None:
    check = partial(check_labels, "", answer, n=len(points), k=len(centroids))
    if not harness.passes(answer, "assign", case, check):
        return
    labels = check()
    alone = [int(harness.strategy.assign(point[None], centroids)[0]) for point in points]
    same = alone == labels.tolist()
    harness.expect(same, "assign", case, "a point's cluster changed with the other points")
    _check_similarity(harness, case, points, centroids, labels)


def _check_similarity(
    harness: Harness[Clusterer],
    case: str,
    points: NDArray[np.float32],
    centroids: Array,
    labels: NDArray[np.int64],
) -> None:
    """A point is assigned to a centroid that none is more similar to, but for rounding."""
    for point, label in zip(points[:5], labels[:5].tolist(), strict=True):
        answer = harness.call(case, "similarity", centroids, point)
        if not harness.is_array(answer, (len(centroids),), "similarity", case):
            return
        least = answer.max() - 1e-3 * max(1.0, float(np.abs(answer).max()))
        found = f"the assigned centroid has {answer[label]:.3g}, another one {answer.max():.3g}"
        harness.expect(bool(answer[label] >= least), "similarity", case, found)


def _check_foreground(harness: Harness[Foreground]) -> None:
    rng = np.random.default_rng(0)
    clusters = rng.integers(0, 4, 80)
    attention = rng.gamma(1, size=80).astype(np.float32)
    border = rng.random(80) < 0.3
    photos = rng.integers(0, 6, 80)
    cases = {
        "80 patches in 4 of 5 clusters": (clusters, 5, attention, border, photos),
        "one patch, k = 1": (clusters[:1] * 0, 1, attention[:1], border[:1], photos[:1]),
        "one patch, k = 8": (clusters[:1] * 0 + 2, 8, attention[:1], border[:1], photos[:1]),
        "no patch on the frame": (clusters, 4, attention, border & False, photos),
        "all patches on the frame": (clusters, 4, attention, border | True, photos),
        "attention 0 everywhere": (clusters, 4, attention * 0, border, photos),
        "all patches of one photo": (clusters, 4, attention, border, photos * 0 + 3),
    }
    for case, (own, k, attended, frame, of) in cases.items():
        scores = harness.call(case, "score", own, k=k, attention=attended, border=frame, photos=of)
        if not harness.is_array(scores, (k,), "score", case, probability=True):
            continue
        empty = float(scores[np.bincount(own, minlength=k) == 0].max(initial=0))
        found = f"a cluster without patches got {empty:.3g}, expected 0.5 or less"
        harness.expect(empty <= 0.5, "score", case, found)


def _check_consistency(harness: Harness[Consistency]) -> None:
    for height, width in ((1, 1), (1, 6), (4, 5)):
        for n_levels in (1, 2, 3):
            case = f"{n_levels} levels of {height} × {width} patches"
            levels = [level(seed, height, width) for seed in range(n_levels)]
            answer = harness.call(case, "combine", levels)
            harness.is_array(answer, (height, width), "combine", case, probability=True)


def _check_learner(harness: Harness[Learner]) -> None:
    rng = np.random.default_rng(0)

    def photo(n: int, *columns: int, share: float = 1) -> LabelledPatches:
        shares = np.zeros((n, 4), dtype=np.float32)
        shares[np.arange(n), rng.choice(columns, n)] = share
        return LabelledPatches(rng.normal(size=(n, 5)).astype(np.float32), shares)

    both = [photo(40, 0, 1, 2), photo(1, 0), photo(30, 0, 2)]
    cases = {
        "3 photos of background and classes 1 and 2 of 3": (both, True),
        "patches that are covered in part": ([photo(60, 0, 1, 2, share=0.4)], True),
        "a photo of which nothing is known": ([*both, photo(9, 0, share=0)], True),
        "background alone": ([photo(20, 0)], False),
        "classes alone": ([photo(20, 1, 2)], False),
        "no photo": ([], False),
    }
    vectors = rng.normal(size=(7, 5)).astype(np.float32)
    for case, (photos, can_learn) in cases.items():
        summary = harness.call(case, "summarize", photos, seed=0)
        if not harness.passes(summary, "summarize", case, partial(check_named, "", summary)):
            continue
        learned = harness.call(case, "fit", [summary, {}])
        if not harness.passes(learned, "fit", case, partial(check_named, "", learned)):
            continue
        if not (known := check_named("", learned)):
            continue
        found = "returned arrays, expected none: the photos do not show background and a class"
        harness.expect(can_learn, "fit", case, found)
        answer = harness.call(case, "predict", learned, vectors)
        if not harness.is_array(answer, (7, 4), "predict", case, probability=True):
            continue
        sums = answer.sum(axis=1)
        found = f"rows sum to {sums.min():.3g} to {sums.max():.3g}, expected 1"
        harness.expect(bool(np.allclose(sums, 1, atol=1e-4)), "predict", case, found)
        never = float(answer[:, 3].max())
        found = f"a class that no photo shows got {never:.3g}, expected 0"
        harness.expect(never < 1e-6, "predict", case, found)
        alone = np.concatenate([harness.strategy.predict(known, v[None]) for v in vectors])
        same = bool(np.allclose(alone, answer, atol=1e-5))
        harness.expect(same, "predict", case, "a patch's answer changed with the other patches")


def _check_refiner(harness: Harness[Refiner]) -> None:
    rng = np.random.default_rng(0)
    for height, width in ((1, 1), (1, 9), (9, 1), (24, 36), (3, 200)):
        noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        random = rng.random((height, width)).astype(np.float32)
        for kind, photo in {"noise": noise, "black": noise * 0}.items():
            probabilities = {"random": random, "0": random * 0, "1": random * 0 + 1}
            for probability, foreground in probabilities.items():
                case = f"{height} × {width} pixels of {kind}, P {probability}"
                answer = harness.call(case, "refine", foreground, photo)
                harness.is_array(answer, (height, width), "refine", case, probability=True)


def _check_separator(harness: Harness[Separator]) -> None:
    _check_separation(harness)
    if not isinstance(harness.strategy, MoreRegions):
        return
    other = harness.call("", "with_more_regions")
    if other is FAILED:
        return
    if type(other) is not type(harness.strategy):
        found = f"returned {other!r}, expected a {type(harness.strategy).__name__}"
        harness.note("with_more_regions", "", found)
        return
    own: Harness[Any] = Harness(other)
    for contract in (_check_form, _check_separation):
        contract(own)
    for promise in own.broken:
        harness.note("with_more_regions", "", f"what it returned breaks a promise: {promise}")


def _check_separation(harness: Harness[Separator]) -> None:
    rng = np.random.default_rng(0)
    sizes = (((1, 1), (1, 1)), ((1, 9), (1, 2)), ((24, 36), (4, 6)), ((30, 20), (3, 2)))
    for (height, width), (rows, columns) in sizes:
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        random = rng.random((height, width)).astype(np.float32)
        half = np.where(np.arange(width) < width / 2, random / 2, (1 + random) / 2)
        fields = {"random": random, "high on one side": half.astype(np.float32)}
        fields |= {"0": random * 0, "1": random * 0 + 1}
        for kind, refined in fields.items():
            for maps, patches in {
                "random": patch_maps(rows, columns),
                "0": patch_maps(rows, columns, scale=0),
            }.items():
                case = f"{height} × {width} pixels, P {kind}, {rows} × {columns} patches of {maps}"
                answer = harness.call(
                    case, "separate", refined, threshold=0.5, patches=patches, image=image
                )
                check = partial(check_regions, "", answer, (height, width))
                harness.passes(answer, "separate", case, check)
    if isinstance(harness.strategy, Splitter):
        _check_split(harness)


def _check_split(harness: Harness[Separator]) -> None:
    rng = np.random.default_rng(0)
    for (height, width), (rows, columns) in (
        ((1, 1), (2, 2)),
        ((24, 36), (4, 4)),
        ((3, 90), (4, 4)),
    ):
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        one = np.zeros((height, width), dtype=np.bool_)
        one[-1, -1] = True
        masks = {"one pixel": one, "all": one | True, "random": one | (rng.random(one.shape) < 0.5)}
        for kind, mask in masks.items():
            for scale in (1.0, 0.0):
                vectors = patch_maps(rows, columns, scale=scale).vectors
                case = f"{height} × {width} pixels, {kind} in the region, vectors × {scale:g}"
                answer = harness.call(case, "split", mask, vectors=vectors, image=image)
                harness.passes(answer, "split", case, partial(check_pieces, "", answer, mask))


def _check_embedder(harness: Harness[Embedder]) -> None:
    backbone, rng, lengths = MeanColour(), np.random.default_rng(0), set()
    photos: list[tuple[NDArray[np.uint8], NDArray[np.bool_], Array]] = []
    calls: list[tuple[Callable[[], object], object]] = []
    shape = (backbone.batch, 3 * backbone.patch, 4 * backbone.patch, 3)
    features = backbone.extract(rng.integers(0, 256, shape, dtype=np.uint8))[0]
    for height, width in ((1, 1), (40, 56), (37, 9)):
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        masks = np.zeros((4, height, width), dtype=np.bool_)
        masks[0, 0, 0] = masks[1, -1, -1] = True  # regions of one pixel
        masks[2, : height // 2 + 1, : width // 2 + 1] = True
        masks[3] = True
        case = f"{height} × {width} pixels"
        together = _embedded(harness, f"{case}, 4 regions", image, masks, features, backbone)
        for i in range(len(masks)):
            own = masks[i : i + 1].copy()
            alone = _embedded(harness, f"{case}, one region", image, own, features, backbone)
            if together is not None and alone is not None:
                lengths |= {together.shape[1], alone.shape[1]}
                same = equal(alone, together[i : i + 1])
                harness.expect(same, "embed", case, "a region's vector changed with the others")
        known: dict[str, Any] = {"features": features, "backbone": backbone}
        if together is not None:
            calls.append((partial(harness.strategy.embed, image, masks, **known), together))
        if together is not None and isinstance(harness.strategy, CropEmbedder):
            answer = harness.call(case, "embed_crops", image, masks, **known)
            check = partial(check_crops, "", answer, masks)
            if harness.passes(answer, "embed_crops", case, check):
                same = equal(check()[0], together)
                found = "vectors differ from those of embed, expected equal ones"
                harness.expect(same, "embed_crops", case, found)
                photos.append((image, masks, together))
    if isinstance(harness.strategy, PhotosEmbedder) and photos:
        images, all_masks, expected = zip(*photos, strict=True)
        known = {"features": [features] * len(photos), "backbone": backbone}
        several = f"{len(photos)} photos"
        answers = harness.call(several, "embed_photos", images, all_masks, **known)
        if answers is not FAILED:
            found = "other vectors than those of each photo alone"
            same = isinstance(answers, Sequence) and equal([own[0] for own in answers], expected)
            harness.expect(same, "embed_photos", several, found)
    found = f"vectors of {sorted(lengths)} values, expected one length for all photos"
    harness.expect(len(lengths) <= 1, "embed", "", found)
    _check_threads(harness, "embed", calls)


def _embedded(
    harness: Harness[Embedder],
    case: str,
    image: NDArray[np.uint8],
    masks: NDArray[np.bool_],
    features: PatchFeatures,
    backbone: Backbone,
) -> Array | None:
    """The vectors; None where there are none as promised."""
    answer = harness.call(case, "embed", image, masks, features=features, backbone=backbone)
    return answer if harness.is_array(answer, (len(masks), None), "embed", case) else None


_CONTRACTS: dict[str, Callable[[Harness[Any]], None]] = {
    "backbone": _check_backbone,
    "clusterer": _check_clusterer,
    "foreground": _check_foreground,
    "consistency": _check_consistency,
    "learner": _check_learner,
    "refiner": _check_refiner,
    "separator": _check_separator,
    "embedder": _check_embedder,
    "exporter": check_exporter,
    "engine": check_engine,
}
