"""How many photos a second a GPU takes, by batch and precision, and how a whole run compares.

    python benchmarks/gpu.py DATA [--photos 512] [--rounds 3] [--weights stand-in] [--batches 1 4 16 64]

Needs CUDA; without it nothing is measured, which is said, and the exit code is 2. It has not been run on
a GPU yet: benchmarks/results/gpu.csv is not there until somebody does.

Writes benchmarks/results/gpu.csv. Rows ``extract`` are the backbone's alone, on photos that are already
decoded, all squashed to one grid: ``photos_per_second``, the fastest of the rounds after one to warm
up, and ``memory_mb``, the most that torch has allocated. Rows ``run`` are `prelabel run` with the
recipes fast and default and an empty cache, once, with decoding and everything that is left to the CPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from csv_file import write_csv
from machine import FIELDS as MACHINE
from machine import machine
from numpy.typing import NDArray
from photo_files import photo_files
from speed import SIZE, timed, whole_run

from prelabel import config
from prelabel.data import images
from prelabel.weights.load import load
from prelabel.weights.models import STAND_IN
from prelabel_plugins.backbones.timm_network import Network

RESULTS = Path(__file__).parent / "results" / "gpu.csv"
NO_GPU = 2
FIELDS = (
    "what", "gpu", "weights", "size", "precision", "batch", "photos", "photos_per_second", "memory_mb",
    *MACHINE,
)  # fmt: skip
Row = dict[str, str | int | float]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the CSV; 2 if there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--photos", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", default=STAND_IN)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--out", type=Path, default=RESULTS)
    parsed = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print(
            f"not run: torch {torch.__version__} finds no CUDA GPU here, nothing was measured and "
            f"{parsed.out.name} was not written; run it where torch.cuda.is_available() is true",
            file=sys.stderr,
        )
        return NO_GPU
    files = photo_files(parsed.data)[: parsed.photos]
    facts: Row = {
        **machine(), "gpu": torch.cuda.get_device_name(), "weights": Path(parsed.weights).stem,
        "size": SIZE, "photos": len(files),
    }  # fmt: skip
    rows: list[Row] = []
    for own in (*extract_rows(files, parsed), *run_rows(files, parsed.weights)):
        print(own, flush=True)
        rows.append(facts | own)
    write_csv(parsed.out, FIELDS, rows)
    return 0


def extract_rows(files: Sequence[Path], parsed: argparse.Namespace) -> Iterator[Row]:
    """The backbone alone."""
    for dtype in (torch.float32, torch.bfloat16):
        network = Network(load("", parsed.weights), device=torch.device("cuda"), dtype=dtype)
        side = SIZE // network.patch * network.patch
        pixels = np.stack([_squashed(file, side) for file in files])
        for batch in parsed.batches:
            torch.cuda.reset_peak_memory_stats()
            rounds = [_seconds(network, pixels, batch) for _ in range(1 + parsed.rounds)]
            yield {
                "what": "extract",
                "precision": str(dtype).removeprefix("torch."),
                "batch": batch,
                "photos_per_second": round(len(files) / min(rounds[1:]), 1),
                "memory_mb": round(torch.cuda.max_memory_allocated() / 1e6),
            }


def run_rows(files: Sequence[Path], weights: str) -> Iterator[Row]:
    """Whole runs."""
    for recipe in ("fast", "default"):
        settings = [f"backbone.weights={weights}", f"features.size={SIZE}", "backbone.device=cuda"]
        chosen = config.load(recipe, settings)
        torch.cuda.reset_peak_memory_stats()
        seconds, _ = timed(partial(whole_run, files, chosen))
        yield {
            "what": f"run {recipe}",
            "precision": "auto",
            "photos_per_second": round(len(files) / seconds, 1),
            "memory_mb": round(torch.cuda.max_memory_allocated() / 1e6),
        }


def _squashed(file: Path, side: int) -> NDArray[np.uint8]:
    return images.resize(images.read_image(file).pixels, height=side, width=side)


def _seconds(network: Network, pixels: NDArray[np.uint8], batch: int) -> float:
    at = time.perf_counter()
    for start in range(0, len(pixels), batch):
        network.extract(pixels[start : start + batch], feature="key", block=-1)  # ends on the CPU
    return time.perf_counter() - at


if __name__ == "__main__":
    sys.exit(main())
