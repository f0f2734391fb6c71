"""Pictures of regions and photos as JPEG, made when they are asked for; the last ones are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

import numpy as np

from prelabel.data.records import Image, Region
from prelabel.errors import PhotoError
from prelabel.report.cut_outs import blended, cut_out, jpeg, shrink_to
from prelabel.review.index import RegionIndex, StoredPhoto
from prelabel.review.source import ReviewSource

THUMBNAIL_SIDE = 160
PHOTO_SIDE = 1600
_DIMMED = 0.35
"""What is left of the brightness around a region."""
_IMAGES, _THUMBNAILS, _PHOTOS = 8, 2000, 256
"""Of each kind, how many are kept in memory: together at most about 50 MB."""
T = TypeVar("T")


class Recent(Generic[T]):
    """Keeps the values that were made last, by key. Two threads may make one value at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[object, T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: object, make: Callable[[], T]) -> T:
        """The value of a key, made if it is not known. Raises what ``make`` raises."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key]
        value = make()
        with self._lock:
            self._known[key] = value
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        return value


class Pictures:
    """The photos of a review, their pictures and those of their regions."""

    def __init__(self, index: RegionIndex, source: ReviewSource) -> None:
        self._index = index
        self._source = source
        self._images: Recent[Image] = Recent(_IMAGES)
        self._thumbnails: Recent[bytes] = Recent(_THUMBNAILS)
        self._photos: Recent[StoredPhoto] = Recent(_PHOTOS)

    def photo(self, number: int) -> StoredPhoto:
        """A photo by its number, with its regions."""
        return self._photos.get(number, lambda: self._index.read_photo(number))

    def thumbnail(self, region: int) -> bytes:
        """A region cut out, what is around it dimmed. Raises PhotoError."""
        photo = self.photo(int(self._index.photo[region]))
        own = photo.regions[region - photo.first]
        return self._thumbnails.get(region, lambda: _thumbnail(self._image(photo), own))

    def whole(self, number: int) -> bytes:
        """A photo, at most ``PHOTO_SIDE`` on its longer side. Raises PhotoError."""
        return jpeg(shrink_to(self._image(self.photo(number)).pixels, PHOTO_SIDE))

    def _image(self, photo: StoredPhoto) -> Image:
        image = self._images.get(photo.id, lambda: self._source.image(photo.id))
        if (image.width, image.height) != (photo.width, photo.height):
            raise PhotoError("is another photo than the one that was predicted")
        return image


def _thumbnail(image: Image, region: Region) -> bytes:
    colours, inside = cut_out(image, region, side=THUMBNAIL_SIDE)
    return jpeg(blended(colours, (colours * np.float32(_DIMMED)).astype(np.uint8), inside))
