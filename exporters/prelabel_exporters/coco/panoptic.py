"""COCO's panoptic format: a PNG for each photo whose colours are segments, and a JSON file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Protocol, TypedDict

import numpy as np
from PIL import Image as PilImage

from prelabel.data.dataset import Problems
from prelabel.data.masks import decode_rle
from prelabel.data.records import Prediction, Region
from prelabel_exporters.coco.items import Annotation, Category, Image
from prelabel_exporters.common import JsonList, free_file, in_front, text_file

FILE, FOLDER = "panoptic.json", "panoptic"


class Segment(TypedDict):
    """``id``: the region's number in its photo, from 1. ``bbox``: x, y, width, height in pixels."""

    id: int
    category_id: int
    area: int
    bbox: list[int]
    iscrowd: int


class Add(Protocol):
    """Takes a photo's image and annotations, as instances.json has them, and the regions that the
    annotations are of."""

    def __call__(
        self, prediction: Prediction, image: Image, items: Sequence[tuple[Region, Annotation]]
    ) -> None: ...


@contextmanager
def panoptic(folder: Path, categories: Sequence[Category], problems: Problems) -> Iterator[Add]:
    """Writes ``panoptic.json`` and the PNGs into a folder that has neither yet.

    A segment's id is its number in the photo, from 1, and its colour is R + 256 × G + 65 536 × B =
    id; 0 is what no segment covers. Where regions overlap, the higher score wins, of equal
    ones the smaller, and any object over a crowd; a region that is covered whole has no segment and
    is counted in ``problems``. All categories are things.
    """
    pngs = folder / FOLDER
    pngs.mkdir()
    with (
        text_file(folder / FILE) as out,
        TemporaryFile("w+", dir=folder, encoding="utf-8", newline="\n") as rest,
    ):
        things = [{**category, "isthing": 1} for category in categories]
        out.write(f'{{"categories": {json.dumps(things)},\n"images": ')
        images, annotations = JsonList(out), JsonList(rest)

        def add(
            prediction: Prediction, image: Image, items: Sequence[tuple[Region, Annotation]]
        ) -> None:
            file = free_file(pngs, prediction.photo)
            segments = _draw(prediction, items, file)
            for _ in range(len(items) - len(segments)):
                problems.note("regions that others cover, left out of panoptic", prediction.photo)
            images.append(image)
            annotations.append(
                {
                    "image_id": image["id"],
                    "file_name": file.relative_to(pngs).as_posix(),
                    "segments_info": segments,
                }
            )

        yield add
        images.close()
        annotations.close()
        out.write(',\n"annotations": ')
        rest.seek(0)
        shutil.copyfileobj(rest, out)
        out.write("}\n")


def _draw(
    prediction: Prediction, items: Sequence[tuple[Region, Annotation]], file: Path
) -> list[Segment]:
    """Write a photo's PNG; its segments."""
    ids = np.zeros((prediction.height, prediction.width), dtype=np.int64)
    for i in sorted(range(len(items)), key=lambda i: in_front(items[i][0])):
        ids[decode_rle(items[i][0].rle)] = i + 1
    colours = np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=2)
    PilImage.fromarray(colours.astype(np.uint8)).save(file, format="PNG")
    segments: list[Segment] = []
    for i, (_, item) in enumerate(items):
        rows, columns = np.nonzero(ids == i + 1)
        if len(rows):
            x, y = int(columns.min()), int(rows.min())
            segments.append(
                {
                    "id": i + 1,
                    "category_id": item["category_id"],
                    "area": len(rows),
                    "bbox": [x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y],
                    "iscrowd": item["iscrowd"],
                }
            )
    return segments
