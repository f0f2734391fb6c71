"""The contracts: kept by every built-in strategy, and each violation is reported."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import Field

from prelabel.data.dataset import ExportContext
from prelabel.data.records import Crop, LabelledPatches, LevelResult, PatchFeatures, Prediction
from prelabel.errors import ContractError, UserError
from prelabel.strategies import contracts, registry
from prelabel.strategies.checks import check_labels, refine, with_more_regions
from prelabel.strategies.protocols import Backbone
from prelabel_plugins.embedders.region_cls import RegionCls
from support.messages import assert_says

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

# Those of timm and osam need weights: they are checked with networks of the tests. Ray is checked with
# a cluster.
BUILT_IN = [
    (section, name)
    for section in registry.KINDS
    for name in registry.names(section)
    if name not in ("timm", "sam", "ray") and registry.origin(section, name).startswith("prelabel ")
]


@pytest.mark.parametrize(("section", "name"), BUILT_IN)
def test_check__the_built_in_ones_keep_their_promises(section: str, name: str) -> None:
    if name == "dense-crf":
        pytest.importorskip("pydensecrf", reason="pydensecrf is not installed (no compiler)")
    assert contracts.check(section, name) == []


def test_check__at_least_two_of_every_kind() -> None:
    for section in registry.KINDS:
        assert len(registry.names(section)) >= 2


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, type], list[str]]:
    """A function that checks a class of this file as a strategy of that kind."""

    def check(section: str, strategy: type) -> list[str]:
        monkeypatch.setattr(registry, "load", lambda *_: strategy)
        return contracts.check(section, "under-test")

    return check


Broken = Callable[[str, type], list[str]]


def _strategy(method: str, answer: Callable[..., object]) -> type:
    """A strategy whose method returns a given answer; defined here, so that it can be pickled."""
    made = make_dataclass("Made", [], frozen=True, namespace={method: answer})
    made.__module__ = __name__
    globals()["Made"] = made
    return made


def _refine(answer: Callable[[Float, Bytes], object]) -> type:
    return _strategy("refine", lambda self, foreground, image: answer(foreground, image))


CALLS = iter(range(10**9))


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda p, _: p[:, :-1], r"\(1, 0\).*\(1, 1\)"),
        (lambda p, _: p[None], r"\(1, 1, 1\).*\(1, 1\)"),
        (lambda p, _: p.tolist(), "list.*array"),
        (lambda p, _: None, "NoneType.*array"),
        (lambda p, _: (p > 0.5).astype(np.int64), "int64.*float32"),
        (lambda p, _: p > 0.5, "bool.*float32"),
        (lambda p, _: p * 2, r"from 0\.\d+ to 1\.\d+.*0 to 1"),
        (lambda p, _: p * np.float32(np.nan), "not finite"),
        (lambda p, _: p + np.float32(next(CALLS) % 2 / 1000), "two calls"),
        (lambda p, _: np.clip(p, 0.1, 0.9, out=p), "read-only"),
        (lambda p, _: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_check__a_refiner_that_breaks_its_promise(
    broken: Broken, answer: Callable[[Float, Bytes], object], problem: str
) -> None:
    promises = broken("refiner", _refine(answer))
    assert any(re.search(problem, promise) for promise in promises), promises
    assert all(promise.startswith("refine (") for promise in promises)
    assert all("\n" not in promise for promise in promises)
    assert len(promises) < 20  # the cases of one problem share a line


def _write_anyway(p: Float, _: Bytes) -> Float:
    """As a library in C does, which does not ask."""
    writable = p.flags.writeable
    if writable:
        p[:] = 0.5
    return np.full_like(p, 0.5)


def test_check__changed_inputs(broken: Broken) -> None:
    promises = broken("refiner", _refine(_write_anyway))
    assert [p.partition("): ")[2] for p in promises] == ["changed its inputs"]


def test_check__a_case_that_only_one_size_shows(broken: Broken) -> None:
    (promise,) = broken("refiner", _refine(lambda p, _: p if p.size > 1 else 1 / 0))
    assert promise.startswith("refine (1 × 1 pixels of noise, P random; 5 more): ")
    assert "ZeroDivisionError" in promise


# Separators


def _separate(answer: Callable[[Float], object]) -> type:
    return _strategy(
        "separate", lambda self, refined, *, threshold, patches, image: answer(refined)
    )


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda p: p > 0.5, "bool.*int32"),
        (lambda p: (p > 0.5).astype(np.float32), "float32.*int32"),
        (lambda p: -(p > 0.5).astype(np.int32), "returned -1, expected 0 or more"),
        (lambda p: 2 * (p > 0.5).astype(np.int32), "no region 1 but a region 2.*without gaps"),
        (lambda p: np.int32(10**9) * (p > 0.5).astype(np.int32), "a region 1000000000"),
        (lambda p: (p[1:] > 0.5).astype(np.int32), r"\(0, 1\).*\(1, 1\)"),
        (lambda p: np.multiply(p, 0, out=p).astype(np.int32), "read-only"),
        (lambda p: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_check__a_separator_that_breaks_its_promise(
    broken: Broken, answer: Callable[[Float], object], problem: str
) -> None:
    promises = broken("separator", _separate(answer))
    assert any(re.search(problem, promise) for promise in promises), promises
    assert all(promise.startswith("separate (") for promise in promises)


def test_check__a_separator_that_finds_nothing(broken: Broken) -> None:
    assert broken("separator", _separate(lambda p: np.zeros(p.shape, dtype=np.int32))) == []


def _zoom(answer: Callable[[NDArray[np.bool_], Float], object]) -> type:
    """A separator that finds one region, and splits it."""
    made = make_dataclass(
        "Made",
        [],
        frozen=True,
        namespace={
            "separate": lambda self, refined, *, threshold, patches, image: np.ones(
                refined.shape, dtype=np.int32
            ),
            "split": lambda self, mask, *, vectors, image: answer(mask, vectors),
        },
    )
    made.__module__ = __name__
    globals()["Made"] = made
    return made


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda mask, _: mask, "bool.*int32"),
        (lambda mask, _: np.ones(mask.shape, dtype=np.int32), r"at \d+ pixels, expected none"),
        (lambda mask, _: 2 * mask.astype(np.int32), "no region 1 but a region 2"),
        (lambda mask, _: mask[:, 1:].astype(np.int32), r"shape \(1, 0\), expected \(1, 1\)"),
        (lambda mask, vectors: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_check__a_separator_that_splits_wrongly(
    broken: Broken, answer: Callable[[NDArray[np.bool_], Float], object], problem: str
) -> None:
    promises = broken("separator", _zoom(answer))
    assert any(re.search(problem, promise) for promise in promises), promises
    assert all(promise.startswith("split (") for promise in promises)
    assert broken("separator", _zoom(lambda mask, _: mask.astype(np.int32))) == []


@dataclass(frozen=True)
class Rows:
    """A separator that finds ``regions`` rows of pixels."""

    regions: Annotated[int, Field(ge=1, le=2)] = 1

    def separate(self, refined: Float, **given: object) -> NDArray[np.int32]:
        if self.regions > 2:
            raise ValueError("too many regions")
        found = np.zeros(refined.shape, dtype=np.int32)
        n = min(self.regions, len(found))
        found[:n] = np.arange(1, n + 1)[:, None]
        return found


def _rows_and(answer: Callable[[Rows], object]) -> type:
    """Rows that answer so when they are asked for more regions."""
    made = make_dataclass(
        "Made", [], bases=(Rows,), frozen=True, namespace={"with_more_regions": answer}
    )
    made.__module__ = __name__
    globals()["Made"] = made
    return made


def _two_rows(rows: Rows) -> Rows:
    return replace(rows, regions=2)


def _none(_: Rows) -> None:
    return None


def test_check__a_separator_that_makes_more_regions(broken: Broken) -> None:
    assert broken("separator", Rows) == []
    assert broken("separator", _rows_and(_two_rows)) == []
    assert broken("separator", _rows_and(_none)) == [
        "with_more_regions: returned None, expected a Made"
    ]
    [promise] = broken("separator", _rows_and(lambda _: 1 / 0))
    assert promise == "with_more_regions: raised ZeroDivisionError: division by zero"
    promises = broken("separator", _rows_and(lambda rows: replace(rows, regions=3)))
    assert any("cannot be written to a config" in promise for promise in promises)
    assert any("separate" in promise and "too many regions" in promise for promise in promises)


def test_with_more_regions__what_is_no_separator_is_named() -> None:
    made = _rows_and(_two_rows)
    assert with_more_regions(made()) == made(2)
    assert with_more_regions(Rows()) == Rows()
    with pytest.raises(
        ContractError, match="with_more_regions returned None, expected a separator"
    ):
        with_more_regions(_rows_and(_none)())


# Engines


def _engine(map_jobs: Callable[[Callable[[int], int], Sequence[int]], Iterator[int]]) -> type:
    """An engine that does jobs by a function of what does one, and of the jobs."""
    made = make_dataclass(
        "Made",
        [],
        frozen=True,
        namespace={"map": lambda self, prepare, jobs: map_jobs(prepare(), jobs)},
    )
    made.__module__ = __name__
    globals()["Made"] = made
    return made


def _passing_over_errors(do: Callable[[int], int], jobs: Sequence[int]) -> Iterator[int]:
    for job in jobs:
        with suppress(UserError):
            yield do(job)


def _with_errors_as(error: Exception) -> Callable[..., Iterator[int]]:
    def jobs_done(do: Callable[[int], int], jobs: Sequence[int]) -> Iterator[int]:
        for job in jobs:
            try:
                yield do(job)
            except UserError:
                raise error from None

    return jobs_done


@pytest.mark.parametrize(
    ("map_jobs", "problem"),
    [
        (lambda do, jobs: map(do, jobs[1:]), r"12 jobs.*gave \[1, 4, .*expected \[0, 1, 4"),
        (lambda do, jobs: map(do, [*jobs, *jobs]), r"one job.*gave \[0, 0\], expected \[0\]"),
        (lambda do, jobs: 1 / 0, "12 jobs.*raised ZeroDivisionError"),
        (_passing_over_errors, "raises UserError.*nothing was raised"),
        (_with_errors_as(UserError("it failed")), "raised another: it failed"),
        (_with_errors_as(ValueError("lost")), "raised ValueError.*instead"),
    ],
)
def test_check__an_engine_that_does_other_jobs(
    broken: Broken, map_jobs: Callable[..., Iterator[int]], problem: str
) -> None:
    promises = broken("engine", _engine(map_jobs))
    assert any(re.search(problem, promise) for promise in promises), promises


def test_check__an_engine_in_another_order(broken: Broken) -> None:
    assert broken("engine", _engine(lambda do, jobs: map(do, reversed(jobs)))) == []


# Embedders that give away crops


def _crops(answer: Callable[[Float, Sequence[Crop]], object]) -> type:
    """``region-cls``, whose answer is changed."""
    own = registry.make("embedder", "region-cls", {"size": 28})
    made = make_dataclass(
        "Made",
        [],
        frozen=True,
        namespace={
            "embed": lambda self, image, masks, **known: own.embed(image, masks, **known),
            "embed_crops": lambda self, image, masks, **known: answer(
                *own.embed_crops(image, masks, **known)
            ),
        },
    )
    made.__module__ = __name__
    globals()["Made"] = made
    return made


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda vectors, crops: vectors, "ndarray, expected vectors and crops"),
        (lambda vectors, crops: (vectors[1:], crops), r"shape \(3, 3\), expected \(4, 'any'\)"),
        (lambda vectors, crops: (vectors, crops[1:]), "3 crops, expected 4"),
        (lambda vectors, crops: (vectors, crops[::-1]), r"without \d+ pixels of its region"),
        (lambda vectors, crops: (-vectors, crops), "differ from those of embed"),
        (
            lambda vectors, crops: (vectors, [replace(c, features=None) for c in crops]),
            "NoneType, expected PatchFeatures",
        ),
    ],
)
def test_check__an_embedder_whose_crops_are_wrong(
    broken: Broken, answer: Callable[[Float, Sequence[Crop]], object], problem: str
) -> None:
    promises = broken("embedder", _crops(answer))
    assert any(re.search(problem, promise) for promise in promises), promises
    assert all(promise.startswith("embed_crops (") for promise in promises)


def test_check__an_embedder_that_gives_away_its_crops(broken: Broken) -> None:
    assert broken("embedder", _crops(lambda *same: same)) == []


@dataclass(frozen=True)
class _Remembers:
    """An embedder that says it may be used by several threads, and keeps what they share."""

    threads: ClassVar[object] = 4
    size: ClassVar[list[int]] = []

    def embed(self, image: Bytes, masks: NDArray[np.bool_], **known: object) -> Float:
        self.size[:] = [len(image)]
        if threading.current_thread() is not threading.main_thread():
            _meet(self.size)
        return np.full((len(masks), 1), self.size[0], dtype=np.float32)


def _meet(size: list[int]) -> None:
    """Leave what another thread wrote, as happens now and then."""
    size[:] = [size[0] + 1]


@dataclass(frozen=True)
class _Half(_Remembers):
    threads: ClassVar[object] = 0.5


def test_check__an_embedder_that_several_threads_disturb(broken: Broken) -> None:
    assert broken("embedder", _Remembers) == [
        "embed (several threads): another answer than from one thread"
    ]


def test_check__threads_that_are_no_number(broken: Broken) -> None:
    assert broken("embedder", _Half) == ["threads: is 0.5, expected a whole number of at least 1"]


@dataclass(frozen=True)
class _Mixes(RegionCls):
    """An embedder whose vectors depend on the photos that they are made with."""

    size: int = 28

    def embed_photos(self, images: Sequence[Bytes], masks: Any, **known: Any) -> Any:
        found = super().embed_photos(images, masks, **known)
        return found if len(images) == 1 else found[::-1]


def test_check__an_embedder_that_mixes_photos(broken: Broken) -> None:
    assert broken("embedder", _Mixes) == [
        "embed_photos (3 photos): other vectors than those of each photo alone"
    ]


# Learners


@dataclass(frozen=True)
class Counts:
    """Learns how much of the patches is background and each class; P is the same for every patch."""

    def summarize(self, photos: Iterable[LabelledPatches], *, seed: int) -> Mapping[str, Float]:
        sums = [photo.shares.sum(axis=0) for photo in photos]
        return {"counts": np.sum(sums, axis=0, dtype=np.float32)} if sums else {}

    def fit(self, summaries: Sequence[Mapping[str, Float]]) -> Mapping[str, Float]:
        known = [summary["counts"] for summary in summaries if summary]
        counts = np.stack(known).sum(axis=0) if known else np.zeros(2, dtype=np.float32)
        if not (counts[0] and counts[1:].any()):
            return {}
        return {"shares": (counts / counts.sum()).astype(np.float32)}

    def predict(self, learned: Mapping[str, Float], vectors: Float) -> object:
        return np.tile(learned["shares"], (len(vectors), 1))


@dataclass(frozen=True)
class OneColumn(Counts):
    def predict(self, learned: Mapping[str, Float], vectors: Float) -> object:
        return np.full(len(vectors), 0.5, dtype=np.float32)


@dataclass(frozen=True)
class WithoutBackground(Counts):
    def predict(self, learned: Mapping[str, Float], vectors: Float) -> object:
        return np.tile(learned["shares"][1:], (len(vectors), 1))


@dataclass(frozen=True)
class NotANumber(Counts):
    def predict(self, learned: Mapping[str, Float], vectors: Float) -> object:
        return np.full((len(vectors), 4), np.nan, dtype=np.float32)


@dataclass(frozen=True)
class FirstPoints:
    """A clusterer whose centroids are the first points, as they are."""

    def fit(self, points: Float, *, k: int, seed: int) -> Float:
        return np.unique(points[:k], axis=0)

    def assign(self, points: Float, centroids: Float) -> Any:
        return np.array([self.similarity(centroids, point).argmax() for point in points])

    def similarity(self, points: Float, point: Float) -> Float:
        return np.asarray(-((points - point) ** 2).sum(axis=1))

    def fit_blocks(self, blocks: Callable[[], Iterable[Float]], starts: Sequence[Float]) -> Any:
        return list(starts)


@dataclass(frozen=True)
class OneClustering(FirstPoints):
    def fit_blocks(self, blocks: Callable[[], Iterable[Float]], starts: Sequence[Float]) -> Any:
        return list(starts[:1])


@dataclass(frozen=True)
class AddsCentroids(FirstPoints):
    def fit_blocks(self, blocks: Callable[[], Iterable[Float]], starts: Sequence[Float]) -> Any:
        return [np.concatenate([start, start + 1]) for start in starts]


@dataclass(frozen=True)
class MovesAway(FirstPoints):
    def fit_blocks(self, blocks: Callable[[], Iterable[Float]], starts: Sequence[Float]) -> Any:
        return [start + 3 for start in starts]


@dataclass(frozen=True)
class WritesToBlocks(FirstPoints):
    def fit_blocks(self, blocks: Callable[[], Iterable[Float]], starts: Sequence[Float]) -> Any:
        for block in blocks():
            block /= 2
        return list(starts)


def test_check__a_simple_clusterer_of_blocks_keeps_the_contract(broken: Broken) -> None:
    assert broken("clusterer", FirstPoints) == []


@pytest.mark.parametrize(
    ("strategy", "problem"),
    [
        (OneClustering, "fit_blocks .*returned 1, expected 2 clusterings"),
        (AddsCentroids, "fit_blocks .*returned 8 centroids, expected 1 to 4"),
        (MovesAway, "fit_blocks .*mean similarity to centroids fell"),
        (WritesToBlocks, "fit_blocks .*read-only"),
    ],
)
def test_check__a_clusterer_of_blocks_that_breaks_its_promise(
    broken: Broken, strategy: type, problem: str
) -> None:
    promises = broken("clusterer", strategy)
    assert any(re.search(problem, promise) for promise in promises), promises


@dataclass(frozen=True)
class AboveOne(Counts):
    def predict(self, learned: Mapping[str, Float], vectors: Float) -> object:
        return np.tile(learned["shares"] * 3, (len(vectors), 1))


@dataclass(frozen=True)
class RowsOfAHalf(Counts):
    def predict(self, learned: Mapping[str, Float], vectors: Float) -> object:
        return np.tile(learned["shares"] / 2, (len(vectors), 1))


@dataclass(frozen=True)
class FavoursTheUnseen(Counts):
    def predict(self, learned: Mapping[str, Float], vectors: Float) -> object:
        return np.full((len(vectors), 4), 0.25, dtype=np.float32)


@dataclass(frozen=True)
class ComparesPatches(Counts):
    """P depends on how many patches there are."""

    def predict(self, learned: Mapping[str, Float], vectors: Float) -> object:
        p = np.tile(learned["shares"], (len(vectors), 1))
        p[:, 0] /= len(vectors)
        return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class AlwaysLearns(Counts):
    def fit(self, summaries: Sequence[Mapping[str, Float]]) -> Mapping[str, Float]:
        return {"shares": np.array([0.4, 0.3, 0.3, 0], dtype=np.float32)}


_SEEN: list[LabelledPatches] = []


@dataclass(frozen=True)
class Remembers(Counts):
    """Adds what it is given to what it was given before."""

    def summarize(self, photos: Iterable[LabelledPatches], *, seed: int) -> Mapping[str, Float]:
        _SEEN.extend(photos)
        return super().summarize(_SEEN, seed=seed)


@dataclass(frozen=True)
class Unseeded(Counts):
    def summarize(self, photos: Iterable[LabelledPatches], *, seed: int) -> Mapping[str, Float]:
        found = super().summarize(photos, seed=seed)
        return {
            k: v + np.random.default_rng().random(v.shape, np.float32) for k, v in found.items()
        }


@dataclass(frozen=True)
class ReturnsAList(Counts):
    def fit(self, summaries: Sequence[Mapping[str, Float]]) -> Any:
        return [summary for summary in summaries if summary]


@dataclass(frozen=True)
class LearnsWholeNumbers(Counts):
    def fit(self, summaries: Sequence[Mapping[str, Float]]) -> Any:
        return {name: array.astype(np.int64) for name, array in super().fit(summaries).items()}


@dataclass(frozen=True)
class ScalesPatches(Counts):
    """Writes to what it is given."""

    def predict(self, learned: Mapping[str, Float], vectors: Float) -> object:
        vectors /= 2
        return super().predict(learned, vectors)


def test_check__a_simple_learner_keeps_the_contract(broken: Broken) -> None:
    assert broken("learner", Counts) == []


@pytest.mark.parametrize(
    ("strategy", "problem"),
    [
        (OneColumn, r"predict .*\(7,\).*\(7, 4\)"),
        (WithoutBackground, r"predict .*\(7, 3\).*\(7, 4\)"),
        (NotANumber, "predict .*not finite"),
        (AboveOne, r"predict .*from 0 to 1\.2.*0 to 1"),
        (RowsOfAHalf, "predict .*rows sum to 0.5 to 0.5, expected 1"),
        (FavoursTheUnseen, "predict .*no photo shows got 0.25, expected 0"),
        (ComparesPatches, "predict .*changed with the other patches"),
        (AlwaysLearns, r"fit \(background alone; 2 more\).*expected none"),
        (Remembers, "summarize .*two calls"),
        (Unseeded, "summarize .*two calls"),
        (ReturnsAList, "fit .*list, expected arrays by name"),
        (LearnsWholeNumbers, "fit .*int64.*float32"),
        (ScalesPatches, "predict .*read-only"),
    ],
)
def test_check__a_learner_that_breaks_its_promise(
    broken: Broken, strategy: type, problem: str
) -> None:
    _SEEN.clear()
    promises = broken("learner", strategy)
    assert any(re.search(problem, promise) for promise in promises), promises
    assert all("\n" not in promise for promise in promises)


def test_check__other_floats_and_whole_numbers_are_converted_as_in_a_run(broken: Broken) -> None:
    assert broken("refiner", _refine(lambda p, _: p.astype(np.float64))) == []
    refiner = _refine(lambda p, _: p.astype(np.float64))()
    assert refine(refiner, np.ones((2, 3), np.float32), np.zeros((2, 3, 3), np.uint8)).dtype == "f4"
    assert check_labels("", np.array([0, 1], np.uint8), n=2, k=2).dtype == np.int64


# The other kinds


@dataclass(frozen=True)
class SharedClusters:
    """Assigns a point by how many points there are."""

    def fit(self, points: Float, *, k: int, seed: int) -> object:
        return np.unique(points, axis=0)[:k]

    def assign(self, points: Float, centroids: Float) -> object:
        return np.full(len(points), len(points) % len(centroids))

    def similarity(self, points: Float, point: Float) -> object:
        return np.zeros(len(points))


@dataclass(frozen=True)
class TooManyClusters(SharedClusters):
    def fit(self, points: Float, *, k: int, seed: int) -> object:
        return np.repeat(points[:1], k, axis=0)


@dataclass(frozen=True)
class UnseededClusters(SharedClusters):
    def fit(self, points: Float, *, k: int, seed: int) -> object:
        return np.random.default_rng().normal(size=(1, points.shape[1])).astype(np.float32)


@dataclass(frozen=True)
class OppositeSimilarity:
    """The farther, the more similar."""

    def fit(self, points: Float, *, k: int, seed: int) -> object:
        return np.unique(points, axis=0)[:k]

    def assign(self, points: Float, centroids: Float) -> object:
        return ((points[:, None] - centroids) ** 2).sum(axis=2).argmin(axis=1)

    def similarity(self, points: Float, point: Float) -> object:
        return ((points - point) ** 2).sum(axis=1)


@dataclass(frozen=True)
class HighForEmpty:
    """Scores a cluster without patches above a half."""

    def score(
        self,
        clusters: NDArray[np.int64],
        *,
        k: int,
        attention: Float,
        border: NDArray[np.bool_],
        photos: NDArray[np.int64],
    ) -> object:
        return np.full(k, 0.7, dtype=np.float32)


@dataclass(frozen=True)
class NeedsThreeLevels:
    """Wants three levels."""

    def combine(self, levels: Sequence[LevelResult]) -> object:
        return levels[2].foreground


@dataclass(frozen=True)
class CountsRegions:
    """Describes a region by the number of regions."""

    def embed(
        self, image: Bytes, masks: NDArray[np.bool_], *, features: PatchFeatures, backbone: Backbone
    ) -> object:
        return np.full((len(masks), 3), len(masks), dtype=np.float32)


@dataclass(frozen=True)
class LengthOfPhoto:
    """As many values as the photo has columns."""

    def embed(
        self, image: Bytes, masks: NDArray[np.bool_], *, features: PatchFeatures, backbone: Backbone
    ) -> object:
        return masks.mean(axis=1, dtype=np.float32)


@dataclass(frozen=True)
class OverwritesInPlace:
    """An exporter that overwrites, in place, and clears its folder."""

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        for file in folder.iterdir():
            file.unlink()
        with (folder / "out.txt").open("w") as out:
            for prediction in predictions:
                out.write(prediction.photo)
        return folder / "out.txt"


@dataclass(frozen=True)
class ReturnsText:
    """An exporter that counts before it writes, and returns a str."""

    def write(
        self, predictions: Sequence[Prediction], folder: Path, context: ExportContext
    ) -> object:
        (folder / "count.txt").write_text(str(len(predictions)))
        return str(folder)


@dataclass(frozen=True)
class DependsOnBatch:
    """A backbone with attention below 0, in double precision, and a photo that knows its batch."""

    patch: int = 4
    dim: int = 2
    batch: int = 2

    def resolve(self) -> DependsOnBatch:
        return self

    def identity(self) -> Mapping[str, object]:
        return {}

    def extract(self, images: Bytes) -> Sequence[PatchFeatures]:
        n, height, width, _ = images.shape
        grid = (height // self.patch, width // self.patch)
        patches = np.full((*grid, self.dim), images.mean() / 255, dtype=np.float16)
        return [PatchFeatures(patches, patches[0, 0], np.ones(grid, np.float16))] * n


@dataclass(frozen=True)
class NegativeAttention(DependsOnBatch):
    def extract(self, images: Bytes) -> Sequence[PatchFeatures]:
        return [replace(a, attention=-a.attention) for a in super().extract(images * 0)]


@dataclass(frozen=True)
class TooLarge(DependsOnBatch):
    """For half precision."""

    def extract(self, images: Bytes) -> Sequence[PatchFeatures]:
        return [
            replace(a, patches=a.patches.astype(np.float64) + 1e5)  # type: ignore[arg-type]
            for a in super().extract(images * 0)
        ]


@dataclass(frozen=True)
class OneTooFew(DependsOnBatch):
    def extract(self, images: Bytes) -> Sequence[PatchFeatures]:
        return super().extract(images * 0)[1:]


@dataclass(frozen=True)
class PathInIdentity(DependsOnBatch):
    def identity(self) -> Mapping[str, object]:
        return {"weights": Path("a")}

    def extract(self, images: Bytes) -> Sequence[PatchFeatures]:
        return super().extract(images * 0)


@dataclass(frozen=True)
class PatchOfZero(DependsOnBatch):
    patch: int = 0


@dataclass(frozen=True)
class OtherForCrops(DependsOnBatch):
    @property
    def for_crops(self) -> DependsOnBatch:
        return DependsOnBatch(dim=3)


@dataclass(frozen=True)
class FailsForCrops(DependsOnBatch):
    threads: ClassVar[int] = 2

    @property
    def for_crops(self) -> NegativeAttention:
        return NegativeAttention()


@dataclass(frozen=True)
class WithoutWeights(DependsOnBatch):
    def extract(self, images: Bytes) -> Sequence[PatchFeatures]:
        raise UserError("no weights here: fetch them")


@pytest.mark.parametrize(
    ("section", "strategy", "problem"),
    [
        ("clusterer", SharedClusters, "other points"),
        ("clusterer", TooManyClusters, "3 centroids.*1 to 1"),
        ("clusterer", UnseededClusters, "two calls"),
        ("clusterer", OppositeSimilarity, r"similarity .*the assigned centroid has -?\d.*another"),
        ("foreground", HighForEmpty, r"0\.7.*0\.5"),
        (
            "consistency",
            NeedsThreeLevels,
            r"\(1 levels of 1 × 1 patches; 5 more\).*IndexError",
        ),
        ("embedder", CountsRegions, "changed with the others"),
        ("embedder", LengthOfPhoto, r"\[1, 9, 56\]"),
        ("exporter", OverwritesInPlace, "file that it did not write"),
        ("exporter", OverwritesInPlace, r"out\.txt.*broke off"),
        ("exporter", ReturnsText, "TypeError"),
        ("backbone", DependsOnBatch, "neighbours"),
        ("backbone", NegativeAttention, "attention.*mean -1.*mean 1"),
        ("backbone", TooLarge, "patches.*not finite as float16"),
        ("backbone", OneTooFew, "1 results.*2"),
        ("backbone", PathInIdentity, "identity: .*JSON"),
        ("backbone", PatchOfZero, "patch: .*0.*1"),
        ("backbone", OtherForCrops, r"for_crops \(dim\): is 3, expected 2"),
        ("backbone", FailsForCrops, "for_crops: extract .*attention.*mean -1"),
        ("backbone", FailsForCrops, r"for_crops \(threads\): is 1, expected at least 2"),
        ("backbone", WithoutWeights, "UserError: no weights here: fetch them"),
    ],
)
def test_check__other_kinds(broken: Broken, section: str, strategy: type, problem: str) -> None:
    promises = broken(section, strategy)
    assert any(re.search(problem, promise) for promise in promises), promises
    assert all("\n" not in promise for promise in promises)


# What every strategy promises


@dataclass(frozen=True)
class Identity:
    """Hands on what it gets."""

    def refine(self, foreground: Float, image: Bytes) -> object:
        return foreground.copy()


@dataclass(frozen=True)
class Untyped(Identity):
    radius: Any = 3


@dataclass(frozen=True)
class WithoutDefault(Identity):
    radius: int


@dataclass
class NotFrozen:
    """Not frozen."""

    def refine(self, foreground: Float, image: Bytes) -> object:
        return foreground.copy()


@dataclass(frozen=True, slots=True)
class Slotted:
    """Frozen and with slots, as is fine."""

    radius: int = 3

    def refine(self, foreground: Float, image: Bytes) -> object:
        return foreground.copy()


def test_form__kept(broken: Broken) -> None:
    assert broken("refiner", Identity) == []
    assert broken("refiner", Slotted) == []


def test_form__broken(broken: Broken) -> None:
    assert broken("refiner", Untyped) == ["setting (radius): has type Any"]
    assert any("refiner.radius" in p and "required" in p for p in broken("refiner", WithoutDefault))
    assert "frozen" in broken("refiner", NotFrozen)[0]


def test_form__cannot_be_pickled(broken: Broken) -> None:
    @dataclass(frozen=True)
    class Local(Identity):
        """Lies in a function, where pickle does not find it."""

    promises = broken("refiner", Local)
    assert len(promises) == 1
    assert "cannot be pickled" in promises[0]


def test_check__unknown_names() -> None:
    (problem,) = contracts.check("refiner", "guided-filer")
    assert_says(problem, "'guided-filer'", "'guided-filter'")
    with pytest.raises(UserError, match=r"'refiners'.*'refiner'"):
        contracts.check("refiners", "none")
