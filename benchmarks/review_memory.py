"""What a review of many regions takes: memory of the server per region, and seconds until it answers.

    python benchmarks/review_memory.py [--regions 100000]

Regions are made up: 4 on each photo, 40 classes, vectors of 384 numbers. The index is built by one
process. Others open the review of it, and of one with 1 000 regions, ask for everything that the page
asks for, and make 200 edits, some of which move thousands of regions. Printed are the difference of
their memory (resident, now and at most) by the difference in regions, and the seconds of each answer.
Exits with 1 if a region takes 200 bytes or more, or the first state a second or more.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from prelabel.data.masks import encode_rle, rle_area, rle_box
from prelabel.data.records import Image, Region
from prelabel.errors import PhotoError
from prelabel.review.edits import BackgroundEdit, MergeEdit, MoveEdit, NameEdit, SplitEdit, UndoEdit
from prelabel.review.review import Review
from prelabel.review.source import Decisions, ReviewPhoto
from prelabel.storage.json import encode
from prelabel.storage.memory import peak_memory

FEW = 1000
PER_PHOTO, CLASSES, DIM = 4, 40, 384
MOST_BYTES, MOST_SECONDS = 200.0, 1.0


class MadeUp:
    """``n`` regions around the middles of their classes."""

    title = key = "made-up"

    def __init__(self, n: int) -> None:
        self._n = n

    def labels(self) -> Mapping[str, str]:
        """None."""
        return {}

    def regions(self) -> Iterator[ReviewPhoto]:
        """All photos."""
        rng = np.random.default_rng(0)
        middles = rng.standard_normal((CLASSES, DIM))
        rles = []
        for i in range(PER_PHOTO):
            mask = np.zeros((480, 640), dtype=np.bool_)
            mask[100:300, 150 * i : 150 * i + 100] = True
            rles.append(encode_rle(mask))
        for photo in range(self._n // PER_PHOTO):
            clusters = rng.integers(0, CLASSES, PER_PHOTO)
            regions = [
                Region(rle, rle_box(rle), rle_area(rle), float(rng.random()), int(cluster))
                for rle, cluster in zip(rles, clusters, strict=True)
            ]
            vectors = middles[clusters] + rng.standard_normal((PER_PHOTO, DIM))
            name = f"some folder/photo {photo:06}.jpg"
            yield ReviewPhoto(
                *(name, name, 640, 480, regions, vectors.astype(np.float32), [""] * PER_PHOTO)
            )

    def image(self, photo: str) -> Image:
        """None."""
        raise PhotoError("has no pixels here")

    def apply(self, decisions: Decisions) -> None:
        """Read all that is decided, as a real source does."""
        for _ in decisions.photos():
            pass


def main() -> int:
    """Build, measure in processes of their own, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--regions", type=int, default=100_000)
    parser.add_argument("--work", nargs=2, metavar=("REGIONS", "DIR"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        print(json.dumps(work(int(arguments.work[0]), Path(arguments.work[1]))))
        return 0
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for n in (FEW, arguments.regions):
            for step in ("built", "measured"):
                found[n, step] = _apart(n, Path(folder) / str(n))
    few, many = found[FEW, "measured"], found[arguments.regions, "measured"]
    print(f"{arguments.regions} regions")
    built = found[arguments.regions, "built"]
    print(f"first start, with the index: {built['opened']:.1f} s")
    for name, seconds in many.items():
        if not name.startswith("bytes"):
            print(f"{name}: {seconds:.3f} s")
    grown = {
        name: (many[name] - few[name]) / (arguments.regions - FEW)
        for name in ("bytes now", "bytes at most")
    }
    for name, share in grown.items():
        print(f"{name}: {share:.0f} a region")
    is_good = max(grown.values()) < MOST_BYTES and many["opened"] + many["state"] < MOST_SECONDS
    return int(not is_good)


def _apart(n: int, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--work", str(n), str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def work(n: int, folder: Path) -> dict[str, float]:
    """Open the review, do all that a page does, and say what it took."""
    seconds: dict[str, float] = {}

    def timed(name: str, ask: Callable[[], object]) -> None:
        started = time.perf_counter()
        ask()
        seconds[name] = max(seconds.get(name, 0.0), time.perf_counter() - started)

    opened: list[Review] = []
    timed("opened", lambda: opened.append(Review(MadeUp(n), folder)))
    [review] = opened
    timed("state", lambda: encode(review.state(None)))  # type: ignore[arg-type]
    review.start()
    for number in range(CLASSES):
        timed("a class", lambda c=number: review.class_regions(c, offset=0, limit=200))  # type: ignore[misc]
    while review.map_bytes() is None:
        time.sleep(0.1)
    timed("the map's bytes", review.map_bytes)
    timed("figures", review.figures)
    for edit in _edits(n):
        timed(f"edit: {type(edit).__name__}", lambda e=edit: review.edit(e))  # type: ignore[misc]
        timed("state after an edit", lambda: encode(review.state(None)))  # type: ignore[arg-type]
    review.stop()
    return {**seconds, "bytes now": _resident(), "bytes at most": float(peak_memory())}


def _edits(
    n: int,
) -> Iterator[NameEdit | BackgroundEdit | MergeEdit | SplitEdit | MoveEdit | UndoEdit]:
    rng = np.random.default_rng(1)
    for i in range(20):
        yield NameEdit([i], f"name {i % 9}")
        yield BackgroundEdit([20 + i % 10])
        yield MoveEdit(rng.integers(0, n, min(n // 20, 5000)).tolist(), i)
        yield MoveEdit([i], None)
        yield SplitEdit(i, parts=2)
    for i in range(0, 20, 2):
        yield MergeEdit([i, i + 1])
    yield from [UndoEdit()] * 90


def _resident() -> float:
    """Bytes of this process that are in memory now."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    [line] = [line for line in text.splitlines() if line.startswith("VmRSS:")]
    return float(line.split()[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())
