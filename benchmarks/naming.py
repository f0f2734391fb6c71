"""How many regions have the right name on photos that nobody corrected.

    python benchmarks/naming.py DATA --weights NAME=FILE [--seeds 5]

A simulated annotator corrects 1, 3 and 10 photos of each class of DATA (a folder with ``images/``
and ``masks/``, as for quality.py): every region there gets its right name, or is deleted. The right
name of a region is the ground-truth class of most of its pixels, void left out; where that is
background, no name is right. Measured is the share of right names over all regions of the other
photos, against never learning (no region has a name) and against a random guess (a name drawn for
each region). Writes benchmarks/results/naming.csv and prints mean and standard deviation over
seeds; a seed decides the fit and which photos are corrected.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from csv_file import write_csv
from numpy.typing import NDArray
from PIL import Image

from prelabel import config, pipeline
from prelabel.data.masks import decode_rle
from prelabel.evaluation.metrics import VOID
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.steps.exemplars import Exemplar, Names
from prelabel.steps.photos import find_photos
from prelabel.storage.progress import RunLog
from prelabel.strategies.checks import assign

RESULTS = Path(__file__).parent / "results" / "naming.csv"
CORRECTED = (1, 3, 10)
FIELDS = (
    "weights", "set", "recipe", "size", "precision", "seed", "classes", "clusters",
    "corrected_per_class", "photos_corrected", "regions", "learned", "never", "random",
)  # fmt: skip


def main() -> int:
    """Measure, write the CSV, print the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows: list[dict[str, str | int | float]] = []
    for named in arguments.weights:
        name, _, source = named.partition("=")
        for seed in range(arguments.seeds):
            labels = {"weights": name, "set": arguments.data.name, "recipe": arguments.recipe}
            rows += [
                {**labels, **row}
                for row in measure(arguments.data, arguments.recipe, source or name, seed)
            ]
            print(" ".join(str(rows[-1][f]) for f in FIELDS), flush=True)
    write_csv(arguments.out, FIELDS, rows)
    for name in dict.fromkeys(str(row["weights"]) for row in rows):
        for n in CORRECTED:
            own = [r for r in rows if (r["weights"], r["corrected_per_class"]) == (name, n)]
            figures = {f: [float(r[f]) for r in own] for f in ("learned", "never", "random")}
            text = ", ".join(f"{f} {np.mean(v):.3f} ± {np.std(v):.3f}" for f, v in figures.items())
            print(f"{name}, {n} corrected photos per class: {text} ({len(own)} seeds)")
    print(f"written to {arguments.out}")
    return 0


def measure(
    folder: Path, recipe: str, source: str, seed: int
) -> list[dict[str, str | int | float]]:
    """One fit; a row for each number of corrected photos."""
    classes: dict[str, str] = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    truths = {f.stem: np.asarray(Image.open(f)) for f in sorted((folder / "masks").glob("*.png"))}
    held = {stem: sorted(set(np.unique(t).tolist()) - {0, VOID}) for stem, t in truths.items()}
    present = sorted({c for own in held.values() for c in own})
    labels = json.dumps([classes[str(c)] for c in present])
    settings = [f"backbone.weights={source}", f"fit.seed={seed}", f"classes.labels={labels}"]
    photos = find_photos(folder / "images")
    model = pipeline.fit(photos, config.load(recipe, settings))
    clusterer = model.config.strategy("clusterer")

    regions: list[tuple[str, Exemplar, int]] = []  # stem, right name and vector, class
    for photo, segment in PhotoSegmenter(model, model.config).each(photos.photos, RunLog()):
        stem = Path(photo.name).stem
        if stem in truths and len(segment.regions):
            clusters = assign(clusterer, segment.embeddings, model.classes)
            for region, vector, cluster in zip(
                segment.regions, segment.embeddings, clusters, strict=True
            ):
                right = right_name(decode_rle(region.rle), truths[stem], classes)
                regions.append((stem, Exemplar(stem, region.rle, vector, right), int(cluster)))

    rng = np.random.default_rng(seed)
    order = [str(s) for s in rng.permutation(sorted(truths))]
    guesses = [classes[str(c)] for c in rng.choice(present, len(regions))]
    rows: list[dict[str, str | int | float]] = []
    for n in CORRECTED:
        corrected = {s for c in present for s in [s for s in order if c in held[s]][:n]}
        known = [e for stem, e, _ in regions if stem in corrected]
        names = Names(known, model.classes, clusterer=clusterer)
        left = [i for i, (stem, _, _) in enumerate(regions) if stem not in corrected]
        right_names = [regions[i][1].name for i in left]
        vectors = np.stack([regions[i][1].embedding for i in left])
        learned = [name or "" for name in names(vectors, [regions[i][2] for i in left])]
        rows.append(
            {
                "size": str(model.config.features.size),
                "precision": str(model.backbone.get("precision", "")),
                "seed": seed,
                "classes": len(present),
                "clusters": len(model.classes),
                "corrected_per_class": n,
                "photos_corrected": len(corrected),
                "regions": len(left),
                "learned": share(learned, right_names),
                "never": share([""] * len(left), right_names),
                "random": share([guesses[i] for i in left], right_names),
            }
        )
    return rows


def right_name(mask: NDArray[np.bool_], truth: NDArray[np.uint8], classes: dict[str, str]) -> str:
    """The class of most of the mask's pixels, void left out; "" for background."""
    inside = truth[mask]
    counts = np.bincount(inside[inside != VOID], minlength=1)
    most = int(counts.argmax())
    return classes[str(most)] if most else ""


def share(found: list[str], right: list[str]) -> float:
    """How many are equal, in [0, 1]."""
    return round(float(np.mean([f == r for f, r in zip(found, right, strict=True)])), 4)


if __name__ == "__main__":
    sys.exit(main())
