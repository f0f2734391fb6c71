"""Labels of a dataset to labelled photos: matched with the photos, and with vectors."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from prelabel.data.dataset import Dataset
from prelabel.data.images import read_image
from prelabel.data.records import Image, ImageFile, PatchFeatures, Prediction, Region
from prelabel.errors import PhotoError, UserError
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.steps.patch_labels import BOX_WEIGHT, LabelledPhoto, LabelledRegion
from prelabel.steps.regions import enlarge_or_point
from prelabel.storage.files import cache_folder
from prelabel.storage.progress import RunLog
from prelabel.storage.shards import ShardStore
from prelabel.storage.text import composed
from prelabel.strategies.blame import PluginFailures

_KEYS: tuple[Callable[[PurePosixPath], PurePosixPath], ...] = (
    lambda name: name,
    lambda name: name.parent / name.stem,  # VOC does not keep endings
    lambda name: PurePosixPath(name.name),
    lambda name: PurePosixPath(name.stem),
)
"""Ways to match names, tried in turn."""
_AT_ONCE = 32
"""Masks in memory."""


def match(labels: Dataset, photos: Sequence[ImageFile]) -> list[tuple[ImageFile, Prediction]]:
    """The labels of each photo that has some: by its name, else by its name without ending or
    folders where one photo alone has that. Raises UserError if none fits."""
    labelled = list(labels.stream())
    found: dict[int, ImageFile] = {}
    taken: set[str] = set()
    for key in _KEYS:
        by_key = defaultdict(list)
        for photo in photos:
            by_key[key(_path(photo.name))].append(photo)
        for i, one in enumerate(labelled):
            same = by_key.get(key(_path(one.photo)), [])
            if i in found or len(same) != 1:
                continue
            found[i] = same[0]
            if same[0].name in taken:
                labels.problems.note("photos with labels twice, the first kept", same[0].name)
            taken.add(same[0].name)
    for i, one in enumerate(labelled):
        if i not in found:
            labels.problems.note("photos with labels that are not among the photos", one.photo)
    if not found:
        raise UserError(
            f"the labels are of none of the photos: they name {labelled[0].photo!r}, the photos are "
            f"such as {photos[0].name!r}"
            if labelled and photos
            else "the labels hold no photo"
        )
    kept = {file.name: i for i, file in reversed(found.items())}
    return [(found[i], labelled[i]) for i in sorted(kept.values())]


def labelled_photos(
    matched: Iterable[tuple[ImageFile, Prediction]],
    labels: Dataset,
    segmenter: PhotoSegmenter,
    log: RunLog,
    *,
    complete: bool,
) -> Iterator[tuple[ImageFile, LabelledPhoto]]:
    """What is known of each photo. Photos that cannot be read, or have another size than their labels,
    are named in the log. ``complete``: whether what is not labelled is background."""
    store = ShardStore(cache_folder() / "labels" / segmenter.vectors_origin)
    failures = PluginFailures(log)
    for file, labelled in matched:
        try:
            image = read_image(file.file)
        except PhotoError as error:
            log.skip(file.name, str(error))
            continue
        if (labelled.width, labelled.height) != (image.width, image.height):
            size = f"{labelled.width} × {labelled.height}"
            found = f"the photo has {image.width} × {image.height}"
            labels.problems.note(
                "photos of another size than their labels, whose labels are left out",
                f"{file.name}: {size}, {found}",
            )
            continue
        own = [region for region in labelled.regions if _is_named(region, labels.classes)]
        try:
            [features] = segmenter.features([image])
            vectors = region_vectors(image, features, own, segmenter, store)
        except PhotoError as error:
            failures.add(file.name, error)
            continue
        failures.passed()
        yield (
            file,
            LabelledPhoto(
                digest=image.digest,
                regions=tuple(
                    LabelledRegion(
                        rle=region.rle,
                        name=labels.classes[region.cluster],
                        weight=BOX_WEIGHT if region.is_box else 1.0,
                        vector=vector,
                    )
                    for region, vector in zip(own, vectors, strict=True)
                ),
                unknown=tuple(r.rle for r in labelled.regions if not _is_named(r, labels.classes)),
                complete=complete,
            ),
        )
    with suppress(OSError):  # a full disk: they are computed again when needed
        store.flush()


def region_vectors(
    image: Image,
    features: PatchFeatures,
    regions: Sequence[Region],
    segmenter: PhotoSegmenter,
    store: ShardStore,
) -> NDArray[np.float32]:
    """The embedder's vectors float32 (n, dim) of a photo's regions: from the cache, or computed."""
    if not regions:
        return np.zeros((0, 0), dtype=np.float32)
    key = _key(image, regions)
    if stored := store.get(key):
        return np.asarray(stored["vectors"], dtype=np.float32)
    height, width = image.pixels.shape[:2]
    found = []
    for start in range(0, len(regions), _AT_ONCE):
        some = regions[start : start + _AT_ONCE]
        masks = [enlarge_or_point(r.mask, height=height, width=width) for r in some]
        found.append(segmenter.embed(image, features, np.stack(masks)))
    vectors = np.concatenate(found)
    with suppress(OSError):
        store.add(key, {"vectors": vectors})
    return vectors


def _key(image: Image, regions: Sequence[Region]) -> str:
    """32 hex digits of a photo and its regions' masks."""
    result = hashlib.blake2b(image.digest.encode(), digest_size=16)
    for region in regions:
        result.update(f" {region.rle['counts']!r}".encode())
    return result.hexdigest()


def _path(name: str) -> PurePosixPath:
    return PurePosixPath(composed(name))


def _is_named(region: Region, classes: Sequence[str]) -> bool:
    """Whether it teaches: crowds and regions without a class do not."""
    return (
        region.cluster >= 0
        and bool(classes[region.cluster])
        and not region.crowd
        and region.area > 0
    )
