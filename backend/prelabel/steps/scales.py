"""Features of photos at one or several input sizes, merged on the finest grid.

Each size has its own store in the cache, so that none is computed twice, whatever sizes it is merged with.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from types import TracebackType

import numpy as np

from prelabel.data.records import Image, PatchFeatures
from prelabel.errors import UserError
from prelabel.steps.feature_cache import FeatureCache
from prelabel.steps.features import Extractor, from_arrays, to_arrays
from prelabel.steps.positions import resample
from prelabel.steps.shared_features import SharedFeatures
from prelabel.storage.files import cache_folder
from prelabel.strategies.lanes import in_turn, lanes
from prelabel.strategies.protocols import Backbone


class Scales:
    """A backbone's features at some input sizes: computed, kept in the cache, and merged when read.

    As a context manager it writes what is pending when it is left. ``kept`` is thread-safe.

    Args:
        backbone: with its weights named.
        name: the backbone's.
        sizes: input sizes in pixels; the first one's CLS token is the photo's.
        recent: also keep the features of photos that no fit has stored, those of the last photos
            used, since they will be needed again.
    """

    def __init__(
        self, backbone: Backbone, *, name: str, sizes: Sequence[int], recent: bool = False
    ) -> None:
        self._extractors = [Extractor(backbone, name=name, size=size) for size in sizes]
        self._stores = [extractor.store() for extractor in self._extractors]
        self._recent = [
            FeatureCache(cache_folder() / "recent" / folder.name) if recent else None
            for folder in self.folders
        ]
        self._shared = [SharedFeatures.named(folder.name) for folder in self.folders]
        self._lock = threading.Lock()
        self._open = ExitStack()

    def __enter__(self) -> Scales:
        for store in self._stores:
            self._open.enter_context(store)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:  # after Ctrl-C, threads may still be adding
            self._open.__exit__(kind, error, trace)

    def __contains__(self, digest: str) -> bool:
        with self._lock:
            return all(digest in store for store in self._stores)

    @property
    def folders(self) -> list[Path]:
        """The folders of the stores, one a size."""
        return [store.folder for store in self._stores]

    @property
    def key(self) -> str:
        """16 hex digits that identify the backbone, its code and the sizes."""
        names = [folder.name for folder in self.folders]
        if len(names) == 1:
            return names[0]
        return hashlib.blake2b(" ".join(names).encode(), digest_size=8).hexdigest()

    @property
    def chunk(self) -> int:
        """Number of images to extract at once."""
        return self._extractors[0].chunk

    @property
    def lanes(self) -> int:
        """How many threads may extract at once."""
        return lanes(self._extractors[0].backbone)

    def kept(self, digest: str, *, verify: bool = True) -> PatchFeatures | None:
        """A photo's features, if those of all sizes are in the cache. ``verify``: as for
        ``ShardStore.get``."""
        found = []
        for number in range(len(self._stores)):
            one = self._kept(number, digest, verify=verify)
            if one is None:
                return None
            found.append(one)
        return merge(found)

    def known(self, digest: str) -> PatchFeatures:
        """The features of a labelled photo, which were there a moment ago. Raises UserError if another
        process has removed them."""
        kept = self.kept(digest)
        if kept is None:
            raise UserError("a labelled photo was removed from the cache: run the command again")
        return kept

    def extract(self, images: Sequence[Image], *, store: bool = False) -> list[PatchFeatures]:
        """Features of each image, in order; those of a size that are in the cache are not computed.
        ``store``: add what is computed to the stores. Raises PluginError."""
        found = [self._extract(n, images, store=store) for n in range(len(self._stores))]
        return [merge(own) for own in zip(*found, strict=True)]

    def _kept(self, number: int, digest: str, *, verify: bool = True) -> PatchFeatures | None:
        stored = self._stores[number].get(digest, verify=verify)
        if stored is not None:
            return from_arrays(stored)
        recent = self._recent[number]
        return recent.get(digest) if recent else None

    def _extract(
        self, number: int, images: Sequence[Image], *, store: bool
    ) -> Iterable[PatchFeatures]:
        kept = {image.digest: self._kept(number, image.digest) for image in images}
        found = {digest: features for digest, features in kept.items() if features is not None}
        missing = [image for image in images if image.digest not in found]
        extractor, shared = self._extractors[number], self._shared[number]
        fetched = shared.get(missing, extractor.fits) if shared else {}
        missing = [image for image in missing if image.digest not in fetched]
        with in_turn(extractor.backbone) if missing else nullcontext():
            features = extractor.extract(missing)
        computed = {i.digest: own for i, own in zip(missing, features, strict=True)}
        self._keep(number, {**fetched, **computed}, store=store)
        if shared:
            shared.put(computed)
        found |= fetched | computed
        return [found[image.digest] for image in images if image.digest in found]

    def _keep(self, number: int, new: Mapping[str, PatchFeatures], *, store: bool) -> None:
        """Put features into this machine's cache."""
        recent = self._recent[number]
        for digest, features in new.items():
            if store:
                with self._lock:
                    self._stores[number].add(digest, to_arrays(features))
            elif recent:
                with suppress(OSError):  # a full disk: they are computed again when needed
                    recent.put(digest, features)


def merge(scales: Sequence[PatchFeatures]) -> PatchFeatures:
    """One photo's features at several input sizes as one, on the finest grid.

    Patches and attention are means, those of coarser grids interpolated; the CLS token is that of the
    first. One alone stays as it is.
    """
    if len(scales) == 1:
        return scales[0]
    grid = max((one.attention.shape for one in scales), key=lambda grid: grid[0] * grid[1])
    fine = [on_grid(one, *grid) for one in scales]
    patches = np.mean([one.patches for one in fine], axis=0, dtype=np.float32)
    attention = np.mean([one.attention for one in fine], axis=0, dtype=np.float32)
    return PatchFeatures(
        patches=np.asarray(patches, dtype=np.float16),
        cls=scales[0].cls,
        attention=np.asarray(attention, dtype=np.float16),
    )


def on_grid(features: PatchFeatures, height: int, width: int) -> PatchFeatures:
    """Features interpolated on a grid of height × width patches; attention is again relative to its
    mean."""
    if features.attention.shape == (height, width):
        return features
    patches = resample(features.patches.astype(np.float32), height, width)
    attention = resample(features.attention.astype(np.float32)[..., None], height, width)[..., 0]
    return PatchFeatures(
        patches=patches.astype(np.float16),
        cls=features.cls,
        attention=(attention / max(float(attention.mean()), 1e-12)).astype(np.float16),
    )
