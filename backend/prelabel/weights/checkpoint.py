"""Files of weights, in the layouts of timm, DINO and DINOv2, under timm's names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from prelabel.errors import UserError
from prelabel.storage.text import error_line
from prelabel.weights.models import MODELS, STAND_IN, create_network

HASH = "state_hash"
"""In the metadata of files that this tool writes."""


def read_state(file: Path) -> dict[str, Tensor]:
    """A checkpoint's tensors under timm's names: wrappers and prefixes of training code removed.
    Raises UserError."""
    if not file.is_file():
        raise UserError(
            f"weights {str(file)!r}: no such file; give a file, {STAND_IN!r}, "
            "or a model's name of `prelabel weights list`"
        )
    state: object
    try:
        if file.suffix == ".safetensors":
            state = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise UserError(f"weights {file}: cannot be read ({error_line(error)})") from error
    except Exception as error:  # pickle's own, with torch's advice to trust the file: not repeated
        raise UserError(
            f"weights {file}: is not a checkpoint of tensors ({type(error).__name__}); expected "
            ".safetensors, or a .pth that holds tensors and nothing else"
        ) from error
    for wrapper in ("teacher", "student", "state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not any(isinstance(v, Tensor) for v in state.values()):
        raise UserError(f"weights {file}: holds no tensors")
    result = {str(k): v for k, v in state.items() if isinstance(v, Tensor)}
    for prefix in ("module.", "backbone.", "module.", "backbone."):
        if any(key.startswith(prefix) for key in result):
            result = {k.removeprefix(prefix): v for k, v in result.items() if k.startswith(prefix)}
    return result


def is_whole(file: Path) -> bool:
    """Whether a safetensors file can be read to its end, and holds what its own hash says, if it has
    one (``HASH`` in its metadata)."""
    try:
        with safe_open(file, framework="pt") as tensors:  # compares the stated size
            stated = (tensors.metadata() or {}).get(HASH)
        return stated is None or stated == state_hash(load_file(file))
    except (SafetensorError, OSError, ValueError):
        return False


def state_hash(state: Mapping[str, Tensor]) -> str:
    """32 hex digits over names, shapes, dtypes and bytes of the tensors."""
    result = hashlib.blake2b(digest_size=16)
    for name in sorted(state):
        tensor = state[name].contiguous()
        result.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        result.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return result.hexdigest()


def recognize(state: Mapping[str, Tensor], file: Path) -> str:
    """The first known architecture whose names and shapes are the file's. Raises UserError."""
    shapes = _shapes(state)
    for name in MODELS:
        with torch.device("meta"):
            network = create_network(name.split(".")[0])
        if _shapes(network.state_dict()) == _shapes(for_network(network, state)):
            return name.split(".")[0]
    patch = shapes.get("patch_embed.proj.weight", "none")
    raise UserError(
        f"weights {file}: no known architecture has these {len(shapes)} tensors "
        f"(patch_embed.proj.weight {patch}): name it with --set backbone.model=NAME"
    )


def for_network(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state in timm's names (registers, mask token), without a classification head."""
    from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

    heads = ("head.", "dino_head.", "ibot_head.")
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(heads)}
    if (
        isinstance(network, VisionTransformer)
        and {"mask_token", "pos_embed"} <= kept.keys()
        and network.pos_embed is not None
        and ("register_tokens" in kept) == (network.reg_token is not None)
    ):
        grid = kept["pos_embed"].shape[1] - 1
        if grid == network.pos_embed.shape[1] - (0 if network.no_embed_class else 1):
            kept = checkpoint_filter_fn(kept, network)
    return kept


def check_fits(
    network: nn.Module, state: Mapping[str, Tensor], *, file: Path, architecture: str
) -> None:
    """Raise UserError, with names and shapes, unless the state is that of the network."""
    expected, found = _shapes(network.state_dict()), _shapes(state)
    problems = [f"misses {key}" for key in expected if key not in found]
    problems += [f"has {key} too many" for key in found if key not in expected]
    problems += [
        f"{key} is {found[key]}, expected {expected[key]}"
        for key in expected
        if key in found and found[key] != expected[key]
    ]
    if problems:
        more = f" and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise UserError(
            f"weights {file} do not fit {architecture}: {'; '.join(problems[:4])}{more}; "
            "name the right architecture with --set backbone.model=NAME"
        )


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {k: tuple(v.shape) for k, v in state.items()}
