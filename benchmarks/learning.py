"""Measure how corrections make the next pre-labels better, and write benchmarks/results/learning.csv.

    python benchmarks/learning.py DATA --weights NAME=FILE [--weights NAME=FILE …] [--seeds 3]

DATA holds sets as for quality.py, whose objects are those of ``instances.json`` (COCO) or
``instances/``, or else connected parts (specks under 100 pixels are void). A simulated annotator opens
photos in the order that the tool proposes before anything is labelled, and makes each one equal to the
ground truth. After 0, 1, 3, 5, 10 and 20 of them the tool learns, and what it predicts of all others is
compared with their ground truth:

``foreground_iou`` mean over photos; ``miou`` of the classes by their own names, with background;
``found_50`` share of objects with a region at IoU 0.5; ``time_saved`` by the costs that `prelabel
evaluate` states; in sets of one class its name counts as known. ``session_saved``: of the time to draw
everything, that which the session saves so far and would to its end if nothing more were learned.
``weight``, ``name_weight``: what was chosen by leaving photos out; ``learn_seconds``: of the last time
that the tool learned, on all photos opened.

Modes: ``blended`` is the product; ``names only`` learns what things are called, and finds them as
without corrections; ``learner alone`` does not use what was found without corrections. Beside them
``blended`` is measured in a random order. With ``--per-class`` classes are measured as well when 3 and 10 photos that show each class were opened
(``opened`` names that number with a "c").
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from csv_file import write_csv
from learning_session import MODES, Session

from prelabel import config
from prelabel.evaluation import Costs, Evaluation
from prelabel.steps.taught import Taught

SETS = ("voc_animals", "coco", "ecssd", "kvasir", "nuclei")
OPENED = (0, 1, 3, 5, 10, 20)
PER_CLASS = (3, 10)
# The least expected, mean over seeds, after so many photos.
TO_REACH = {
    ("kvasir", "3", "foreground_iou"): 0.40,
    ("kvasir", "10", "foreground_iou"): 0.52,
    ("nuclei", "3", "foreground_iou"): 0.55,
    ("nuclei", "10", "foreground_iou"): 0.70,
    ("voc_animals", "10", "foreground_iou"): 0.74,
    ("coco", "10", "foreground_iou"): 0.55,
    ("voc_animals", "3c", "miou"): 0.33,
    ("voc_animals", "10c", "miou"): 0.42,
    ("kvasir", "10", "time_saved"): 0.25,
    ("nuclei", "10", "time_saved"): 0.45,
    ("voc_animals", "10", "time_saved"): 0.25,
    ("coco", "10", "time_saved"): 0.08,
}
EXPECTED_OF = "distilled"
RESULTS = Path(__file__).parent / "results" / "learning.csv"
FIELDS = (
    "weights", "set", "recipe", "seed", "order", "mode", "opened", "photos_opened", "photos_left",
    "foreground_iou", "miou", "found_50", "time_saved", "session_saved", "weight", "name_weight",
    "learn_seconds",
)  # fmt: skip
Row = dict[str, str | int | float]


@dataclass(frozen=True)
class Step:
    """What was measured after some photos were opened; ``ious``, ``saved``: of each photo that was
    not, the foreground IoU and the share of its time saved."""

    row: Row
    ious: dict[str, float]
    saved: dict[str, float]


def main() -> int:
    """Measure what the arguments name, write the CSV, print means and comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--opened", type=int, nargs="+", default=list(OPENED))
    parser.add_argument("--per-class", action="store_true")
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--set", action="append", default=[], metavar="section.name=value")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    arguments = parser.parse_args()
    steps: list[Step] = []
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.jobs, spawn) as pool:
        running = [
            pool.submit(_session, arguments, named, folder, seed)
            for named in arguments.weights
            for folder in arguments.sets
            for seed in arguments.seeds
        ]
        for future in running:
            for step in future.result():
                steps.append(step)
                print(" ".join(str(step.row[f]) for f in FIELDS), flush=True)
            write_csv(arguments.out, FIELDS, [step.row for step in steps])
    print("\n".join(["", *summary([step.row for step in steps]), "", *comparisons(steps)]))
    print(f"\nwritten to {arguments.out}")
    return 0


def _session(arguments: argparse.Namespace, named: str, folder: str, seed: int) -> list[Step]:
    """All steps of all modes with one weights, set and seed."""
    name, _, source = named.partition("=")
    settings = [f"backbone.weights={source or name}", f"fit.seed={seed}", *arguments.set]
    session = Session(arguments.data / folder, config.load(arguments.recipe, settings))
    recipe = " ".join([arguments.recipe, *arguments.set])
    labels = {"weights": name, "set": folder, "recipe": recipe, "seed": seed}
    drawn = np.random.default_rng(seed).permutation(sorted(session.photos))
    orders = {"proposed": session.proposed_order(), "random": [str(name) for name in drawn]}
    found = []
    for mode in arguments.modes:
        for kind, order in orders.items():
            row = {**labels, "order": kind, "mode": mode}
            if kind == "proposed" or mode == "blended":
                found += list(in_order(session, mode, order, arguments.opened, row))
        if arguments.per_class and session.names and mode != "learner alone":
            row = {**labels, "order": "random", "mode": mode}
            found += list(per_class(session, mode, orders["random"], row))
    return found


def in_order(
    session: Session, mode: str, order: Sequence[str], numbers: Sequence[int], labels: Row
) -> Iterator[Step]:
    """One step for each number of opened photos, of which some photos are left."""
    numbers = [n for n in numbers if n < len(order)]
    done_without = done_with = 0.0
    for n, following in zip(numbers, [*numbers[1:], numbers[-1]], strict=True):
        taught, seconds = session.teach(mode, order[:n])
        measured = session.measure(mode, taught, order[n:])
        without, with_them = _seconds(measured, len(order) - n)
        session_saved = 1 - (done_with + with_them.sum()) / (done_without + without.sum())
        done_without += without[: following - n].sum()
        done_with += with_them[: following - n].sum()
        row = labels | {"opened": str(n), "photos_opened": n}
        row["session_saved"] = round(float(session_saved), 4)
        yield _step(row, order[n:], taught, seconds, measured)


def per_class(session: Session, mode: str, order: Sequence[str], labels: Row) -> Iterator[Step]:
    """One step for each number of opened photos a class."""
    for n in PER_CLASS:
        opened = set()
        for number in range(len(session.classes)):
            shown = [
                name
                for name in order
                if any(r.cluster == number for r in session.photos[name].truth.regions)
            ]
            opened |= set(shown[:n])
        left = [name for name in order if name not in opened]
        if not left:
            continue
        taught, seconds = session.teach(mode, [name for name in order if name in opened])
        row = labels | {"opened": f"{n}c", "photos_opened": len(opened), "session_saved": ""}
        yield _step(row, left, taught, seconds, session.measure(mode, taught, left))


def _step(
    row: Row, left: Sequence[str], taught: Taught | None, seconds: float, measured: Evaluation
) -> Step:
    pixels, objects = measured.figures.pixels, measured.figures.objects
    assert pixels is not None
    assert objects is not None
    without, with_them = _seconds(measured, len(left))
    shares = 1 - with_them / np.where(without > 0, without, np.nan)
    figures = {
        "foreground_iou": pixels.foreground_iou,
        "miou": pixels.mean_iou,
        "found_50": objects.whole.found_50,
        "time_saved": objects.time_saved,
        "weight": taught.facts.weight if taught else 0.0,
        "name_weight": taught.facts.name_weight if taught else 0.0,
        "learn_seconds": seconds,
    }
    rounded = {k: "" if v is None else round(float(v), 4) for k, v in figures.items()}
    photos = measured.measured.pixels.photos
    ious = {n: p.foreground_iou for n, p in zip(left, photos, strict=True) if p.has_object}
    return Step(
        row={**row, "photos_left": len(left), **rounded},
        ious=ious,
        saved=dict(zip(left, shares.tolist(), strict=True)),
    )


def _seconds(measured: Evaluation, n: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Seconds of work on each photo, without pre-labels and with them."""
    own = measured.measured
    pairs = [own.objects.seconds(range(i, i + 1), own.class_of, Costs()) for i in range(n)]
    return np.array(pairs)[:, 0], np.array(pairs)[:, 1]


def summary(rows: Sequence[Row]) -> list[str]:
    """Means over seeds, one line for each weights, set, mode and number, and what was expected."""
    lines = ["mean over seeds: foreground_iou miou found_50 time_saved session_saved weight"]
    keys = ("weights", "set", "order", "mode", "opened")
    for key in dict.fromkeys(tuple(str(r[k]) for k in keys) for r in rows):
        own = [r for r in rows if tuple(str(r[k]) for k in keys) == key]
        texts = []
        for figure in (
            "foreground_iou",
            "miou",
            "found_50",
            "time_saved",
            "session_saved",
            "weight",
        ):
            values = [float(r[figure]) for r in own if r[figure] != ""]
            if not values:
                continue
            text = f"{np.mean(values):.3f}"
            least = TO_REACH.get((key[1], key[4], figure))
            if least and key[0] == EXPECTED_OF and key[3] == "blended":
                text += f" (expected {least:.2f}: "
                text += "reached)" if np.mean(values) >= least else "MISSED)"
            texts.append(text)
        lines.append(f"  {' '.join(key)}: {' '.join(texts)} ({len(own)} seeds)")
    return lines


def comparisons(steps: Sequence[Step], *, rounds: int = 10_000) -> list[str]:
    """Blended minus names only, with the 95 % interval of a paired bootstrap over photos; a photo
    counts once, with the mean over the seeds in which it was not opened."""
    lines = ["blended minus names only (95 % of a paired bootstrap over photos)"]
    rng = np.random.default_rng(0)
    keys = ("weights", "set", "order", "opened")
    for key in dict.fromkeys(tuple(str(s.row[k]) for k in keys) for s in steps):
        own = [s for s in steps if tuple(str(s.row[k]) for k in keys) == key]
        by_mode = [{s.row["seed"]: s for s in own if s.row["mode"] == mode} for mode in MODES[:2]]
        seeds = sorted(set(by_mode[0]) & set(by_mode[1]), key=str)
        for figure in ("ious", "saved"):
            differences: dict[str, list[float]] = {}
            for seed in seeds:
                blended, names = (getattr(mode[seed], figure) for mode in by_mode)
                for photo in blended.keys() & names.keys():
                    differences.setdefault(photo, []).append(blended[photo] - names[photo])
            values = np.array([np.mean(differences[photo]) for photo in sorted(differences)])
            values = values[~np.isnan(values)]
            if not len(values):
                continue
            draws = values[rng.integers(len(values), size=(rounds, len(values)))].mean(axis=1)
            low, high = np.quantile(draws, [0.025, 0.975])
            worse = "  WORSE" if high < 0 else ""
            lines.append(
                f"  {' '.join(key)} {figure}: {values.mean():+.4f} [{low:+.4f}, {high:+.4f}]{worse}"
            )
    return lines


if __name__ == "__main__":
    sys.exit(main())
