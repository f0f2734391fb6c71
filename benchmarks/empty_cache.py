"""A run with nothing in the cache but weights."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prelabel.storage.files import cache_folder


@contextmanager
def empty_cache() -> Iterator[Path]:
    """A folder that is removed afterwards, with the cache in it, in which only the weights are."""
    with tempfile.TemporaryDirectory() as folder:
        weights_folder = cache_folder() / "weights"
        cache = Path(folder) / "cache"
        cache.mkdir()
        (cache / "weights").symlink_to(weights_folder)
        os.environ["PRELABEL_CACHE"] = str(cache)
        try:
            yield Path(folder)
        finally:
            os.environ["PRELABEL_CACHE"] = str(weights_folder.parent)
