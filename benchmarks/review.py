"""How many regions have their right name after some seconds at the review page.

    python benchmarks/review.py DATA [DATA …] --weights NAME=FILE [--weights NAME=FILE …] [--seeds 3]

DATA is a folder with ``images/`` and ``masks/``, as for quality.py. After a fit without labels, its
regions are clustered into 8 to 64 classes. A simulated person works at the page (review_session.py):
5 s to name the largest class that has no name by the kind that most of its regions are of, or to say
that it is nothing; when all have a name, 3 s for each cut-out that is sent to the class of its right
name, those that lie farthest from their class's middle first; in the mode ``splits``, classes with much
of a second kind are split before that, 3 s each. The right name of a region is the ground-truth class
of most of its pixels, void left out, or ``nothing`` where that is background.

``right_30`` … ``right_240``: the share of all regions with their right name after so many seconds; one
without a name has none. ``correcting_30`` …: the same if the person corrects tasks in a random order
instead, mean of 5 orders: 5 s a photo and 2 s a region, as `prelabel evaluate` counts them, masks left
as they are; the names of all other regions are learned from those. Nobody hesitates or errs, and the
sets are small, so that single moves count much: look at the order of magnitude.

Writes benchmarks/results/review.csv.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from csv_file import write_csv
from naming import right_name
from PIL import Image
from review_session import Fitted, Photo, Reviewer, named_right_by_correcting, review_of

from prelabel import config, pipeline
from prelabel.data.masks import decode_rle
from prelabel.model import FittedModel
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.steps.classes import fit_classes
from prelabel.steps.photos import find_photos
from prelabel.storage.progress import RunLog
from prelabel.strategies.checks import assign

RESULTS = Path(__file__).parent / "results" / "review.csv"
CLUSTERS = (8, 16, 24, 32, 48, 64)
SECONDS = (30, 60, 120, 240)
ORDERS = 5
FIELDS = (
    "weights", "set", "recipe", "size", "precision", "seed", "photos", "regions", "nothing",
    "clusters", "mode", *(f"right_{s}" for s in SECONDS), *(f"correcting_{s}" for s in SECONDS),
)  # fmt: skip
TO_REACH = 0.5
"""Of all regions after 120 seconds, with distilled weights on voc_animals, at each number of clusters."""


def main() -> int:
    """Measure, write the CSV, print each row; 1 if what is to be reached was not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--weights", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows: list[dict[str, str | int | float]] = []
    for data in arguments.data:
        for named in arguments.weights:
            name, _, source = named.partition("=")
            for seed in range(arguments.seeds):
                model, fitted = fit(data, arguments.recipe, source or name, seed)
                for row in measure(model, fitted, seed):
                    rows.append(
                        {"weights": name, "set": data.name, "recipe": arguments.recipe, **row}
                    )
                    print(" ".join(str(rows[-1][field]) for field in FIELDS), flush=True)
    write_csv(arguments.out, FIELDS, rows)
    print(f"written to {arguments.out}")
    of_target = [r for r in rows if (r["weights"], r["set"]) == ("distilled", "voc_animals")]
    missed = [r for r in of_target if float(r["right_120"]) < TO_REACH]
    for row in missed:
        print(f"missed: {row['clusters']} clusters, seed {row['seed']}: {row['right_120']}")
    return int(bool(missed))


def fit(folder: Path, recipe: str, source: str, seed: int) -> tuple[FittedModel, Fitted]:
    """A fit without labels, and its regions with their right names."""
    classes: dict[str, str] = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    truths = {f.stem: np.asarray(Image.open(f)) for f in sorted((folder / "masks").glob("*.png"))}
    photos = find_photos(folder / "images")
    settings = [f"backbone.weights={source}", f"fit.seed={seed}"]
    model = pipeline.fit(photos, config.load(recipe, settings))
    found = []
    for photo, segment in PhotoSegmenter(model, model.config).each(photos.photos, RunLog()):
        stem = Path(photo.name).stem
        if stem in truths:
            right = [
                right_name(decode_rle(region.rle), truths[stem], classes) or None
                for region in segment.regions
            ]
            found.append(Photo(stem, segment, right))
    return model, Fitted(found, model.config.strategy("clusterer"))


def measure(model: FittedModel, fitted: Fitted, seed: int) -> list[dict[str, str | int | float]]:
    """A row for each number of clusters and each mode."""
    rows = []
    right, vectors = fitted.right, fitted.vectors
    for count in CLUSTERS:
        centroids = fit_classes(vectors, k=count, clusterer=fitted.clusterer, seed=seed)
        clusters = assign(fitted.clusterer, vectors, centroids)
        correcting = {
            f"correcting_{seconds}": _mean(
                [
                    named_right_by_correcting(
                        fitted, clusters, centroids, seconds=seconds, seed=order
                    )
                    for order in range(ORDERS)
                ]
            )
            for seconds in SECONDS
        }
        for mode in ("moves", "splits"):
            with tempfile.TemporaryDirectory() as folder:
                review = review_of(fitted, clusters, Path(folder))
                reviewer = Reviewer(review, right, splits=mode == "splits")
                reached = {}
                for seconds in SECONDS:
                    reviewer.work_until(seconds)
                    reached[f"right_{seconds}"] = round(reviewer.named_right, 4)
            rows.append(
                {
                    "size": str(model.config.features.size),
                    "precision": str(model.backbone.get("precision", "")),
                    "seed": seed,
                    "photos": len(fitted.photos),
                    "regions": len(right),
                    "nothing": right.count(None),
                    "clusters": count,
                    "mode": mode,
                    **reached,
                    **correcting,
                }
            )
    return rows


def _mean(values: list[float]) -> float:
    return round(float(np.mean(values)), 4)


if __name__ == "__main__":
    sys.exit(main())
