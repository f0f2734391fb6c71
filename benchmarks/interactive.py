"""How well the object at a click or in a box is found, and how fast.

    python benchmarks/interactive.py DATA [DATA …] --weights NAME=FILE [--weights NAME …]

DATA is a folder with ``images/`` and ``masks/`` (as for quality.py). One model is fitted to each,
without masks. Every true object, a connected part of one class of at least 1 % of the photo, gets
these prompts:

- ``click``: the point deepest inside it;
- ``click+1``, ``click+2``: after it, once and twice, a positive or negative click at the deepest
  point of the largest connected error;
- ``box``: its box, widened by 5 %. ``loose box``: by 25 %.

The baseline of clicks is the automatic region of the same model at the first click, or nothing; of
boxes the full box. The constants of ``prelabel.interactive`` were chosen on the first, third … photo
by name of voc_animals, ecssd and coco; the figures are of the second, fourth … (``--half chosen``
measures the others). Writes benchmarks/results/interactive.csv: mean IoU over objects, void left
out, and seconds for one object of a photo whose features are known, median and worst, on one core.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from csv_file import write_csv
from numpy.typing import NDArray
from PIL import Image as PilImage

from prelabel import config, pipeline
from prelabel.data import images
from prelabel.data.masks import Mask, decode_rle
from prelabel.data.records import Image, PatchFeatures, Region
from prelabel.evaluation.metrics import VOID
from prelabel.interactive.mask import object_mask
from prelabel.interactive.prompts import Prompts
from prelabel.segment import Segmenter
from prelabel.steps.photos import find_photos
from prelabel.steps.scales import Scales
from prelabel.storage.threads import one_blas_thread

RESULTS = Path(__file__).parent / "results" / "interactive.csv"
SMALLEST = 0.01
CORRECTIONS = 2
BOXES = {"box": 0.05, "loose box": 0.25}
FIELDS = (
    "weights", "recipe", "size", "precision", "set", "half", "seed", "photos", "objects", "prompt",
    "iou", "baseline", "iou_baseline", "seconds_median", "seconds_worst",
)  # fmt: skip
Truth = NDArray[np.uint8]
Row = dict[str, str | int | float]
Answer = tuple[str, float, float, float]
"""The kind of prompt, IoU, the baseline's IoU, seconds."""


def main() -> int:
    """Measure, print and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--weights", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--half", choices=("other", "chosen"), default="other")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows: list[Row] = []
    for named in arguments.weights:
        name, _, source = named.partition("=")
        for folder in arguments.data:
            for row in measure(
                folder, arguments.recipe, source or name, arguments.seed, half=arguments.half
            ):
                rows.append({"weights": name, "recipe": arguments.recipe, **row})
                print(" ".join(str(rows[-1][f]) for f in FIELDS), flush=True)
            write_csv(arguments.out, FIELDS, rows)
    print(f"written to {arguments.out}")
    return 0


def measure(folder: Path, recipe: str, source: str, seed: int, *, half: str) -> Iterator[Row]:
    """One fit; a row for each kind of prompt."""
    chosen = config.load(recipe, [f"backbone.weights={source}", f"fit.seed={seed}"])
    photos = find_photos(folder / "images")
    model = pipeline.fit(photos, chosen)
    segmenter = Segmenter(model)
    settings = model.config
    scales = Scales(segmenter.backbone, name=settings.backbone.name, sizes=settings.features.sizes)
    files = {Path(photo.name).stem: photo.file for photo in photos.photos}

    answers: list[Answer] = []
    n_photos = n_objects = 0
    cv2.setNumThreads(1)
    for mask in sorted((folder / "masks").glob("*.png"))[half == "other" :: 2]:
        image, truth = images.read_image(files[mask.stem]), np.asarray(PilImage.open(mask))
        if truth.shape != (image.height, image.width):
            continue
        n_photos += 1
        [features] = scales.extract([image])
        with one_blas_thread():
            regions = segmenter.find(image, features).regions
            for true_object in true_objects(truth):
                n_objects += 1
                person = _Person(segmenter, image, features, true_object, truth != VOID)
                answers += [*person.click(regions), *person.draw()]
    for prompt in dict.fromkeys(name for name, *_ in answers):
        ious, baselines, seconds = np.array([a[1:] for a in answers if a[0] == prompt]).T
        yield {
            "size": str(settings.features.size),
            "precision": str(model.backbone.get("precision", "")),
            "set": folder.name,
            "half": half,
            "seed": seed,
            "photos": n_photos,
            "objects": n_objects,
            "prompt": prompt,
            "iou": round(float(ious.mean()), 4),
            "baseline": "full box" if prompt in BOXES else "automatic region",
            "iou_baseline": round(float(baselines.mean()), 4),
            "seconds_median": round(float(np.median(seconds)), 3),
            "seconds_worst": round(float(seconds.max()), 3),
        }


class _Person:
    """Clicks on one object, ``truth`` bool (h, w), and compares the masks; only ``valid`` counts."""

    def __init__(
        self,
        segmenter: Segmenter,
        image: Image,
        features: PatchFeatures,
        truth: Mask,
        valid: Mask,
    ) -> None:
        self.known = (segmenter, image, features)
        self.truth = truth
        self.valid = valid

    def click(self, regions: tuple[Region, ...]) -> Iterator[Answer]:
        """A click and its corrections."""
        height, width = self.truth.shape
        row, column = deepest(self.truth)
        masks = [decode_rle(region.rle) for region in regions]
        automatic = next((m for m in masks if m[row, column]), np.zeros_like(self.truth))
        points: list[tuple[float, float, bool]] = []
        is_positive = True
        for n in range(1 + CORRECTIONS):
            points.append(((column + 0.5) / width, (row + 0.5) / height, is_positive))
            found, seconds = self._ask(Prompts(points=tuple(points)))
            name = f"click+{n}" if n else "click"
            yield name, self._iou(found), self._iou(automatic), seconds
            error = largest_part((found ^ self.truth) & self.valid, self.truth)
            if not error.any():
                error = self.truth
            row, column = deepest(error)
            is_positive = bool(self.truth[row, column])

    def draw(self) -> Iterator[Answer]:
        """Each kind of box."""
        height, width = self.truth.shape
        rows, columns = (np.flatnonzero(self.truth.any(axis=axis)) for axis in (1, 0))
        for name, more in BOXES.items():
            spans = []
            for line, n in ((columns, width), (rows, height)):
                start, stop = int(line[0]), int(line[-1]) + 1
                spread = more / 2 * (stop - start)
                spans.append((max(0.0, start - spread) / n, min(float(n), stop + spread) / n))
            (x0, x1), (y0, y1) = spans
            full = np.zeros_like(self.truth)
            full[round(y0 * height) : round(y1 * height), round(x0 * width) : round(x1 * width)] = (
                True
            )
            found, seconds = self._ask(Prompts(boxes=((x0, y0, x1, y1),)))
            yield name, self._iou(found), self._iou(full), seconds

    def _ask(self, prompts: Prompts) -> tuple[Mask, float]:
        start = time.perf_counter()
        region = object_mask(*self.known, prompts)
        seconds = time.perf_counter() - start
        return decode_rle(region.rle) if region else np.zeros_like(self.truth), seconds

    def _iou(self, found: Mask) -> float:
        union = (found | self.truth) & self.valid
        return float((found & self.truth).sum() / union.sum())


def true_objects(truth: Truth) -> Iterator[Mask]:
    """Connected parts (8 neighbours) of one class that are large enough."""
    for index in sorted(set(np.unique(truth).tolist()) - {0, VOID}):
        n, parts = cv2.connectedComponents((truth == index).astype(np.uint8), connectivity=8)
        for part in range(1, n):
            if (inside := parts == part).mean() >= SMALLEST:
                yield inside


def largest_part(error: Mask, truth: Mask) -> Mask:
    """The largest connected part of what is missing or of what is too much."""
    best = np.zeros_like(error)
    for kind in (error & truth, error & ~truth):
        n, parts = cv2.connectedComponents(kind.astype(np.uint8), connectivity=8)
        if n > 1:
            part = parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())
            best = max(best, part, key=np.count_nonzero)
    return best


def deepest(mask: Mask) -> tuple[int, int]:
    """Row and column farthest from all that is outside the mask or the photo."""
    padded = np.pad(mask, 1).astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(row), int(column)


if __name__ == "__main__":
    sys.exit(main())
