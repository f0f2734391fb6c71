"""The map: regions in two dimensions, alike ones near each other."""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prelabel.review.index import RegionIndex
from prelabel.storage.files import replacing

Float = NDArray[np.float32]
_log = logging.getLogger(__name__)
_FEWEST = 10
"""Regions for which UMAP finds neighbours."""


class RegionMap:
    """Places of all regions, which are computed once and kept beside the index."""

    def __init__(self, index: RegionIndex) -> None:
        self._index = index
        self._places = _read(index)

    @property
    def places(self) -> Float | None:
        """float32 (n, 2) in [0, 1]; None until they are computed."""
        return self._places

    def compute(self) -> None:
        """Compute them if they are not known, and keep them. Raises OSError."""
        if self._places is not None:
            return
        with replacing(_file(self._index)) as beside:
            if not (_has_umap(self._index) and _by_umap(self._index, beside)):
                _save(beside, principal_places(self._index))
        self._places = _read(self._index)


def principal_places(index: RegionIndex) -> Float:
    """Places float32 (n, 2) along the two directions in which the vectors differ most; only some
    vectors are in memory at a time."""
    n, dim = len(index), index.dim
    if not n or not dim:
        return np.zeros((n, 2), dtype=np.float32)
    ids = np.arange(n, dtype=np.int32)
    total, squares = np.zeros(dim), np.zeros((dim, dim))
    for _, vectors in index.chunks(ids):
        total += vectors.sum(axis=0, dtype=np.float64)
        squares += vectors.T @ vectors
    mean = total / max(n, 1)
    _, directions = np.linalg.eigh(squares / max(n, 1) - np.outer(mean, mean))
    two = directions[:, ::-1][:, :2]
    largest = np.abs(two).argmax(axis=0)
    two = two * np.sign(two[largest, range(two.shape[1])])  # else either sign could come out
    found = np.zeros((n, 2), dtype=np.float32)
    for place, vectors in index.chunks(ids):
        found[place, : two.shape[1]] = (vectors - mean) @ two
    return found


def save_umap_places(folder: Path, file: Path) -> None:
    """Places by UMAP, of the index in ``folder``, into a file."""
    import umap

    warnings.simplefilter("ignore")  # it says how many threads it uses
    index = RegionIndex(folder)
    vectors = index.vectors(np.arange(len(index), dtype=np.int32))
    found = umap.UMAP(metric="cosine", random_state=0).fit_transform(vectors)
    _save(file, np.asarray(found, dtype=np.float32))


def _has_umap(index: RegionIndex) -> bool:
    return find_spec("umap") is not None and index.dim > 0 and len(index) >= _FEWEST


def _by_umap(index: RegionIndex, file: Path) -> bool:
    """Places by UMAP into a file, in a process of its own, since it takes much memory and keeps it.
    Returns whether that went well."""
    process = get_context("spawn").Process(
        target=save_umap_places, args=(index.folder, file), daemon=True
    )
    process.start()
    process.join()
    if process.exitcode != 0:
        _log.warning("UMAP has failed; the map is drawn by principal components")
    return process.exitcode == 0


def _scaled(places: Float) -> Float:
    """Both directions to [0, 1], each by itself; 0.5 where all are the same."""
    if not len(places):
        return places
    low, high = places.min(axis=0), places.max(axis=0)
    spread = np.where(high > low, high - low, 1)
    found = np.where(high > low, (places - low) / spread, 0.5)
    return np.asarray(np.clip(found, 0, 1), dtype=np.float32)


def _save(file: Path, places: Float) -> None:
    with file.open("wb") as out:
        np.save(out, _scaled(places))


def _file(index: RegionIndex) -> Path:
    return index.folder / "map.npy"


def _read(index: RegionIndex) -> Float | None:
    """The places that were kept; None if there are none, or they cannot be used."""
    try:
        found = np.load(_file(index), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if found.shape != (len(index), 2) or found.dtype != np.float32:
        return None
    return np.asarray(found)
