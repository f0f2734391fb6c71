"""What torchvision and datumaro read of the folder that is named, as JSON; run by a Python that has
them, which need not have prelabel."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def with_torchvision(folder: str) -> list[dict[str, Any]]:
    """Photos in the order of trainval.txt: the photo's size and its mask of classes."""
    from torchvision.datasets import VOCSegmentation

    found = VOCSegmentation(folder, year="2012", image_set="trainval", download=False)
    return [
        {"mode": photo.mode, "size": photo.size, "classes": np.asarray(mask).tolist()}
        for photo, mask in found
    ]


def with_datumaro(folder: str) -> dict[str, list[dict[str, Any]]]:
    """Each photo's masks, with the class's name and the object's number."""
    import datumaro

    dataset = datumaro.Dataset.import_from(f"{folder}/VOCdevkit/VOC2012", "voc_segmentation")
    labels = [c.name for c in dataset.categories()[datumaro.AnnotationType.label]]
    return {
        item.id: [
            {
                "class": labels[mask.label],
                "object": mask.group,
                "mask": np.asarray(mask.image).astype(int).tolist(),
            }
            for mask in item.annotations
        ]
        for item in dataset
    }


def rewritten_by_datumaro(folder: str) -> str:
    """The folder of the same labels as datumaro writes them."""
    import datumaro

    target = f"{folder}/rewritten"
    dataset = datumaro.Dataset.import_from(f"{folder}/VOCdevkit/VOC2012", "voc_segmentation")
    dataset.export(target, "voc_segmentation", save_media=True)
    return target


if __name__ == "__main__":
    readers: dict[str, Callable[[str], Any]] = {
        "torchvision": with_torchvision,
        "datumaro": with_datumaro,
        "datumaro-writes": rewritten_by_datumaro,
    }
    print(json.dumps(readers[sys.argv[1]](sys.argv[2])))
