"""Vision transformers of timm with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from prelabel.strategies.protocols import Backbone
from prelabel.strategies.registry import make
from prelabel.weights.timm_import import timm

State = dict[str, Tensor]
WeightsFile = Callable[[str], Path]
MakeVit = Callable[..., Backbone]

TINY = "test_vit"
"""timm's smallest: 6 blocks of 64 values, patches of 16 pixels, made for 160 pixels."""


def random_state(architecture: str) -> State:
    """Weights of an architecture, drawn from a fixed seed: large enough that attention is far from
    uniform and every bias counts."""
    with torch.device("meta"):
        network = timm.create_model(architecture, pretrained=False, num_classes=0)
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(tensor.shape, generator=generator) * 0.1
        + (1.0 if "norm" in name and name.endswith("weight") else 0.0)
        for name, tensor in network.state_dict().items()
    }


def write_weights(folder: Path, architecture: str) -> Path:
    """A file of random weights; written once."""
    path = folder / f"{architecture}.safetensors"
    if not path.exists():
        save_file(random_state(architecture), path)
    return path


def make_vit(file: Path, architecture: str, **settings: Any) -> Backbone:
    """The timm backbone with a file's weights, on the CPU in float32 by default."""
    chosen = {"precision": "float32", "device": "cpu"} | settings
    made: Backbone = make(
        "backbone", "timm", {"model": architecture, "weights": str(file)} | chosen
    )
    return made
