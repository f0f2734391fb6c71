"""COCO instances: one JSON file, masks as compressed RLE, so that holes and parts are kept."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from prelabel.data.dataset import Dataset, ExportContext
from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.storage.files import replacing_files
from prelabel_exporters.coco import items
from prelabel_exporters.coco.file import is_instances, is_results
from prelabel_exporters.coco.panoptic import panoptic
from prelabel_exporters.coco.polygons import polygons
from prelabel_exporters.coco.reader import read_instances, read_several
from prelabel_exporters.coco.source import FILE, RESULTS, candidates
from prelabel_exporters.common import (
    JsonList,
    category_ids,
    class_name,
    coco_ids,
    text_file,
    without_class,
)


@dataclass(frozen=True)
class Coco:
    """COCO instances: writes and reads ``instances.json``, which pycocotools loads.

    - ``file_name`` is the photo's name, relative to the folder of photos; ``width`` and ``height``
      are those of the EXIF-oriented photo. Photos without regions are listed too.
    - A region of which only the box is known has an empty ``segmentation``.
    - One annotation per region; ``area`` and ``bbox`` come from its mask. Beyond COCO, what was
      predicted has ``score`` in [0, 1], ``cluster`` (class id, from 0) and ``model_version``; what
      people said of one region beside its class stands in ``attributes``, as CVAT writes them.
    - ``category_id`` is class id + 1, or what a label config gives as ``category``; classes of one
      name are one category, under the first's id.
      Categories have a ``color``, the one of the report. Regions without a class have none in COCO:
      they are left out and counted.
    - Ids do not change when other photos come or go: an image's is a hash of the photo's name
      (40 bits), an annotation's is its image's × 4 096 + the region's place in the photo. All are
      under 2 ** 53, which floats and JavaScript hold exactly.

    Polygons, compressed and uncompressed RLE are read, and boxes where there are none; what is wrong with one annotation costs that
    one. Writing raises UserError for a region whose class the context does not name.

    Attributes:
        polygons: regions as polygons, for tools without RLE. A region with holes, or one that
            pycocotools would draw otherwise from its polygons, stays RLE and is counted.
        results: for predictions, ``results.json`` as well, the list that pycocotools' ``loadRes``
            expects.
        panoptic: ``panoptic.json`` and PNGs in ``panoptic/`` as well, as in COCO's panoptic format;
            where regions overlap, the higher score wins.
        photos: for reading, the folder that ``file_name`` is relative to; sizes that the file does
            not state are looked up there, and labels of another size than their photo left out.
        instances: for reading results (a list, as ``results.json``), the file with the images and
            categories that they are about; left out, ``instances.json`` beside them.
    """

    polygons: bool = False
    results: bool = True
    panoptic: bool = False
    photos: str = ""
    instances: str = ""

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        categories = coco_ids(context)
        listed_categories = [
            items.category(name, categories[name], class_id=n - 1)
            for name, n in category_ids(context).items()
        ]
        taken: set[int] = set()
        with contextlib.ExitStack() as stack:
            beside = stack.enter_context(replacing_files(folder))
            out = stack.enter_context(text_file(beside / FILE))
            rest = stack.enter_context(
                TemporaryFile("w+", dir=folder, encoding="utf-8", newline="\n")
            )
            results = None
            if self.results and context.model_version:
                results = JsonList(stack.enter_context(text_file(beside / RESULTS)))
            segments = None
            if self.panoptic:
                segments = stack.enter_context(
                    panoptic(beside, listed_categories, context.problems)
                )
            out.write(f'{{"info": {json.dumps(_info(context))},\n"licenses": [],\n"categories": ')
            listed = JsonList(out)
            for category in listed_categories:
                listed.append(category)
            listed.close()
            out.write(',\n"images": ')
            # Images and annotations come together but stand apart: the latter wait in a file.
            images, annotations = JsonList(out), JsonList(rest)
            for prediction in predictions:
                image = items.image(prediction, items.image_id(prediction.photo, taken))
                images.append(image)
                found = self._annotations(prediction, image["id"], context, categories)
                for _, annotation in found:
                    annotations.append(annotation)
                    if results is not None:
                        results.append(items.result(annotation))
                if segments is not None:
                    segments(prediction, image, found)
            images.close()
            annotations.close()
            if results is not None:
                results.close()
            out.write(',\n"annotations": ')
            rest.seek(0)
            shutil.copyfileobj(rest, out)
            out.write("}\n")
        return folder / FILE

    def recognizes(self, source: Path) -> bool:
        """A JSON file with COCO's lists or results, packed or not, or a folder with such files."""
        files = candidates(source)
        return bool(files) and all(is_instances(f) or is_results(f) for f in files)

    def read(self, source: Path) -> Dataset:
        """The labels of such a file or folder, classes in the file's order."""
        files = candidates(source) or [source / FILE if source.is_dir() else source]
        photos = Path(self.photos) if self.photos else None
        if len(files) > 1:
            return read_several(files, photos)
        (file,) = files
        return read_instances(file, photos, about=self._about(file) if is_results(file) else None)

    def _about(self, results: Path) -> Path:
        """The instances that results are about. Raises UserError."""
        named = candidates(Path(self.instances).expanduser()) if self.instances else []
        found = [f for f in (*named, results.with_name(FILE)) if f.is_file() and is_instances(f)]
        if not found:
            raise UserError(
                f"{results} is a list of COCO's results, which name no photos: expected the "
                f"instances that they are about as {FILE} beside it, or with --set "
                "coco.instances=FILE"
            )
        return found[0]

    def _annotations(
        self,
        prediction: Prediction,
        image_id: int,
        context: ExportContext,
        categories: dict[str, int],
    ) -> list[tuple[Region, items.Annotation]]:
        """The regions that have a class, each with its annotation."""
        found = []
        for index, region in enumerate(prediction.regions):
            if without_class(region, prediction, context):
                continue
            drawn = None
            if self.polygons and not region.crowd and not region.is_box:
                drawn = polygons(region.rle)
                if drawn is None:
                    context.problems.note("regions that no polygons can hold, kept as RLE")
            item = items.annotation(
                region,
                index=index,
                image_id=image_id,
                category_id=categories[class_name(region, prediction, context)],
                model_version=prediction.model_version,
                polygons=drawn,
            )
            found.append((region, item))
        return found


def _info(context: ExportContext) -> dict[str, str]:
    if not context.model_version:
        return {"description": "Exported by prelabel"}
    return {
        "description": "Pseudo-masks by prelabel; no person has looked at them",
        "model_version": context.model_version,
    }
