"""The report's small pictures, made while the pipeline has a photo's pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prelabel.data import images
from prelabel.data.records import Image, ImageFile, Prediction, Region
from prelabel.errors import PhotoError
from prelabel.report import Thumbnails
from prelabel.segment import Segment
from prelabel.storage.files import named_errors


class ThumbnailHook:
    """Called by the pipeline for each photo whose regions were found now and did not come from the
    cache. ``n_new``: how many these were. ``thumbnails``: None where there is no report."""

    def __init__(self, thumbnails: Thumbnails | None) -> None:
        self.n_new = 0
        self._thumbnails = thumbnails

    def __call__(self, photo: ImageFile, image: Image, segment: Segment) -> None:
        self.n_new += 1
        if self._thumbnails:
            _add(self._thumbnails, image, segment.regions)

    def completed(
        self, predictions: Iterable[Prediction], photos: Sequence[ImageFile]
    ) -> Iterator[Prediction]:
        """The same predictions, once their thumbnails are there. Regions from the cache had no
        pixels with them: only if a thumbnail is missing, the photo is decoded again."""
        files = iter(photos)
        for prediction in predictions:
            # The photos come in the same order, some left out.
            photo = next(p for p in files if p.name == prediction.photo)
            if self._thumbnails and not self._thumbnails.has(prediction):
                image = _read(photo, prediction)
                if image is not None:
                    _add(self._thumbnails, image, prediction.regions)
            yield prediction


def _read(photo: ImageFile, prediction: Prediction) -> Image | None:
    """The photo's pixels; None if it has gone or changed: the report shows an empty field then."""
    try:
        image = images.read_image(photo.file)
    except PhotoError:
        return None
    return image if image.digest == prediction.digest else None


def _add(thumbnails: Thumbnails, image: Image, regions: Sequence[Region]) -> None:
    with named_errors(thumbnails.folder):
        thumbnails.add(image, regions)
