"""The photos of benchmark sets."""

from __future__ import annotations

from pathlib import Path

from prelabel.steps.photos import find_photos


def photo_files(data: Path) -> list[Path]:
    """Those whose name says ``images``, so that no mask is among them."""
    files = [photo.file for photo in find_photos(data).photos if "images" in photo.name]
    return [file for file in files if isinstance(file, Path)]
