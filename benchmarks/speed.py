"""How much longer a whole run takes than the bare forward pass of its backbone.

    python benchmarks/speed.py DATA [--photos 200] [--rounds 3] [--weights stand-in]
        [--recipe fast] [--runtime torch] [--out benchmarks/results/speed.csv]

The run is `prelabel run` with the recipe, in this process with an empty cache: decoding, fit, predict,
COCO export and report. The bare pass decodes the same photos, squashes them to the same number of
patches, and runs the network by torch on batches of the best of ``--batches``, in the precision that the
run uses (bfloat16 where the processor computes with it, else float32). Both are run in turn; loading the
weights and starting Python are in neither, as a run of two photos comes before. The answer is the median
ratio of the seconds, and of those of the processor, which say more on a machine that others use as well.
With ``--out``, a row is added to that file.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from csv_file import write_csv
from empty_cache import empty_cache
from machine import FIELDS as MACHINE
from machine import machine
from numpy.typing import NDArray
from photo_files import photo_files
from PIL import Image

from prelabel import config
from prelabel.runs.run import run
from prelabel.steps.photos import find_photos
from prelabel.weights.devices import best_device, computes_bfloat16
from prelabel.weights.load import load
from prelabel.weights.models import STAND_IN

SIZE = 448
BATCHES = (1, 4, 8)
TO_REACH = {"fast": 1.12, "default": 1.6}
"""The highest ratio that is good, by recipe."""
FIELDS = (
    "what", "recipe", "runtime", "weights", "size", "photos", "rounds", "bare_seconds", "run_seconds",
    "ratio", "bare_cpu_seconds", "run_cpu_seconds", "cpu_ratio", *MACHINE,
)  # fmt: skip


def main() -> int:
    """Measure and print; 0 if the ratio is reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", default=STAND_IN)
    parser.add_argument("--recipe", choices=list(TO_REACH), default="fast")
    parser.add_argument("--runtime", choices=("torch", "openvino"), default="torch")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--what", default="now", help="a word for the row, such as a commit")
    arguments = parser.parse_args()

    files = photo_files(arguments.data)
    files = files[:: max(1, len(files) // arguments.photos)][: arguments.photos]
    bare = Bare(arguments.weights)
    best = arguments.batches[0]
    print(f"{len(files)} photos, {SIZE} px, {bare.dtype}, {torch.get_num_threads()} threads")
    if len(arguments.batches) > 1:
        few = files[:16]
        seconds = {
            size: timed(partial(bare.run, few, size))[0] / len(few) for size in arguments.batches
        }
        best = min(seconds, key=lambda size: seconds[size])
        print("bare pass, seconds per photo:", {b: round(s, 3) for b, s in seconds.items()})
    settings = [f"backbone.weights={arguments.weights}", f"features.size={SIZE}"]
    if arguments.runtime != "torch":
        settings.append(f"backbone.runtime={arguments.runtime}")
    chosen = config.load(arguments.recipe, settings)

    whole_run(files[:2], chosen)  # imports, and digests of the code, which are made once
    rounds: list[tuple[float, ...]] = []
    for _ in range(arguments.rounds):
        alone = timed(lambda: bare.run(files, best))
        whole = timed(lambda: whole_run(files, chosen))
        rounds.append((*alone, *whole, whole[0] / alone[0], whole[1] / alone[1]))
        print("bare {:.1f} s (CPU {:.1f}), run {:.1f} s (CPU {:.1f}), ratio {:.3f} (CPU {:.3f})"
              .format(*rounds[-1]), flush=True)  # fmt: skip
    medians = [statistics.median(column) for column in zip(*rounds, strict=True)]
    ratio, to_reach = medians[4], TO_REACH[arguments.recipe]
    print(
        f"median ratio {ratio:.3f} (expected at most {to_reach}), of CPU seconds {medians[5]:.3f}"
    )
    if arguments.out:
        _add_row(arguments, len(files), medians)
    return 0 if ratio <= to_reach else 1


def _add_row(arguments: argparse.Namespace, n_photos: int, medians: Sequence[float]) -> None:
    rows: list[dict[str, object]] = []
    if arguments.out.exists():
        with arguments.out.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    named = (
        "bare_seconds",
        "bare_cpu_seconds",
        "run_seconds",
        "run_cpu_seconds",
        "ratio",
        "cpu_ratio",
    )
    figures = {name: round(value, 3) for name, value in zip(named, medians, strict=True)}
    facts = {name: getattr(arguments, name) for name in ("what", "recipe", "runtime", "rounds")}
    rows.append(
        {**facts, **figures, **machine(), "photos": n_photos, "size": SIZE,
         "weights": Path(arguments.weights).stem}
    )  # fmt: skip
    write_csv(arguments.out, FIELDS, rows)


class Bare:
    """The network and nothing else."""

    def __init__(self, source: str) -> None:
        device = best_device()
        bfloat16 = computes_bfloat16(device)
        self.device, self.dtype = device, torch.bfloat16 if bfloat16 else torch.float32
        model: Any = load("", source).model  # a vision transformer of timm
        self.network = model.eval().to(device, self.dtype)
        patch = self.network.patch_embed.patch_size[0]
        self.side = SIZE // patch * patch
        normal = self.network.pretrained_cfg
        self.mean, self.std = (np.array(normal[k], np.float32) * 255 for k in ("mean", "std"))

    @torch.inference_mode()
    def run(self, files: Sequence[Path], batch_size: int) -> None:
        for start in range(0, len(files), batch_size):
            pixels = np.stack([self._pixels(file) for file in files[start : start + batch_size]])
            batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).to(self.device, self.dtype)
            self.network(batch).float().cpu()

    def _pixels(self, file: Path) -> NDArray[np.float32]:
        image = Image.open(file).convert("RGB").resize((self.side, self.side))
        return (np.asarray(image, dtype=np.float32) - self.mean) / self.std


def whole_run(files: Sequence[Path], chosen: config.Config) -> None:
    """`prelabel run` with an empty cache, in which only the weights and the measured precision are."""
    with empty_cache() as folder:
        run(find_photos(files), folder / "out", chosen, formats=["coco"])


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds of the wall, and of the processor."""
    at, cpu_at = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - at, time.process_time() - cpu_at


if __name__ == "__main__":
    sys.exit(main())
