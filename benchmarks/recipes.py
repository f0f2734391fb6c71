"""Measure the recipes for domains beside ``default``, and what ``auto`` chooses: benchmarks/results/recipes.csv.

    python benchmarks/recipes.py DATA --weights NAME=FILE [--weights NAME=FILE …] [--photos 20]

DATA holds sets as for quality.py; objects are those of ground_truth.py. Settings of the recipes were chosen
on the first half of each set, in order of names: here at most ``--photos`` photos of the second half are
fitted and measured, with seed 0. Of made_defects.py's it is all 48, as of few photos everything is rare: half
of them are not new to the recipe. One row per weights, set and recipe. All have up to 24 classes, made of
patch features (``embedder.name=region-pool``), which changes no region. ``--set`` changes a setting of all
recipes, and needs an ``--out`` of its own, since no column tells.

Columns: ``foreground_iou`` as of quality.py; ``found`` share of objects with a region at IoU >= 0.5, one
to one; ``false`` regions a photo that are on no object. Where there are several classes, ``miou`` is the
Hungarian mIoU of background and the classes present, with ``clusters`` classes of the model, and one for
what is in no region; ``miou_named`` the same where each has the class, or background, that it shows most,
as if somebody named it: with more clusters than classes that flatters. Of ``auto``, ``chosen`` is the
recipe that it chose of these photos and ``because`` why; its figures are those of that recipe.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from csv_file import write_csv
from ground_truth import ground_truth
from made_defects import write_set
from numpy.typing import NDArray
from PIL import Image as PilImage
from scipy.optimize import linear_sum_assignment

from prelabel import config, pipeline
from prelabel.config import Config
from prelabel.data.dataset import Dataset
from prelabel.data.masks import decode_rle
from prelabel.data.records import Prediction
from prelabel.evaluation import evaluate, metrics
from prelabel.recipe_choice import choose_recipe

MADE = "made_defects"
SETS = {
    "nuclei": ("default", "microscopy"),
    "ecssd": ("default", "product"),
    "voc_animals": ("default", "scene"),
    "coco": ("default", "scene"),
    "kvasir": ("default", "defects"),
    MADE: ("default", "defects"),
}
"""The recipes that are measured on each set, beside what ``auto`` chooses."""
SAME = ("embedder.name=region-pool", "classes.count=24")
"""Settings of all rows: no second forward pass, and as many classes as ``scene`` makes."""
RESULTS = Path(__file__).parent / "results" / "recipes.csv"
FIELDS = (
    "weights", "set", "recipe", "seed", "photos", "objects", "foreground_iou", "found", "false", "regions",
    "classes", "clusters", "miou", "miou_named", "chosen", "because",
)  # fmt: skip
Row = dict[str, str | int | float]


def main() -> int:
    """Measure what the arguments name, and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--photos", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], metavar="section.name=value")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.set and arguments.out == RESULTS:
        parser.error("--set needs --out: the committed rows are those of the recipes as they are")
    rows: list[Row] = []
    with TemporaryDirectory() as made:
        for folder in arguments.sets:
            if folder == MADE:
                photos = TestPhotos.of(write_set(Path(made)))
            else:
                photos = TestPhotos.of(arguments.data / folder, arguments.photos)
            for named in arguments.weights:
                name, _, source = named.partition("=")
                settings = [f"backbone.weights={source or name}", *SAME, *arguments.set]
                for row in _rows(photos, SETS[folder], settings):
                    rows.append({"weights": name, "set": folder, "seed": 0, **row})
                    print(" ".join(f"{k}={rows[-1].get(k, '')}" for k in FIELDS), flush=True)
                    write_csv(arguments.out, FIELDS, rows)
    print(f"\nwritten to {arguments.out}")
    return 0


def _rows(photos: TestPhotos, recipes: Sequence[str], settings: Sequence[str]) -> Iterator[Row]:
    """A row for each recipe, and one for ``auto``."""
    measured = {}
    for recipe in recipes:
        measured[recipe] = measure(photos, config.load(recipe, settings))
        yield {"recipe": recipe, **measured[recipe]}
    choice = choose_recipe(photos.photos, settings)
    if choice.name not in measured:
        measured[choice.name] = measure(photos, choice.config)
    figures = measured[choice.name]
    yield {"recipe": "auto", **figures, "chosen": choice.name, "because": choice.reason}


@dataclass(frozen=True)
class TestPhotos:
    """Photos with what they show. ``truths``: class masks by the photo's name."""

    photos: list[Path]
    truths: dict[str, NDArray[np.uint8]]
    classes: tuple[str, ...]
    objects: dict[str, Prediction]

    @classmethod
    def of(cls, folder: Path, most: int = 0) -> TestPhotos:
        """The first ``most`` photos of the second half of a set, in order of names; all if 0."""
        files = {p.stem: p for p in (folder / "images").iterdir()}
        masks = sorted((folder / "masks").glob("*.png"))
        masks = masks[len(masks) // 2 :][:most] if most else masks
        classes, objects = ground_truth(folder)
        truths = {files[m.stem].name: np.asarray(PilImage.open(m)) for m in masks}
        return cls([files[m.stem] for m in masks], truths, classes, objects)


def measure(photos: TestPhotos, chosen: Config) -> Row:
    """Fit on the photos and measure on them."""
    model = pipeline.fit(photos.photos, chosen)
    predictions = list(pipeline.predict(model, photos.photos))
    present = sorted(
        {int(c) for t in photos.truths.values() for c in np.unique(t)} - {0, metrics.VOID}
    )
    n_clusters = max(1, len(model.class_names))
    counts = np.zeros((n_clusters + 1, metrics.VOID + 1), dtype=np.int64)
    ious = []
    for prediction in predictions:
        truth = photos.truths[Path(prediction.photo).name]
        clusters = np.zeros(truth.shape, dtype=np.int64)
        for region in prediction.regions:
            clusters[decode_rle(region.rle)] = region.cluster + 1
        if ((truth > 0) & (truth != metrics.VOID)).any():
            ious.append(metrics.foreground_iou(clusters > 0, truth))
        counts += metrics.confusion(clusters, truth, n_clusters=n_clusters)
    truths = [photos.objects[Path(p.photo).name] for p in predictions]
    named = [_renamed(p, t.photo) for p, t in zip(predictions, truths, strict=True)]
    figures = evaluate(
        Dataset(None, ("thing",), named.__iter__),
        Dataset(None, photos.classes, truths.__iter__),
        classes="by-name",
        only=("objects",),
    ).figures.objects
    assert figures
    return {
        "photos": len(predictions),
        "objects": figures.whole.objects,
        "foreground_iou": round(float(np.mean(ious)), 4),
        "found": round(figures.whole.found_50 or 0.0, 4),
        "false": round(figures.false_regions / len(predictions), 2),
        "classes": len(present),
        "clusters": n_clusters,
        "miou": round(hungarian_iou(counts, present), 4) if len(present) > 1 else "",
        "miou_named": round(named_iou(counts, present), 4) if len(present) > 1 else "",
        "regions": sum(len(p.regions) for p in predictions),
    }


def hungarian_iou(counts: NDArray[np.int64], present: Sequence[int]) -> float:
    """Mean IoU of background and the classes present, one to one with rows of ``metrics.confusion``."""
    own = counts[:, [0, *present]]
    unions = own.sum(axis=1, keepdims=True) + own.sum(axis=0, keepdims=True) - own
    ious = own / np.maximum(unions, 1)
    return float(ious[linear_sum_assignment(-ious)].sum() / own.shape[1])


def named_iou(counts: NDArray[np.int64], present: Sequence[int]) -> float:
    """Mean IoU of background and the classes present, where each row has the one that it shows most."""
    own = counts[:, [0, *present]]
    given = own.argmax(axis=1)
    merged = np.stack([own[given == i].sum(axis=0) for i in range(own.shape[1])])
    hits = np.diag(merged)
    unions = merged.sum(axis=1) + merged.sum(axis=0) - hits
    return float((hits / np.maximum(unions, 1)).mean())


def _renamed(prediction: Prediction, photo: str) -> Prediction:
    return Prediction(
        photo, prediction.digest, prediction.width, prediction.height, prediction.regions, 0, ""
    )


if __name__ == "__main__":
    sys.exit(main())
