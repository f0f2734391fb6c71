"""One page for several predictions of the same photos: those that differ most come first."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from prelabel.data.colors import css_color
from prelabel.data.masks import rles_share
from prelabel.data.records import Prediction
from prelabel.report.contents import is_stand_in
from prelabel.report.page import THUMBS
from prelabel.report.svg_paths import svg_path, view_size
from prelabel.report.thumbnails import Thumbnails
from prelabel.runs.facts import RunFacts
from prelabel.storage.pages import write_page

MOST = 300
"""Photos that the page shows."""


@dataclass(frozen=True)
class Column:
    """One of the predictions that are compared.

    Attributes:
        name: of its settings, for people.
        folder: of its run, relative to the page's, with ``/``.
        facts: of its run.
        predictions: a fresh stream of them, with one photo once.
    """

    name: str
    folder: str
    facts: RunFacts
    predictions: Iterable[Prediction]


@dataclass(frozen=True)
class Totals:
    """What one column holds over all photos.

    Attributes:
        photos: that it has predicted.
        regions: in all of them.
        empty: photos without a region.
        foreground: the mean share of a photo that lies in regions, in [0, 1].
        difference: the mean difference of a photo from the first column's; 0 for that one.
    """

    photos: int = 0
    regions: int = 0
    empty: int = 0
    foreground: float = 0.0
    difference: float = 0.0


def write_comparison(page: Path, columns: Sequence[Column]) -> list[Totals]:
    """Write the page, which lies beside the folders of the runs, and return each column's totals.

    All streams are read once, together; the photos that differ most from the first column stay in
    memory, ``MOST`` of them. Photos that a column has not are left out. Raises OSError; the page that
    was there before then stays.
    """
    sums = np.zeros((len(columns), 5))
    shown: list[tuple[float, int, tuple[Prediction, ...]]] = []
    for number, photo in enumerate(_together([column.predictions for column in columns])):
        differences = [difference(photo[0], other) for other in photo]
        for row, own, apart in zip(sums, photo, differences, strict=True):
            row += (1, len(own.regions), not own.regions, own.foreground, apart)
        push = heapq.heappush if len(shown) < MOST else heapq.heappushpop
        push(shown, (max(differences), -number, photo))
    totals = [_totals(row) for row in sums.tolist()]
    thumbs = f"{columns[0].folder}/report/{THUMBS}"
    photos = []
    for apart, _, photo in sorted(shown, reverse=True):
        picture = f"{thumbs}/{Thumbnails.photo_name(photo[0].digest)}"
        has_picture = (page.parent / picture).exists()
        photos.append(_photo(photo, apart, picture if has_picture else ""))
    values = {
        "columns": [
            {"name": c.name, "folder": c.folder, "facts": c.facts, "totals": t}
            for c, t in zip(columns, totals, strict=True)
        ],
        "weights": columns[0].facts.weights,
        "is_stand_in": any(is_stand_in(column.facts.weights) for column in columns),
        "n_photos": totals[0].photos,
        "data": {"columns": [column.name for column in columns], "photos": photos},
    }
    write_page(page, "report/comparison.html.j2", values)
    return totals


def difference(first: Prediction, other: Prediction) -> float:
    """How far the regions of two predictions of a photo lie apart, in [0, 1]; classes do not count.

    Each region is matched with at most one of the other's, those with the highest IoU first. Of the
    pixels that lie in any region, this is the share that does not lie in two matched ones.
    """
    own, theirs = ([r.rle for r in p.regions if not r.crowd] for p in (first, other))
    together = rles_share([*own, *theirs], height=first.height, width=first.width)
    if not together:
        return 0.0
    if not own or not theirs:
        return 1.0
    ious = np.asarray(coco_mask.iou(own, theirs, [0] * len(theirs)))
    areas = coco_mask.area(own)[:, None] + coco_mask.area(theirs)[None]
    shared = ious / (1 + ious) * areas  # as IoU = shared / (areas - shared)
    both = 0.0
    while ious.any():
        row, column = np.unravel_index(ious.argmax(), ious.shape)
        both += float(shared[row, column])
        ious[row], ious[:, column] = 0, 0
    return min(max(1 - both / (together * first.height * first.width), 0.0), 1.0)


def _together(streams: Sequence[Iterable[Prediction]]) -> Iterator[tuple[Prediction, ...]]:
    """The predictions of each photo that all streams have; each is sorted by the photos' names."""
    iterators = [iter(stream) for stream in streams]
    current = [next(iterator, None) for iterator in iterators]
    while all(current):
        photos = tuple(one for one in current if one)
        last = max(photo.photo for photo in photos)
        if all(photo.photo == last for photo in photos):
            yield photos
            current = [next(iterator, None) for iterator in iterators]
            continue
        for i, photo in enumerate(photos):
            if photo.photo < last:
                current[i] = next(iterators[i], None)


def _totals(row: Sequence[float]) -> Totals:
    photos, regions, empty, foreground, apart = row
    n = max(photos, 1)
    return Totals(int(photos), int(regions), int(empty), foreground / n, apart / n)


def _photo(photo: Sequence[Prediction], apart: float, picture: str) -> Mapping[str, object]:
    """What the script needs of one photo."""
    first = photo[0]
    return {
        "name": first.photo,
        "thumb": picture,
        "size": [first.width, first.height],
        "view": view_size(first.width, first.height),
        "difference": round(apart, 4),
        "regions": [
            [
                [css_color(region.cluster), round(region.score, 4), svg_path(region.mask)]
                for region in sorted(own.regions, key=lambda region: region.score)
            ]
            for own in photo
        ],
    }
