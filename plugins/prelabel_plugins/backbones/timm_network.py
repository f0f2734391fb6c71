"""A vision transformer of timm at work: its features and the CLS token's attention."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from prelabel.data.records import PatchFeatures
from prelabel.errors import UserError
from prelabel.storage.threads import share_of
from prelabel.weights.artifacts import OutlyingNorms
from prelabel.weights.devices import best_device, computes_bfloat16
from prelabel.weights.load import LoadedWeights, default_choice, load
from prelabel.weights.precision import fastest_precision
from prelabel.weights.timm_import import timm
from prelabel_plugins.backbones.openvino_blocks import OpenVinoBlocks, check_installed

_openmp = ThreadpoolController().select(user_api="openmp")
"""Torch's threads, of which each thread has its own number."""
_loading = threading.Lock()
_networks: dict[tuple[str, str, str, str, str], Network] = {}
"""What is loaded, by the settings and, where they named no architecture, also by its name."""


def load_network(
    model: str, weights: str, precision: str, device: str, runtime: str = "torch"
) -> Network:
    """The network of these settings of TimmVit; it stays loaded. Raises UserError."""
    if not model and not weights:
        choice = default_choice()
        model, weights = choice.model, choice.weights
    key = (model, weights, precision, device, runtime)
    if (known := _networks.get(key)) is not None:
        return known
    with _loading:
        return _networks.get(key) or _load(key)


def _load(key: tuple[str, str, str, str, str]) -> Network:
    model, weights, precision, device, runtime = key
    if runtime == "openvino":
        check_installed()
    chosen = _device(device, runtime)
    name = _fastest(chosen, runtime) if precision == "auto" else precision
    network = _networks.get((model, weights, name, device, runtime))
    if network is None:
        loaded = load(model, weights)
        if len(set(_networks.values())) >= 2:  # as where weights are compared
            _networks.clear()
        network = Network(loaded, device=chosen, dtype=getattr(torch, name), runtime=runtime)
    for known in (model, network.architecture):
        for asked in (precision, name):
            _networks[known, weights, asked, device, runtime] = network
    return network


def _fastest(device: torch.device, runtime: str) -> str:
    if runtime == "torch":
        return fastest_precision(device)
    return "bfloat16" if computes_bfloat16(device) else "float32"


def _device(name: str, runtime: str) -> torch.device:
    if runtime == "openvino":
        if torch.device("cpu" if name == "auto" else name).type != "cpu":
            raise UserError(
                f"backbone.runtime=openvino runs on the CPU, not on backbone.device={name}: "
                "leave one of them out"
            )
        return torch.device("cpu")
    if name == "auto":
        return best_device()
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"device {name!r} cannot be used ({str(error).splitlines()[0]})") from error
    return device


class Network:
    """A loaded network that computes features. ``threads``: how many may use it at once."""

    def __init__(
        self,
        loaded: LoadedWeights,
        *,
        device: torch.device,
        dtype: torch.dtype,
        runtime: str = "torch",
    ) -> None:
        model: Any = loaded.model  # its attributes are those of timm's vision transformers
        if not hasattr(model, "blocks") or getattr(model, "cls_token", None) is None:
            raise UserError(
                f"{loaded.architecture} is not a vision transformer with a CLS token: "
                "name one of `prelabel weights list`"
            )
        for block in model.blocks:
            block.attn.fused_attn = True  # _Attended sees the fused kernel's arguments
        self.model = model.eval().requires_grad_(False).to(device=device, dtype=dtype)
        self.architecture = loaded.architecture
        self.source = loaded.source
        self.weights_hash = loaded.weights_hash
        self.device, self.dtype, self.runtime = device, dtype, runtime
        self.threads = torch.get_num_threads() if device.type == "cpu" else 1
        self.patch = int(model.patch_embed.patch_size[0])
        self.dim = int(model.embed_dim)
        self.depth = len(model.blocks)
        self.prefix = int(model.num_prefix_tokens)
        self._compiled: dict[tuple[int, int, bool], OpenVinoBlocks] = {}
        self._preparing = threading.Lock()
        self._norms = OutlyingNorms(loaded.architecture)
        self._mean = torch.tensor(model.pretrained_cfg["mean"], device=device) * 255
        self._std = torch.tensor(model.pretrained_cfg["std"], device=device) * 255
        self._grid = tuple(model.patch_embed.grid_size)
        self._positions = None if model.pos_embed is None else model.pos_embed.detach().float()

    def extract(
        self, images: NDArray[np.uint8], *, feature: str, block: int, int8: bool = False
    ) -> list[PatchFeatures]:
        """Features of uint8 (n, height, width, 3) RGB, sides multiples of the patch.

        ``int8``: OpenVINO computes linear layers in int8.
        """
        share = share_of(torch.get_num_threads())
        with _openmp.limit(limits=share):
            return self._extract(images, feature=feature, block=block, int8=int8)

    @torch.inference_mode()
    def _extract(
        self, images: NDArray[np.uint8], *, feature: str, block: int, int8: bool
    ) -> list[PatchFeatures]:
        if not -self.depth <= block < self.depth:
            raise UserError(
                f"backbone.block = {block}: {self.architecture} has {self.depth} blocks"
            )
        pixels = _to_device(images, self.device)
        pixels = ((pixels - self._mean) / self._std).permute(0, 3, 1, 2).to(self.dtype)
        rows, columns = images.shape[1] // self.patch, images.shape[2] // self.patch
        with self._preparing:
            self._set_grid(rows, columns)
            embedded = self.model._pos_embed(self.model.patch_embed(pixels))
        tokens, rope = embedded if isinstance(embedded, tuple) else (embedded, None)
        extra = {} if rope is None else {"rope": rope}
        tokens = self.model.norm_pre(tokens)
        chosen = block % self.depth
        tokens = self._blocks_before(chosen, tokens, extra, int8=int8)
        last = self.model.blocks[chosen]
        if feature != "token" and _is_plain(last):
            if self._norms.wants_more:
                self._add_norms(last(tokens))
            cls, patches, scores = _only_cls(last, tokens, feature)
        else:
            cls, patches, scores = self._whole_block(last, tokens, feature, extra)
        attention = scores.softmax(dim=-1)[:, :, 0, self.prefix :].mean(dim=1)
        attention = attention / attention.mean(dim=1, keepdim=True).clamp_min(1e-12)
        n = len(images)
        return [
            PatchFeatures(patches=p, cls=c, attention=a)
            for p, c, a in zip(
                _half(patches[:, self.prefix :].reshape(n, rows, columns, -1)),
                _half(self.model.norm(cls)[:, 0]),
                _half(attention.reshape(n, rows, columns)),
                strict=True,
            )
        ]

    def _blocks_before(
        self, chosen: int, tokens: Tensor, extra: Mapping[str, Tensor], *, int8: bool
    ) -> Tensor:
        """The tokens that go into the chosen block."""
        earlier = self.model.blocks[:chosen]
        if self.runtime == "openvino" and chosen:
            key = chosen, torch.get_num_threads(), int8
            with self._preparing:
                if key not in self._compiled:
                    _, threads, _ = key
                    self._compiled[key] = OpenVinoBlocks(
                        list(earlier),
                        dtype=self.dtype,
                        threads=threads,
                        streams=self.threads // threads,
                        int8=int8,
                    )
            return self._compiled[key](tokens, **extra)
        for block in earlier:
            tokens = block(tokens, **extra)
        return tokens

    def _whole_block(
        self, block: Any, tokens: Tensor, feature: str, extra: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As ``_only_cls``, of any block."""
        attended = block.norm1(tokens)
        with _Attended() as seen:
            tokens = block(tokens, **extra)
        self._add_norms(tokens)
        if feature == "token":
            patches = self.model.norm(tokens)
        else:
            patches = _project(block.attn, attended, feature)
        scores = (seen.query[:, :, :1] @ seen.key.transpose(-2, -1)).float() * seen.scale
        return tokens[:, :1], patches, scores

    def _add_norms(self, tokens: Tensor) -> None:
        norms = tokens[:, self.prefix :].float().norm(dim=-1).cpu().numpy()
        with self._preparing:
            self._norms.add(norms)

    def _set_grid(self, rows: int, columns: int) -> None:
        """Resample the position grid without antialiasing, as DINO's own code does.

        timm would antialias; with grid_size set to the result, its own resampling changes nothing.
        """
        if self._positions is None or tuple(self.model.patch_embed.grid_size) == (rows, columns):
            return
        n_prefix = self._positions.shape[1] - self._grid[0] * self._grid[1]
        prefix, grid = self._positions[:, :n_prefix], self._positions[:, n_prefix:]
        grid = grid.reshape(1, *self._grid, -1).permute(0, 3, 1, 2)
        grid = functional.interpolate(grid, size=(rows, columns), mode="bicubic")
        positions = torch.cat([prefix, grid.flatten(2).transpose(1, 2)], dim=1)
        self.model.pos_embed = torch.nn.Parameter(positions.to(self.dtype), requires_grad=False)
        self.model.patch_embed.grid_size = (rows, columns)


class _Attended(TorchFunctionMode):
    """Records the query and key that a block's attention works with.

    They are those that the fused kernel is called with, so after any normalisation or rotation.
    Works for every attention of timm that calls it.
    """

    query: Tensor
    key: Tensor
    scale: float

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[Tensor, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        if func is functional.scaled_dot_product_attention:
            self.query, self.key = args[0], args[1]
            scale = (kwargs or {}).get("scale")
            self.scale = scale if isinstance(scale, float) else args[0].shape[-1] ** -0.5
        return func(*args, **(kwargs or {}))


def _to_device(images: NDArray[np.uint8], device: torch.device) -> Tensor:
    """The pixels on the device; a GPU fetches them while the CPU goes on."""
    pixels = torch.from_numpy(np.array(images))  # a copy, as they may be read-only
    if device.type != "cuda":
        return pixels.to(device)
    return pixels.pin_memory().to(device, non_blocking=True)


def _is_plain(block: Any) -> bool:
    """Whether ``_only_cls`` computes what the block does."""
    plain = timm.models.vision_transformer
    attn = block.attn
    return (
        type(block) is plain.Block
        and type(attn) is plain.Attention
        and getattr(attn, "gate", None) is None
        and isinstance(getattr(attn, "norm", None), torch.nn.Identity | None)
    )


def _only_cls(block: Any, tokens: Tensor, feature: str) -> tuple[Tensor, Tensor, Tensor]:
    """What is needed of the last block that is run.

    The CLS token behind it (n, 1, dim), the feature of all tokens (n, n_tokens, dim), and the scores of
    the CLS token's attention (n, heads, 1, n_tokens).

    The other tokens' way through the attention and the MLP leads nowhere. The CLS token's mean of values is
    the value of its mean of tokens, so that one token for each head is projected instead of all.
    """
    attn = block.attn
    attended = block.norm1(tokens)

    def heads(projected: Tensor) -> Tensor:
        n, n_tokens, dim = projected.shape
        return projected.reshape(n, n_tokens, attn.num_heads, dim // attn.num_heads).transpose(1, 2)

    keys = _project(attn, attended, "key")
    query = attn.q_norm(heads(_project(attn, attended[:, :1], "query")))
    key = attn.k_norm(heads(keys))
    scores = (query @ key.transpose(-2, -1)).float() * query.shape[-1] ** -0.5
    means = scores.softmax(dim=-1).to(tokens.dtype)[:, :, 0] @ attended  # (n, heads, dim)
    values = _project(attn, means, "value")  # by all heads, of which each takes its own
    head = torch.arange(attn.num_heads, device=tokens.device)
    own = values.reshape(len(tokens), attn.num_heads, attn.num_heads, -1)[:, head, head]
    cls = tokens[:, :1] + block.ls1(attn.proj(own.flatten(1)[:, None]))
    cls = cls + block.ls2(block.mlp(block.norm2(cls)))
    patches = keys if feature == "key" else _project(attn, attended, feature)
    return cls, patches, scores


def _project(attn: Any, tokens: Tensor, feature: str) -> Tensor:
    """The block's keys, queries or values, (n, n_tokens, dim), before any rotation."""
    index = ("query", "key", "value").index(feature)
    if attn.qkv is None:
        return (attn.q_proj, attn.k_proj, attn.v_proj)[index](tokens)  # type: ignore[no-any-return]
    weight = attn.qkv.weight.chunk(3)[index]
    bias = attn.qkv.bias
    if bias is None and getattr(attn, "q_bias", None) is not None:
        bias = torch.cat((attn.q_bias, attn.k_bias, attn.v_bias))
    return functional.linear(tokens, weight, None if bias is None else bias.chunk(3)[index])


def _half(tensor: Tensor) -> NDArray[np.float16]:
    return np.asarray(tensor.float().clamp(-65504, 65504).half().cpu().numpy())
