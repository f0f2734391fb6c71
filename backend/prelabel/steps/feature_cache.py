"""Patch features of recently used photos, on disk, so that prompts are answered at once."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from prelabel.data.records import PatchFeatures
from prelabel.steps.features import from_arrays, to_arrays
from prelabel.storage.files import write_again_if_removed
from prelabel.storage.pruning import prune

_LOOK_EVERY = 200
"""Photos between two looks at how many there are."""


class FeatureCache:
    """A folder with one file per photo, named by its digest. Beyond ``most`` files (0.8 MB each with a
    small ViT at 448 pixels), those used longest ago are removed. Several processes may share it."""

    def __init__(self, folder: Path, *, most: int = 4000) -> None:
        self._folder = folder
        self._most = most
        self._lock = threading.Lock()
        self._until_look = 1

    def get(self, digest: str) -> PatchFeatures | None:
        """A photo's features, if they are there."""
        file = self._file(digest)
        try:
            os.utime(file)
            return from_arrays(load_file(file))
        except (OSError, KeyError, TypeError, ValueError, SafetensorError):
            return None

    def put(self, digest: str, features: PatchFeatures) -> None:
        """Keep a photo's features. Raises OSError."""
        file = self._file(digest)
        if not file.exists():
            data = save(to_arrays(features))
            write_again_if_removed(file, lambda beside: beside.write_bytes(data))
        with self._lock:
            self._until_look -= 1
            look = self._until_look <= 0
            if look:
                self._until_look = _LOOK_EVERY
        if look:
            prune(self._folder.glob("*"), most=self._most)

    def _file(self, digest: str) -> Path:
        return self._folder / f"{digest}.safetensors"
