"""Features in a folder or bucket that several machines share, so that none computes them again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.numpy import load, save

from prelabel.data.records import Image, PatchFeatures
from prelabel.errors import UserError
from prelabel.steps.features import from_arrays, to_arrays
from prelabel.storage.files import write_again_if_removed
from prelabel.storage.remote import Place, file_in, place
from prelabel.storage.threads import prefetch_map

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
        """Those of a kind, in ``$PRELABEL_FEATURES``; None if that is not set. Raises UserError."""
        named = os.environ.get(VARIABLE)
        if not named:
            return None
        try:
            root = place(named)
            return cls((root.expanduser() if isinstance(root, Path) else root) / key)
        except (UserError, RuntimeError) as error:  # no such user
            raise UserError(
                f"{VARIABLE} = {named!r}: expected a folder, or an address such as s3://bucket/features"
            ) from error

    def get(
        self, photos: Sequence[Image], fits: Callable[[Image, PatchFeatures], bool]
    ) -> dict[str, PatchFeatures]:
        """By digest, the features of those photos that have some there which fit. Raises UserError if the
        storage does not answer, or refuses."""
        found = prefetch_map(lambda photo: self._get(photo.digest), photos, workers=_REQUESTS)
        return {
            photo.digest: features
            for photo, features in found
            if features is not None and fits(photo, features)
        }

    def put(self, photos: Mapping[str, PatchFeatures]) -> None:
        """Keep the features of photos by their digests. Raises UserError."""
        for _ in prefetch_map(lambda one: self._put(*one), photos.items(), workers=_REQUESTS):
            pass

    def _get(self, digest: str) -> PatchFeatures | None:
        try:
            return from_arrays(load(file_in(self.folder, _name(digest)).read_bytes()))
        except PermissionError as error:
            raise self._told(error) from error
        except (OSError, KeyError, TypeError, ValueError, SafetensorError):
            return None  # not there, or damaged: computed again

    def _put(self, digest: str, features: PatchFeatures) -> None:
        data = save(to_arrays(features))
        if not isinstance(self.folder, Path):
            self.folder.write(_name(digest), data)
            return
        file = self.folder / _name(digest)
        try:
            write_again_if_removed(file, lambda beside: beside.write_bytes(data))
        except OSError as error:
            raise self._told(error) from error

    def _told(self, error: OSError) -> UserError:
        return UserError(
            f"{self.folder} ({VARIABLE}): {error.strerror or error}: what is there is read, and what is "
            "computed is written; correct that or leave the variable out, and run the command again"
        )


def _name(digest: str) -> str:
    return f"{digest}.safetensors"
