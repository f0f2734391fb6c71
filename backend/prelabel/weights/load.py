"""A backbone's network with its weights: from timm's hub, a file, or the stand-in."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from torch import nn

from prelabel.errors import UserError
from prelabel.storage.files import cache_folder
from prelabel.storage.text import error_line
from prelabel.weights import hub
from prelabel.weights.artifacts import warn_of_missing_registers
from prelabel.weights.checkpoint import (
    check_fits,
    for_network,
    is_whole,
    read_state,
    recognize,
    state_hash,
)
from prelabel.weights.models import (
    DEFAULT_MODEL,
    DINOV3_LICENCE,
    STAND_IN,
    STAND_IN_ARCHITECTURE,
    STAND_IN_SOURCE,
    check_model,
    create_network,
    hub_repo,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedWeights:
    """A network with its weights. ``source``: where they came from, for people."""

    model: nn.Module
    architecture: str
    source: str
    weights_hash: str


@dataclass(frozen=True)
class WeightsChoice:
    """What to load. ``model``: timm's name. ``weights``: a file, ``stand-in``, or "" for the hub."""

    model: str
    weights: str


def load(model: str, weights: str) -> LoadedWeights:
    """Load timm's ``model`` with ``weights`` (a file, ``stand-in``; "" is the hub).

    A file's architecture is found from its shapes if ``model`` is "". Raises UserError.
    """
    if not weights:
        loaded = _from_hub(model)
    elif weights == STAND_IN:
        file = stand_in_file()
        if not file.exists():
            raise UserError("the stand-in weights are missing: prelabel weights pull stand-in")
        if not is_whole(file):
            raise UserError(
                f"weights {file}: are damaged or cut off; prelabel weights pull stand-in mends them"
            )
        loaded = from_file(file, model=model or STAND_IN_ARCHITECTURE, source=STAND_IN_SOURCE)
    else:
        loaded = from_file(Path(weights), model=model)
    if "dinov3" in loaded.architecture:
        _log.warning(DINOV3_LICENCE)
    warn_of_missing_registers(loaded.architecture)
    return loaded


def from_file(file: Path, *, model: str = "", source: str = "") -> LoadedWeights:
    """Load a safetensors file or a checkpoint in timm's, DINO's or DINOv2's own layout."""
    state = read_state(file)
    architecture = model or recognize(state, file)
    network = create_network(architecture)
    state = for_network(network, state)
    check_fits(network, state, file=file, architecture=architecture)
    network.load_state_dict(state)
    return LoadedWeights(network, architecture, source or f"file {file.name}", state_hash(state))


@cache
def default_choice() -> WeightsChoice:
    """What is loaded when nobody named anything: the hub's DINO, else the stand-in.
    Raises UserError."""
    if hub.hub_cached(DEFAULT_MODEL) or hub.hub_reachable(DEFAULT_MODEL):
        return WeightsChoice(DEFAULT_MODEL, "")
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
    return WeightsChoice(STAND_IN_ARCHITECTURE, STAND_IN)


def stand_in_file() -> Path:
    """Where the converted stand-in is in the cache, pulled or not."""
    return cache_folder() / "weights" / "stand-in-vits14.safetensors"


def pull_from_hub(model: str) -> LoadedWeights:
    """Load timm's weights from the hub; once more from there if those in its cache are damaged.
    Raises UserError."""
    try:
        return load(model, "")
    except UserError:
        if not hub.hub_cached(model) or not hub.hub_reachable(model):
            raise
    hub.download_again(model)
    return load(model, "")


def _from_hub(model: str) -> LoadedWeights:
    check_model(model)
    if not hub.hub_cached(model) and not hub.hub_reachable(model):
        raise UserError(
            f"{model} is not in the cache and the hub does not answer within "
            f"{hub.HUB_PATIENCE:.0f} s: name a file with --backbone, or use --backbone {STAND_IN}"
        )
    try:
        network = create_network(model, pretrained=True)
    except Exception as error:
        raise UserError(f"{model} cannot be loaded from the hub ({error_line(error)})") from error
    return LoadedWeights(network, model, f"hub {hub_repo(model)}", state_hash(network.state_dict()))
