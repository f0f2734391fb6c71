"""Small pictures for the report: each photo once, and its regions cut out, as one sprite."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prelabel.data.records import Image, Prediction, Region
from prelabel.report.cut_outs import blended, cut_out, jpeg, shrink_to
from prelabel.storage.files import remove_leftovers, replacing

PHOTO_SIDE = 360
"""Long side of a photo's thumbnail, in pixels; smaller photos keep their size."""
CELL = 112
"""Side of a cut-out's cell in the sprite, in pixels."""
COLUMNS = 16
"""Cells in a row of the sprite; JPEG ends at 65 535 pixels, so one long row would not do."""
MAX_CUT_OUTS = 1024
"""Regions of one photo that get a cut-out; further ones are in its overlay only."""

_GREY = 230
PICTURES = f"thumbs/{'[0-9a-f]' * 32}*.jpg"
"""Thumbnails in a report's folder, as a pattern of paths."""
_OURS = re.compile(r"[0-9a-f]{32}(-[0-9a-f]{12})?\.jpg")


class Thumbnails:
    """The folder of small pictures beside a report; files are named by content.

    A picture that is there already is not made again. Files appear whole or not at all.
    """

    def __init__(self, folder: Path) -> None:
        """Creates ``folder`` if needed."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    @staticmethod
    def photo_name(digest: str) -> str:
        """File name of a photo's thumbnail: ``<digest>.jpg``."""
        return f"{digest}.jpg"

    @staticmethod
    def sprite_name(digest: str, regions: Sequence[Region]) -> str:
        """File name of the cut-outs, ``<digest>-<12 hex digits of the masks, in order>.jpg``.

        Another model may find other regions in the same photo, so the masks are in the name.
        """
        content = hashlib.blake2b(digest_size=6)
        for region in regions:
            content.update(f"{region.rle['size']} {region.rle['counts']!s}\n".encode())
        return f"{digest}-{content.hexdigest()}.jpg"

    def add(self, image: Image, regions: Sequence[Region]) -> None:
        """Write the photo's thumbnail and, if it has regions, the sprite of their cut-outs.

        ``regions``: masks at the photo's full size; their order is that of the sprite's cells.
        Raises OSError if a file cannot be written.
        """
        photo = self.folder / self.photo_name(image.digest)
        if not photo.exists():
            _write_jpeg(photo, shrink_to(image.pixels, PHOTO_SIDE))
        sprite = self.folder / self.sprite_name(image.digest, regions)
        if regions and not sprite.exists():
            _write_jpeg(sprite, _sprite(image, regions[:MAX_CUT_OUTS]))

    def has(self, prediction: Prediction) -> bool:
        """Whether everything that ``add`` would write for this prediction is there."""
        return all((self.folder / name).exists() for name in self.names(prediction))

    def names(self, prediction: Prediction) -> list[str]:
        """File names that belong to a prediction: the photo's and, with regions, the sprite's."""
        names = [self.photo_name(prediction.digest)]
        if prediction.regions:
            names.append(self.sprite_name(prediction.digest, prediction.regions))
        return names

    def keep_only(self, names: Collection[str]) -> None:
        """Remove all other thumbnails, and what killed processes left; other files stay."""
        remove_leftovers(self.folder)
        for file in self.folder.iterdir():
            if file.name not in names and _OURS.fullmatch(file.name):
                file.unlink(missing_ok=True)


def sprite_size(n_regions: int) -> tuple[int, int]:
    """Columns and rows of cells in the sprite of this many regions (at least one)."""
    n_cells = min(n_regions, MAX_CUT_OUTS)
    return min(n_cells, COLUMNS), -(-n_cells // COLUMNS)


def _sprite(image: Image, regions: Sequence[Region]) -> NDArray[np.uint8]:
    columns, rows = sprite_size(len(regions))
    sprite = np.full((rows * CELL, columns * CELL, 3), _GREY, dtype=np.uint8)
    for i, region in enumerate(regions):
        colours, inside = cut_out(image, region, side=CELL)
        cut = blended(colours, np.full_like(colours, _GREY), inside)
        height, width = cut.shape[:2]
        top = i // COLUMNS * CELL + (CELL - height) // 2
        left = i % COLUMNS * CELL + (CELL - width) // 2
        sprite[top : top + height, left : left + width] = cut
    return sprite


def _write_jpeg(file: Path, pixels: NDArray[np.uint8]) -> None:
    with replacing(file, sync=False) as beside:
        beside.write_bytes(jpeg(pixels))
