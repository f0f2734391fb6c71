"""The precision is measured once for each kind of processor, and remembered."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

import pytest
import torch

from prelabel.storage.threads import cores
from prelabel.weights import precision
from prelabel.weights.precision import FILE, fastest_precision, measured_seconds

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, on a processor with bfloat16 instructions."""
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path))
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: True)
    return tmp_path


def _times(monkeypatch: pytest.MonkeyPatch, **seconds: Iterator[float]) -> list[str]:
    """Layers take these seconds, one after the other. The list tells what was timed."""
    timed: list[str] = []

    def take(layer: torch.nn.Module, dtype: torch.dtype, device: torch.device) -> float:
        timed.append(str(dtype).removeprefix("torch."))
        return next(seconds[timed[-1]])

    monkeypatch.setattr(precision, "_seconds", take)
    return timed


@pytest.mark.parametrize(
    ("bfloat16", "expected"),
    [(0.5, "bfloat16"), (0.94, "bfloat16"), (0.96, "float32"), (2.0, "float32")],
)
def test_fastest_precision__float32_unless_the_other_is_faster(
    cache: Path, monkeypatch: pytest.MonkeyPatch, bfloat16: float, expected: str
) -> None:
    timed = _times(monkeypatch, float32=repeat(1.0), bfloat16=repeat(bfloat16))
    assert fastest_precision(CPU) == expected
    assert timed[:4] == ["float32", "bfloat16", "float32", "bfloat16"]  # in turn
    n = len(timed)
    assert fastest_precision(CPU) == expected
    assert len(timed) == n  # it is remembered


def test_measured_seconds__the_fastest_round_without_the_first(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _times(
        monkeypatch,
        float32=chain([0.01], [3.0, 1.0], repeat(2.0)),
        bfloat16=chain([9.0], repeat(0.5)),
    )
    assert measured_seconds(CPU) == {"float32": 1.0, "bfloat16": 0.5}
    ((key, seconds),) = json.loads((cache / FILE).read_text()).items()
    assert torch.__version__ in key
    assert seconds == {"float32": 1.0, "bfloat16": 0.5}


def test_measured_seconds__other_processors_have_their_own(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _times(monkeypatch, float32=repeat(1.0), bfloat16=repeat(0.5))
    measured_seconds(CPU)
    _times(monkeypatch, float32=repeat(1.0), bfloat16=repeat(2.0))
    monkeypatch.setattr(precision, "_device_name", lambda device: "another")
    assert measured_seconds(CPU)["bfloat16"] == 2.0
    assert len(json.loads((cache / FILE).read_text())) == 2


@pytest.mark.parametrize("damaged", ["", "[]", "{", '{"x": 3}', '{"x": {"float32": NaN}}'])
def test_measured_seconds__a_damaged_file_is_written_anew(
    cache: Path, monkeypatch: pytest.MonkeyPatch, damaged: str
) -> None:
    (cache / FILE).write_text(damaged)
    _times(monkeypatch, float32=repeat(1.0), bfloat16=repeat(0.5))
    assert fastest_precision(CPU) == "bfloat16"
    assert list(json.loads((cache / FILE).read_text()).values()) == [
        {"float32": 1.0, "bfloat16": 0.5}
    ]


def test_measured_seconds__the_first_process_decides(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = precision._measure

    def while_another_does(device: torch.device) -> dict[str, float]:
        key = f"{precision._device_name(device)}, {cores()} cores, torch {torch.__version__}"
        (cache / FILE).write_text(json.dumps({key: {"float32": 1.0, "bfloat16": 3.0}}))
        return measure(device)

    monkeypatch.setattr(precision, "_measure", while_another_does)
    _times(monkeypatch, float32=repeat(1.0), bfloat16=repeat(0.5))
    assert fastest_precision(CPU) == "float32"
    assert fastest_precision(CPU) == "float32"


def test_fastest_precision__without_instructions_nothing_is_measured(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: False)
    assert fastest_precision(CPU) == "float32"
    assert not (cache / FILE).exists()


def test_fastest_precision__a_cache_that_cannot_be_written_to(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / FILE).mkdir()
    _times(monkeypatch, float32=repeat(1.0), bfloat16=repeat(0.5))
    assert fastest_precision(CPU) == "bfloat16"


def test_measure__layers_are_really_timed() -> None:
    seconds = precision._measure(CPU)
    assert set(seconds) == {"float32", "bfloat16"}
    assert all(0 < own < math.inf for own in seconds.values())
