"""Labels of a dataset to labelled photos: matched with the photos, and with vectors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from prelabel.data.dataset import Dataset
from prelabel.data.images import read_image
from prelabel.data.records import Image, ImageFile, PatchFeatures, Prediction, Region
from prelabel.errors import PhotoError, UserError
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.steps.patch_labels import BOX_WEIGHT, LabelledPhoto, LabelledRegion
from prelabel.steps.regions import enlarge_or_point
from prelabel.storage.progress import RunLog


def match(labels: Dataset, photos: Sequence[ImageFile]) -> list[tuple[ImageFile, Prediction]]:
    """The labels of each photo that has some, by its name; a label whose folder is another, by the
    last part of its name if one photo alone has that. Raises UserError if none fits."""
    by_name = {photo.name: photo for photo in photos}
    by_file = defaultdict(list)
    for photo in photos:
        by_file[photo.name.rpartition("/")[2]].append(photo)
    found: dict[str, tuple[ImageFile, Prediction]] = {}
    example = ""
    for labelled in labels.stream():
        same = by_file.get(labelled.photo.rpartition("/")[2], [])
        own = by_name.get(labelled.photo) or (same[0] if len(same) == 1 else None)
        if own is None:
            example = example or labelled.photo
            labels.problems.note("photos with labels that are not among the photos", labelled.photo)
        elif own.name in found:
            labels.problems.note("photos with labels twice, the first kept", own.name)
        else:
            found[own.name] = own, labelled
    if not found:
        raise UserError(
            f"the labels are of none of the photos: they name {example!r}, the photos are such as "
            f"{photos[0].name!r}"
            if example and photos
            else "the labels hold no photo"
        )
    return list(found.values())


def labelled_photos(
    matched: Iterable[tuple[ImageFile, Prediction]],
    labels: Dataset,
    segmenter: PhotoSegmenter,
    log: RunLog,
    *,
    complete: bool,
) -> Iterator[LabelledPhoto]:
    """What is known of each photo. Photos that cannot be read, or have another size than their labels,
    are named in the log. ``complete``: whether what is not labelled is background."""
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
        [features] = segmenter.features([image])
        yield _labelled(image, features, labelled, labels, segmenter, complete=complete)


def _labelled(
    image: Image,
    features: PatchFeatures,
    labelled: Prediction,
    labels: Dataset,
    segmenter: PhotoSegmenter,
    *,
    complete: bool,
) -> LabelledPhoto:
    own = [region for region in labelled.regions if _is_named(region)]
    vectors = iter(())
    if own:
        height, width = image.pixels.shape[:2]
        masks = np.stack([enlarge_or_point(r.mask, height=height, width=width) for r in own])
        vectors = iter(segmenter.embed(image, features, masks))
    return LabelledPhoto(
        digest=image.digest,
        regions=tuple(
            LabelledRegion(
                rle=region.rle,
                name=labels.classes[region.cluster],
                weight=BOX_WEIGHT if region.is_box else 1.0,
                vector=next(vectors),
            )
            for region in own
        ),
        unknown=tuple(region.rle for region in labelled.regions if not _is_named(region)),
        complete=complete,
    )


def _is_named(region: Region) -> bool:
    """Crowds and regions without a class teach nothing."""
    return region.cluster >= 0 and not region.crowd and region.area > 0
