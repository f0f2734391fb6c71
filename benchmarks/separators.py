"""Measure what each separator makes of the same photos, and write benchmarks/results/separators.csv.

    python benchmarks/separators.py DATA --weights NAME=FILE [--weights NAME=FILE …] [--seeds 5]

DATA holds sets as for quality.py; objects are those of ``instances.json`` (COCO) or ``instances/``, or
else connected parts of each class. One row per weights, set, seed and separator, all of one fit. The
methods of papers (TokenCut, MaskCut, Deep Spectral, LOST, ProMerge) decide foreground themselves, from
features relative to what is usual in the set. Rows of the file that are not measured again stay:
``--separators zoom --seeds 1`` adds to it.

Columns: ``recipe`` with what ``--set`` changes; class-agnostic ``ap50``, ``ar`` and ``ar_large`` of masks by COCOeval, all regions of a photo
counted (at least 100); ``found`` share of objects with a region at IoU >= 0.5, one to one, and
``found_large``, of those of 96 x 96 pixels and more; ``false`` regions a photo that are on no object;
``auroc`` of the score against IoU >= 0.5; ``ms`` median time to separate a photo's foreground, and, of a
separator that splits regions again, to do so and to embed the pieces.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from csv_file import write_csv
from ground_truth import ground_truth
from numpy.typing import NDArray

from prelabel import config, pipeline
from prelabel.config import Config
from prelabel.data.dataset import Dataset
from prelabel.data.images import read_image
from prelabel.data.records import Crop, Image, PatchFeatures, PatchMaps, Prediction
from prelabel.evaluation import evaluate
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.segment import Segment, Segmenter
from prelabel.steps.photos import find_photos
from prelabel.strategies import registry
from prelabel.strategies.protocols import Backbone, CropEmbedder, Embedder, Separator, Splitter

PEERS = ("tokencut", "maskcut", "deep-spectral", "lost", "promerge")
"""Methods of papers, which decide foreground themselves."""
SETS = ("coco", "voc_animals", "ecssd", "kvasir", "nuclei")
SEPARATORS = ("connected", "merge", "watershed", "hierarchy", "zoom", "hierarchy-zoom", *PEERS)
RESULTS = Path(__file__).parent / "results" / "separators.csv"
FIELDS = (
    "weights", "set", "recipe", "separator", "precision", "seed", "photos", "objects", "ap50", "ar",
    "ar_large", "found", "found_large", "regions", "false", "auroc", "ms",
)  # fmt: skip
KEY = ("weights", "set", "recipe", "separator", "seed")
Row = dict[str, str | int | float]


def main() -> int:
    """Measure what the arguments name, and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--separators", nargs="+", default=list(SEPARATORS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--set", action="append", default=[], metavar="section.name=value")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows = _read(arguments.out)
    for folder in arguments.sets:
        for named in arguments.weights:
            name, _, source = named.partition("=")
            chosen = config.load(
                arguments.recipe, [f"backbone.weights={source or name}", *arguments.set]
            )
            recipe = " ".join([arguments.recipe, *arguments.set])
            labels: Row = {"weights": name, "set": folder, "recipe": recipe}
            for row in measure(
                arguments.data / folder, chosen, arguments.separators, range(arguments.seeds)
            ):
                found = {**labels, **row}
                rows[tuple(str(found[k]) for k in KEY)] = found
                print(" ".join(f"{k}={found[k]}" for k in FIELDS), flush=True)
                write_csv(arguments.out, FIELDS, list(rows.values()))
    print(f"\nwritten to {arguments.out}")
    return 0


def _read(file: Path) -> dict[tuple[str, ...], Row]:
    """The rows of an earlier file by what they are of; none if there is no file."""
    if not file.exists():
        return {}
    with file.open(newline="", encoding="utf-8") as lines:
        return {tuple(row[k] for k in KEY): dict(row) for row in csv.DictReader(lines)}


@dataclass(frozen=True)
class _Photo:
    image: Image
    features: PatchFeatures
    truth: Prediction


def measure(
    folder: Path, chosen: Config, separators: Sequence[str], seeds: Sequence[int]
) -> Iterator[Row]:
    """A row for each seed and separator."""
    found = find_photos(folder / "images")
    classes, truths = ground_truth(folder)
    photos: list[_Photo] = []
    for seed in seeds:
        seeded = chosen.model_copy(update={"fit": chosen.fit.model_copy(update={"seed": seed})})
        model = pipeline.fit(found, seeded)
        if not photos:
            features = PhotoSegmenter(model, model.config).features
            for file in found.photos:
                if file.name in truths:
                    image = read_image(file.file)
                    photos.append(_Photo(image, features([image])[0], truths[file.name]))
        for name in separators:
            segmenter = Segmenter(model)
            separator = registry.make("separator", name, settings_of(name, chosen))
            splits = isinstance(separator, Splitter)
            timed = segmenter.separator = _TimedSplitter(separator) if splits else _Timed(separator)
            segmenter.embedder = _TimedEmbedder(segmenter.embedder, timed.seconds)
            predictions = [
                _segment(segmenter, one, splits=splits).classified(
                    one.truth.photo, None, segmenter.clusterer, version=""
                )
                for one in photos
            ]
            figures = evaluate(
                Dataset(None, ("thing",), predictions.__iter__),
                Dataset(None, classes, [one.truth for one in photos].__iter__),
                classes="by-name",
                only=("coco", "objects"),
            ).figures
            assert figures.coco
            assert figures.objects
            coco, objects = figures.coco.segm_agnostic, figures.objects
            yield {
                "separator": name,
                "precision": str(model.backbone.get("precision", "")),
                "seed": seed,
                "photos": len(photos),
                "objects": objects.whole.objects,
                "ap50": _rounded(coco.ap50),
                "ar": _rounded(coco.ar),
                "ar_large": _rounded(coco.ar_large),
                "found": _rounded(objects.whole.found_50),
                "found_large": _rounded(objects.by_size["large"].found_50),
                "regions": sum(len(p.regions) for p in predictions),
                "false": round(objects.false_regions / len(photos), 3),
                "auroc": _rounded(objects.score_auroc),
                "ms": round(1000 * float(np.median(timed.seconds)), 1),
            }


def _segment(segmenter: Segmenter, photo: _Photo, *, splits: bool) -> Segment:
    """A photo's regions; their vectors only where they are needed to split them."""
    found = segmenter.find(photo.image, photo.features)
    if splits:
        return segmenter.describe(photo.image, photo.features, found)
    return Segment.of(photo.image, photo.features, found, np.zeros((0, 0), dtype=np.float32))


def settings_of(separator: str, chosen: Config) -> dict[str, object]:
    """What these weights need, as the raw features of all patches are alike, which leaves nothing to cut;
    and what the config says of this separator."""
    needed = {"features": "relative"} if separator in PEERS else {}
    own = chosen.separator.settings if chosen.separator.name == separator else {}
    return {**needed, **own}


@dataclass
class _Timed:
    """A separator, with the seconds of each photo."""

    own: Separator
    seconds: list[float] = field(default_factory=list)

    def separate(
        self,
        refined: NDArray[np.float32],
        *,
        threshold: float,
        patches: PatchMaps,
        image: NDArray[np.uint8],
    ) -> NDArray[np.int32]:
        """As its own."""
        start = time.perf_counter()
        try:
            return self.own.separate(refined, threshold=threshold, patches=patches, image=image)
        finally:
            self.seconds.append(time.perf_counter() - start)


class _TimedSplitter(_Timed):
    """The same for one that splits regions again."""

    def split(
        self, mask: NDArray[np.bool_], *, vectors: NDArray[np.float32], image: NDArray[np.uint8]
    ) -> NDArray[np.int32]:
        """As its own."""
        assert isinstance(self.own, Splitter)
        start = time.perf_counter()
        found = self.own.split(mask, vectors=vectors, image=image)
        self.seconds[-1] += time.perf_counter() - start
        return found


@dataclass
class _TimedEmbedder:
    """An embedder; the seconds in which it embeds pieces are added to the last photo's."""

    own: Embedder
    seconds: list[float]

    def embed(
        self,
        image: NDArray[np.uint8],
        masks: NDArray[np.bool_],
        *,
        features: PatchFeatures,
        backbone: Backbone,
    ) -> NDArray[np.float32]:
        """As its own."""
        start = time.perf_counter()
        found = self.own.embed(image, masks, features=features, backbone=backbone)
        self.seconds[-1] += time.perf_counter() - start
        return found

    def embed_crops(
        self,
        image: NDArray[np.uint8],
        masks: NDArray[np.bool_],
        *,
        features: PatchFeatures,
        backbone: Backbone,
    ) -> tuple[NDArray[np.float32], Sequence[Crop]]:
        """As its own, which the regions' vectors need in any case."""
        assert isinstance(self.own, CropEmbedder)
        return self.own.embed_crops(image, masks, features=features, backbone=backbone)


def _rounded(figure: float | None) -> float | str:
    return "" if figure is None else round(figure, 4)


if __name__ == "__main__":
    sys.exit(main())
