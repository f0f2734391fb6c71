"""The photos of a VOC export: upright JPEGs, since readers look at no EXIF."""

from __future__ import annotations

import shutil
from pathlib import Path

from prelabel.data import images
from prelabel.data.dataset import Problems

_ORIENTATION = 0x0112
_JPEG = ("JPEG", "MPO")
"""MPO: several JPEGs in one file, as phones write them; readers see the first."""
_LONGEST_SIDE = 65_500
"""In pixels; libjpeg writes no longer one."""


def put_image(
    photo: Path, target: Path, *, size: tuple[int, int], link: bool, problems: Problems
) -> bool:
    """Put a photo at ``target``, which ends with .jpg: a link or copy of an upright JPEG, else one
    that is written now. ``size``: its labels' width and height, in pixels. False for a photo that
    cannot be had or is of another size, which is counted. Raises OSError if ``target`` cannot be
    written."""
    upright, profile = None, None
    try:
        with photo.open("rb") as data, images.opened(data) as image:
            found = image.size
            if image.format not in _JPEG or image.getexif().get(_ORIENTATION, 1) != 1:
                upright = images.upright(image)
                found = upright.size
                profile = image.info.get("icc_profile") if image.mode == "RGB" else None
        if found != size or (upright and max(found) > _LONGEST_SIDE):
            raise ValueError(f"{found[0]} × {found[1]} pixels, its labels {size[0]} × {size[1]}")
    except Exception as error:  # a decoder may fail in any way on a broken file
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        problems.note("photos that are not in JPEGImages", f"{photo}: {reason}")
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    if upright:
        upright.save(target, format="JPEG", quality=95, icc_profile=profile)
        problems.note("photos written anew as upright JPEGs", str(photo))
    elif link:
        target.symlink_to(photo.resolve())
    else:
        shutil.copyfile(photo, target)
    return True
