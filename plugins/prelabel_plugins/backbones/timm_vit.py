"""Any timm vision transformer as a frozen feature extractor."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import PatchFeatures
from prelabel.errors import UserError

if TYPE_CHECKING:
    from prelabel_plugins.backbones.timm_network import Network


@dataclass(frozen=True)
class TimmVit:
    """A vision transformer of timm: DINO, DINOv2, DINOv3 or any other with a CLS token.

    The attention is that of the chosen block's CLS token, the mean over heads.

    Attributes:
        model: timm's name, such as ``vit_small_patch16_224.dino``. Left out: what the weights are
            made for; without weights, DINO from the hub or else the stand-in.
        weights: a file (safetensors or a checkpoint), ``stand-in``, or left out for timm's hub.
        feature: which vectors of the block describe a patch. Keys separate objects best in
            self-supervised ViTs (LOST, arXiv 2109.14279; Deep ViT Features, arXiv 2112.05814).
        block: which block, from 0, or from the end if negative; -1 is the last.
        precision: ``auto`` is bfloat16 where the device computes with it and is faster so, else
            float32; measured once and remembered. ``int8``, with ``runtime`` openvino alone, is faster
            on CPUs with VNNI and less exact than the others: benchmarks/backends.py says how much.
        device: ``auto`` is CUDA, then MPS, then the CPU; or a name that torch knows, such as
            ``cuda:1``.
        runtime: what computes: ``torch``, or ``openvino`` on CPUs (extra ``openvino``), which is faster
            where benchmarks/backends.py says so.
    """

    model: str = ""
    weights: str = ""
    feature: Literal["key", "query", "value", "token"] = "key"
    block: int = -1
    precision: Literal["auto", "bfloat16", "float32", "int8"] = "auto"
    device: str = "auto"
    runtime: Literal["torch", "openvino"] = "torch"

    def resolve(self) -> TimmVit:
        """The same with the weights decided, so that a fitted model asks for them by name."""
        if not self.model and not self.weights:
            from prelabel.weights.load import default_choice

            choice = default_choice()
            return dataclasses.replace(self, model=choice.model, weights=choice.weights)
        return dataclasses.replace(self, model=self._network.architecture)

    @property
    def patch(self) -> int:
        """Side of a patch in pixels."""
        return self._network.patch

    @property
    def dim(self) -> int:
        """Length of a feature vector."""
        return self._network.dim

    @property
    def batch(self) -> int:
        """Photos in one call: 1 on a CPU; 16 on a GPU, which one alone would not keep busy."""
        return 1 if self._network.device.type == "cpu" else 16

    @property
    def threads(self) -> int:
        """Threads that may call it at once: on a CPU as many as torch uses, on a GPU 1."""
        return self._network.threads

    def identity(self) -> Mapping[str, object]:
        """Architecture, weights' hash and source, layer, precision and what computes."""
        network = self._network
        return {
            "architecture": network.architecture,
            "weights": network.source,
            "weights_hash": network.weights_hash,
            "feature": self.feature,
            "block": self.block % network.depth,
            "precision": self._precision,
            "device": network.device.type,
            "runtime": network.runtime,
            **self._int8_facts,
        }

    def extract(self, images: NDArray[np.uint8]) -> Sequence[PatchFeatures]:
        """uint8 (n, height, width, 3) RGB, sides multiples of the patch, to n PatchFeatures."""
        is_int8 = self.precision == "int8"
        return self._network.extract(images, feature=self.feature, block=self.block, int8=is_int8)

    @property
    def for_crops(self) -> TimmVit:
        """The same in int8, where OpenVINO would compute in float32 and the CPU has instructions for it.

        A region's vector needs no more.
        """
        if self.runtime == "openvino" and self._precision == "float32":
            from prelabel.weights.devices import computes_int8

            return dataclasses.replace(self, precision="int8") if computes_int8() else self
        return self

    @property
    def _int8_facts(self) -> Mapping[str, object]:
        """What decides the numbers in int8: OpenVINO rounds otherwise where the CPU has no VNNI."""
        if self.precision == "int8":
            from prelabel.weights.devices import computes_int8

            return {"vnni": computes_int8()}
        return {} if self.for_crops is self else {"crops": "int8"}

    @property
    def _precision(self) -> str:
        return "int8" if self.precision == "int8" else str(self._network.dtype).partition(".")[2]

    @property
    def _network(self) -> Network:
        # Here, since torch takes seconds to load, and settings are checked without it.
        from prelabel_plugins.backbones.timm_network import load_network

        if self.precision == "int8" and self.runtime != "openvino":
            raise UserError(
                "backbone.precision=int8 is computed by OpenVINO alone: add backbone.runtime=openvino"
            )
        exact = "float32" if self.precision == "int8" else self.precision
        return load_network(self.model, self.weights, exact, self.device, self.runtime)
