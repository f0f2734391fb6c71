"""The objects of a set of photos with masks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage

from prelabel import open_dataset
from prelabel.data.masks import encode_rle, rle_box
from prelabel.data.records import Prediction, Region
from prelabel.evaluation.metrics import VOID

LEAST = 100
"""Pixels; connected parts that are smaller are void."""


def ground_truth(folder: Path) -> tuple[tuple[str, ...], dict[str, Prediction]]:
    """Names of classes, and the objects of each photo by its name: of ``instances.json``, of
    ``instances/`` (PNG, a number an object), or connected parts (8 neighbours) of each class, of which
    those under ``LEAST`` pixels are void: nobody drew them."""
    if (folder / "instances.json").exists():
        labels = open_dataset(folder / "instances.json", photos=folder / "images")
        return labels.classes, {p.photo.rpartition("/")[2]: p for p in labels.stream()}
    names: Mapping[str, str] = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    numbers = sorted(int(n) for n in names if int(n) not in (0, VOID))
    files = {file.stem: file.name for file in (folder / "images").iterdir()}
    truths = {}
    for file in sorted((folder / "masks").glob("*.png")):
        mask = np.asarray(PilImage.open(file))
        instances = folder / "instances" / file.name
        regions = [
            _region(own, numbers.index(number), crowd=False)
            for number, own in _objects(mask, instances if instances.exists() else None)
        ]
        inside = np.zeros(mask.shape, dtype=np.bool_)
        for region in regions:
            inside |= region.mask
        void = (mask > 0) & ~inside
        if void.any():
            regions.append(_region(void, -1, crowd=True))
        height, width = mask.shape
        truths[files[file.stem]] = Prediction(
            photo=files[file.stem],
            digest="",
            width=width,
            height=height,
            regions=tuple(regions),
            dropped=0,
            model_version="",
        )
    return tuple(names[str(n)] for n in numbers), truths


def _objects(
    mask: NDArray[np.uint8], instances: Path | None
) -> list[tuple[int, NDArray[np.bool_]]]:
    """Each object's class and pixels."""
    if instances:
        parts = np.asarray(PilImage.open(instances))
        masks = [parts == i for i in np.unique(parts) if i]
        return [(int(np.bincount(mask[own]).argmax()), own) for own in masks]
    found = []
    for number in np.unique(mask):
        if number not in (0, VOID):
            n, parts = cv2.connectedComponents((mask == number).astype(np.uint8), connectivity=8)
            areas = np.bincount(parts.ravel(), minlength=n)
            found += [(int(number), parts == i) for i in range(1, n) if areas[i] >= LEAST]
    return found


def _region(mask: NDArray[np.bool_], cluster: int, *, crowd: bool) -> Region:
    rle = encode_rle(mask)
    return Region(
        rle=rle, box=rle_box(rle), area=int(mask.sum()), score=1.0, cluster=cluster, crowd=crowd
    )
