"""The photos of a VOC export: upright JPEGs, since readers look at no EXIF."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image, ImageOps

from prelabel.strategies import Problems

_ORIENTATION = 0x0112


def put_image(photo: Path, target: Path, *, link: bool, problems: Problems) -> bool:
    """Put a photo at ``target``, which ends with .jpg: a link or copy of an upright JPEG, else one
    that is written now. False for a photo that cannot be had, which is counted."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with Image.open(photo) as image:
            as_it_is = image.format == "JPEG" and image.getexif().get(_ORIENTATION, 1) == 1
            if not as_it_is:
                upright = ImageOps.exif_transpose(image).convert("RGB")
                upright.save(target, format="JPEG", quality=95)
                problems.note("photos written anew as upright JPEGs", str(photo))
        if as_it_is and link:
            target.symlink_to(photo.resolve())
        elif as_it_is:
            shutil.copyfile(photo, target)
        return True
    except (OSError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        target.unlink(missing_ok=True)
        problems.note("photos that are not in JPEGImages", f"{photo}: {type(error).__name__}")
        return False
