"""Run the paper's protocol on the official folders of VOC 2012 and COCO val2017, and print the
literature's figures beside.

    python benchmarks/paper.py [--voc VOCdevkit/VOC2012] [--coco COCO] [--backbone NAME …]

VOC: the photos of ``ImageSets/Segmentation/val.txt`` with masks in ``SegmentationClass``, 21 classes with
background, the outlines' void left out. COCO: ``val2017/`` and ``annotations/instances_val2017.json``, its 80
things as classes and background, crowds left out.

As in arXiv 2311.18628: recipe ``paper``; as many clusters of regions as there are classes without
background; each cluster gets one class by Hungarian matching on IoU over all photos; mean IoU over the
classes and background. Nothing is trained, and labels are used for the matching alone. Models and the
classes' clusters are of the same photos that are measured, of which a fit looks at 2 000 at most
(``--set fit.photos=5000`` for all of COCO's).

Columns: ``miou`` and ``foreground_iou`` in percent, ``photos`` measured, ``seconds`` in all.
``marked``: other weights than DINO's, which give no result of the paper, and other photos.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from csv_file import write_csv

from prelabel import config, fit, open_dataset, predict
from prelabel.data.dataset import Dataset
from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel.evaluation import evaluate
from prelabel.overrides import backbone_settings

BACKBONES = (
    "vit_small_patch16_224.dino",
    "vit_small_patch8_224.dino",
    "vit_base_patch8_224.dino",
    "vit_small_patch14_reg4_dinov2",
    "vit_small_patch16_dinov3",
)
RESULTS = Path(__file__).parent / "results" / "paper.csv"
FIELDS = ("set", "recipe", "weights", "marked", "seed", "photos", "classes", "miou", "foreground_iou",
          "seconds")  # fmt: skip
Row = dict[str, str | int | float]


@dataclass(frozen=True)
class Published:
    """Mean IoU in percent over all classes and background, as its authors state it."""

    method: str
    miou: float
    protocol: str


PHOTOS = {"VOC 2012 val": 1449, "COCO val2017": 5000}
LITERATURE = {
    "VOC 2012 val": (
        Published("MaskContrast (2021)", 35.0, "saliency model; contrastive training; k-means"),
        Published("MaskDistill (2022)", 45.8, "DINO ViT-S/16; two models trained on pseudo-labels"),
        Published("COMUS (2023)", 50.0, "saliency masks; self-training of a segmentation network"),
        Published("CAUSE (2023)", 53.3, "DINOv2 ViT-B/14; a segmentation head is trained"),
    ),
    "COCO val2017": (
        Published("COMUS (2023)", 19.6, "81 classes; saliency masks; self-training"),
        Published("CAUSE-TR (2023)", 21.2, "COCO-81; DINO ViT-S/8; a segmentation head is trained"),
    ),
}


def main() -> int:
    """Measure what the arguments name, print the tables and write the CSV."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voc", type=Path, help="the folder VOC2012, with JPEGImages")
    parser.add_argument("--coco", type=Path, help="a folder with val2017 and annotations")
    parser.add_argument("--backbone", action="append", metavar="NAME", help="as of prelabel run")
    parser.add_argument("--recipe", default="paper")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="section.name=value")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    sets: dict[str, Callable[[], Dataset]] = {}
    if arguments.voc:
        sets["VOC 2012 val"] = lambda: voc(arguments.voc)
    if arguments.coco:
        sets["COCO val2017"] = lambda: coco(arguments.coco)
    if not sets:
        parser.error("expected --voc FOLDER, --coco FOLDER or both")
    rows: list[Row] = []
    try:
        for name, opened in sets.items():
            truth = opened()
            for backbone in arguments.backbone or BACKBONES:
                row = measure(
                    truth,
                    backbone,
                    recipe=arguments.recipe,
                    settings=[f"fit.seed={arguments.seed}", *arguments.set],
                )
                row |= {"set": name, "recipe": arguments.recipe, "seed": arguments.seed}
                rows.append(row | {"marked": marks(row)})
                write_csv(arguments.out, FIELDS, rows)
            print("\n".join(["", *table(name, rows)]), flush=True)
    except UserError as error:
        print(f"paper.py: {error}", file=sys.stderr)
        return 2
    print(f"\nwritten to {arguments.out}")
    return 0


def voc(folder: Path) -> Dataset:
    """The masks of VOC's val list. Raises UserError."""
    chosen = folder / "ImageSets" / "Segmentation" / "val.txt"
    if not chosen.is_file():
        raise UserError(f"{chosen}: no such file; expected the official folder VOC2012")
    names = set(chosen.read_text(encoding="utf-8").split())
    return _only(open_dataset(folder), lambda p: Path(p.photo).stem in names)


def coco(folder: Path) -> Dataset:
    """COCO's things. Raises UserError."""
    labels = folder / "annotations" / "instances_val2017.json"
    return open_dataset(labels, photos=folder / "val2017")


def _only(dataset: Dataset, chosen: Callable[[Prediction], bool]) -> Dataset:
    def stream() -> Iterator[Prediction]:
        return (labels for labels in dataset.stream() if chosen(labels))

    return replace(dataset, stream=stream)


def measure(truth: Dataset, backbone: str, *, recipe: str, settings: Sequence[str]) -> Row:
    """Fit, predict and match on the photos of the truth. Raises UserError."""
    start = time.perf_counter()
    if not isinstance(truth.photos, Path):
        raise UserError("the labels do not say where their photos are")
    files: list[Path] = []
    present: set[int] = set()
    for labels in truth.stream():
        files.append(truth.photos / labels.photo)
        present |= {region.cluster for region in labels.regions if not region.crowd}
    names = tuple(f"cluster {i}" for i in range(len(present)))
    chosen = config.load(
        recipe, [*backbone_settings(backbone), f"classes.count={len(names)}", *settings]
    )
    model = fit(files, chosen)
    found = list(predict(model, files))
    figures = evaluate(
        Dataset(None, names, found.__iter__), truth, classes="matched", only=("pixels",)
    ).figures
    assert figures.pixels
    return {
        "weights": Path(backbone).name,  # of a file
        "photos": figures.photos,
        "classes": figures.classes,
        "miou": round(100 * figures.pixels.mean_iou, 1),
        "foreground_iou": round(100 * (figures.pixels.foreground_iou or 0), 1),
        "seconds": round(time.perf_counter() - start, 1),
    }


def marks(row: Row) -> str:
    """What keeps a row from being a result of the paper; "" if nothing does."""
    weights, expected = str(row["weights"]), PHOTOS[str(row["set"])]
    found = []
    if "dino" not in weights or weights.endswith((".safetensors", ".pth", ".pt", ".bin")):
        found.append("not DINO: no result of the paper")
    if row["photos"] != expected:
        found.append(f"not the {expected} photos of the set")
    return "; ".join(found)


def table(name: str, rows: Sequence[Row]) -> list[str]:
    """The literature's figures of a set and ours, for people."""
    lines = [f"{name}: mean IoU in percent, background included"]
    for one in LITERATURE[name]:
        lines.append(f"  {one.miou:5.1f}  {one.method} (as published: {one.protocol})")
    for row in rows:
        if row["set"] == name:
            marked = f"; {row['marked']}" if row["marked"] else ""
            lines.append(
                f"  {row['miou']:5.1f}  prelabel, recipe {row['recipe']}, {row['weights']} "
                f"({row['photos']} photos, {row['classes']} classes, nothing trained{marked})"
            )
    return lines


if __name__ == "__main__":
    sys.exit(main())
