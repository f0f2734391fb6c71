"""Features of the photos of a fit: extracted into the cache, and read back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from prelabel.data.images import read_image
from prelabel.data.records import Image, ImageFile, PatchFeatures
from prelabel.errors import PhotoError, UserError
from prelabel.steps.reading import ReadPhoto, chunks, read_ahead
from prelabel.steps.scales import Scales
from prelabel.storage.progress import RunLog, reasons
from prelabel.storage.threads import lane_map
from prelabel.strategies.blame import PluginFailures, answer_each

ExtractedPhoto = tuple[ImageFile, str, Image | None, PatchFeatures | PhotoError | None]
"""A photo, the digest of its file, its pixels and its features, or why there are none; None for pixels and
features that are not needed."""


def extract_photos(
    photos: Sequence[ImageFile], scales: Scales, log: RunLog
) -> list[tuple[ImageFile, str]]:
    """Fill the stores with features, which are written when ``scales`` is left. Returns the photos that
    could be read, with their digests. Raises UserError if there is none."""
    seen = []
    failures = PluginFailures(log)
    with log.stage("features", len(photos)):
        read = read_ahead(photos, known=scales.__contains__, log=log)
        extract = partial(scales.extract, store=True)
        for photo, digest, _, answer in with_features(read, extract, scales):
            log.advance()
            if isinstance(answer, PhotoError):
                failures.add(photo.name, answer)
                continue
            failures.passed()
            seen.append((photo, digest))
    if not log.skipped and not seen:
        raise UserError("there is no photo to fit on")
    if not seen:
        raise UserError(f"none of {len(log.skipped)} photos can be used: {reasons(log.skipped)}")
    return seen


def with_features(
    photos: Iterable[ReadPhoto],
    extract: Callable[[Sequence[Image]], list[PatchFeatures]],
    scales: Scales,
) -> Iterator[ExtractedPhoto]:
    """Photos with what ``extract`` answers to their pixels, in order; as many at once, and beside each
    other, as ``scales`` says."""

    def answers(chunk: Sequence[ReadPhoto]) -> Iterator[PatchFeatures | PhotoError]:
        return iter(answer_each(extract, [image for _, _, image in chunk if image is not None]))

    for chunk, found in lane_map(answers, chunks(photos, scales.chunk), lanes=scales.lanes):
        for photo, digest, image in chunk:
            yield photo, digest, image, None if image is None else next(found)


class StoredFeatures:
    """Features of photos by their digests: from the store, or extracted again where another process
    has removed them meanwhile."""

    def __init__(self, seen: Sequence[tuple[ImageFile, str]], scales: Scales) -> None:
        self._files = {digest: photo for photo, digest in seen}
        self._scales = scales
        self._extracting = threading.Lock()  # one at a time

    def read(self, digest: str, *, verify: bool = True) -> PatchFeatures:
        """A photo's features; may be called from several threads. ``verify``: as for
        ``ShardStore.get``. Raises UserError if they and the photo are gone."""
        kept = self._scales.kept(digest, verify=verify)
        if kept is not None:
            return kept
        with self._extracting:
            return self._extract_again(digest)

    def _extract_again(self, digest: str) -> PatchFeatures:
        photo = self._files[digest]
        try:
            image = read_image(photo.file)
        except PhotoError as error:
            raise UserError(f"{photo.name} {error}, and was there a moment ago") from error
        if image.digest != digest:
            raise UserError(f"{photo.name} was changed during the fit: run the command again")
        [features] = self._scales.extract([image], store=True)
        return features
