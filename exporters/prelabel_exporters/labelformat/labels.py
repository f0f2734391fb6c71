"""Predictions as labelformat reads a dataset, one photo after the other, and its writers.

Importing this needs the labelformat package.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, cast

from labelformat.formats import (
    KittiObjectDetectionOutput,
    LightlyObjectDetectionOutput,
    YOLOv8InstanceSegmentationOutput,
    YOLOv8ObjectDetectionOutput,
)
from labelformat.model.bounding_box import BoundingBox
from labelformat.model.category import Category
from labelformat.model.image import Image
from labelformat.model.instance_segmentation import (
    ImageInstanceSegmentation,
    InstanceSegmentationInput,
    SingleInstanceSegmentation,
)
from labelformat.model.multipolygon import MultiPolygon
from labelformat.model.object_detection import (
    ImageObjectDetection,
    ObjectDetectionInput,
    ObjectDetectionOutput,
    SingleObjectDetection,
)
from msgspec import structs

from prelabel.data.dataset import ExportContext
from prelabel.data.masks import encode_rle
from prelabel.data.records import Prediction, Region
from prelabel.label_studio.format.items import encode_regions
from prelabel.label_studio.format.label_config import Control
from prelabel_exporters.common import class_name, inside_folder, note_box, without_class
from prelabel_exporters.labelformat.cutting import cut_holes

_POLYGON = Control(kind="polygon", name="label", to_name="image", image_key="image", labels=())
BoxFormat = Literal["yolo", "kitti", "lightly"]


class _Photos:
    """What labelformat asks of every dataset, and its photos with the regions that can be kept."""

    def __init__(self, predictions: Iterable[Prediction], context: ExportContext) -> None:
        self.context = context
        self._predictions = predictions
        names = dict.fromkeys(context.classes)
        self._categories = {name: Category(id=i, name=name) for i, name in enumerate(names)}

    @staticmethod
    def add_cli_arguments(parser: ArgumentParser) -> None:
        """None: this is used by labelformat's own command line alone."""

    def get_categories(self) -> list[Category]:
        """Classes of one name are one, numbered from 0."""
        return list(self._categories.values())

    def get_images(self) -> list[Image]:
        """None: each label has its image."""
        return []

    def photos(self) -> Iterator[tuple[Prediction, Image]]:
        """Each photo. One whose label file another photo has is left out and counted.

        Raises:
            UserError: a photo's name leads out of the folder.
        """
        taken: set[str] = set()
        for number, prediction in enumerate(self._predictions):
            name = prediction.photo
            file = str(inside_folder(name).with_suffix("")).casefold()
            if file in taken:
                self.context.problems.note(
                    "photos left out, whose label file another photo has", name
                )
                continue
            taken.add(file)
            size = {"width": prediction.width, "height": prediction.height}
            yield prediction, Image(id=number, filename=name, **size)

    def regions(self, prediction: Prediction) -> Iterator[tuple[Region, Category]]:
        """The regions of a photo that have a class; others are left out and counted."""
        for region in prediction.regions:
            if region.crowd:
                self.context.problems.note("crowds left out", prediction.photo)
            elif not without_class(region, prediction, self.context):
                yield region, self._categories[class_name(region, prediction, self.context)]


class _Polygons(_Photos, InstanceSegmentationInput):
    """``tolerance``: how far a polygon may be from the outline, in pixels. ``cuts_holes``: whether
    regions are cut so that their holes stay."""

    def __init__(
        self,
        predictions: Iterable[Prediction],
        context: ExportContext,
        *,
        tolerance: float,
        cuts_holes: bool,
    ) -> None:
        super().__init__(predictions, context)
        self._tolerance = tolerance
        self._cuts_holes = cuts_holes

    def get_labels(self) -> Iterator[ImageInstanceSegmentation]:
        """Each photo with its regions' polygons."""
        for prediction, image in self.photos():
            objects = [
                SingleInstanceSegmentation(category, MultiPolygon(polygons=parts))
                for region, category in self.regions(prediction)
                if (parts := self._parts(region, prediction))
            ]
            yield ImageInstanceSegmentation(image, objects)

    def _parts(self, region: Region, prediction: Prediction) -> list[list[tuple[float, float]]]:
        """The outlines of a region's parts, in pixels, without holes."""
        problems, photo = self.context.problems, prediction.photo
        note_box(region, prediction, self.context)
        strips = cut_holes(region.mask) if self._cuts_holes else []
        if len(strips) > 1:
            problems.note("regions with holes, cut into parts", photo)
            cut = (structs.replace(region, rle=encode_rle(strip)) for strip in strips)
            return [part for strip in cut for part in self._outlines(strip, prediction)[0]]
        parts, holes = self._outlines(region, prediction)
        for _ in range(holes):
            problems.note("holes filled, since polygons have none", photo)
        if len(parts) > 1:
            problems.note("regions in several parts, joined by lines without width", photo)
        if not parts:
            problems.note("regions without a pixel, left out", photo)
        return parts

    def _outlines(
        self, region: Region, prediction: Prediction
    ) -> tuple[list[list[tuple[float, float]]], int]:
        """The outline of each part, and how many holes that leaves out."""
        items, losses = encode_regions(
            structs.replace(prediction, regions=(region,)),
            {region.cluster: ""},
            _POLYGON,
            tolerance=self._tolerance,
        )
        points = [cast("list[tuple[float, float]]", item["value"]["points"]) for item in items]
        scale = prediction.width / 100, prediction.height / 100  # Label Studio's are percentages
        return [[(x * scale[0], y * scale[1]) for x, y in part] for part in points], losses.holes


class _Boxes(_Photos, ObjectDetectionInput):
    """The regions' boxes; that their masks are lost is counted."""

    def get_labels(self) -> Iterator[ImageObjectDetection]:
        """Each photo with its regions' boxes."""
        for prediction, image in self.photos():
            objects = []
            for region, category in self.regions(prediction):
                if not region.is_box:
                    self.context.problems.note(
                        "regions of which only the box is kept", prediction.photo
                    )
                x, y, width, height = region.box
                box = BoundingBox(xmin=x, ymin=y, xmax=x + width, ymax=y + height)
                score = region.score if prediction.model_version else None
                objects.append(SingleObjectDetection(category, box, score))
            yield ImageObjectDetection(image, objects)


def write_polygons(
    predictions: Iterable[Prediction],
    folder: Path,
    context: ExportContext,
    *,
    tolerance: float,
    cuts_holes: bool,
) -> None:
    """Write YOLO's labels/ with polygons, and labelformat's own data.yaml."""
    labels = _Polygons(predictions, context, tolerance=tolerance, cuts_holes=cuts_holes)
    YOLOv8InstanceSegmentationOutput(folder / "data.yaml", "train").save(labels)


def write_boxes(
    predictions: Iterable[Prediction], folder: Path, context: ExportContext, *, kind: BoxFormat
) -> None:
    """Write boxes in one of the formats."""
    outputs: dict[BoxFormat, ObjectDetectionOutput] = {
        "yolo": YOLOv8ObjectDetectionOutput(folder / "data.yaml", "train"),
        "kitti": KittiObjectDetectionOutput(folder),
        "lightly": LightlyObjectDetectionOutput(folder),
    }
    outputs[kind].save(_Boxes(predictions, context))
