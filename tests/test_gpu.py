"""The benchmark of a GPU says that it was not run where there is none, and the way of pixels to one."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prelabel_plugins.backbones import timm_network
from support.places import ROOT


def test_gpu__without_one_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # as when it is run
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu: Any = importlib.import_module("gpu")
    assert gpu.main([str(tmp_path), "--out", str(tmp_path / "gpu.csv")]) == 2
    assert "not run: torch" in (told := capsys.readouterr().err)
    assert "gpu.csv was not written" in told
    assert not (tmp_path / "gpu.csv").exists()


def test_to_device__a_gpu_gets_pinned_pixels_without_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photos = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    photos.flags.writeable = False  # as those of a memory map
    asked: list[object] = []

    def pin(self: torch.Tensor) -> torch.Tensor:
        asked.append("pinned")
        return self

    def to(self: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        asked.append((args, kwargs))
        return self

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", to)
    cuda = torch.device("cuda")
    found = timm_network._to_device(photos, cuda)
    assert asked == ["pinned", ((cuda,), {"non_blocking": True})]
    assert np.array_equal(found.numpy(), photos)
    asked.clear()
    timm_network._to_device(photos, torch.device("cpu"))
    assert asked == [((torch.device("cpu"),), {})]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_to_device__on_a_gpu() -> None:
    photos = np.arange(2 * 4 * 6 * 3, dtype=np.uint8).reshape(2, 4, 6, 3)
    found = timm_network._to_device(photos, torch.device("cuda"))
    assert np.array_equal(found.cpu().numpy(), photos)
