"""COCO instances: one JSON file, masks as compressed RLE, so that holes and parts are kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from prelabel.colors import class_color
from prelabel.masks import rle_area, rle_box
from prelabel.records import Prediction, Region
from prelabel.strategies import ExportContext
from prelabel_exporters.common import JsonList, category_ids, class_name, replacing, stable_id

FILE = "instances.json"
_REGIONS_PER_PHOTO = 4096


@dataclass(frozen=True)
class Coco:
    """Writes ``instances.json``, which pycocotools loads.

    - ``file_name`` is the photo's name, relative to the folder of photos; ``width`` and ``height``
      are those of the EXIF-oriented photo. Photos without regions are listed too.
    - One annotation per region; ``area`` and ``bbox`` come from its mask. Beyond COCO it has
      ``score`` in [0, 1], ``cluster`` (class id, from 0) and ``model_version``.
    - ``category_id`` is class id + 1; classes of one name are one category, under the first's id.
      Categories have a ``color``, the one of the report.
    - Ids do not change when other photos come or go: an image's is a hash of the photo's name
      (40 bits), an annotation's is its image's × 4 096 + the region's place in the photo. All are
      under 2 ** 53, which floats and JavaScript hold exactly.

    Raises UserError for a region whose class the context does not name.
    """

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        file = folder / FILE
        categories = category_ids(context)
        taken: set[int] = set()
        with (
            replacing(file) as out,
            TemporaryFile("w+", dir=folder, encoding="utf-8", newline="\n") as rest,
        ):
            out.write(f'{{"info": {json.dumps(_info(context))},\n"licenses": [],\n"categories": ')
            listed = JsonList(out)
            for name, category_id in categories.items():
                listed.append(_category(name, category_id))
            listed.close()
            out.write(',\n"images": ')
            # Images and annotations come together but stand apart: the latter wait in a file.
            images, annotations = JsonList(out), JsonList(rest)
            for prediction in predictions:
                image_id = _image_id(prediction.photo, taken)
                images.append(_image(prediction, image_id))
                for index, region in enumerate(prediction.regions):
                    category_id = categories[class_name(region, prediction, context)]
                    annotation_id = image_id * _REGIONS_PER_PHOTO + index
                    annotations.append(
                        _annotation(region, annotation_id, image_id, category_id)
                        | {"model_version": prediction.model_version}
                    )
            images.close()
            annotations.close()
            out.write(',\n"annotations": ')
            rest.seek(0)
            shutil.copyfileobj(rest, out)
            out.write("}\n")
        return file


def _image_id(photo: str, taken: set[int]) -> int:
    """40 bits of the name's hash, or the next free number; never 0, which COCOeval cannot match."""
    number = int.from_bytes(stable_id(photo, size=5)) or 1
    while number in taken:
        number += 1
    taken.add(number)
    return number


def _info(context: ExportContext) -> dict[str, Any]:
    return {
        "description": "Pseudo-masks by prelabel; no person has looked at them",
        "model_version": context.model_version,
    }


def _category(name: str, category_id: int) -> dict[str, Any]:
    color = class_color(category_id - 1)
    return {"id": category_id, "name": name, "supercategory": "", "color": color}


def _image(prediction: Prediction, image_id: int) -> dict[str, Any]:
    return {
        "id": image_id,
        "file_name": prediction.photo,
        "width": prediction.width,
        "height": prediction.height,
    }


def _annotation(
    region: Region, annotation_id: int, image_id: int, category_id: int
) -> dict[str, Any]:
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": region.rle,
        "area": rle_area(region.rle),
        "bbox": rle_box(region.rle),
        "iscrowd": 0,
        "score": float(region.score),
        "cluster": region.cluster,
    }
