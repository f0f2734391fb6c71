"""A strategy under test: how it is called and watched, and what it is given."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prelabel.data.masks import encode_rle, rle_area, rle_box
from prelabel.data.records import LevelResult, PatchFeatures, Prediction, Region
from prelabel.errors import ContractError
from prelabel.strategies.checks import check_array

FAILED = object()
"""The answer of a call that raised."""


class Trial:
    """A strategy under test. What breaks is noted by method and problem, with the cases."""

    def __init__(self, strategy: Any) -> None:
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
        cases = self._noted.setdefault((method, problem), [])
        if case not in cases:
            cases.append(case)

    def expect(self, kept: bool, method: str, case: str, problem: str) -> None:
        if not kept:
            self.note(method, case, problem)

    def call(self, case: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """The answer, or FAILED where there is none. Called twice: the answers must be equal, the
        inputs must stay as they were, and the second time they cannot be written to."""
        given = copy.deepcopy((args, kwargs))
        for array in arrays([args, kwargs]):
            array.flags.writeable = False
        answers = []
        for own_args, own_kwargs in (given, (args, kwargs)):
            try:
                answers.append(getattr(self.strategy, method)(*own_args, **own_kwargs))
            except Exception as error:
                hint = " when given arrays that are read-only" if answers else ""
                self.note(method, case, f"raised {line(error)}{hint}")
                return FAILED
        self.expect(equal(given, (args, kwargs)), method, case, "changed its inputs")
        self.expect(
            equal(answers[0], answers[1]),
            method,
            case,
            "two calls gave different answers, wanted equal ones",
        )
        return answers[0]

    def array(
        self,
        array: Any,
        shape: tuple[int | None, ...],
        method: str,
        case: str,
        *,
        what: str = "",
        dtype: type = np.float32,
        probability: bool = False,
    ) -> bool:
        """Whether the answer is a finite array of that shape; what is wrong with it is noted."""
        try:
            check_array(what, array, shape, probability=probability)
        except ContractError as error:
            self.note(method, case, str(error).strip())
            return False
        prefix = f"{what} " if what else ""
        wanted = np.dtype(dtype)
        self.expect(
            array.dtype == wanted, method, case, f"{prefix}returned {array.dtype}, wanted {wanted}"
        )
        return True


@dataclass(frozen=True)
class MeanColour:
    """A backbone for embedders: a patch's mean colour. Two photos in a call, like a GPU's batch."""

    patch: int = 8
    dim: int = 3
    batch: int = 2

    def resolve(self) -> MeanColour:
        return self

    def identity(self) -> Mapping[str, object]:
        return {}

    def extract(self, images: NDArray[np.uint8]) -> Sequence[PatchFeatures]:
        n, height, width, _ = images.shape
        if n != self.batch:
            raise ContractError(
                f"the backbone was given {n} photos, wanted its batch, {self.batch}"
            )
        rows, columns = height // self.patch, width // self.patch
        blocks = images.reshape(n, rows, self.patch, columns, self.patch, 3) / 255
        patches = blocks.mean(axis=(2, 4)).astype(np.float16)
        return [
            PatchFeatures(p, p.mean(axis=(0, 1)), np.ones((rows, columns), np.float16))
            for p in patches
        ]


def level(seed: int, height: int, width: int) -> LevelResult:
    rng = np.random.default_rng(seed)
    ks = (2, 5)
    clusters = np.stack([rng.integers(0, k, (height, width)) for k in ks]).astype(np.int16)
    scores = tuple(rng.random(k).astype(np.float32) for k in ks)
    runs = [own[labels] for own, labels in zip(scores, clusters, strict=True)]
    return LevelResult(f"level {seed}", clusters, scores, np.mean(runs, axis=0, dtype=np.float32))


def prediction(number: int, *, n_regions: int) -> Prediction:
    regions = []
    for cluster in range(n_regions):
        mask = np.zeros((6, 8), dtype=np.bool_)
        mask[cluster, : 3 + cluster] = True
        rle = encode_rle(mask)
        regions.append(Region(rle, rle_box(rle), rle_area(rle), 0.9 - cluster / 10, cluster))
    share = sum(region.area for region in regions) / 48
    return Prediction(
        f"folder/photo {number}.jpg", f"{number:032x}", 8, 6, tuple(regions), share, 0, "0-0"
    )


def arrays(value: Any) -> Iterator[NDArray[Any]]:
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


def equal(one: Any, other: Any) -> bool:
    """Whether the same arrays are inside both."""
    ones, others = list(arrays(one)), list(arrays(other))
    return len(ones) == len(others) and all(
        a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        for a, b in zip(ones, others, strict=True)
    )


def line(error: BaseException) -> str:
    text = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
