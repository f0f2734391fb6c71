"""The harness of the contract checks: calls a strategy, notes violations, makes test inputs."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import encode_rle, rle_area, rle_box
from prelabel.data.records import LevelResult, PatchFeatures, PatchMaps, Prediction, Region
from prelabel.errors import ContractError
from prelabel.storage.text import error_line
from prelabel.strategies.checks import Array, check_array

S = TypeVar("S")

FAILED = object()
"""The answer of a call that raised."""


class Harness(Generic[S]):
    """Calls a strategy and notes what breaks, by method and problem, with the cases."""

    def __init__(self, strategy: S) -> None:
        self.strategy = strategy
        self._noted: dict[tuple[str, str], list[str]] = {}

    @property
    def broken(self) -> list[str]:
        """A line for each problem, which names the first case that showed it."""
        lines = []
        for (method, problem), cases in self._noted.items():
            more = f"; {len(cases) - 1} more" if len(cases) > 1 else ""
            lines.append(
                f"{method} ({cases[0]}{more}): {problem}" if cases[0] else f"{method}: {problem}"
            )
        return lines

    def note(self, method: str, case: str, problem: str) -> None:
        """A promise was broken; ``case`` is "" where there is but one."""
        cases = self._noted.setdefault((method, problem), [])
        if case not in cases:
            cases.append(case)

    def expect(self, kept: bool, method: str, case: str, problem: str) -> None:
        """Note the problem unless the promise was kept."""
        if not kept:
            self.note(method, case, problem)

    def call(self, case: str, method: str, *args: object, **kwargs: object) -> object:
        """The answer, or FAILED where there is none. Called twice: the answers must be equal, the
        inputs must stay as they were, and the second time they are read-only."""
        given = copy.deepcopy((args, kwargs))
        for array in arrays([args, kwargs]):
            array.flags.writeable = False
        answers = []
        for own_args, own_kwargs in (given, (args, kwargs)):
            try:
                answers.append(getattr(self.strategy, method)(*own_args, **own_kwargs))
            except Exception as error:
                hint = " when given arrays that are read-only" if answers else ""
                self.note(method, case, f"raised {error_line(error)}{hint}")
                return FAILED
        self.expect(equal(given, (args, kwargs)), method, case, "changed its inputs")
        same = equal(answers[0], answers[1])
        self.expect(same, method, case, "two calls gave different answers, expected equal ones")
        return answers[0]

    def is_array(
        self,
        answer: object,
        shape: tuple[int | None, ...],
        method: str,
        case: str,
        *,
        probability: bool = False,
    ) -> TypeGuard[Array]:
        """Whether the answer is a finite array of that shape; what is wrong with it is noted.
        FAILED is not an array either, and was noted before."""
        return self.passes(
            answer, method, case, lambda: check_array("", answer, shape, probability=probability)
        )

    def passes(self, answer: object, method: str, case: str, check: Callable[[], object]) -> bool:
        """Whether a check of the pipeline raises no ContractError, which is noted. FAILED does not
        pass."""
        if answer is FAILED:
            return False
        try:
            check()
        except ContractError as error:
            self.note(method, case, str(error).strip(" :"))
            return False
        return True


@dataclass(frozen=True)
class MeanColour:
    """A backbone for embedders: a patch's mean colour. Two photos in a call, like a GPU's batch."""

    patch: int = 8
    dim: int = 3
    batch: int = 2

    def resolve(self) -> MeanColour:
        """Itself."""
        return self

    def identity(self) -> Mapping[str, object]:
        """Nothing: its features are never stored."""
        return {}

    def extract(self, images: NDArray[np.uint8]) -> Sequence[PatchFeatures]:
        """uint8 (2, height, width, 3) RGB to two PatchFeatures. Raises ContractError."""
        n, height, width, _ = images.shape
        if n != self.batch:
            raise ContractError(
                f"the backbone was given {n} photos, expected its batch, {self.batch}"
            )
        rows, columns = height // self.patch, width // self.patch
        blocks = images.reshape(n, rows, self.patch, columns, self.patch, 3) / 255
        patches = blocks.mean(axis=(2, 4)).astype(np.float16)
        return [
            PatchFeatures(p, p.mean(axis=(0, 1)), np.ones((rows, columns), np.float16))
            for p in patches
        ]


def level(seed: int, height: int, width: int) -> LevelResult:
    """A level of two random clusterings."""
    rng = np.random.default_rng(seed)
    ks = (2, 5)
    clusters = np.stack([rng.integers(0, k, (height, width)) for k in ks]).astype(np.int16)
    scores = tuple(rng.random(k).astype(np.float32) for k in ks)
    runs = [own[labels] for own, labels in zip(scores, clusters, strict=True)]
    return LevelResult(f"level {seed}", clusters, scores, np.mean(runs, axis=0, dtype=np.float32))


def patch_maps(height: int, width: int, *, scale: float = 1.0) -> PatchMaps:
    """Random maps of h × w patches with vectors of 5 numbers, around 0 and raw around 1; all times
    ``scale``."""
    rng = np.random.default_rng(0)
    foreground, vectors = rng.random((height, width)), rng.normal(size=(height, width, 5))
    return PatchMaps(
        foreground=np.asarray(scale * foreground, dtype=np.float32),
        vectors=np.asarray(scale * vectors, dtype=np.float32),
        raw=np.asarray(scale * (1 + vectors), dtype=np.float16),
        attention=np.asarray(scale * rng.gamma(1, size=(height, width)), dtype=np.float32),
        clusters=np.asarray(scale * rng.integers(0, 4, (3, height, width)), dtype=np.int16),
    )


def prediction(number: int, *, n_regions: int) -> Prediction:
    """A photo of 8 × 6 pixels with up to 6 regions, each of its own class."""
    regions = []
    for cluster in range(n_regions):
        mask = np.zeros((6, 8), dtype=np.bool_)
        mask[cluster, : 3 + cluster] = True
        rle = encode_rle(mask)
        regions.append(Region(rle, rle_box(rle), rle_area(rle), 0.9 - cluster / 10, cluster))
    return Prediction(
        f"folder/photo {number}.jpg", f"{number:032x}", 8, 6, tuple(regions), 0, "0-0"
    )


def arrays(value: object) -> Iterator[Array]:
    """All arrays inside sequences, mappings and dataclasses, in order."""
    if isinstance(value, np.ndarray):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from arrays(getattr(value, field.name))
    elif isinstance(value, Mapping):
        yield from arrays(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from arrays(item)


def equal(one: object, other: object) -> bool:
    """Whether the same arrays are inside both."""
    ones, others = list(arrays(one)), list(arrays(other))
    return len(ones) == len(others) and all(
        a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(ones, others, strict=True)
    )
