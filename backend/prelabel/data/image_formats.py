"""Which files are photos: the formats that are decoded, and the endings of their files."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from PIL import Image as PilImage

from prelabel.storage.files import is_file

with suppress(ImportError):  # the extra heif
    import pillow_heif

    pillow_heif.register_heif_opener()

PilImage.init()
_NOT_PHOTOS = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"})
"""What Pillow recognizes, but only other programs decode; and what is drawn from a description."""

FORMATS = tuple(sorted(PilImage.OPEN.keys() - _NOT_PHOTOS))
"""Pillow's names of the formats that are decoded, whatever a file's ending."""
EXTENSIONS = frozenset(
    ending
    for ending, kind in PilImage.registered_extensions().items()
    if kind in (*FORMATS, "MPO")  # JPEGs as cameras chain them, which the decoder of JPEG finds
)
"""Endings of the files that are taken for photos, in small letters."""

HEIF = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
"""Endings of photos that are read if the extra heif is installed."""
_UNREAD = HEIF | {
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".kdc", ".mef", ".mos", ".mrw"),
    *(".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw"),
    *(".x3f", ".ai", ".dcm", ".emf", ".eps", ".exr", ".hdr", ".jls", ".jng", ".jxl", ".jxr"),
    *(".ps", ".psb", ".svg", ".svgz", ".wdp", ".wmf", ".xcf", ".avif", ".avifs", ".webp"),
}
"""Endings of pictures that no Pillow reads, or only some."""


def find_photo_file(folder: Path, stem: str) -> str | None:
    """The name of the photo in a folder that is called ``stem`` and has an ending, the usual ones
    first; None if there is none."""
    for ending in dict.fromkeys((".jpg", ".jpeg", ".png", *sorted(EXTENSIONS))):
        for name in (f"{stem}{ending}", f"{stem}{ending.upper()}"):
            if is_file(folder / name):
                return name
    return None


def ending_of_type(media_type: str) -> str:
    """The usual ending of a media type such as image/jpeg; "" if it is none of a photo's."""
    kind = media_type.strip().lower().removeprefix("image/")
    ending = {"jpeg": ".jpg", "tiff": ".tif"}.get(kind, f".{kind}")
    return ending if ending in EXTENSIONS else ""


def is_unread_picture(ending: str) -> bool:
    """Whether files of that ending, in small letters, are pictures of a format that is not read."""
    return ending in _UNREAD and ending not in EXTENSIONS
