"""Compare the speed of the evaluation with hotcoco and pycocotools; write results/evaluation.csv.

    python benchmarks/evaluation.py [--photos 1500] [--rounds 9]

The photos are drawn: 500 × 375 pixels (VOC's size), 8 objects of 20 classes in each, and 12
detections: the objects shifted, some of another class, and blobs that are not objects. Three ways
compute the same figures, in this process and in turn: COCOeval on masks and on boxes, without
classes and by class, twelve figures each.

- `pycocotools`, `hotcoco`: their own load of both JSON files, and evaluation of all four.
- `prelabel`: both files opened with `open_dataset`, photos paired and checked, and `evaluate` with
  `only=["coco"], classes="by-name"`; `fast` is with hotcoco. Without tables and pages.

The truth is one COCO file for all; the detections are a predictions.jsonl for prelabel (`from COCO`:
a COCO file as well, of which every mask is checked) and a results JSON for the others. The answer is
the median over rounds; the evaluation of pycocotools is run once, as it is slow. Then mean IoU over
the same photos: `only=["pixels"]`, clusters matched to classes.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import hotcoco
import numpy as np
from csv_file import write_csv
from msgspec import structs
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from prelabel.data.masks import Mask, encode_rle, rle_area, rle_box
from prelabel.data.records import Prediction, Region
from prelabel.evaluation import evaluate
from prelabel.runs.datasets import open_dataset
from prelabel.runs.facts import FolderFacts
from prelabel.runs.folder import write_facts
from prelabel.runs.predictions import FILE, write_predictions
from prelabel.storage.marker import DONE

WIDTH, HEIGHT, CLASSES, OBJECTS, DETECTIONS = 500, 375, 20, 8, 12
RESULTS = Path(__file__).parent / "results" / "evaluation.csv"
RATIO_TO_HOTCOCO, TIMES_PYCOCOTOOLS, SECONDS_FOR_PIXELS = 3.0, 10.0, 30.0
ImageFile = tuple[list[Region], list[Region]]


def main() -> int:
    """Measure, write and print; 0 if all three marks are reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: what it leaves in memory would slow down what is measured.
        with ProcessPoolExecutor(1) as apart:
            files = apart.submit(draw, Path(folder), n_photos=arguments.photos).result()
        rows = measure(files, rounds=arguments.rounds)
    seconds = {row["what"]: row["seconds"] for row in rows}
    ratio = seconds["prelabel --fast"] / seconds["hotcoco"]
    times = seconds["pycocotools, evaluation alone"] / seconds["prelabel --fast"]
    pixels = seconds["prelabel, pixels"]
    marks = [
        ("prelabel --fast / hotcoco, load and evaluate", ratio, ratio <= RATIO_TO_HOTCOCO),
        ("pycocotools' evaluation / prelabel --fast", times, times >= TIMES_PYCOCOTOOLS),
        ("seconds for mean IoU over pixels", pixels, pixels < SECONDS_FOR_PIXELS),
    ]
    for name, value, reached in marks:
        print(f"{name}: {value:.2f} ({'reached' if reached else 'MISSED'})")
        rows.append({"what": name, "seconds": "", "value": round(value, 3)})
    write(arguments.out, rows, n_photos=arguments.photos)
    print(f"written to {arguments.out}")
    return 0 if all(reached for *_, reached in marks) else 1


def measure(files: dict[str, Path], *, rounds: int) -> list[dict[str, Any]]:
    """Seconds of each way: the median of the rounds, in which they take turns."""
    ways: dict[str, Callable[[], list[float]]] = {
        "hotcoco": lambda: with_hotcoco(files),
        "prelabel --fast": lambda: with_prelabel(files["predictions"], files["truth"]),
        "prelabel --fast, from COCO": lambda: with_prelabel(files["detections"], files["truth"]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            spent, figures[name] = timed(way)
            seconds[name].append(spent)
            print(f"{name}: {spent:.2f} s", flush=True)
    loading, sides = timed(lambda: load_pycocotools(files))
    evaluation, figures["pycocotools"] = timed(lambda: with_pycocotools(*sides))
    print(f"pycocotools: load {loading:.2f} s, evaluation {evaluation:.2f} s", flush=True)
    for name, own in figures.items():
        np.testing.assert_allclose(own, figures["pycocotools"], atol=1e-6, err_msg=name)
    pixels, _ = timed(lambda: pixel_figures(files))
    print(f"prelabel, pixels: {pixels:.2f} s", flush=True)
    found = {name: statistics.median(spent) for name, spent in seconds.items()} | {
        "pycocotools, load": loading,
        "pycocotools, evaluation alone": evaluation,
        "prelabel, pixels": pixels,
    }
    return [{"what": k, "seconds": round(v, 3), "value": ""} for k, v in found.items()]


def with_prelabel(predictions: Path, truth: Path) -> list[float]:
    """All 48 figures."""
    sides = (open_dataset(predictions), open_dataset(truth))
    coco = evaluate(*sides, only=["coco"], classes="by-name", fast=True).figures.coco
    assert coco is not None
    groups = (coco.segm_by_class, coco.segm_agnostic, coco.bbox_by_class, coco.bbox_agnostic)
    return [
        -1.0 if value is None else value for group in groups for value in structs.astuple(group)
    ]


def with_hotcoco(files: dict[str, Path]) -> list[float]:
    """Its own load and the same figures."""
    found: list[float] = []
    truth = hotcoco.COCO(str(files["truth"]))
    with quiet():
        for kind in ("segm", "bbox"):
            results = truth.load_res(str(files[kind]))
            for by_class in (True, False):
                scorer = hotcoco.COCOeval(truth, results, kind)
                scorer.params.use_cats = by_class
                scorer.evaluate()
                scorer.accumulate()
                scorer.summarize()
                found += list(scorer.stats)
    return found


def load_pycocotools(files: dict[str, Path]) -> tuple[COCO, dict[str, COCO]]:
    """Truth and results."""
    with quiet():
        truth = COCO(str(files["truth"]))
        return truth, {kind: truth.loadRes(str(files[kind])) for kind in ("segm", "bbox")}


def with_pycocotools(truth: COCO, results: dict[str, COCO]) -> list[float]:
    """The same figures."""
    found: list[float] = []
    with quiet():
        for kind in ("segm", "bbox"):
            for by_class in (True, False):
                scorer = COCOeval(truth, results[kind], kind)
                scorer.params.useCats = int(by_class)
                scorer.evaluate()
                scorer.accumulate()
                scorer.summarize()
                found += scorer.stats.tolist()
    return found


def pixel_figures(files: dict[str, Path]) -> float:
    """Mean IoU, and all else over pixels."""
    sides = (open_dataset(files["predictions"]), open_dataset(files["truth"]))
    pixels = evaluate(*sides, only=["pixels"]).figures.pixels
    assert pixels is not None
    return pixels.mean_iou


def draw(folder: Path, *, n_photos: int) -> dict[str, Path]:
    """Files of the truth and of the detections, in each form that is read."""
    rng = np.random.default_rng(0)
    photos = [_photo(rng) for _ in range(n_photos)]
    names = [f"class {i}" for i in range(CLASSES)]
    own = folder / "predictions"
    own.mkdir()
    write_facts(own, FolderFacts("predict", DONE, class_names=names))
    write_predictions(
        own / FILE,
        (
            Prediction(f"{i}.jpg", "", WIDTH, HEIGHT, tuple(detections), 0, "")
            for i, (_, detections) in enumerate(photos)
        ),
    )
    for side, name in enumerate(("truth", "detections")):
        coco = {
            "images": [
                {"id": i + 1, "file_name": f"{i}.jpg", "width": WIDTH, "height": HEIGHT}
                for i in range(n_photos)
            ],
            "categories": [{"id": i + 1, "name": name} for i, name in enumerate(names)],
            "annotations": [
                {**item, "id": i, "iscrowd": 0}
                for i, item in enumerate(_items(photos, side), start=1)
            ],
        }
        (folder / f"{name}.json").write_text(json.dumps(coco))
    for kind, key in (("segm", "segmentation"), ("bbox", "bbox")):
        keys = ("image_id", "category_id", "score", key)
        results = [{k: item[k] for k in keys} for item in _items(photos, 1)]
        (folder / f"{kind}.json").write_text(json.dumps(results))
    return {
        "truth": folder / "truth.json",
        "detections": folder / "detections.json",
        "predictions": own,
        "segm": folder / "segm.json",
        "bbox": folder / "bbox.json",
    }


def write(file: Path, rows: list[dict[str, Any]], *, n_photos: int) -> None:
    """The rows as CSV."""
    facts = {
        "photos": n_photos,
        "detections": n_photos * DETECTIONS,
        "cores": os.cpu_count(),
        "hotcoco": hotcoco.__version__,
    }
    write_csv(file, ["what", "seconds", "value", *facts], [{**row, **facts} for row in rows])


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what came out."""
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without what the libraries print."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _photo(rng: np.random.Generator) -> ImageFile:
    objects, found = [], []
    for i in range(DETECTIONS):
        mask, index = _blob(rng), int(rng.integers(CLASSES))
        if i < OBJECTS:
            objects.append(_region(mask, index, score=1.0))
            mask = np.roll(mask, int(rng.integers(-12, 13)), axis=1)
            index = index if rng.random() < 0.8 else int(rng.integers(CLASSES))
        found.append(_region(mask, index, score=float(rng.random())))
    return objects, sorted(found, key=lambda region: -region.score)


def _blob(rng: np.random.Generator) -> Mask:
    """A ragged polygon of 24 corners around a place in the photo."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    centre = rng.uniform((30, 30), (WIDTH - 30, HEIGHT - 30))
    angles = np.sort(rng.uniform(0, 2 * np.pi, 24))
    radii = rng.uniform(8, 90) * rng.uniform(0.6, 1.2, 24)
    corners = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
    return mask.astype(bool)


def _region(mask: Mask, cluster: int, *, score: float) -> Region:
    rle = encode_rle(mask)
    return Region(rle, rle_box(rle), rle_area(rle), score, cluster)


def _items(photos: list[ImageFile], side: int) -> Iterator[dict[str, Any]]:
    for i, photo in enumerate(photos, start=1):
        for region in photo[side]:
            yield {
                "image_id": i,
                "category_id": region.cluster + 1,
                "segmentation": region.rle,
                "bbox": region.box,
                "area": region.area,
                "score": region.score,
            }


if __name__ == "__main__":
    sys.exit(main())
