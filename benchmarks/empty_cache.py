"""A run with nothing in the cache but weights and what was measured of the processor."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prelabel.storage.files import cache_folder


@contextmanager
def empty_cache() -> Iterator[Path]:
    """A folder that is removed afterwards, with the cache in it, in which only the weights and the
    measured precision are."""
    with tempfile.TemporaryDirectory() as folder:
        usual = cache_folder()
        cache = Path(folder) / "cache"
        cache.mkdir()
        for name in ("weights", "precision.json"):
            (cache / name).symlink_to(usual / name)
        before = dict(os.environ)
        os.environ["PRELABEL_CACHE"] = str(cache)
        os.environ.pop("PRELABEL_FEATURES", None)
        try:
            yield Path(folder)
        finally:
            os.environ.update({**before, "PRELABEL_CACHE": str(usual)})
