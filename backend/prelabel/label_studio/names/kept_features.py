"""Features of the photos that were learned from, kept so that learning needs no photo again."""

from __future__ import annotations

import time
from collections.abc import Container
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from prelabel.data.records import PatchFeatures
from prelabel.steps.features import from_arrays, to_arrays
from prelabel.storage.files import replacing

_UNUSED = 3600.0
"""Seconds for which features stay that belong to no photo: one may just be learned from."""


class KeptFeatures:
    """A folder with a folder for each origin of features, and in that a file for each photo, named by
    its digest: 0.8 MB with a small ViT at 448 pixels. Several processes may use it.

    ``origin``: of the features that are read and written, as a model's ``vectors_origin``.
    """

    def __init__(self, folder: Path, origin: str) -> None:
        self.origin = origin
        self._folder = folder

    def __contains__(self, digest: object) -> bool:
        return self._file(str(digest)).exists()

    def get(self, digest: str) -> PatchFeatures | None:
        """A photo's features; None if they are missing. A damaged file is removed."""
        file = self._file(digest)
        try:
            return from_arrays(load_file(file))
        except FileNotFoundError:
            return None
        except (OSError, KeyError, TypeError, SafetensorError):
            file.unlink(missing_ok=True)
            return None

    def put(self, digest: str, features: PatchFeatures) -> None:
        """Keep a photo's features. Raises OSError."""
        with replacing(self._file(digest)) as beside:
            beside.write_bytes(save(to_arrays(features)))

    def remove_others(self, digests: Container[str]) -> None:
        """Remove the features of other photos and of other origins that are older than an hour."""
        for file in self._folder.glob("*/*.safetensors"):
            if file.parent.name == self.origin and file.stem in digests:
                continue
            with suppress(OSError):  # another process has removed it
                if file.stat().st_mtime < time.time() - _UNUSED:
                    file.unlink()
        for folder in self._folder.glob("*"):
            with suppress(OSError):  # not empty
                folder.rmdir()

    def _file(self, digest: str) -> Path:
        return self._folder / self.origin / f"{digest}.safetensors"
