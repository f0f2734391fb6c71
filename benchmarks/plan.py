"""What very many photos take, computed from a run of some of them: bytes, hours and money by stage.

    python benchmarks/plan.py photos/ [--sample 40] [--photos 100_000_000] [--recipe default]
        [--backbone stand-in] [--rate 200] [--price 2] [--workers 16] [--storage 0.02]

``prelabel run`` and ``prelabel predict`` on ``--sample`` of the photos, drawn with seed 0, each in a
process of its own with an empty cache. Prints what was measured for each photo, and then, for ``--photos``
photos, each stage with the assumption that its hours or money come from.

``--rate``: photos a second that a worker predicts; left out, what a core does here, by its CPU time.
``--price``: of a worker in USD an hour; ``--workers``: how many. ``--storage``: USD for a GB and month;
``--get`` and ``--put``: USD for 1 000 requests. The prices are assumptions, of no vendor: name your own.
"""

from __future__ import annotations

import argparse
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from prelabel.data.records import ImageFile
from prelabel.runs.predictions import read_predictions, write_predictions
from prelabel.runs.sharded import usual_count
from prelabel.runs.shards import divide
from prelabel.steps.photos import PhotoSet, draw_sample, find_photos
from prelabel.storage.remote import RemoteFile, RemoteFolder

_HOUR = 3600.0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sample", type=int, default=40)
    parser.add_argument("--photos", type=int, default=100_000_000)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--backbone", default="stand-in")
    parser.add_argument("--rate", type=float)
    parser.add_argument("--price", type=float, default=0.05)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--storage", type=float, default=0.02)
    parser.add_argument("--get", type=float, default=0.0004)
    parser.add_argument("--put", type=float, default=0.005)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), arguments)
    print(f"measured on {arguments.sample} photos, {arguments.recipe}, {arguments.backbone}:")
    for name, value in measured.items():
        print(f"  {name:<46} {value:>12,.1f}")
    print(f"\n{arguments.photos:,} photos by {arguments.workers} workers:")
    for name, amount, assumption in plan(measured, arguments):
        print(f"  {name:<46} {amount:>12}   {assumption}")
    return 0


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """What a photo takes, by name with the unit."""
    chosen = draw_sample(find_photos(arguments.folder).photos, most=arguments.sample, seed=0)
    photos = folder / "photos"
    for photo in chosen:
        copy = photos / photo.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(photo.file.read_bytes())
    n = len(chosen)
    options = ["--recipe", arguments.recipe, "--backbone", arguments.backbone]
    formats = ["--format", "label-studio", "--format", "coco"]
    run, new = folder / "run", folder / "new"
    cache = command(folder, "run", photos, "--out", run, *options, *formats)
    found = {
        "photo, bytes": size(photos) / n,
        "features kept by a fit, bytes": size(cache / "features") / n,
        "regions and vectors in the cache, bytes": size(cache / "segments") / n,
        "predictions.jsonl, bytes": size(run / "predictions.jsonl") / n,
        "report, bytes": size(run / "report") / n,
        "tasks for Label Studio, bytes": size(run / "label-studio") / n,
    }
    first = photos / chosen[0].name
    start = cpu_seconds(lambda: command(folder, "predict", run, first, "--out", folder / "first"))
    spent = cpu_seconds(lambda: command(folder, "predict", run, photos, "--out", new))
    assert (new / "predictions.jsonl").read_bytes() == (run / "predictions.jsonl").read_bytes()
    found["prediction, CPU milliseconds"] = 1000 * (spent - start) / (n - 1)
    started = time.process_time()
    for i in range(10):
        write_predictions(folder / f"{i}.jsonl", read_predictions(new / "predictions.jsonl"))
    found["merge, CPU milliseconds"] = 1000 * (time.process_time() - started) / 10 / n
    return {**found, **listing()}


def command(folder: Path, *arguments: str | Path) -> Path:
    """Run prelabel with an empty cache, which has the weights of the user's; that cache."""
    cache = folder / "cache"
    own = Path(os.environ.get("PRELABEL_CACHE", "~/.cache/prelabel")).expanduser()
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir()
    for name in ("weights", "precision.json"):
        if (own / name).exists():
            (cache / name).symlink_to(own / name)
    words = [sys.executable, "-m", "prelabel", *map(str, arguments)]
    environment = {**os.environ, "PRELABEL_CACHE": str(cache)}
    subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
    return cache


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of all processes that ``work`` starts: what else the machine does matters little."""
    before = os.times()
    work()
    after = os.times()
    return (
        after.children_user + after.children_system - before.children_user - before.children_system
    )


def listing(n: int = 100_000) -> dict[str, float]:
    """What the process that lists the photos and divides them holds for each."""
    tracemalloc.start()
    names = [f"folder {i // 1000:06d}/photo {i:09d}.jpg" for i in range(n)]
    root = RemoteFolder("s3://bucket/photos")
    files = tuple(ImageFile(name, RemoteFile(f"{root}/{name}", 10**6)) for name in names)
    photos = PhotoSet(root, files)
    jobs = divide(photos, 64)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "list in memory, bytes": held / n,
        "list sent to workers, bytes": sum(len(pickle.dumps(job)) for job in jobs) / n,
    }


def size(place: Path) -> int:
    """Bytes of a file, or of all files in a folder; links are not followed."""
    files = place.rglob("*") if place.is_dir() else [place]
    return sum(f.stat().st_size for f in files if f.is_file() and not f.is_symlink())


def plan(measured: dict[str, float], arguments: argparse.Namespace) -> list[tuple[str, str, str]]:
    """Each stage with what it takes and what that is computed from."""
    n, workers = arguments.photos, arguments.workers
    rate = arguments.rate or 1000 / measured["prediction, CPU milliseconds"]
    hours = n / rate / _HOUR
    whence = "given" if arguments.rate else "one core, as measured here"
    terabytes = {name: value * n / 1e12 for name, value in measured.items() if "bytes" in name}
    kept = terabytes["photo, bytes"] + 2 * terabytes["predictions.jsonl, bytes"]
    shards = usual_count(n)
    requests = n * arguments.get / 1000 + 3 * shards * arguments.put / 1000
    return [
        (
            "list the photos, GB of memory",
            f"{terabytes['list in memory, bytes'] * 1000:,.0f}",
            "one process holds all names",
        ),
        ("list the photos, requests", f"{n / 1000:,.0f}", "1 000 names each"),
        ("read the photos, TB", f"{terabytes['photo, bytes']:,.1f}", "one request each"),
        ("predict, worker hours", f"{hours:,.0f}", f"{rate:,.2f} photos a second, {whence}"),
        ("predict, hours", f"{hours / workers:,.1f}", f"{workers} workers"),
        ("predict, USD", f"{hours * arguments.price:,.0f}", f"{arguments.price:g} an hour"),
        ("requests, USD", f"{requests:,.0f}", f"{shards:,} shards of {n // shards:,} photos"),
        ("shards and their merge, TB", f"{2 * terabytes['predictions.jsonl, bytes']:,.2f}", "kept"),
        (
            "merge, hours",
            f"{n * 2 * measured['merge, CPU milliseconds'] / 1000 / _HOUR:,.1f}",
            "one process reads and writes twice, as measured here",
        ),
        (
            "photos and predictions, USD a month",
            f"{kept * 1000 * arguments.storage:,.0f}",
            f"{arguments.storage:g} a GB",
        ),
        (
            "features, if all were kept, TB",
            f"{terabytes['features kept by a fit, bytes']:,.1f}",
            "a fit keeps those of its sample alone",
        ),
        (
            "regions and vectors, TB",
            f"{terabytes['regions and vectors in the cache, bytes']:,.1f}",
            "each machine's cache keeps 50 GB at most",
        ),
        ("report, TB", f"{terabytes['report, bytes']:,.1f}", "of `prelabel run` alone"),
        (
            "tasks for Label Studio, TB",
            f"{terabytes['tasks for Label Studio, bytes']:,.2f}",
            "if all were imported",
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
