"""The file of COCO's instances: how it is known, and what is read of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from prelabel.errors import UserError
from prelabel.storage.json import decode
from prelabel_exporters.coco.datumaro import DatumaroFile, as_coco
from prelabel_exporters.coco.source import is_datumaro, load, look

_T = TypeVar("_T")
_EXPECTED = "expected COCO instances: an object with lists of images, annotations and categories"


class ImageRecord(msgspec.Struct):
    """What is read of an image, each of any type."""

    id: object = None
    file_name: object = None
    width: object = None
    height: object = None


class Annotation(msgspec.Struct):
    """What is read of an annotation, each of any type. ``segments_info``: of panoptic files."""

    id: object = None
    image_id: object = None
    category_id: object = None
    segmentation: object = None
    iscrowd: object = 0
    bbox: object = None
    score: object = None
    cluster: object = None
    attributes: object = None
    segments_info: object = msgspec.UNSET


class InstancesFile(msgspec.Struct):
    """What is read of the file."""

    images: list[ImageRecord]
    categories: list[dict[str, Any]]
    annotations: list[Annotation]
    info: object = None

    @property
    def model_version(self) -> str | None:
        """ "" where labels are not of a model; None where the file does not say."""
        if not isinstance(self.info, dict) or "model_version" not in self.info:
            return None
        return str(self.info["model_version"] or "")


def is_instances(file: Path) -> bool:
    """Whether a file looks like COCO instances: a JSON object that names COCO's lists, and not the
    segments of COCO's panoptic format. Datumaro's own JSON is read as such."""
    head, ends = look(file)
    is_panoptic = b'"segments_info"' in ends
    has_lists = b'"images"' in ends or b'"annotations"' in ends
    if is_datumaro(file):
        return True
    return head.lstrip().startswith(b"{") and not is_panoptic and has_lists


def is_results(file: Path) -> bool:
    """Whether a file looks like COCO results: a list of annotations without images."""
    head, _ = look(file)
    keys = (b'"image_id"', b'"category_id"', b'"score"')
    return head.lstrip().startswith(b"[") and all(key in head for key in keys)


def load_instances(file: Path) -> InstancesFile:
    """The whole file. Raises UserError."""
    text = load(file)
    if is_datumaro(file):
        data = msgspec.convert(as_coco(_decoded(text, DatumaroFile, file)), InstancesFile)
    else:
        data = _decoded(text, InstancesFile, file)
    if any(annotation.segments_info is not msgspec.UNSET for annotation in data.annotations):
        raise UserError(f"{file} is of COCO's panoptic format, whose masks are PNGs; {_EXPECTED}")
    return data


def load_results(file: Path, images: Path) -> InstancesFile:
    """Results with the images and categories of the instances that they are about. Raises
    UserError."""
    about = load_instances(images)
    results = _decoded(load(file), list[Annotation], file)
    return InstancesFile(about.images, about.categories, results, {"model_version": file.stem})


def _decoded(text: bytes, kind: type[_T], file: Path) -> _T:
    try:
        return decode(text, kind)
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file} is not text in UTF-8 ({error}): write or export it again"
        ) from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise UserError(
            f"{file} is not complete JSON ({error}): was it cut off? Write or download it again"
        ) from error
    except ValueError as error:
        is_list = text.lstrip().startswith(b"[") and kind is InstancesFile
        reason = "a list, as COCO's results are, which name no photos" if is_list else error
        raise UserError(f"{file} holds something else ({reason}); {_EXPECTED}") from error
