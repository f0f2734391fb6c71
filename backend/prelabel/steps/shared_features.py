"""Features in a folder or bucket that several machines share, so that none computes them again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load, save

from prelabel.data.records import PatchFeatures
from prelabel.errors import UserError
from prelabel.steps.features import from_arrays, to_arrays
from prelabel.storage.files import write_again_if_removed
from prelabel.storage.remote import Place, file_in, place

VARIABLE = "PRELABEL_FEATURES"
"""Names the folder; there is one for each kind of features in it."""
_REQUESTS = 16
"""At once."""


class SharedFeatures:
    """A folder, here or in object storage, with one file per photo, named by its digest. Nothing is
    removed from it. All methods are thread-safe, and several machines may use it at once."""

    def __init__(self, folder: Place) -> None:
        self.folder = folder

    @classmethod
    def named(cls, key: str) -> SharedFeatures | None:
        """Those of a kind, in ``$PRELABEL_FEATURES``; None if that is not set."""
        named = os.environ.get(VARIABLE)
        if not named:
            return None
        root = place(named)
        return cls((root.expanduser() if isinstance(root, Path) else root) / key)

    def get(self, digests: Sequence[str]) -> dict[str, PatchFeatures]:
        """The features of those photos that have some there. Raises UserError if the storage does not
        answer, or refuses."""
        with ThreadPoolExecutor(_REQUESTS) as pool:
            found = zip(digests, pool.map(self._get, digests), strict=True)
            return {digest: features for digest, features in found if features is not None}

    def put(self, photos: Mapping[str, PatchFeatures]) -> None:
        """Keep the features of photos by their digests. Raises UserError and OSError."""
        with ThreadPoolExecutor(_REQUESTS) as pool:
            list(pool.map(self._put, photos, photos.values()))

    def _get(self, digest: str) -> PatchFeatures | None:
        try:
            return from_arrays(load(file_in(self.folder, _name(digest)).read_bytes()))
        except PermissionError as error:
            raise UserError(
                f"{self.folder}: access is denied ({error}): {VARIABLE} needs permission to list, read "
                "and write there"
            ) from error
        except (OSError, KeyError, TypeError, ValueError, SafetensorError):
            return None  # not there, or damaged: computed again

    def _put(self, digest: str, features: PatchFeatures) -> None:
        data = save(to_arrays(features))
        if isinstance(self.folder, Path):
            file = self.folder / _name(digest)
            write_again_if_removed(file, lambda beside: beside.write_bytes(data))
        else:
            self.folder.write(_name(digest), data)


def _name(digest: str) -> str:
    return f"{digest}.safetensors"
