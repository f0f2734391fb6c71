"""Clustering of all patches: memory, time and inertia beside faiss, and cost against photos.

    python benchmarks/scale.py [--part compare] [--part memory] [--part photos] [--folder /tmp]
        [--vectors 10000000] [--compared 2000000] [--photos 1000 …] [--generated 10000 …]

All vectors are synthetic (``synthetic_features.py``); nothing here says anything about masks. Every row of
``results/scale.csv`` is a process of its own, which reports its own peak memory. The CPU's time is given
beside the clock's: on a machine that does other work, the clock's says little.

- ``compare``: `SphericalKMeans.fit_blocks` over shards on disk, all four k in the same passes, against
  faiss on the same vectors in memory, one k after the other; from the same centroids, with as many rounds,
  on one core and on all. ``prelabel, settled``: as `fit` does it, until no clustering gains 0.1 % in a
  round. Inertia is the mean cosine distance to the nearest centroid.
- ``memory``: `fit_levels` with ``fit.photos=0`` and one group, over 10 M vectors of 384 numbers on disk.
- ``photos``: `fit_levels` with ``fit.photos=0`` on photos of 4 × 4 patches with 64 numbers, from shards, or
  computed where they are read (``generated``), with ``clusterer.iterations=2``, so that it ends: real photos
  have 50 times as many patches.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from csv_file import write_csv
from numpy.typing import NDArray
from scale_plot import draw
from synthetic_features import Generated, Scenes, Stored, digest, write_store

from prelabel import config
from prelabel.steps import fit_levels, patch_clusters
from prelabel.steps.levels import PatchBlocks
from prelabel.steps.patch_blocks import stored_blocks
from prelabel.storage.memory import peak_memory
from prelabel.storage.progress import RunLog
from prelabel.storage.threads import cores
from prelabel_plugins.clusterers import spherical_kmeans

Float = NDArray[np.float32]
Row = dict[str, object]
HERE = Path(__file__).parent
RESULTS = HERE / "results" / "scale.csv"
PLOT = HERE.parent / "docs" / "images" / "scale.svg"
SIDE, DIM = 28, 384
SMALL_SIDE, SMALL_DIM = 4, 64
KS = (8, 16, 32, 64)
ROUNDS = 5
SAMPLE = 32_768
FIELDS = ["part", "method", "photos", "patches", "dim", "k", "rounds", "cores", "seconds"]
FIELDS += ["cpu_seconds", "peak_mb", "inertia", "stage_seconds", "stage_peak_mb", "machine"]


def main() -> None:
    """Run the chosen parts; rows of the others stay."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", action="append", choices=list(PARTS))
    parser.add_argument("--folder", type=Path, help="for up to 8 GB of shards")
    parser.add_argument("--vectors", type=int, default=10_000_000)
    parser.add_argument("--compared", type=int, default=2_000_000)
    parser.add_argument("--photos", type=int, action="append", help="from shards")
    parser.add_argument("--generated", type=int, action="append", help="photos, without a disk")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        task = json.loads(arguments.child)
        if n_cores := task.pop("n_cores", 0):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n_cores])
        print(json.dumps(TASKS[task.pop("task")](**task)))
        return
    for part in arguments.part or PARTS:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            for row in PARTS[part](Path(folder), arguments):
                _keep({"part": part, "machine": machine(), **row})
    draw(_read(), PLOT)


def _compare(folder: Path, arguments: argparse.Namespace) -> Iterator[Row]:
    n_photos = arguments.compared // SIDE**2
    place = {"folder": str(folder), "n_photos": n_photos}
    _child("write", **place)
    _child("starts", **place)
    for task, n_cores in (
        ("blocks", 1),
        ("faiss", 1),
        ("blocks", cores()),
        ("faiss", cores()),
        ("settled", cores()),
    ):
        for row in _child(task, n_cores=n_cores, **place):
            yield {"cores": n_cores, **row}


def _memory(folder: Path, arguments: argparse.Namespace) -> Iterator[Row]:
    n_photos = -(-arguments.vectors // SIDE**2)
    free = shutil.disk_usage(folder).free
    if free < 1.3 * n_photos * SIDE**2 * DIM * 2:
        sys.exit(f"{folder} has {free / 1e9:.0f} GB free, too few for {arguments.vectors} vectors")
    _child("write", folder=str(folder), n_photos=n_photos)
    settings = ["levels.max_groups=1"]
    yield _child("fit", folder=str(folder), n_photos=n_photos, settings=settings)


def _photos(folder: Path, arguments: argparse.Namespace) -> Iterator[Row]:
    settings = ["clusterer.iterations=2"]
    small = {"side": SMALL_SIDE, "dim": SMALL_DIM}
    for n in arguments.photos or (1_000, 10_000, 100_000):
        _child("write", folder=str(folder), n_photos=n, **small)
        yield _child("fit", folder=str(folder), n_photos=n, **small, settings=settings)
    for n in arguments.generated or (10_000, 100_000, 1_000_000):
        yield _child("fit", folder="", n_photos=n, **small, settings=settings)


PARTS: dict[str, Callable[[Path, argparse.Namespace], Iterator[Row]]] = {
    "compare": _compare,
    "memory": _memory,
    "photos": _photos,
}


# What a process of its own does.


def _write(*, folder: str, n_photos: int, side: int = SIDE, dim: int = DIM) -> None:
    parts = [range(start, n_photos, cores()) for start in range(cores())]
    with ProcessPoolExecutor(len(parts)) as pool:
        list(pool.map(partial(write_store, Path(folder), Scenes(side=side, dim=dim)), parts))


def _starts(*, folder: str, n_photos: int) -> None:
    """Centroids of a sample, which all of ``compare`` start from."""
    blocks = _blocks(folder, n_photos)
    drawn = [
        block.vectors[np.random.default_rng(i).random(len(block.vectors)) < SAMPLE / blocks.n]
        for i, block in enumerate(blocks.read())
    ]
    clusterer = spherical_kmeans.SphericalKMeans()
    starts: dict[str, Any] = {str(k): clusterer.fit(np.concatenate(drawn), k=k, seed=0) for k in KS}
    np.savez(Path(folder) / "starts.npz", **starts)


def _by_blocks(*, folder: str, n_photos: int) -> list[Row]:
    """`fit_blocks` with a fixed number of rounds."""
    spherical_kmeans._WELL = -1.0  # never settled
    return _fit_blocks(folder, n_photos, "prelabel", rounds=ROUNDS)


def _settled(*, folder: str, n_photos: int) -> list[Row]:
    """`fit_blocks` as `fit` calls it."""
    return _fit_blocks(folder, n_photos, "prelabel, settled", rounds=30)


def _fit_blocks(folder: str, n_photos: int, method: str, *, rounds: int) -> list[Row]:
    blocks, passes = _blocks(folder, n_photos), 0

    def read() -> Iterator[Float]:
        nonlocal passes
        passes += 1
        return (block.vectors for block in blocks.read())

    clusterer = spherical_kmeans.SphericalKMeans(iterations=rounds)
    seconds, cpu = time.perf_counter(), time.process_time()
    fitted = clusterer.fit_blocks(read, _read_starts(folder))
    spent = _times(time.perf_counter() - seconds, time.process_time() - cpu)
    spent |= {"peak_mb": round(peak_memory() / 1e6), "rounds": passes}
    facts = {"method": method, "photos": n_photos, "patches": blocks.n, "dim": DIM}
    inertias = _inertias(blocks, fitted)
    rows = [{**facts, "k": k, "inertia": own} for k, own in zip(KS, inertias, strict=True)]
    return [{**facts, "k": "all", **spent}, *rows]


def _faiss(*, folder: str, n_photos: int) -> list[Row]:
    """The same with faiss, in memory."""
    import faiss  # a dependency of this benchmark alone

    faiss.omp_set_num_threads(cores())
    blocks = _blocks(folder, n_photos)
    points, n = np.empty((blocks.n, DIM), np.float32), 0
    for block in blocks.read():
        lengths = np.linalg.norm(block.vectors, axis=1, keepdims=True)
        points[n : (n := n + len(lengths))] = block.vectors / lengths
    facts: Row = {"method": "faiss", "photos": n_photos, "patches": blocks.n, "dim": DIM}
    facts |= {"rounds": ROUNDS}
    fitted, spent = [], []
    for k, start in zip(KS, _read_starts(folder), strict=True):
        kmeans = faiss.Kmeans(
            DIM, k, niter=ROUNDS, spherical=True, seed=0, max_points_per_centroid=blocks.n
        )
        seconds, cpu = time.perf_counter(), time.process_time()
        kmeans.train(points, init_centroids=start)
        spent.append((time.perf_counter() - seconds, time.process_time() - cpu))
        fitted.append(kmeans.centroids)
    peak = round(peak_memory() / 1e6)
    rows: list[Row] = []
    for k, own, inertia in zip(KS, spent, _inertias(blocks, fitted), strict=True):
        rows.append({**facts, **_times(*own), "k": k, "inertia": inertia})
    seconds, cpu = (sum(column) for column in zip(*spent, strict=True))
    return [{**facts, **_times(seconds, cpu), "k": "all", "peak_mb": peak}, *rows]


def _times(seconds: float, cpu: float) -> Row:
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)}


def _fit(
    *,
    folder: str,
    n_photos: int,
    settings: list[str],
    side: int = SIDE,
    dim: int = DIM,
) -> Row:
    """All of `fit_levels` with ``fit.photos=0``."""
    stages = _Stages()
    settled = config.load("default", ["fit.photos=0", *settings])
    stored: Any = Generated(Scenes(side=side, dim=dim))
    if folder:
        stored = Stored(Path(folder))
    digests = [digest(number) for number in range(n_photos)]
    seconds, cpu = time.perf_counter(), time.process_time()
    fit_levels.fit_levels(digests, stored, settled, RunLog())
    return {
        "method": "shards" if folder else "generated",
        "photos": n_photos,
        "patches": n_photos * side * side,
        "dim": dim,
        "k": "all",
        "rounds": stages.passes,
        **_times(time.perf_counter() - seconds, time.process_time() - cpu),
        "peak_mb": round(peak_memory() / 1e6),
        "stage_seconds": stages.text(stages.seconds),
        "stage_peak_mb": stages.text(stages.peak_mb),
    }


class _Stages:
    """Seconds in each stage of `fit_levels`, the peak memory after it, and passes over the blocks for
    the dataset level."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.peak_mb: dict[str, float] = {}
        self.passes = 0
        self._time(fit_levels, "_survey", "look at all")
        self._time(fit_levels, "group_photos", "groups")
        self._time(fit_levels, "_draw_patches", "sample")
        clusters: Any = patch_clusters
        self._time(clusters, "fit_centroids", "fit sample")
        self._time(clusters, "fit_blocks", "fit all")
        self._time(clusters, "_rate", "scores")
        fit_blocks = clusters.fit_blocks
        before = self.passes

        def counted(clusterer: Any, blocks: Callable[[], Any], starts: Any) -> Any:
            own = 0

            def read() -> Any:
                nonlocal own
                own += 1
                return blocks()

            answer = fit_blocks(clusterer, read, starts)
            self.passes = self.passes or before + own
            return answer

        clusters.fit_blocks = counted

    @staticmethod
    def text(values: Mapping[str, float]) -> str:
        """Stages and numbers in one cell."""
        return " ".join(f"{stage.replace(' ', '_')}={value:.1f}" for stage, value in values.items())

    def _time(self, module: Any, name: str, stage: str) -> None:
        function = getattr(module, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self._spent(stage):
                return function(*args, **kwargs)

        setattr(module, name, timed)

    @contextmanager
    def _spent(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0) + time.perf_counter() - started
        self.peak_mb[stage] = round(peak_memory() / 1e6)


TASKS: dict[str, Callable[..., object]] = {
    "write": _write,
    "starts": _starts,
    "blocks": _by_blocks,
    "settled": _settled,
    "faiss": _faiss,
    "fit": _fit,
}


def _blocks(folder: str, n_photos: int) -> PatchBlocks:
    stored: Any = Stored(Path(folder))
    return stored_blocks(
        sorted(digest(number) for number in range(n_photos)),
        stored,
        n=n_photos * SIDE**2,
        positions=np.zeros((0, 0, 0), np.float32),
        center=Scenes(side=1, dim=DIM).offset,
    )


def _read_starts(folder: str) -> list[Float]:
    arrays = np.load(Path(folder) / "starts.npz")
    return [arrays[str(k)] for k in KS]


def _inertias(blocks: PatchBlocks, fitted: Sequence[Float]) -> list[float]:
    """The mean cosine distance to the nearest centroid, for each clustering."""
    sums = np.zeros(len(fitted))
    for block in blocks.read():
        inverse = 1 / np.linalg.norm(block.vectors, axis=1)
        for i, centroids in enumerate(fitted):
            sums[i] += ((block.vectors @ centroids.T).max(axis=1) * inverse).sum(dtype=np.float64)
    return [round(float(own), 6) for own in 1 - sums / blocks.n]


# The rows.


def _child(task: str, **settings: object) -> Any:
    print(task, settings, flush=True)
    child = json.dumps({"task": task, **settings})
    command = [sys.executable, __file__, "--child", child]
    # Threads of OpenMP that wait in a loop would count as work.
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    print(done.stdout.strip(), flush=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def machine() -> str:
    """The processor, its vector instructions, cores."""
    name, flags = platform.processor() or platform.machine(), ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        facts = dict(
            line.split(":", 1) for line in info.read_text("utf-8").splitlines() if ":" in line
        )
        facts = {name.strip(): value.strip() for name, value in facts.items()}
        name = " ".join(
            [
                facts.get("model name", name),
                "family",
                facts.get("cpu family", "?"),
                "model",
                facts.get("model", "?"),
            ]
        )
        known = ("avx2", "fma", "f16c", "avx512f", "avx512_bf16", "amx_tile")
        flags = " ".join(flag for flag in known if flag in facts.get("flags", "").split())
    return f"{name}, {flags}, {cores()} cores"


def _read() -> list[Row]:
    import csv

    if not RESULTS.exists():
        return []
    with RESULTS.open(newline="", encoding="utf-8") as file:
        return [dict(row) for row in csv.DictReader(file)]


def _keep(row: Row) -> None:
    """Add a row at once, so that what breaks off leaves what was measured. The first of a part takes the
    place of all earlier ones of that part."""
    kept = _read() if row["part"] in _begun else [r for r in _read() if r["part"] != row["part"]]
    _begun.add(row["part"])
    write_csv(RESULTS, FIELDS, [*kept, row])


_begun: set[object] = set()

if __name__ == "__main__":
    main()
