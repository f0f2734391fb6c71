"""How much a run's peak memory grows with the number of photos.

    python benchmarks/memory.py [--few 100] [--many 1000] [--backbone stand-in] [--size 448]

Real photos from scikit-image's and scikit-learn's wheels, each cropped and re-encoded differently,
so that no cache helps; `prelabel run --recipe fast` on each number in a process of its own with an
empty cache. Prints the peak memory that each run reports for itself, and the growth.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from prelabel.samples import write_samples

TO_REACH_MB = 4.0


def main() -> int:
    """Measure and print; 0 if the growth is small enough."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--few", type=int, default=100)
    parser.add_argument("--many", type=int, default=1000)
    parser.add_argument("--backbone", default="stand-in")
    parser.add_argument("--size", type=int, default=448)
    arguments = parser.parse_args()
    peaks = {}
    for count in (arguments.few, arguments.many):
        with tempfile.TemporaryDirectory() as folder:
            write_photos(Path(folder) / "photos", count)
            peaks[count] = peak(Path(folder), backbone=arguments.backbone, size=arguments.size)
        print(f"{count} photos: peak {peaks[count]:.1f} MB", flush=True)
    growth = peaks[arguments.many] - peaks[arguments.few]
    print(f"growth {growth:+.1f} MB (expected less than {TO_REACH_MB:.0f} MB)")
    return 0 if growth < TO_REACH_MB else 1


def write_photos(folder: Path, count: int) -> None:
    """``count`` different JPEGs: crops of the sample photos at a common size, shifted and
    brightened by the seed."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as samples:
        write_samples(Path(samples) / "samples")
        files = sorted((Path(samples) / "samples" / "photos").iterdir())
        sources = [Image.open(f).convert("RGB").resize((560, 420)) for f in files]
    for i in range(count):
        rng = np.random.default_rng(i)
        left, top = (int(n) for n in rng.integers(0, 60, size=2))
        crop = sources[i % len(sources)].crop((left, top, left + 500, top + 360))
        gain = rng.uniform(0.8, 1.2)
        crop = crop.point([min(255, round(v * gain)) for v in range(256)] * 3)
        crop.save(folder / f"{i:05d}.jpg", quality=int(rng.integers(80, 95)))


def peak(folder: Path, *, backbone: str, size: int) -> float:
    """Peak memory in MB of a run on ``folder``/photos, as its run.json says."""
    command = [sys.executable, "-m", "prelabel", "run", str(folder / "photos")]
    command += ["--out", str(folder / "out"), "--recipe", "fast", "--backbone", backbone]
    command += ["--set", f"features.size={size}"]
    real_cache = os.environ.get("PRELABEL_CACHE", str(Path("~/.cache/prelabel").expanduser()))
    cache = folder / "cache"
    cache.mkdir()
    weights = Path(real_cache) / "weights"
    if weights.exists():
        (cache / "weights").symlink_to(weights)
    environment = {**os.environ, "PRELABEL_CACHE": str(cache)}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    facts = json.loads((folder / "out" / "run.json").read_text(encoding="utf-8"))
    return float(facts["peak_memory_mb"])


if __name__ == "__main__":
    sys.exit(main())
