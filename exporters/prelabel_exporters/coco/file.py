"""The file of COCO's instances: how it is known, and what is read of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from prelabel.errors import UserError
from prelabel.storage.json import decode

_LOOK = 1 << 16
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
    score: object = None
    cluster: object = None
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
    segments of COCO's panoptic format."""
    try:
        with file.open("rb") as data:
            ends = head = data.read(_LOOK)
            if file.stat().st_size > _LOOK:
                data.seek(max(_LOOK, file.stat().st_size - _LOOK))
                ends += data.read(_LOOK)
    except OSError:
        return False
    is_object = head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")
    is_panoptic = b'"segments_info"' in ends
    return is_object and not is_panoptic and (b'"images"' in ends or b'"annotations"' in ends)


def load_instances(file: Path) -> InstancesFile:
    """The whole file. Raises UserError."""
    try:
        text = file.read_bytes()
    except OSError as error:
        raise UserError(f"{str(file)!r} cannot be read ({error.strerror})") from error
    try:
        data = decode(text, InstancesFile)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(
            f"{file} is not complete JSON ({error}): was it cut off? Write or download it again"
        ) from error
    except ValueError as error:
        is_list = text.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
        reason = "a list, as COCO's results are, which name no photos" if is_list else error
        raise UserError(f"{file} holds something else ({reason}); {_EXPECTED}") from error
    if any(annotation.segments_info is not msgspec.UNSET for annotation in data.annotations):
        raise UserError(f"{file} is of COCO's panoptic format, whose masks are PNGs; {_EXPECTED}")
    return data
