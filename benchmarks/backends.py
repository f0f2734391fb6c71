"""What computes a ViT's features fastest on this machine, and what it does to the regions.

    python benchmarks/backends.py DATA [--photos 20] [--rounds 3] [--weights stand-in] [--backends NAME …]

All blocks of the network but the last, which is nearly all of the work, are run by each of: torch in
float32 and bfloat16, torch.compile in bfloat16, ONNX Runtime in float32 and with weights and
activations in int8 (dynamic quantization), and OpenVINO in float32, in bfloat16, and in int8: weights and
activations of the linear layers, with scales that each token has of its own (`backbone.precision=int8`), and
by NNCF (`pip install nncf`), with ranges of as many other photos, and so with the MLPs left in float32, or the
attention. What is not installed is left out, and said so. The rest is as in `backbone.runtime`.

One model is fitted on the photos with torch in float32. Then every photo goes through each backend in
turn, several rounds. Writes benchmarks/results/backends.csv, one row for each, beside those of other
processors: ``first_seconds`` of the
first photo, with compiling (OpenVINO's int8 is quantized and compiled before); ``seconds`` and
``cpu_seconds`` per photo, the median over photos of the fastest round, of the wall and of the processor
(which counts where other programs share it);
``relative_error`` of the patches' features to float32; ``iou`` mean over photos of the foreground of
all regions, and ``iou_worst``, to those of float32.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from csv_file import write_csv
from machine import FIELDS as MACHINE
from machine import machine
from numpy.typing import NDArray
from photo_files import photo_files
from torch import Tensor

from prelabel import config, pipeline
from prelabel.data import images
from prelabel.data.records import Image, PatchFeatures
from prelabel.segment import Segmenter
from prelabel.weights.load import load
from prelabel.weights.models import STAND_IN
from prelabel_plugins.backbones.openvino_blocks import OpenVinoBlocks
from prelabel_plugins.backbones.timm_network import Network

SIZE = 448
RESULTS = Path(__file__).parent / "results" / "backends.csv"
FIELDS = (
    "backend", "weights", "size", "photos", "rounds", "first_seconds", "seconds", "cpu_seconds",
    "relative_error", "iou", "iou_worst", *MACHINE,
)  # fmt: skip
Blocks = Callable[[Tensor], Tensor]
Pixels = NDArray[np.uint8]
"""A photo as the network takes it, (height, width, 3)."""


def main() -> int:
    """Measure and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--photos", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", default=STAND_IN)
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS), choices=list(BACKENDS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    files = photo_files(arguments.data)
    step = max(1, len(files) // arguments.photos)
    others = files[step // 2 :: step][: arguments.photos]
    files = files[::step][: arguments.photos]
    chosen = config.load("fast", [f"backbone.weights={arguments.weights}", f"features.size={SIZE}"])
    chosen = config.change(chosen, ["backbone.precision=float32", "backbone.device=cpu"])
    segmenter = Segmenter(pipeline.fit(files, chosen))
    photos = [images.read_image(file) for file in files]
    with tempfile.TemporaryDirectory() as folder:
        patch = segmenter.backbone.patch
        given = Given(Path(folder), [_input(images.read_image(file), patch) for file in others])
        found = _all(arguments, [_input(photo, patch) for photo in photos], given)
    exact = [one.features for one in found if one.name == REFERENCE]
    rows = [
        {**one.row(exact[0] if exact else None, photos, segmenter),
         "weights": Path(arguments.weights).stem, "size": SIZE, "photos": len(photos),
         "rounds": arguments.rounds, **machine()}
        for one in found
    ]  # fmt: skip
    for row in rows:
        print({name: row[name] for name in FIELDS if name not in MACHINE}, flush=True)
    write_csv(arguments.out, FIELDS, [*_of_others(arguments.out, rows), *rows])
    return 0


def _of_others(file: Path, rows: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    """The rows of an earlier file but those that are measured again."""
    if not file.exists():
        return []
    key = ("backend", "weights", "size", "processor", "threads")
    again = {tuple(str(row[name]) for name in key) for row in rows}
    with file.open(newline="", encoding="utf-8") as lines:
        known: list[dict[str, object]] = [dict(row) for row in csv.DictReader(lines)]
    return [row for row in known if tuple(row[name] for name in key) not in again]


@dataclass
class Measured:
    """A backend's features of each photo, and the seconds that each took in each round."""

    name: str
    network: Network
    first: float = 0.0
    features: list[PatchFeatures] = field(default_factory=list)
    wall: list[list[float]] = field(default_factory=list)
    cpu: list[list[float]] = field(default_factory=list)

    def round(self, pixels: Sequence[NDArray[np.uint8]]) -> None:
        """Every photo once."""
        self.features, wall, cpu = [], [], []
        for photo in pixels:
            at, cpu_at = time.perf_counter(), time.process_time()
            self.features += self.network.extract(photo[None], feature="key", block=-1)
            wall.append(time.perf_counter() - at)
            cpu.append(time.process_time() - cpu_at)
        self.wall.append(wall)
        self.cpu.append(cpu)

    def row(
        self, exact: Sequence[PatchFeatures] | None, photos: Sequence[Image], segmenter: Segmenter
    ) -> dict[str, object]:
        """What is told of it; without ``exact`` no error and no IoU."""
        row: dict[str, object] = {
            "backend": self.name,
            "first_seconds": round(self.first, 2),
            "seconds": round(min(float(np.median(own)) for own in self.wall), 4),
            "cpu_seconds": round(min(float(np.median(own)) for own in self.cpu), 4),
        }
        if exact is None:
            return row
        pairs = list(zip(exact, self.features, photos, strict=True))
        ious = [
            _iou(_foreground(segmenter, photo, a), _foreground(segmenter, photo, b))
            for a, b, photo in pairs
        ]
        errors = [
            np.linalg.norm(b.patches.astype(float) - a.patches) / np.linalg.norm(a.patches.astype(float))
            for a, b, _ in pairs
        ]  # fmt: skip
        return row | {
            "relative_error": round(float(np.mean(errors)), 5),
            "iou": round(float(np.mean(ious)), 4),
            "iou_worst": round(min(ious), 4),
        }


@dataclass(frozen=True)
class Given:
    """``folder`` for files; ``others``: photos that are not measured."""

    folder: Path
    others: Sequence[Pixels]


def _all(arguments: argparse.Namespace, pixels: Sequence[Pixels], given: Given) -> list[Measured]:
    found = []
    for name in arguments.backends:
        try:
            dtype, make = BACKENDS[name]
            network = Network(load("", arguments.weights), device=torch.device("cpu"), dtype=dtype)
            own = Measured(name, _WithBlocks.of(network, make, given))
            at = time.perf_counter()
            own.network.extract(pixels[0][None], feature="key", block=-1)
            own.first = time.perf_counter() - at
        except Exception as error:  # a backend may not work here in any way
            print(f"{name} is left out: {type(error).__name__}: {str(error).splitlines()[0]}")
        else:
            found.append(own)
    for _ in range(arguments.rounds):  # in turn, as other work comes and goes
        for own in found:
            own.round(pixels)
    return found


class _WithBlocks(Network):
    """A network whose blocks before the last are run by something else."""

    @classmethod
    def of(cls, network: Network, make: Callable[..., Blocks], given: Given) -> _WithBlocks:
        network.__class__ = cls
        network._run = make(network.model.blocks[: network.depth - 1], network, given)  # type: ignore[attr-defined]
        return network  # type: ignore[return-value]

    def _blocks_before(
        self, chosen: int, tokens: Tensor, extra: Mapping[str, Tensor], *, int8: bool
    ) -> Tensor:
        run: Blocks = self._run  # type: ignore[attr-defined]
        return run(tokens)


def _input(photo: Image, patch: int) -> NDArray[np.uint8]:
    rows, columns = images.grid_size(photo.width, photo.height, size=SIZE, patch=patch)
    return images.resize(photo.pixels, height=rows * patch, width=columns * patch)


def _torch(blocks: torch.nn.Sequential, network: Network, given: Given) -> Blocks:
    return blocks


def _compiled(blocks: torch.nn.Sequential, network: Network, given: Given) -> Blocks:
    return torch.compile(blocks, dynamic=True)


def _openvino(
    blocks: torch.nn.Sequential, network: Network, given: Given, *, int8: bool = False
) -> Blocks:
    threads = torch.get_num_threads()
    return OpenVinoBlocks(list(blocks), dtype=network.dtype, threads=threads, streams=1, int8=int8)


def _openvino_calibrated(ignored: str = "") -> Callable[..., Blocks]:
    """``ignored``: a regular expression of the layers that stay in float32."""

    def make(blocks: torch.nn.Sequential, network: Network, given: Given) -> Blocks:
        import nncf
        import openvino

        shape = openvino.PartialShape([-1, -1, network.dim])
        tokens = _tokens(network, given.others)
        exact = openvino.convert_model(blocks, example_input=(tokens[0],), input=[shape])
        model = nncf.quantize(
            exact,
            nncf.Dataset([one.numpy() for one in tokens]),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(tokens),
            fast_bias_correction=True,
            ignored_scope=nncf.IgnoredScope(patterns=[ignored]) if ignored else None,
        )
        settings = {
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
        }
        request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
        return lambda tokens: torch.from_numpy(np.array(request.infer([tokens.numpy()])[0]))

    return make


def _tokens(network: Network, pixels: Sequence[Pixels]) -> list[Tensor]:
    """What goes into the first block for each photo."""
    seen: list[Tensor] = []

    def keep(tokens: Tensor) -> Tensor:
        seen.append(tokens.clone())
        return tokens

    network._run = keep  # type: ignore[attr-defined]
    for photo in pixels:
        network.extract(photo[None], feature="key", block=-1)
    return seen


def _onnx(blocks: torch.nn.Sequential, network: Network, given: Given) -> Blocks:
    return _session(_exported(blocks, network, given))


def _onnx_int8(blocks: torch.nn.Sequential, network: Network, given: Given) -> Blocks:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    smaller = given.folder / "int8.onnx"
    quantize_dynamic(
        _exported(blocks, network, given), smaller, weight_type=QuantType.QInt8, per_channel=True
    )
    return _session(smaller)


def _exported(blocks: torch.nn.Sequential, network: Network, given: Given) -> Path:
    file = given.folder / "blocks.onnx"
    if not file.exists():
        free = {0: "n", 1: "n_tokens"}
        torch.onnx.export(
            blocks, (torch.zeros(1, 5, network.dim),), file, dynamo=False,
            input_names=["tokens"], output_names=["out"], dynamic_axes={"tokens": free, "out": free},
        )  # fmt: skip
    return file


def _session(file: Path) -> Blocks:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def run(tokens: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"tokens": tokens.float().numpy()})[0])

    return run


def _foreground(segmenter: Segmenter, photo: Image, features: PatchFeatures) -> NDArray[np.bool_]:
    return np.asarray(segmenter.find(photo, features).masks.any(axis=0))


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    together = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / together if together else 1.0


REFERENCE = "torch float32"
BACKENDS: dict[str, tuple[torch.dtype, Callable[..., Blocks]]] = {
    REFERENCE: (torch.float32, _torch),
    "torch bfloat16": (torch.bfloat16, _torch),
    "torch.compile bfloat16": (torch.bfloat16, _compiled),
    "onnxruntime float32": (torch.float32, _onnx),
    "onnxruntime int8": (torch.float32, _onnx_int8),
    "openvino float32": (torch.float32, _openvino),
    "openvino bfloat16": (torch.bfloat16, _openvino),
    "openvino int8, scales of each token": (torch.float32, partial(_openvino, int8=True)),
    "openvino int8": (torch.float32, _openvino_calibrated()),
    "openvino int8, mlp exact": (torch.float32, _openvino_calibrated(".*mlp.*")),
    "openvino int8, attention exact": (torch.float32, _openvino_calibrated(".*attn.*")),
}

if __name__ == "__main__":
    sys.exit(main())
