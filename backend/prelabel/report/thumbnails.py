"""Small pictures for the report: each photo once, and its regions cut out, as one sprite."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from prelabel.data import masks
from prelabel.data.records import Image, Prediction, Region
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
_MARGIN = 0.06  # of the box's longer side, on each side
_QUALITY = 82
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
            _write_jpeg(photo, _photo(image.pixels))
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


def _photo(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    scale = min(1.0, PHOTO_SIDE / max(height, width))
    return _resize(pixels, width=max(1, round(width * scale)), height=max(1, round(height * scale)))


def _sprite(image: Image, regions: Sequence[Region]) -> NDArray[np.uint8]:
    columns, rows = sprite_size(len(regions))
    sprite = np.full((rows * CELL, columns * CELL, 3), _GREY, dtype=np.uint8)
    for i, region in enumerate(regions):
        cut = _cut_out(image, region)
        height, width = cut.shape[:2]
        top = i // COLUMNS * CELL + (CELL - height) // 2
        left = i % COLUMNS * CELL + (CELL - width) // 2
        sprite[top : top + height, left : left + width] = cut
    return sprite


def _cut_out(image: Image, region: Region) -> NDArray[np.uint8]:
    """The region's box with a margin, grey outside the mask, fit into a cell."""
    height, width = image.pixels.shape[:2]
    scale_x, scale_y = image.width / width, image.height / height
    x, y, box_width, box_height = region.box
    margin = max(box_width, box_height) * _MARGIN
    # Whole pixels of the image first: a mask at full size meets their edges within half a pixel.
    left = max(0, int((x - margin) / scale_x))
    top = max(0, int((y - margin) / scale_y))
    right = min(width, int((x + box_width + margin) / scale_x) + 1)
    bottom = min(height, int((y + box_height + margin) / scale_y) + 1)
    mask = masks.decode_rle(region.rle)[
        round(top * scale_y) : round(bottom * scale_y),
        round(left * scale_x) : round(right * scale_x),
    ]
    scale = CELL / max(right - left, bottom - top)
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    colours = _resize(image.pixels[top:bottom, left:right], width=size[0], height=size[1])
    alpha = _resize(np.where(mask, np.uint8(255), np.uint8(0)), width=size[0], height=size[1])
    inside = alpha * np.float32(1 / 255)
    grey = np.full_like(colours, _GREY)
    return np.asarray(cv2.blendLinear(colours, grey, inside, 1 - inside), dtype=np.uint8)


def _resize(pixels: NDArray[np.uint8], *, width: int, height: int) -> NDArray[np.uint8]:
    """Halve while that is not too small, then bilinear: a seventh of an area average's time."""
    pixels = np.ascontiguousarray(pixels)
    while pixels.shape[1] >= 2 * width and pixels.shape[0] >= 2 * height:
        half = (pixels.shape[1] // 2, pixels.shape[0] // 2)
        pixels = np.asarray(cv2.resize(pixels, half, interpolation=cv2.INTER_LINEAR), np.uint8)
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _write_jpeg(file: Path, pixels: NDArray[np.uint8]) -> None:
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    with replacing(file, sync=False) as beside:
        beside.write_bytes(data.tobytes())
