"""Photos that are put beside their labels: upright JPEGs, since readers of VOC ignore EXIF."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image as PilImage

from prelabel.data import images
from prelabel.data.dataset import Problems
from prelabel.data.image_decoding import ORIENTATION
from prelabel.data.image_mending import find_fault, openable
from prelabel.storage.remote import RemoteFile

_JPEG = ("JPEG", "MPO")
"""MPO is several JPEGs in one file, as phones write them; readers take the first."""
_LONGEST_SIDE = 65_500
"""In pixels: the longest that libjpeg writes."""


def put_image(
    photo: Path | RemoteFile,
    target: Path,
    *,
    size: tuple[int, int],
    link: bool,
    problems: Problems,
    keeps_format: bool = False,
) -> bool:
    """Put a photo at ``target`` (.jpg): a link to it or a copy if it is an upright JPEG, else a JPEG
    made of it. Of photos in object storage there are no links.

    Args:
        size: width and height of its labels, in pixels.
        link: whether to make a link rather than a copy.
        keeps_format: whether readers orient photos by EXIF and read this format, so that it is
            linked or copied as it is, under any ending.

    Returns:
        False for a photo that cannot be read or has another size; it is counted.

    Raises:
        OSError: ``target`` cannot be written.
    """
    upright, profile = None, None
    try:
        data = images.read_bytes(photo)
        with images.opened(io.BytesIO(openable(data))) as image:
            found = image.size
            turned = image.getexif().get(ORIENTATION, 1) != 1
            convert = image.format not in _JPEG or turned or find_fault(data)
            profile = image.info.get("icc_profile") if image.mode == "RGB" else None
        if keeps_format:
            found = images.read_size(data)
        elif convert:
            upright = PilImage.fromarray(images.decode_full_size(data))
            found = upright.size
        if found != size or (upright and max(found) > _LONGEST_SIDE):
            raise ValueError(f"{found[0]} × {found[1]} pixels, its labels {size[0]} × {size[1]}")
    except Exception as error:  # a decoder may fail in any way on a broken file
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        problems.note("photos that are missing beside their labels", f"{photo}: {reason}")
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    if upright:
        upright.save(target, format="JPEG", quality=95, icc_profile=profile)
        problems.note("photos converted to upright JPEGs", str(photo))
    elif link and isinstance(photo, Path):
        target.symlink_to(photo.resolve())
    else:
        target.write_bytes(data)
    return True
