"""Measure input sizes, alone and merged, and write benchmarks/results/sizes.csv.

    python benchmarks/sizes.py DATA --weights NAME=FILE --sets nuclei --every 2

DATA holds sets as for learning.py. One row per weights, set and size, without labels (``opened`` 0) and
after that many photos, drawn with the seed, were corrected; measured on all others.

``foreground_iou``, ``found_50``, ``time_saved``: as in learning.csv; ``found_small``: of objects under
32 × 32 pixels; ``false``: regions a photo that fit no object; ``features_seconds``: time of the processor for the features of a
photo, with one thread if OMP_NUM_THREADS is 1, the median of three; ``left_out``, ``left_out_finer``,
``is_finer``: what `fit` finds on the corrected photos when it tries twice the size as well, and whether it
would use that.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from csv_file import write_csv
from learning_session import Session

from prelabel import config
from prelabel.finer import try_finer
from prelabel.steps.features import Extractor
from prelabel.storage.progress import RunLog

RESULTS = Path(__file__).parent / "results" / "sizes.csv"
FIELDS = (
    "weights", "set", "recipe", "size", "precision", "seed", "every", "opened", "photos_left",
    "foreground_iou", "found_50", "found_small", "time_saved", "false", "weight", "features_seconds",
    "left_out", "left_out_finer", "is_finer",
)  # fmt: skip
Row = dict[str, str | int | float]


def main() -> int:
    """Measure what the arguments name, and write the CSV; rows that are there stay."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--sets", nargs="+", default=["nuclei", "coco", "voc_animals"])
    parser.add_argument("--sizes", nargs="+", default=["448", "[448, 896]", "896"])
    parser.add_argument("--every", type=int, default=1, help="2 takes every second photo of a set")
    parser.add_argument("--opened", type=int, default=8, help="photos that are corrected")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows = _rows(arguments.out)
    for named in arguments.weights:
        name, _, source = named.partition("=")
        for folder in arguments.sets:
            for size in arguments.sizes:
                settings = [
                    f"backbone.weights={source or name}",
                    f"features.size={size}",
                    f"fit.seed={arguments.seed}",
                ]
                chosen = config.load(arguments.recipe, settings)
                session = Session(arguments.data / folder, chosen, every=arguments.every)
                labels: Row = {
                    "weights": name,
                    "set": folder,
                    "recipe": arguments.recipe,
                    "size": size,
                    "seed": arguments.seed,
                    "every": arguments.every,
                }
                for row in measure(session, arguments.opened, arguments.seed):
                    found: Row = {k: str({**labels, **row}.get(k, "")) for k in FIELDS}
                    rows = [other for other in rows if _key(other) != _key(found)]
                    rows.append(found)
                    print(" ".join(f"{k}={found[k]}" for k in FIELDS), flush=True)
                    write_csv(arguments.out, FIELDS, rows)
    print(f"\nwritten to {arguments.out}")
    return 0


def measure(session: Session, opened: int, seed: int) -> Iterator[Row]:
    """The rows of one weights, set and size."""
    drawn = np.random.default_rng(seed).permutation(sorted(session.photos))
    order = [str(name) for name in drawn]
    seconds = features_seconds(session, order[:3])
    for n in (0, opened):
        taught, _ = session.teach("blended", order[:n])
        figures = session.measure("blended", taught, order[n:]).figures
        pixels, objects = figures.pixels, figures.objects
        assert pixels
        assert objects
        small = objects.by_size.get("small")
        found: dict[str, float | None] = {
            "foreground_iou": pixels.foreground_iou,
            "found_50": objects.whole.found_50,
            "found_small": small.found_50 if small else None,
            "time_saved": objects.time_saved,
            "weight": taught.facts.weight if taught else 0.0,
        }
        if (tried := try_finer(session.model, session.labelled(order[:n]), RunLog())) is not None:
            found["left_out"], found["left_out_finer"] = tried.ious
            found["is_finer"] = float(tried.is_better)
        yield {
            "precision": str(session.model.backbone.get("precision", "")),
            "opened": n,
            "photos_left": len(order) - n,
            **{k: "" if v is None else round(float(v), 4) for k, v in found.items()},
            "false": round(objects.false_regions / (len(order) - n), 2),
            "features_seconds": round(seconds, 2),
        }


def _rows(file: Path) -> list[Row]:
    """Those of an earlier call."""
    if not file.exists():
        return []
    with file.open(encoding="utf-8", newline="") as lines:
        return [dict(row) for row in csv.DictReader(lines)]


def _key(row: Row) -> tuple[str, ...]:
    return tuple(
        str(row[k]) for k in ("weights", "set", "recipe", "size", "seed", "every", "opened")
    )


def features_seconds(session: Session, names: Sequence[str]) -> float:
    """Of the processor, for the features of a photo at all sizes, the median over photos."""
    settings = session.model.config
    backbone = settings.strategy("backbone")
    extractors = [
        Extractor(backbone, name=settings.backbone.name, size=size)
        for size in settings.features.sizes
    ]
    spent = []
    for name in names:
        started = time.process_time()
        for extractor in extractors:
            extractor.extract([session.photos[name].image])
        spent.append(time.process_time() - started)
    return float(np.median(spent))


if __name__ == "__main__":
    sys.exit(main())
