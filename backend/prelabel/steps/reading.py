"""Reading photos ahead of the step that uses them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from prelabel.data import images
from prelabel.data.image_mending import find_fault
from prelabel.data.records import Image, ImageFile
from prelabel.errors import PhotoError
from prelabel.storage.progress import RunLog
from prelabel.storage.remote import RemoteFile
from prelabel.storage.threads import prefetch_map

T = TypeVar("T")
ReadPhoto = tuple[ImageFile, str, Image | None]
"""A photo, the digest of its file, and its pixels, None if they are not needed."""
_REQUESTS = 8
"""At once to object storage, where each takes tens of milliseconds."""


def read_ahead(
    photos: Sequence[ImageFile], *, known: Callable[[str], bool], log: RunLog
) -> Iterator[ReadPhoto]:
    """Read photos in order, ahead of the consumer. Photos whose digest is ``known`` are not
    decoded; those that cannot be used are left out, and named in the log, as are faults of files that
    were mended."""

    def read(photo: ImageFile) -> tuple[str, Image | None, str] | PhotoError:
        try:
            data = images.read_bytes(photo.file)
            digest = images.digest(data)
            image = None if known(digest) else images.decode_image(data, photo.file)
            return digest, image, find_fault(data)
        except PhotoError as error:
            return error

    is_remote = any(isinstance(photo.file, RemoteFile) for photo in photos[:1])
    for photo, answer in prefetch_map(read, photos, workers=_REQUESTS if is_remote else 1):
        if isinstance(answer, PhotoError):
            log.skip(photo.name, str(answer))
            log.advance()
        else:
            digest, image, fault = answer
            if fault:
                log.note(photo.name, fault)
            yield photo, digest, image


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items, ``size`` at a time."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
