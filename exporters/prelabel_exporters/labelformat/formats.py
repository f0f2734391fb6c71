"""Formats that the labelformat package keeps: YOLO's polygons, and boxes.

The package comes with ``pip install 'prelabel[labelformat]'``. Formats that it does not write one
photo after the other (CVAT's, say) are not here: its own command makes them from COCO.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast

from msgspec import structs

from prelabel import extras
from prelabel.data.dataset import ExportContext
from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.label_studio.format.items import encode_regions
from prelabel.label_studio.format.label_config import Control
from prelabel.storage.files import replacing_files
from prelabel_exporters.common import class_name

_POLYGON = Control(kind="polygon", name="label", to_name="image", image_key="image", labels=())
_Points = list[tuple[float, float]]
_Object = Callable[[Region, Prediction, Any], Any]
"""A region as labelformat's object of this category; None for one that cannot be held."""


@dataclass(frozen=True)
class YoloSeg:
    """YOLO's segmentation format (v8 and later): ``data.yaml`` and a text file for each photo.

    A photo ``a/x.jpg`` has ``labels/a/x.txt`` with a line for each region: its class, and a polygon
    in shares of width and height; the file of a photo without regions is empty. Training expects
    the photos in ``images/`` beside: put a link to their folder there.

    Polygons have no holes, and a region has one polygon: holes are filled, and separate parts are
    joined by lines without width; both are counted. So are crowds, regions without a class and
    photos whose label file another photo has already, which are left out.

    Raises UserError if labelformat is missing, for a region whose class the context does not name,
    and for a photo whose name leads out of the folder.

    Attributes:
        tolerance: pixels that a polygon may stray from the outline; ≥ 0, 0 is exact.
    """

    tolerance: float = 1.0

    def __post_init__(self) -> None:
        _labelformat()

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        model = _labelformat()

        def polygons(region: Region, prediction: Prediction, category: Any) -> Any:
            alone = structs.replace(prediction, regions=(region,))
            items, losses = encode_regions(
                alone, {region.cluster: ""}, _POLYGON, tolerance=self.tolerance
            )
            for _ in range(losses.holes):
                context.problems.note("holes filled, which polygons have not", prediction.photo)
            if len(items) > 1:
                context.problems.note(
                    "regions in several parts, joined by lines without width", prediction.photo
                )
            scale = prediction.width / 100, prediction.height / 100
            parts = [
                [(x * scale[0], y * scale[1]) for x, y in cast(_Points, item["value"]["points"])]
                for item in items
            ]
            if not parts:
                context.problems.note("regions without a pixel, left out", prediction.photo)
                return None
            return model.SingleInstanceSegmentation(
                category=category, segmentation=model.MultiPolygon(polygons=parts)
            )

        labels = _Labels(predictions, context, polygons, model.ImageInstanceSegmentation)
        with replacing_files(folder) as beside:
            model.YOLOv8InstanceSegmentationOutput(
                output_file=beside / "data.yaml", output_split="train"
            ).save(labels)
        return folder / "data.yaml"


@dataclass(frozen=True)
class Boxes:
    """Boxes in a detection format; the regions' masks are lost.

    Crowds, regions without a class, and photos whose label file another photo has already are left
    out and counted. Raises UserError as ``yolo-seg`` does.

    Attributes:
        format: ``yolo`` (data.yaml and labels/, v5 and later), ``kitti`` or ``lightly`` (a file for
            each photo).
    """

    format: Literal["yolo", "kitti", "lightly"] = "yolo"

    def __post_init__(self) -> None:
        _labelformat()

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        model = _labelformat()

        def box(region: Region, prediction: Prediction, category: Any) -> Any:
            context.problems.note("regions of which the box alone is kept", prediction.photo)
            x, y, width, height = region.box
            return model.SingleObjectDetection(
                category=category,
                box=model.BoundingBox(xmin=x, ymin=y, xmax=x + width, ymax=y + height),
                confidence=region.score if prediction.model_version else None,
            )

        labels = _Labels(predictions, context, box, model.ImageObjectDetection)
        with replacing_files(folder) as beside:
            if self.format == "yolo":
                output = model.YOLOv8ObjectDetectionOutput(beside / "data.yaml", "train")
            elif self.format == "kitti":
                output = model.KittiObjectDetectionOutput(beside)
            else:
                output = model.LightlyObjectDetectionOutput(beside)
            output.save(labels)
        return folder


class _Labels:
    """Predictions as labelformat reads a dataset, streaming."""

    def __init__(
        self,
        predictions: Iterable[Prediction],
        context: ExportContext,
        as_object: _Object,
        labelled: Callable[..., Any],
    ) -> None:
        self._predictions = predictions
        self._context = context
        self._as_object = as_object
        self._labelled = labelled
        names = dict.fromkeys(context.classes)
        model = _labelformat()
        self._categories = {name: model.Category(id=i, name=name) for i, name in enumerate(names)}

    def get_categories(self) -> list[Any]:
        """Classes of one name are one, numbered from 0."""
        return list(self._categories.values())

    def get_images(self) -> list[Any]:
        """None: only labels are written, and each has its image."""
        return []

    def get_labels(self) -> Iterator[Any]:
        """One photo after the other."""
        model, problems = _labelformat(), self._context.problems
        taken: set[str] = set()
        for number, prediction in enumerate(self._predictions):
            name = PurePosixPath(prediction.photo)
            if name.is_absolute() or ".." in name.parts:
                raise UserError(
                    f"{prediction.photo}: leads out of the folder of photos, wanted a name inside it"
                )
            file = str(name.with_suffix("")).casefold()
            if file in taken:
                problems.note(
                    "photos left out, whose label file another photo has", prediction.photo
                )
                continue
            taken.add(file)
            objects = [self._object(region, prediction) for region in prediction.regions]
            yield self._labelled(
                image=model.Image(
                    id=number,
                    filename=prediction.photo,
                    width=prediction.width,
                    height=prediction.height,
                ),
                objects=[found for found in objects if found is not None],
            )

    def _object(self, region: Region, prediction: Prediction) -> Any:
        if region.crowd:
            self._context.problems.note("crowds left out", prediction.photo)
            return None
        if region.cluster == -1:
            self._context.problems.note("regions without a class, left out", prediction.photo)
            return None
        name = class_name(region, prediction, self._context)
        return self._as_object(region, prediction, self._categories[name])


def _labelformat() -> Any:
    """What of the package is used, in one place. Raises UserError if it is missing."""
    with extras.required("labelformat"):
        from prelabel_exporters.labelformat import names
    return names
