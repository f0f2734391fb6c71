"""What of the labelformat package is used. Importing this fails where it is not installed."""

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
    SingleInstanceSegmentation,
)
from labelformat.model.multipolygon import MultiPolygon
from labelformat.model.object_detection import ImageObjectDetection, SingleObjectDetection

__all__ = [
    "BoundingBox",
    "Category",
    "Image",
    "ImageInstanceSegmentation",
    "ImageObjectDetection",
    "KittiObjectDetectionOutput",
    "LightlyObjectDetectionOutput",
    "MultiPolygon",
    "SingleInstanceSegmentation",
    "SingleObjectDetection",
    "YOLOv8InstanceSegmentationOutput",
    "YOLOv8ObjectDetectionOutput",
]
