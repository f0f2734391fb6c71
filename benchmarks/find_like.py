"""Measure how well one drawn object finds its like, and write benchmarks/results/find_like.csv.

    python benchmarks/find_like.py DATA --weights NAME=FILE [--weights NAME=FILE …]

DATA holds sets as for learning.py. Some objects are drawn, a photo each; each is the only example, and
what surrounds it on its photo is background (other objects of its class are unknown). All methods rank regions of other photos, of
which ``--photos`` are drawn; objects of the example's class are found by a region at an IoU of 0.5.
Means over examples:

``ap`` average precision of the ranking; ``found_20`` objects among the first 20 regions, as a share of
20 or of the objects if these are fewer; ``found_all`` share of objects with any region; ``wrong_per_found``:
among the first as many regions as there are objects, wrong ones for each that was found; ``missed_found``,
``missed_wrong``: right and wrong ones of the regions that the model's own lack, of one photo; ``ms``: for a photo beside reading it, from cached features.

Methods:

``own regions`` the model's regions, by the cosine of their vectors with the example's: no learning;
``ridge`` the learner alone; ``prototype`` cosine to the example's mean patch minus that to the rest's;
``round trip`` patches like the example whose nearest patch in its photo lies inside its mask, grown over
merged patches (INSID3's way); ``… without position``: the same, from patches less the mean patch at their place in the photo;
``find`` the product. All but the first and last are evaluated on four pixels a patch, without a refiner.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from csv_file import write_csv
from learning_session import Photo, Session
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from scipy.ndimage import find_objects
from sklearn.cluster import AgglomerativeClustering
from sklearn.feature_extraction.image import grid_to_graph

from prelabel import config
from prelabel.data.bulges import cut_parts
from prelabel.data.masks import Rle, encode_rle
from prelabel.data.records import LabelledPatches
from prelabel.finding import Finder
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.segment import Segment, Segmenter
from prelabel.steps.levels import unit
from prelabel.steps.patch_labels import LabelledPhoto, LabelledRegion, patch_shares
from prelabel.steps.regions import upsample
from prelabel.storage.threads import one_blas_thread

Float = NDArray[np.float32]
Ranked = list[tuple[float, Rle, bool]]
"""Regions of one photo: score, mask, and whether the model has no such region."""
SETS = ("kvasir", "nuclei", "voc_animals", "coco")
FIELDS = (
    "weights", "set", "method", "examples", "photos", "ap", "found_20", "found_all", "wrong_per_found",
    "missed_found", "missed_wrong", "ms",
)  # fmt: skip
RESULTS = Path(__file__).parent / "results" / "find_like.csv"
GRID, FINER, MERGED = 16, 4, 40
LEAST = 0.002
"""Share of a photo that an example covers at least."""


def main() -> int:
    """Measure what the arguments name, and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--examples", type=int, default=6)
    parser.add_argument("--photos", type=int, default=60, help="that are searched of a set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    for named in arguments.weights:
        name, _, file = named.partition("=")
        for folder in arguments.sets:
            settings = config.load("default", [f"backbone.weights={file or name}"])
            trial = Trial(Session(arguments.data / folder, settings), arguments)
            for method in trial.methods:
                row = {"weights": name, "set": folder, "method": method, **trial.measure(method)}
                rows.append(row)
                print(" ".join(str(row[field]) for field in FIELDS), flush=True)
            write_csv(arguments.out, FIELDS, rows)
    print(f"written to {arguments.out}")
    return 0


class Trial:
    """One set: examples, the photos that are searched, and the methods."""

    def __init__(self, session: Session, arguments: argparse.Namespace) -> None:
        rng = np.random.default_rng(arguments.seed)
        self.session = session
        names = sorted(session.photos)
        drawn = sorted(rng.permutation(names)[: arguments.photos].tolist())
        self.photos = [session.photos[name] for name in drawn]
        self.segmenter = Segmenter(session.model)
        self.own_photos = PhotoSegmenter(session.model, session.model.config, keep_features=True)
        self.examples = self._examples(rng, arguments.examples)
        self.own = {photo.name: self._own(photo) for photo in self.photos}
        self.place = np.mean([_reduced(self._patches(p)) for p in self.photos], axis=0)
        self.methods: Mapping[str, Callable[[Photo, int], Callable[[Photo], Ranked]]] = {
            "own regions": self._own_regions,
            "ridge": self._ridge,
            "prototype": lambda p, i: self._by_patches(p, i, trip=False, place=False),
            "prototype without position": lambda p, i: self._by_patches(
                p, i, trip=False, place=True
            ),
            "round trip": lambda p, i: self._by_patches(p, i, trip=True, place=False),
            "round trip without position": lambda p, i: self._by_patches(
                p, i, trip=True, place=True
            ),
            "find": self._find,
        }

    def measure(self, name: str) -> dict[str, object]:
        """The figures of a method, means over examples."""
        figures, seconds, n = [], 0.0, 0
        for photo, index in self.examples:
            with one_blas_thread():
                search = self.methods[name](photo, index)
                others = [p for p in self.photos if p.name != photo.name]
                started = time.process_time()
                found = [(other, search(other)) for other in others]
                seconds += time.process_time() - started
            n += len(others)
            figures.append(_figures(found, photo.truth.regions[index].cluster))
        means = np.nanmean(np.array(figures, dtype=np.float64), axis=0).round(3).tolist()
        return {
            "examples": len(figures),
            "photos": len(self.photos),
            **{k: "" if v != v else v for k, v in zip(FIELDS[5:11], means, strict=True)},
            "ms": round(1000 * seconds / n, 1),
        }

    def _examples(self, rng: np.random.Generator, n: int) -> list[tuple[Photo, int]]:
        """Objects whose class is on three other photos at least, one of a photo."""
        classes = [{r.cluster for r in p.truth.regions if not r.crowd} for p in self.photos]
        found: list[tuple[Photo, int]] = []
        for number in rng.permutation(len(self.photos)):
            photo = self.photos[int(number)]
            usable = [
                i
                for i, r in enumerate(photo.truth.regions)
                if not r.crowd
                and r.area >= LEAST * photo.truth.width * photo.truth.height
                and sum(r.cluster in other for other in classes) > 3
            ]
            if usable and len(found) < n:
                found.append((photo, int(rng.choice(usable))))
        return found

    def _own(self, photo: Photo) -> Segment:
        stored = self.own_photos.stored(photo.image.digest)
        if stored is None:
            found = self.own_photos.find(photo.image, photo.features)
            stored = self.own_photos.describe(photo.image, photo.features, found)
        return stored

    def _patches(self, photo: Photo) -> Float:
        """float32 (h, w, dim), relative to the mean patch."""
        patches = photo.features.patches.astype(np.float32)
        return np.asarray(patches - self.session.model.levels.center, dtype=np.float32)

    def _labelled(self, photo: Photo, index: int, *, vector: bool = False) -> LabelledPhoto:
        """The example, and its photo's rest as background; others of its class are unknown."""
        own = photo.truth.regions[index]
        embedded = None
        if vector:
            height, width = photo.image.pixels.shape[:2]
            mask = cv2.resize(own.mask.astype(np.uint8), (width, height)) > 0
            embedded = self.own_photos.embed(photo.image, photo.features, mask[None])[0]
        return LabelledPhoto(
            digest=photo.image.digest,
            regions=(LabelledRegion(own.rle, "example", vector=embedded),),
            unknown=tuple(
                r.rle
                for i, r in enumerate(photo.truth.regions)
                if i != index and (r.crowd or r.cluster == own.cluster)
            ),
        )

    def _own_regions(self, photo: Photo, index: int) -> Callable[[Photo], Ranked]:
        vector = self._labelled(photo, index, vector=True).regions[0].vector
        assert vector is not None
        example = unit(vector[None])[0]

        def search(other: Photo) -> Ranked:
            own = self.own[other.name]
            cosines = unit(own.embeddings) @ example if len(own.regions) else []
            return [(float(c), r.rle, False) for c, r in zip(cosines, own.regions, strict=True)]

        return search

    def _ridge(self, photo: Photo, index: int) -> Callable[[Photo], Ranked]:
        learner, known = self.segmenter.learner, self._labelled(photo, index)
        patches = self._patches(photo)
        height, width, dim = patches.shape
        shares = patch_shares(known, ("example",), height=height, width=width).reshape(-1, 2)
        labelled = LabelledPatches(patches.reshape(-1, dim), shares)
        learned = learner.fit([learner.summarize([labelled], seed=0)])

        def search(other: Photo) -> Ranked:
            points = self._patches(other)
            p = learner.predict(learned, points.reshape(-1, dim))[:, 1].reshape(points.shape[:2])
            return self._regions(other, p, p > 0.5, threshold=0.5)

        return search if learned else lambda _: []

    def _by_patches(
        self, photo: Photo, index: int, *, trip: bool, place: bool
    ) -> Callable[[Photo], Ranked]:
        known = self._labelled(photo, index)
        vectors = self._directions(photo, place=place)
        height, width, dim = vectors.shape
        shares = patch_shares(known, ("example",), height=height, width=width)
        flat = vectors.reshape(-1, dim)
        inside = flat[shares[..., 1].ravel() >= min(0.5, float(shares[..., 1].max()))]
        outside = flat[shares[..., 0].ravel() >= 0.5]
        prototype, rest = unit(inside.mean(axis=0)[None])[0], unit(outside.mean(axis=0)[None])[0]

        def search(other: Photo) -> Ranked:
            own = self._directions(other, place=place)
            shape, points = own.shape[:2], own.reshape(-1, dim)
            score = (points @ prototype).reshape(shape)
            if not trip:
                score = score - (points @ rest).reshape(shape)
                return self._regions(other, score, score > 0.3, threshold=0.3)
            back = (points @ inside.T).max(axis=1) > (points @ outside.T).max(axis=1)
            like = back.reshape(shape) & (score > 0.3)
            merged = AgglomerativeClustering(MERGED, connectivity=grid_to_graph(*shape)).fit(points)
            part = merged.labels_.reshape(shape)
            share = np.bincount(part.ravel(), like.ravel()) / np.bincount(part.ravel())
            return self._regions(other, score, share[part] > 0.5, threshold=None)

        return search

    def _directions(self, photo: Photo, *, place: bool) -> Float:
        patches = self._patches(photo)
        if place:
            patches = patches - _resampled(self.place, *patches.shape[:2])
        return unit(patches.reshape(-1, patches.shape[-1])).reshape(patches.shape)

    def _regions(
        self, photo: Photo, score: Float, like: NDArray[np.bool_], *, threshold: float | None
    ) -> Ranked:
        """Connected parts of ``like``, or of the interpolated score above the threshold, by their mean
        score."""
        height, width = (FINER * n for n in score.shape)
        fine = upsample(score.astype(np.float32), height=height, width=width)
        inside = fine > threshold if threshold is not None else np.kron(like, np.ones((4, 4))) > 0
        parts = cut_parts(inside, 0.0)
        found: Ranked = []
        own = [region.rle for region in self.own[photo.name].regions]
        size = photo.truth.width, photo.truth.height
        for number, window in enumerate(find_objects(parts), start=1):
            mask = parts == number
            if window is None or mask.sum() < LEAST * mask.size:
                continue
            full = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
            rle = encode_rle(full)
            new = not own or float(np.max(coco_mask.iou([rle], own, [0] * len(own)))) < 0.5
            found.append((float(fine[mask].mean()), rle, new))
        return found

    def _find(self, photo: Photo, index: int) -> Callable[[Photo], Ranked]:
        known = self._labelled(photo, index, vector=True)
        finder = Finder(self.session.model, [known], lambda _: photo.features)

        def search(other: Photo) -> Ranked:
            found = finder.find(other.image, other.features, self.own[other.name])
            return [(one.region.score, one.region.rle, one.missed) for one in found]

        return search


def _figures(found: Sequence[tuple[Photo, Ranked]], cluster: int) -> tuple[float, ...]:
    """``ap``, ``found_20``, ``found_all``, ``wrong_per_found``, ``missed_found``, ``missed_wrong``."""
    right: list[tuple[float, bool, bool]] = []
    n = 0
    for photo, ranked in found:
        truth = [r.rle for r in photo.truth.regions if r.cluster == cluster and not r.crowd]
        n += len(truth)
        left = set(range(len(truth)))
        for score, rle, new in sorted(ranked, key=lambda one: -one[0]):
            ious = np.asarray(coco_mask.iou([rle], truth, [0] * len(truth)))[0] if truth else []
            best = max(left, key=lambda i: float(ious[i]), default=None)
            is_right = best is not None and float(ious[best]) >= 0.5
            if is_right and best is not None:
                left.remove(best)
            right.append((score, is_right, new))
    right.sort(key=lambda one: -one[0])
    hits = np.array([is_right for _, is_right, _ in right], dtype=np.float64)
    sums = np.cumsum(hits)
    precision = sums / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    few = min(20, n)
    first = hits[:n].sum()
    new_right = sum(is_right and new for _, is_right, new in right)
    n_new = sum(is_new for *_, is_new in right)
    return (
        float((envelope * hits).sum() / n),
        float(hits[:few].sum() / few),
        float(hits.sum() / n),
        float((len(hits[:n]) - first) / first) if first else float("nan"),
        new_right / len(found),
        (n_new - new_right) / len(found),
    )


def _reduced(patches: Float) -> Float:
    """float32 (GRID, GRID, dim), means over cells."""
    height, width = patches.shape[:2]
    rows = [
        slice(y * height // GRID, max(y * height // GRID + 1, (y + 1) * height // GRID))
        for y in range(GRID)
    ]
    columns = [
        slice(x * width // GRID, max(x * width // GRID + 1, (x + 1) * width // GRID))
        for x in range(GRID)
    ]
    cells = [[patches[row, column].mean(axis=(0, 1)) for column in columns] for row in rows]
    return np.asarray(cells, dtype=np.float32)


def _resampled(grid: Float, height: int, width: int) -> Float:
    """Bilinear: float32 (GRID, GRID, dim) to (height, width, dim)."""

    def weights(n: int) -> Float:
        at = np.clip((np.arange(n) + 0.5) * GRID / n - 0.5, 0, GRID - 1)
        return np.asarray(np.maximum(1 - np.abs(at[:, None] - np.arange(GRID)), 0), np.float32)

    found = np.einsum("ya,abd,xb->yxd", weights(height), grid, weights(width), optimize=True)
    return np.asarray(found, dtype=np.float32)


if __name__ == "__main__":
    sys.exit(main())
