"""Where things are in a folder of VOC's segmentation task, and the values of its masks."""

from __future__ import annotations

from pathlib import Path

from prelabel.storage.files import is_file

CLASSES = "SegmentationClass"
OBJECTS = "SegmentationObject"
ANNOTATIONS = "Annotations"
IMAGES = "JPEGImages"
LISTS = "ImageSets/Segmentation"
DEVKIT = "VOCdevkit/VOC2012"

BACKGROUND, VOID = 0, 255
"""Pixel values that are neither a class nor an object."""
MAX_CLASSES = VOID - 1
"""The largest value of a class or an object, as masks have 8 bits."""
MASK_ENDINGS = (".png", ".tif", ".tiff", ".bmp", ".gif")
"""Of masks, the first that is there; ours are PNGs."""


def find_mask(folder: Path, name: str) -> Path:
    """The file of a photo's mask, whatever its ending, in small or capital letters; the PNG's path
    if there is none."""
    files = [folder / f"{name}{own}" for end in MASK_ENDINGS for own in (end, end.upper())]
    return next((file for file in files if is_file(file)), files[0])


def find_root(source: Path) -> Path | None:
    """The folder that has ``SegmentationClass/``: ``source`` or a VOC folder in it; None without."""
    for folder in (source, *sorted(source.glob("VOCdevkit/VOC*")), *sorted(source.glob("VOC*"))):
        if (folder / CLASSES).is_dir():
            return folder
    return None
