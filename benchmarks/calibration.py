"""Measure what the scores of regions are worth, and write benchmarks/results/calibration.csv.

    python benchmarks/calibration.py DATA --weights NAME=FILE [--weights NAME=FILE …] [--seed 0]

DATA holds sets as for quality.py, with objects as for separators.py. A region is right if its IoU with an
object is 0.5 or more. One row for each tenth of the scores that has a region: its ``regions``, their mean
``score``, and the share that is ``right``; and one row, ``all``, with the mean distance of the two
(``error``, weighted by regions) and the ``auroc`` of the score.

At the end the logistic regression of ``steps/region_scores.py`` is fitted again to the regions of all
``--fitted`` sets together, with the weight of the size as it is there, and, for each set, to those of the
others: ``left_out`` in the CSV is the error of that one, which has not seen the set.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from csv_file import write_csv
from ground_truth import ground_truth
from numpy.typing import NDArray
from scipy.optimize import minimize

from prelabel import config, pipeline
from prelabel.config import Config
from prelabel.data.images import read_image
from prelabel.data.masks import Mask
from prelabel.evaluation import metrics
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.segment import Segmenter
from prelabel.steps.photos import find_photos
from prelabel.steps.region_scores import OFFSET, WEIGHTS, region_facts
from prelabel.steps.regions import upsample

SETS = ("voc_animals", "coco", "ecssd", "kvasir", "nuclei")
FITTED = ("voc_animals", "coco", "ecssd")
RESULTS = Path(__file__).parent / "results" / "calibration.csv"
FIELDS = (
    "weights", "set", "recipe", "seed", "tenth", "regions", "score", "right", "error", "auroc", "left_out",
)  # fmt: skip
Row = dict[str, str | int | float]
Double = NDArray[np.float64]


@dataclass(frozen=True)
class Regions:
    """All regions of a set: ``facts`` float64 (n, 3) as of `region_facts`, ``scores`` float64 (n,),
    ``right`` bool (n,)."""

    facts: Double
    scores: Double
    right: NDArray[np.bool_]


def main() -> int:
    """Measure what the arguments name, print it, write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--fitted", nargs="+", default=list(FITTED))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--set", action="append", default=[], metavar="section.name=value")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    found: dict[tuple[str, str], Regions] = {}
    for named in arguments.weights:
        name, _, source = named.partition("=")
        settings = [f"backbone.weights={source or name}", f"fit.seed={arguments.seed}"]
        chosen = config.load(arguments.recipe, [*settings, *arguments.set])
        for folder in arguments.sets:
            found[name, folder] = measure(arguments.data / folder, chosen)
            print(name, folder, len(found[name, folder].right), "regions", flush=True)
    labels: Row = {"recipe": arguments.recipe, "seed": arguments.seed}
    rows = [
        labels | {"weights": name, "set": folder} | row
        for (name, folder), own in found.items()
        for row in (*tenths(own), total(own, found, folder, arguments.fitted))
    ]
    write_csv(arguments.out, FIELDS, rows)
    for row in rows:
        print(*(row.get(field, "") for field in FIELDS))
    together = [own for (_, folder), own in found.items() if folder in arguments.fitted]
    if together:
        print("fitted to", *arguments.fitted, fit(together).round(2), "in use", WEIGHTS, OFFSET)
    print(f"written to {arguments.out}")
    return 0


def measure(folder: Path, chosen: Config) -> Regions:
    """Fit on a set, find the regions of its photos and compare them with its objects."""
    photos = find_photos(folder / "images")
    _, truths = ground_truth(folder)
    model = pipeline.fit(photos, chosen)
    segmenter, features_of = Segmenter(model), PhotoSegmenter(model, model.config).features
    facts, scores, right = [], [], []
    for photo in photos.photos:
        if photo.name not in truths:
            continue
        image = read_image(photo.file)
        [features] = features_of([image])
        found = segmenter.find(image, features)
        foreground = segmenter.combine(features, segmenter.apply_levels(features))
        height, width = image.pixels.shape[:2]
        coarse = upsample(foreground, height=height, width=width)
        labels = np.zeros((height, width), dtype=np.int32)
        for number, mask in enumerate(found.masks, start=1):
            labels[mask] = number
        facts.append(region_facts(labels, coarse, model.levels.relative(features)))
        objects = [region.mask for region in truths[photo.name].regions if not region.crowd]
        for region in found.regions:
            scores.append(region.score)
            right.append(any(_iou(region.mask, one) >= 0.5 for one in objects))
    return Regions(np.concatenate(facts), np.array(scores), np.array(right, dtype=np.bool_))


def _iou(a: Mask, b: Mask) -> float:
    both = np.count_nonzero(a & b)
    return both / max(1, np.count_nonzero(a) + np.count_nonzero(b) - both)


def tenths(own: Regions) -> Iterator[Row]:
    """A row for each tenth of the scores that has a region."""
    for tenth in range(10):
        inside = np.minimum((own.scores * 10).astype(int), 9) == tenth
        if inside.any():
            yield {
                "tenth": tenth / 10,
                "regions": int(inside.sum()),
                "score": round(float(own.scores[inside].mean()), 3),
                "right": round(float(own.right[inside].mean()), 3),
            }


def total(
    own: Regions, found: dict[tuple[str, str], Regions], folder: str, fitted: Sequence[str]
) -> Row:
    """The row of all scores of a set."""
    others = [one for (_, name), one in found.items() if name in fitted and name != folder]
    row: Row = {
        "tenth": "all",
        "regions": len(own.right),
        "score": round(float(own.scores.mean()), 3),
        "right": round(float(own.right.mean()), 3),
        "error": round(error(own.scores, own.right), 3),
        "auroc": round(metrics.auroc(own.scores, own.right), 3),
    }
    if others:
        row["left_out"] = round(error(_scores(own.facts, fit(others)), own.right), 3)
    return row


def error(scores: Double, right: NDArray[np.bool_]) -> float:
    """The mean distance of score and share in tenths, weighted by their regions."""
    tenth = np.minimum((scores * 10).astype(int), 9)
    sums = np.bincount(tenth, weights=scores - right, minlength=10)
    return float(np.abs(sums).sum() / len(scores))


def fit(sets: Sequence[Regions]) -> Double:
    """The weights of P and of the cosine, and the offset, of a logistic regression on regions of sets."""
    facts = np.concatenate([own.facts for own in sets])
    signs = np.where(np.concatenate([own.right for own in sets]), 1, -1)

    def loss(free: Double) -> float:
        return float(np.logaddexp(0, -signs * _logits(facts, free)).mean())

    return np.asarray(minimize(loss, [1.0, -1.0, 0.0]).x)


def _logits(facts: Double, free: Double) -> Double:
    return np.asarray(facts @ np.array([free[0], free[1], WEIGHTS[2]]) + free[2])


def _scores(facts: Double, free: Double) -> Double:
    return np.asarray(1 / (1 + np.exp(-_logits(facts, free))))


if __name__ == "__main__":
    sys.exit(main())
