"""Small labelled photos, and a plain reader of COCO files by pycocotools, for the evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs
from pycocotools.coco import COCO

from builders import prediction, region
from prelabel.data.dataset import Dataset
from prelabel.data.masks import Mask, decode_rle, rle_area, rle_box
from prelabel.data.records import Prediction, Region
from prelabel.evaluation import evaluate
from prelabel.runs.facts import FolderFacts, PhotoFolder
from prelabel.runs.folder import write_facts
from prelabel.runs.predictions import FILE, write_predictions
from prelabel.storage.marker import DONE


def dataset(
    *photos: Prediction,
    classes: Sequence[str] = ("cat", "dog"),
    folder: Path | None = None,
) -> Dataset:
    return Dataset(folder, tuple(classes), lambda: iter(photos))


def read_coco(file: Path) -> Dataset:
    """COCO's photos and masks as pycocotools reads them; areas and boxes from the masks."""
    coco = COCO()
    coco.dataset = json.loads(file.read_text())
    coco.createIndex()
    classes = {category: i for i, category in enumerate(sorted(coco.cats))}

    def stream() -> Iterator[Prediction]:
        for image in coco.imgs.values():
            regions = []
            for annotation in coco.imgToAnns.get(image["id"], []):
                rle = coco.annToRLE(annotation)
                regions.append(
                    Region(
                        rle,
                        rle_box(rle),
                        rle_area(rle),
                        1.0,
                        classes[annotation["category_id"]],
                        bool(annotation["iscrowd"]),
                    )
                )
            size = (image["height"], image["width"])
            yield prediction(image["file_name"], *regions, size=size)

    return Dataset(None, tuple(coco.cats[c]["name"] for c in sorted(coco.cats)), stream)


def figures_of(predictions: Dataset, truth: Dataset, **options: Any) -> dict[str, Any]:
    """The figures as evaluation.json holds them."""
    text = json.dumps(evaluate(predictions, truth, **options).figures.as_json(), allow_nan=False)
    found: dict[str, Any] = json.loads(text)
    return found


def changed(
    source: Dataset, change: Callable[[Mask], Mask | None], *, seed: int = 0
) -> list[Prediction]:
    """Each object changed, or dropped where there is nothing left, with a score that is drawn;
    crowds are left out."""
    rng = np.random.default_rng(seed)
    photos = []
    for labels in source.stream():
        regions = []
        for item in labels.regions:
            mask = None if item.crowd else change(decode_rle(item.rle))
            if mask is not None and mask.any():
                regions.append(region(mask, item.cluster, score=float(rng.random())))
        regions.sort(key=lambda one: -one.score)
        photos.append(structs.replace(labels, regions=tuple(regions)))
    return photos


def run_folder(folder: Path, labels: Dataset) -> Path:
    """A folder as `prelabel predict` leaves it."""
    folder.mkdir(parents=True)
    write_predictions(folder / FILE, labels.stream())
    photos = PhotoFolder(str(labels.photos)) if labels.photos else None
    classes = list(labels.classes)
    write_facts(folder, FolderFacts("predict", DONE, class_names=classes, photos=photos))
    return folder
