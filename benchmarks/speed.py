"""How much longer a whole run takes than the bare forward pass of its backbone.

    python benchmarks/speed.py DATA [--photos 200] [--rounds 3] [--weights stand-in]

The run is `prelabel run --recipe fast` in this process with an empty cache: decoding, fit, predict,
COCO export and report. The bare pass decodes the same photos, squashes them to the same number of
patches, and runs the network on batches of the best of 1, 4 and 8, in the precision that the run
uses (bfloat16 where the processor computes with it, else float32). Both are run in turn; loading
the weights and starting Python are in neither. The answer is the median ratio.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from empty_cache import empty_cache
from PIL import Image

from prelabel import config
from prelabel.runs.run import run
from prelabel.steps.photos import find_photos
from prelabel.weights.devices import best_device, computes_bfloat16
from prelabel.weights.load import load
from prelabel.weights.models import STAND_IN

SIZE = 448
BATCHES = (1, 4, 8)
TO_REACH = 1.35


def main() -> int:
    """Measure and print; 0 if the ratio is reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--weights", default=STAND_IN)
    arguments = parser.parse_args()

    files = [photo.file for photo in find_photos(arguments.data).photos if "images" in photo.name]
    files = files[:: max(1, len(files) // arguments.photos)][: arguments.photos]
    bare = Bare(arguments.weights)
    few = files[:16]
    seconds = {size: timed(lambda size=size: bare.run(few, size)) / len(few) for size in BATCHES}
    best = min(seconds, key=lambda size: seconds[size])
    print(f"{len(files)} photos, {SIZE} px, {bare.dtype}, {torch.get_num_threads()} threads")
    print("bare pass, seconds per photo:", {b: round(s, 3) for b, s in seconds.items()})

    ratios = []
    for _ in range(arguments.rounds):
        alone = timed(lambda: bare.run(files, best))
        whole = timed(lambda: whole_run(files, arguments.weights))
        ratios.append(whole / alone)
        print(f"bare {alone:.1f} s, run {whole:.1f} s, ratio {ratios[-1]:.3f}", flush=True)
    ratio = statistics.median(ratios)
    print(f"median ratio {ratio:.3f} (expected at most {TO_REACH})")
    return 0 if ratio <= TO_REACH else 1


class Bare:
    """The network and nothing else."""

    def __init__(self, source: str) -> None:
        device = best_device()
        bfloat16 = computes_bfloat16(device)
        self.device, self.dtype = device, torch.bfloat16 if bfloat16 else torch.float32
        self.network = load("", source).model.eval().to(device, self.dtype)
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

    def _pixels(self, file: Path) -> np.ndarray:
        image = Image.open(file).convert("RGB").resize((self.side, self.side))
        return (np.asarray(image, dtype=np.float32) - self.mean) / self.std


def whole_run(files: Sequence[Path], source: str) -> None:
    """`prelabel run --recipe fast` with an empty cache."""
    chosen = config.load("fast", [f"backbone.weights={source}", f"features.size={SIZE}"])
    with empty_cache() as folder:
        run(find_photos(files), folder / "out", chosen, formats=["coco"])


def timed(work: Callable[[], None]) -> float:
    """Wall seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
