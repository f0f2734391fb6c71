"""Measure what features gain without their position, and write benchmarks/results/positions.csv.

    python benchmarks/positions.py DATA --weights NAME=FILE [--weights NAME=FILE …] [--photos 60]

DATA holds sets as for quality.py. Patches of all photos of a set are clustered by spherical k-means,
once for each ``k`` and seed, and each cluster is foreground if most of its patches are, by the ground
truth: ``iou`` is the mean over photos of the foreground IoU on the patch grid, an upper bound of what a
rule that scores such clusters can reach.

Ways: ``raw`` patches; ``dataset mean`` subtracted from all; ``position mean``, what prelabel subtracts
(``steps/positions.py``); ``black photo``: the first ``--components`` right singular vectors of the
patches of a black photo are projected out, then the mean is subtracted (the idea of INSID3, CVPR 2026,
which takes such a photo to show nothing but positions).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from csv_file import write_csv
from numpy.typing import NDArray
from PIL import Image as PilImage

from prelabel import config
from prelabel.config import Config
from prelabel.data import images
from prelabel.data.records import Image, PatchFeatures
from prelabel.evaluation.metrics import VOID
from prelabel.steps.levels import without_place
from prelabel.steps.positions import PositionSums
from prelabel.steps.scales import Scales
from prelabel.strategies.checks import assign, fit_centroids

SETS = ("voc_animals", "coco", "ecssd", "kvasir", "nuclei")
KS = (8, 32)
RESULTS = Path(__file__).parent / "results" / "positions.csv"
FIELDS = ("weights", "set", "way", "components", "k", "seed", "photos", "iou")
Float = NDArray[np.float32]
Row = dict[str, str | int | float]


def main() -> int:
    """Measure what the arguments name, print it, write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--components", type=int, nargs="+", default=[1, 5, 20, 50])
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows: list[Row] = []
    for named in arguments.weights:
        name, _, source = named.partition("=")
        chosen = config.load("default", [f"backbone.weights={source or name}"])
        for folder in arguments.sets:
            photos, truths = read_set(arguments.data / folder, chosen, arguments.photos)
            for way, components, patches in ways(photos, chosen, arguments.components):
                for k in KS:
                    for seed in arguments.seeds:
                        iou = upper_bound(patches, truths, chosen, k=k, seed=seed)
                        row = {"weights": name, "set": folder, "way": way, "components": components}
                        row |= {"k": k, "seed": seed, "photos": len(photos), "iou": round(iou, 4)}
                        rows.append(row)
                        print(*(row[field] for field in FIELDS), flush=True)
            write_csv(arguments.out, FIELDS, rows)
    print(f"written to {arguments.out}")
    return 0


def read_set(folder: Path, chosen: Config, n: int) -> tuple[list[PatchFeatures], list[Float]]:
    """Features of n photos spread over the set, and the foreground's share of each patch, float32
    (h, w), NaN where most is void."""
    masks = sorted((folder / "masks").glob("*.png"))
    masks = masks[:: max(1, len(masks) // n)][:n]
    files = {file.stem: file for file in (folder / "images").iterdir()}
    photos, truths = [], []
    with scales_of(chosen) as scales:
        for mask in masks:
            [own] = scales.extract([images.read_image(files[mask.stem])], store=True)
            height, width = own.attention.shape
            truth = np.asarray(PilImage.open(mask))

            def share(pixels: NDArray[np.bool_], size: tuple[int, int] = (width, height)) -> Float:
                small = cv2.resize(pixels.astype(np.float32), size, interpolation=cv2.INTER_AREA)
                return np.asarray(small, dtype=np.float32)

            void = share(truth == VOID)
            inside = share((truth > 0) & (truth != VOID))
            photos.append(own)
            truths.append(np.where(void > 0.5, np.nan, inside / np.maximum(1 - void, 1e-6)))
    return photos, truths


def scales_of(chosen: Config) -> Scales:
    """Features by a config's backbone and sizes."""
    backbone = chosen.strategy("backbone").resolve()
    return Scales(backbone, name=chosen.backbone.name, sizes=chosen.features.sizes)


def ways(
    photos: Sequence[PatchFeatures], chosen: Config, components: Sequence[int]
) -> list[tuple[str, int | str, list[Float]]]:
    """Name, number of components and the patches float32 (h, w, dim) of each photo, by each way."""
    raw = [photo.patches.astype(np.float32) for photo in photos]
    sums = PositionSums()
    for photo in photos:
        sums.add(photo.patches, photo.attention)
    offsets = sums.offsets()
    placeless = [without_place(photo, offsets) for photo in photos]
    found: list[tuple[str, int | str, list[Float]]] = [
        ("raw", "", raw),
        ("dataset mean", "", centred(raw)),
        ("position mean", "", centred(placeless)),
    ]
    [size] = chosen.features.sizes
    black = Image(pixels=np.zeros((size, size, 3), np.uint8), width=size, height=size, digest="")
    [features] = scales_of(chosen).extract([black])
    patches = features.patches.astype(np.float32).reshape(-1, features.patches.shape[-1])
    directions = np.linalg.svd(patches - patches.mean(axis=0), full_matrices=False)[2]
    for n in components:
        basis = directions[:n]
        found.append(("black photo", n, centred([p - p @ basis.T @ basis for p in raw])))
    return found


def centred(patches: Sequence[Float]) -> list[Float]:
    """The patches relative to the mean of all."""
    mean = np.concatenate([own.reshape(-1, own.shape[-1]) for own in patches]).mean(axis=0)
    return [own - mean for own in patches]


def upper_bound(
    patches: Sequence[Float], truths: Sequence[Float], chosen: Config, *, k: int, seed: int
) -> float:
    """The foreground IoU of k clusters that are judged by the truth."""
    clusterer = chosen.strategy("clusterer")
    points = np.concatenate([own.reshape(-1, own.shape[-1]) for own in patches])
    truth = np.concatenate([own.ravel() for own in truths])
    known = ~np.isnan(truth)
    labels = assign(clusterer, points, fit_centroids(clusterer, points, k=k, seed=seed))
    counts = np.maximum(np.bincount(labels[known], minlength=k), 1)
    is_foreground = np.bincount(labels[known], weights=truth[known], minlength=k) / counts > 0.5
    ious, start = [], 0
    for own in truths:
        found = is_foreground[labels[start : (start := start + own.size)]]
        valid = ~np.isnan(own.ravel())
        inside = own.ravel()[valid]
        if inside.max(initial=0) > 0.5:
            both = np.where(found[valid], inside, 0).sum()
            ious.append(both / (found[valid].sum() + inside.sum() - both))
    return float(np.mean(ious))


if __name__ == "__main__":
    sys.exit(main())
