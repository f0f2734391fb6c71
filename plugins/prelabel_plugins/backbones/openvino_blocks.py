"""Blocks of a vision transformer, run by OpenVINO on the CPU instead of torch."""

from __future__ import annotations

import copy
import threading
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from prelabel.extras import required

_HINTS = {torch.bfloat16: "bf16", torch.float32: "f32"}
_GROUP = 64
"""Numbers of a token, and weights of an output, that share a scale in int8. With 32 the error is a fifth
smaller and the time a tenth longer."""
_compiling = threading.Lock()
"""One at a time: torch cannot trace two networks beside each other."""


def check_installed() -> None:
    """Raise UserError if OpenVINO is not installed."""
    with required("openvino"):
        import openvino  # noqa: F401


class OpenVinoBlocks:
    """Runs blocks, one after the other, on any number of tokens.

    ``blocks``: on the CPU, whose weights stay theirs. ``dtype``: bfloat16 or float32, what they are
    computed in. ``int8``: the linear layers of float32 blocks in int8, with a scale for every 64 weights of an
    output and every 64 numbers of a token. ``threads``: of the processor, for one call. ``streams``:
    calls that run at once, from as many threads. They are compiled at the first call, which takes seconds.
    """

    def __init__(
        self,
        blocks: Sequence[torch.nn.Module],
        *,
        dtype: torch.dtype,
        threads: int,
        streams: int,
        int8: bool = False,
    ) -> None:
        import openvino

        self._openvino: Any = openvino
        self._blocks = _with_int8(_InTurn(blocks)) if int8 else _InTurn(blocks)
        self._dtype, self._int8 = dtype, int8
        self._threads, self._streams = threads, streams
        self._compiled: Any = None
        self._of_thread = threading.local()

    def __call__(self, tokens: Tensor, rope: Tensor | None = None) -> Tensor:
        """Tokens (n, n_tokens, dim) behind the last block, in their own dtype.

        ``rope``: the rotary positions of networks that have them.
        """
        inputs = [tokens.float()] if rope is None else [tokens.float(), rope.float()]
        with _compiling:
            if self._compiled is None:
                self._compiled = self._compile(inputs)
        if not hasattr(self._of_thread, "request"):
            self._of_thread.request = self._compiled.create_infer_request()
        arrays = [np.ascontiguousarray(one.numpy()) for one in inputs]
        answer = self._of_thread.request.infer(arrays, share_inputs=True)
        return torch.from_numpy(np.array(answer[0])).to(tokens.dtype)

    def _compile(self, examples: Sequence[Tensor]) -> Any:
        dim = examples[0].shape[-1]
        shapes = [self._openvino.PartialShape([-1, -1, dim])]
        shapes += [self._openvino.PartialShape([-1] * one.ndim) for one in examples[1:]]
        dtype = next(self._blocks.parameters()).dtype
        self._blocks.float()  # while they are converted
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")  # torch's, of tracing
                converted = self._openvino.convert_model(
                    self._blocks,
                    example_input=tuple(one.clone() for one in examples),
                    input=shapes,
                )
        finally:
            self._blocks.to(dtype)
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[self._dtype],
            "INFERENCE_NUM_THREADS": self._threads * self._streams,
            "NUM_STREAMS": self._streams,
            "ENABLE_CPU_PINNING": False,  # photos are decoded beside it
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP if self._int8 else 0,
        }
        return self._openvino.Core().compile_model(converted, "CPU", settings)


class _InTurn(torch.nn.Module):
    def __init__(self, blocks: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.blocks = torch.nn.ModuleList(blocks)

    def forward(self, tokens: Tensor, rope: Tensor | None = None) -> Tensor:
        for block in self.blocks:
            tokens = block(tokens) if rope is None else block(tokens, rope=rope)
        return tokens


class _Int8Linear(torch.nn.Module):
    """A linear layer whose weights are int8; OpenVINO computes it in int8 where the processor can."""

    def __init__(self, exact: torch.nn.Linear) -> None:
        super().__init__()
        outputs, inputs = exact.weight.shape
        group = _GROUP if inputs % _GROUP == 0 else inputs
        weights = exact.weight.reshape(outputs, inputs // group, group)
        scale = weights.abs().amax(dim=2, keepdim=True).clamp_min(1e-12) / 127
        self.rounded: Tensor
        self.scale: Tensor
        self.register_buffer("rounded", (weights / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = exact.bias

    @property
    def weight(self) -> Tensor:
        return (self.rounded.to(self.scale.dtype) * self.scale).flatten(1)

    def forward(self, tokens: Tensor) -> Tensor:
        return functional.linear(tokens, self.weight, self.bias)


def _with_int8(blocks: _InTurn) -> _InTurn:
    """The same with int8 weights in all linear layers; what else they hold is shared."""
    own = copy.deepcopy(blocks, {id(tensor): tensor for tensor in blocks.parameters()})
    for module in list(own.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.Linear):
                setattr(module, name, _Int8Linear(child))
    return own
