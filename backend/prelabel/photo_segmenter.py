"""From a photo to its regions and their vectors, through the cache.

`PhotoSegmenter.each` handles many photos, in batches and ahead of the consumer. The other methods
are its steps, for one photo at a time.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from prelabel.config import Config
from prelabel.data.images import read_image
from prelabel.data.records import Image, ImageFile, PatchFeatures
from prelabel.errors import PhotoError, PluginError
from prelabel.model import FittedModel
from prelabel.model_code import code_now, segments_code, vectors_origin
from prelabel.segment import Segment, Segmenter, image_level_model
from prelabel.steps.photo_features import ExtractedPhoto, with_features
from prelabel.steps.reading import chunks, read_ahead
from prelabel.steps.regions import PhotoRegions
from prelabel.steps.scales import Scales
from prelabel.storage.files import cache_folder
from prelabel.storage.progress import RunLog
from prelabel.storage.shards import ShardStore
from prelabel.storage.threads import cores, lane_map, prefetch_map
from prelabel.strategies import registry
from prelabel.strategies.blame import PluginFailures, answer_each, costs_the_photo
from prelabel.strategies.checks import check_array
from prelabel.strategies.lanes import in_turn, lanes

Hook = Callable[[ImageFile, Image, Segment], None]
"""Called for each photo whose regions were just found, while its pixels are in memory."""
_Found = tuple[ExtractedPhoto, PhotoRegions | PhotoError | None]


class PhotoSegmenter:
    """Finds the segments of photos and keeps them in the cache.

    ``model``: None finds regions from each photo alone, which have no vectors and so no class; a
    model brings its own config. ``keep_features``: keep the features of photos that no fit has
    stored, since they will be needed again. All methods but ``each`` are thread-safe.
    """

    def __init__(
        self, model: FittedModel | None, config: Config, *, keep_features: bool = False
    ) -> None:
        """Raises UserError if the weights cannot be loaded."""
        if model:
            model.warn_if_fitted_by_other_code()
        config = model.config if model else config.image_level()
        self.backbone = config.strategy("backbone").resolve()
        self.config = config.with_strategy("backbone", self.backbone)
        self._embedder = config.strategy("embedder")
        self._lanes = lanes(self.backbone, self._embedder)
        self._scales = Scales(
            self.backbone,
            name=config.backbone.name,
            sizes=config.features.sizes,
            recent=keep_features,
        )
        self._segmenter = Segmenter(model) if model else None
        source = self._scales.key
        if model:
            self.vectors_origin = model.vectors_origin
            key = _hash(model.segment_hash, source)
        else:
            code = code_now(self.config)
            self.vectors_origin = vectors_origin(self.config, self.backbone.identity(), code)
            parts = self.config.digest(), source, segments_code(code, also=["foreground"])
            key = f"image-level-{_hash(*parts)}"
        self._segments = ShardStore(cache_folder() / "segments" / key)
        self._stores = threading.Lock()

    def each(
        self, photos: Sequence[ImageFile], log: RunLog, hook: Hook | None = None
    ) -> Iterator[tuple[ImageFile, Segment]]:
        """Each photo with its segment, in order. Photos that cannot be used are left out, and named in
        the log. Raises UserError if plugins fail at three in a row."""
        failures = PluginFailures(log)
        with log.stage("regions", len(photos)), self._segments:
            read = read_ahead(photos, known=self._is_stored, log=log)
            extracted = with_features(read, self.features, self._scales)
            found = prefetch_map(self._find_if_new, extracted, workers=cores())
            for (photo, digest, image, _), answer in self._described(found):
                segment: Segment | None = None
                try:
                    if isinstance(answer, PhotoError):
                        raise answer
                    if image and answer:
                        segment = self._kept(photo, image, answer, hook)
                    else:
                        segment = self.stored(digest) or self._find_again(photo, log, hook)
                except PhotoError as error:
                    failures.add(photo.name, error)
                log.advance()
                if segment:
                    failures.passed()
                    log.skipped.pop(photo.name, None)  # a plugin may fail once, during the fit
                    yield photo, segment

    def stored(self, digest: str) -> Segment | None:
        """A photo's segment, if it is in the cache."""
        with self._stores:
            arrays = self._segments.get(digest)
        return None if arrays is None else Segment.from_arrays(arrays)

    def features(self, images: Sequence[Image]) -> list[PatchFeatures]:
        """Features of each image, in order: from the cache, or computed. Raises PluginError, and
        PhotoError where more pixels are needed and the file is gone."""
        found: dict[str, PatchFeatures] = {}
        for image in images:
            kept = self.kept_features(image.digest)
            if kept is not None:
                found[image.digest] = kept
        missing = [image for image in images if image.digest not in found]
        for image, features in zip(missing, self._scales.extract(missing), strict=True):
            found[image.digest] = features
        return [found[image.digest] for image in images]

    def kept_features(self, digest: str) -> PatchFeatures | None:
        """A photo's features, if they are in the cache."""
        return self._scales.kept(digest)

    def known_features(self, digest: str) -> PatchFeatures:
        """The features of a photo that had some a moment ago. Raises UserError if another process has
        removed them."""
        return self._scales.known(digest)

    def segmenter(self, features: PatchFeatures) -> Segmenter:
        """The model's segmenter; without a model, one that is fitted to this photo."""
        return self._segmenter or Segmenter(image_level_model(self.config, features))

    def find(self, image: Image, features: PatchFeatures) -> PhotoRegions:
        """Find a photo's regions. Raises PluginError."""
        with costs_the_photo():
            return self.segmenter(features).find(image, features)

    def describe(self, image: Image, features: PatchFeatures, regions: PhotoRegions) -> Segment:
        """Give the regions their vectors. Raises PluginError."""
        [segment] = self.describe_photos([(image, features, regions)])
        return segment

    def describe_photos(
        self, photos: Sequence[tuple[Image, PatchFeatures, PhotoRegions]]
    ) -> list[Segment]:
        """As ``describe``, of each photo, in order. Raises PluginError."""
        if self._segmenter is None:
            none = np.zeros((0, 0), dtype=np.float32)
            return [Segment.of(*photo, none) for photo in photos]
        with in_turn(self.backbone, self._embedder), costs_the_photo():
            return self._segmenter.describe_photos(photos)

    def embed(
        self, image: Image, features: PatchFeatures, masks: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Vectors float32 (n, dim) of masks bool (n, h, w) at the working size, n ≥ 1. Raises
        PluginError."""
        with in_turn(self.backbone, self._embedder), costs_the_photo():
            vectors = self._embedder.embed(
                image.pixels, masks, features=features, backbone=self.backbone
            )
            name = registry.title("embedder", self._embedder)
            return check_array(name, vectors, (len(masks), None))

    def keep(self, segment: Segment) -> None:
        """Put a segment into the cache. Raises OSError; ``flush`` tries again."""
        with self._stores:
            self._segments.add(segment.digest, segment.to_arrays())

    def flush(self) -> None:
        """Write pending segments to the cache. If that raises OSError they are dropped, since what does
        not fit on the disk must not fill the memory."""
        with self._stores:
            try:
                self._segments.flush()
            except OSError:
                self._segments = ShardStore(self._segments.folder)
                raise

    def forget(self) -> None:
        """Remove all segments from the cache: no model finds the same again."""
        with self._stores:
            folder = self._segments.folder
            shutil.rmtree(folder, ignore_errors=True)
            self._segments = ShardStore(folder)

    def _is_stored(self, digest: str) -> bool:
        with self._stores:
            return digest in self._segments

    def _find_again(self, photo: ImageFile, log: RunLog, hook: Hook | None) -> Segment | None:
        """The segment of a photo that was in the cache until another process removed it."""
        try:
            image = read_image(photo.file)
        except PhotoError as error:
            log.skip(photo.name, str(error))
            return None
        [features] = self.features([image])
        segment = self.describe(image, features, self.find(image, features))
        return self._kept(photo, image, segment, hook)

    def _kept(self, photo: ImageFile, image: Image, segment: Segment, hook: Hook | None) -> Segment:
        self.keep(segment)
        if hook:
            hook(photo, image, segment)
        return segment

    def _find_if_new(self, photo: ExtractedPhoto) -> PhotoRegions | PhotoError | None:
        _, _, image, features = photo
        if image is None or not isinstance(features, PatchFeatures):
            return features if isinstance(features, PhotoError) else None
        try:
            return self.find(image, features)
        except PluginError as error:
            return error

    def _described(
        self, found: Iterable[_Found]
    ) -> Iterator[tuple[ExtractedPhoto, Segment | PhotoError | None]]:
        """Add vectors, in batches, to the regions of the photos whose segment is not in the cache."""
        some = lane_map(self._describe_new, chunks(found, self.backbone.batch), lanes=self._lanes)
        for chunk, segments in some:
            for (photo, regions), segment in zip(chunk, segments, strict=True):
                yield photo, regions if isinstance(regions, PhotoError) else segment

    def _describe_new(self, chunk: Sequence[_Found]) -> list[Segment | PhotoError | None]:
        """Segments in the order of the photos, or why there are none; where it fails at several photos
        together, they are described one by one."""
        new = {
            i: (image, features, regions)
            for i, ((_, _, image, features), regions) in enumerate(chunk)
            if image and isinstance(features, PatchFeatures) and isinstance(regions, PhotoRegions)
        }
        answers = answer_each(self.describe_photos, list(new.values()))
        by_index = dict(zip(new, answers, strict=True))
        return [by_index.get(i) for i in range(len(chunk))]


def _hash(*facts: str) -> str:
    return hashlib.blake2b(" ".join(facts).encode(), digest_size=8).hexdigest()
