"""The vectors of predicted regions: from the cache, or computed again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prelabel.data.dataset import Problems
from prelabel.data.images import read_image
from prelabel.data.records import Prediction
from prelabel.errors import PhotoError
from prelabel.labelled_photos import region_vectors
from prelabel.model import FittedModel
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.storage.files import cache_folder
from prelabel.storage.remote import Place, file_in
from prelabel.storage.shards import ShardStore


class RegionVectors:
    """Gives the vectors of the regions that a model has predicted.

    ``origin``: of the vectors. Photos whose regions have none are noted in ``problems``.
    """

    def __init__(self, model: Path, photos: Place, problems: Problems) -> None:
        """``photos``: the folder that the photos' names are relative to. Raises UserError if the model
        or its weights cannot be loaded."""
        self._photos = photos
        self._problems = problems
        self.model = FittedModel.load(model)
        self._segmenter = PhotoSegmenter(self.model, self.model.config)
        self.origin = self._segmenter.vectors_origin
        self._store = ShardStore(cache_folder() / "labels" / self.origin)

    def of(self, prediction: Prediction) -> NDArray[np.float32]:
        """float32 (n, dim); zeros if the photo is not there any more."""
        regions = prediction.regions
        if not regions:
            return self._none(0)
        segment = self._segmenter.stored(prediction.digest) if prediction.digest else None
        if segment and [r.rle for r in segment.regions] == [r.rle for r in regions]:
            return segment.embeddings
        try:
            image = read_image(file_in(self._photos, prediction.photo))
            if prediction.digest not in ("", image.digest):
                raise PhotoError("is another photo than the one that was predicted")
            [features] = self._segmenter.features([image])
            found = region_vectors(image, features, regions, self._segmenter, self._store)
        except PhotoError as error:
            self._problems.note(
                "photos whose regions cannot be compared", f"{prediction.photo}: {error}"
            )
            return self._none(len(regions))
        with suppress(OSError):
            self._store.flush()
        return found

    def _none(self, n: int) -> NDArray[np.float32]:
        dim = self.model.classes.shape[1] if self.model.classes.ndim == 2 else 0
        return np.zeros((n, dim), dtype=np.float32)
