"""The file of COCO's instances: how it is known, and what is read of it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import msgspec

from prelabel.errors import UserError
from prelabel.storage.garbage import gc_paused
from prelabel.storage.json import decode

_LOOK = 1 << 16


class ImageRecord(msgspec.Struct, gc=False):
    """What is read of an image, each of any type."""

    id: Any = None
    file_name: Any = None
    width: Any = None
    height: Any = None


class Annotation(msgspec.Struct, gc=False):
    """What is read of an annotation, each of any type; ``mask``, its ``segmentation``, as text until
    it is wanted, since masks are most of a file. ``segments_info``: of panoptic files."""

    id: Any = None
    image_id: Any = None
    category_id: Any = None
    mask: Any = msgspec.field(default=None, name="segmentation")
    iscrowd: Any = 0
    score: Any = None
    cluster: Any = None
    segments_info: Any = msgspec.UNSET

    @property
    def segmentation(self) -> Any:
        """Of any type; None where its text is none."""
        if not isinstance(self.mask, msgspec.Raw):
            return self.mask
        try:
            return msgspec.json.decode(self.mask)
        except msgspec.DecodeError:
            with contextlib.suppress(ValueError):
                return json.loads(bytes(self.mask))
        return None


class LazyAnnotation(Annotation, gc=False):
    mask: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"null"), name="segmentation")


class InstancesFile(msgspec.Struct):
    """What is read of the file."""

    images: list[ImageRecord]
    categories: list[dict[str, Any]]
    annotations: list[Annotation]
    info: Any = None


class _PackedFile(InstancesFile):
    annotations: list[LazyAnnotation]  # type: ignore[assignment]


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
    wanted = "COCO instances wanted: an object with lists of images, annotations and categories"
    try:
        text = file.read_bytes()
    except OSError as error:
        raise UserError(f"{str(file)!r} cannot be read ({error.strerror})") from error
    try:
        with gc_paused():
            data = decode(text, _PackedFile, otherwise=InstancesFile)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(
            f"{file} is no whole JSON ({error}): was it cut off? Write or download it again"
        ) from error
    except ValueError as error:
        is_list = text.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
        reason = "a list, as COCO's results are, which name no photos" if is_list else error
        raise UserError(f"{file} holds something else ({reason}); {wanted}") from error
    if any(annotation.segments_info is not msgspec.UNSET for annotation in data.annotations):
        raise UserError(f"{file} is of COCO's panoptic format, whose masks are PNGs; {wanted}")
    return data
