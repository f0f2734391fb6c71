"""Limits of the cache: what was used longest ago goes first."""

from __future__ import annotations

import math
import os
import shutil
import stat
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from prelabel.errors import UserError
from prelabel.storage.files import cache_folder

_STORES = ("features", "segments", "recent", "labels")
"""Folders of the cache that hold a folder for each kind of content."""


def prune(
    places: Iterable[Path],
    *,
    most_bytes: float = math.inf,
    most: float = math.inf,
    keep: Collection[Path] = (),
    in_use: float = 0.0,
) -> None:
    """Remove files, or whole folders of files, until what is left is small enough.

    ``most_bytes``, ``most``: of all together, and how many. ``keep``: those that stay. ``in_use``:
    those used within this many seconds stay too. The time of use is that of modification. Other
    processes may write and prune at once; links are left alone.
    """
    found = []
    for place in places:
        with suppress(OSError):  # another process has removed it: it takes no room
            status = place.lstat()
            if stat.S_ISDIR(status.st_mode):
                size = sum(file.stat().st_size for file in place.iterdir())
            elif stat.S_ISREG(status.st_mode):
                size = status.st_size
            else:
                continue
            found.append((status.st_mtime, size, place))
    total, count = sum(size for _, size, _ in found), len(found)
    for used, size, place in sorted(found):
        if (total <= most_bytes and count <= most) or (in_use and used > time.time() - in_use):
            break
        if place not in keep:
            with suppress(OSError):
                if place.is_dir():
                    shutil.rmtree(place)
                else:
                    place.unlink()
                total, count = total - size, count - 1


def prune_cache(*, keep: Collection[Path]) -> None:
    """Remove what was used longest ago, whole stores of features and regions at a time, until they
    take at most ``$PRELABEL_CACHE_GB`` gigabytes (50 if not set). ``keep`` stay. Raises UserError.
    """
    text = os.environ.get("PRELABEL_CACHE_GB", "50")
    try:
        limit = float(text) * 1e9
    except ValueError:
        raise UserError(
            f"PRELABEL_CACHE_GB = {text!r}: expected a number of gigabytes, as in 50"
        ) from None
    stores = (store for kind in _STORES for store in cache_folder().glob(f"{kind}/*"))
    prune(stores, most_bytes=limit, keep=keep)
