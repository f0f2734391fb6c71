"""The photos of a VOC export: upright JPEGs, since readers look at no EXIF."""

from __future__ import annotations

import shutil
from pathlib import Path

from prelabel import images
from prelabel.strategies import Problems

_ORIENTATION = 0x0112
_JPEG = ("JPEG", "MPO")
"""MPO: several JPEGs in one file, as phones write them; readers see the first."""


def put_image(
    photo: Path, target: Path, *, size: tuple[int, int], link: bool, problems: Problems
) -> bool:
    """Put a photo at ``target``, which ends with .jpg: a link or copy of an upright JPEG, else one
    that is written now. ``size``: its labels' width and height. False for a photo that cannot be
    had or is of another size, which is counted."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with photo.open("rb") as data, images.opened(data) as image:
            as_it_is = image.format in _JPEG and image.getexif().get(_ORIENTATION, 1) == 1
            found = image.size
            if not as_it_is:
                upright = images.upright(image)
                found = upright.size
                profile = image.info.get("icc_profile") if image.mode == "RGB" else None
                upright.save(target, format="JPEG", quality=95, icc_profile=profile)
        if found != size:
            raise ValueError(f"{found[0]} × {found[1]}, its labels {size[0]} × {size[1]}")
        if not as_it_is:
            problems.note("photos written anew as upright JPEGs", str(photo))
        elif link:
            target.symlink_to(photo.resolve())
        else:
            shutil.copyfile(photo, target)
        return True
    except Exception as error:  # a decoder may fail in any way on a broken file
        target.unlink(missing_ok=True)
        reason = " ".join(str(error).split())
        problems.note(
            "photos that are not in JPEGImages", f"{photo}: {type(error).__name__}: {reason}"
        )
        return False
