"""A Label Studio project exported by Label Studio's own converter and by prelabel, area by area.

    python benchmarks/exports.py DATA --label-studio PROGRAM [--photos 60] [--out FILE]

DATA has ``images/`` and ``masks/`` (PNG of the same stem; class index, 0 background, 255 void), as
for quality.py. A fresh server gets the photos, the first one stored lying with an EXIF orientation
that turns it upright, and for each class of a photo one brush annotation with all its holes and
small parts. Three more photos stay without annotations. Then:

- ``label-studio COCO`` and ``label-studio BRUSH_TO_COCO``: the server's own export of that name;
- ``prelabel``: ``prelabel export --project``, as COCO.

A region of the project is compared with the union of the annotations that have its photo and label:
``lost`` has none of its pixels. ``area_error``: |sum of the annotations' ``area`` − its pixels| /
its pixels. A hole (4-connected ground inside) is kept if half of its pixels are outside; a small
part (8-connected, under 100 pixels, of a region with several) if half of its pixels are inside.
``exif_iou`` is the mean IoU of the turned photo's regions, 0 if the size in the file is not the
upright one's. Lost regions count as IoU 0 and area error 1.

Brush RLE: one mask of 1 280 × 960 encoded by the SDK and by prelabel, in turns, best of five; both
give the same bytes. Written to benchmarks/results/exports.csv: a row for each way.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from csv_file import write_csv
from label_studio_sdk.converter import brush
from PIL import Image
from pycocotools import mask as coco_mask

from prelabel.data.brush import encode_brush
from prelabel.data.masks import Mask
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.demo.local_server import LocalServer, Login

RESULTS = Path(__file__).parent / "results" / "exports.csv"
LOGIN = Login("admin@example.com", "prelabel-benchmark", "0123456789abcdef0123456789abcdef01234567")
FIELDS = (
    "way", "set", "photos", "photos_out", "unannotated", "unannotated_kept", "regions",
    "annotations_out", "lost", "holes", "holes_kept", "small_parts", "small_parts_kept",
    "area_error", "iou_mean", "iou_min", "exif_iou", "brush_rle_ms",
)  # fmt: skip
UNANNOTATED = 3
SMALL = 100

Regions = dict[tuple[str, str], Mask]
"""Masks by photo and label."""


@dataclass
class Exported:
    """What a COCO file says. ``sizes``: width and height by photo; ``masks``, ``areas``: unions by
    photo and label."""

    sizes: dict[str, tuple[int, int]]
    annotations: int
    masks: Regions = field(default_factory=dict)
    areas: dict[tuple[str, str], float] = field(default_factory=dict)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--label-studio", type=Path, required=True, metavar="PROGRAM")
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    sdk_ms, own_ms = brush_speed(args.data)
    print(f"brush RLE, 1280 × 960: SDK {sdk_ms:.1f} ms, prelabel {own_ms:.2f} ms, "
          f"{sdk_ms / own_ms:.1f} times as fast")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="prelabel-exports-") as folder:
        server = LocalServer(args.label_studio.resolve(), Path(folder) / "server", LOGIN)
        server.start()
        try:
            rows = measure(server, args.data, args.photos, Path(folder))
        finally:
            server.stop()
    for row in rows:
        row["brush_rle_ms"] = round(own_ms if row["way"] == "prelabel" else sdk_ms, 2)
        print(", ".join(f"{name} {row[name]}" for name in FIELDS))
    write_csv(args.out, FIELDS, rows)


def measure(server: LocalServer, data: Path, n_photos: int, folder: Path) -> list[dict[str, Any]]:
    """A row for each way."""
    photos, regions, turned = prepare(data, n_photos, folder / "photos")
    with Client(server.url, LOGIN.token) as client:
        labels = sorted({label for _, label in regions})
        tags = "".join(f'<Label value="{label}"/>' for label in labels)
        project = client.create_project(
            "exports",
            f'<View><Image name="image" value="$image"/><BrushLabels name="label" toName="image">'
            f"{tags}</BrushLabels></View>",
        )
        client.upload(project, [(photo.name, photo.read_bytes()) for photo in photos])
        annotate(client, server, project, regions)
    rows = []
    for kind in ("COCO", "BRUSH_TO_COCO"):
        found = read_coco(server_export(server, project, kind))
        rows.append(measured(f"label-studio {kind}", found, regions, photos, turned))
    out = folder / "out"
    command = Path(sys.executable).with_name("prelabel")
    subprocess.run(
        [
            *(command, "export", "--project", str(project), "--format", "coco", "--out", out),
            *("--url", server.url, "--token", LOGIN.token),
        ],
        check=True,
    )
    found = read_coco(json.loads((out / "coco" / "instances.json").read_text(encoding="utf-8")))
    rows.append(measured("prelabel", found, regions, photos, turned))
    return [{"set": data.name, **row} for row in rows]


def prepare(data: Path, n_photos: int, folder: Path) -> tuple[list[Path], Regions, str]:
    """Photos to upload, their regions, and the name of the turned one. The last have no region."""
    folder.mkdir(parents=True)
    names = json.loads((data / "classes.json").read_text(encoding="utf-8"))
    regions: Regions = {}
    photos = []
    sources = sorted((data / "images").iterdir())[: n_photos + UNANNOTATED]
    for number, source in enumerate(sources):
        target = folder / source.name
        target.write_bytes(source.read_bytes())
        if number == 0:
            with Image.open(source) as image:
                exif = Image.Exif()
                exif[0x0112] = 6  # shown turned by a quarter clockwise
                lying = image.transpose(Image.Transpose.ROTATE_90)
                lying.save(target, exif=exif, quality=95)
        photos.append(target)
        if number >= n_photos:
            continue
        with Image.open(data / "masks" / f"{source.stem}.png") as mask:
            values = np.asarray(mask)
        for value in np.unique(values):
            if value not in (0, 255):
                regions[source.name, str(names[str(value)])] = values == value
    return photos, regions, photos[0].name


def annotate(client: Client, server: LocalServer, project: int, regions: Regions) -> None:
    """One annotation for each photo with regions, encoded by the SDK."""
    found: list[Any] = list(client.tasks(project))
    tasks = {photo_of(task["data"]["image"]): task["id"] for task in found}
    results: dict[str, list[dict[str, Any]]] = {}
    for (photo, label), mask in regions.items():
        height, width = mask.shape
        own = results.setdefault(photo, [])
        own.append(
            {
                "id": f"{label}{len(own)}",
                "type": "brushlabels",
                "from_name": "label",
                "to_name": "image",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {
                    "format": "rle",
                    "rle": brush.mask2rle(mask.astype(np.uint8) * 255),
                    "brushlabels": [label],
                },
            }
        )
    for photo, result in results.items():
        httpx.post(
            f"{server.url}/api/tasks/{tasks[photo]}/annotations/",
            headers={"Authorization": f"Token {LOGIN.token}"},
            json={"result": result},
            timeout=120,
        ).raise_for_status()


def server_export(server: LocalServer, project: int, kind: str) -> dict[str, Any]:
    """The COCO file that the server's own export gives."""
    answer = httpx.get(
        f"{server.url}/api/projects/{project}/export",
        params={"exportType": kind, "download_all_tasks": "true"},
        headers={"Authorization": f"Token {LOGIN.token}"},
        timeout=600,
    )
    answer.raise_for_status()
    content = answer.content
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            name = next(name for name in packed.namelist() if name.endswith(".json"))
            content = packed.read(name)
    found: dict[str, Any] = json.loads(content)
    return found


def read_coco(data: dict[str, Any]) -> Exported:
    """Unions of masks, and sums of areas, by photo and label."""
    images = {image["id"]: image for image in data["images"]}
    labels = {category["id"]: category["name"] for category in data["categories"]}
    sizes = {photo_of(i["file_name"]): (i["width"], i["height"]) for i in images.values()}
    found = Exported(sizes, len(data["annotations"]))
    for annotation in data["annotations"]:
        image = images[annotation["image_id"]]
        key = photo_of(image["file_name"]), labels[annotation["category_id"]]
        mask = mask_of(annotation["segmentation"], image["height"], image["width"])
        found.masks[key] = mask | found.masks.get(key, np.zeros_like(mask))
        found.areas[key] = found.areas.get(key, 0) + annotation["area"]
    return found


def mask_of(segmentation: Any, height: int, width: int) -> Mask:
    """As pycocotools has it."""
    if isinstance(segmentation, dict):
        return np.asarray(coco_mask.decode(segmentation), dtype=np.bool_)
    polygons = [points for points in segmentation if len(points) >= 6]
    if not polygons:
        return np.zeros((height, width), dtype=np.bool_)
    merged = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    return np.asarray(coco_mask.decode(merged), dtype=np.bool_)


def photo_of(address: str) -> str:
    """A photo's name without folders and the random part that the server puts before it."""
    return re.sub("^[0-9a-f]{8}-", "", address.rpartition("/")[2])


def measured(
    way: str, found: Exported, regions: Regions, photos: list[Path], turned: str
) -> dict[str, Any]:
    """A row."""
    ious, errors, turned_ious = [], [], []
    counts = dict.fromkeys(("lost", "holes", "holes_kept", "small_parts", "small_parts_kept"), 0)
    for (photo, label), mask in regions.items():
        other = found.masks.get((photo, label))
        if other is None or other.shape != mask.shape or not (other & mask).any():
            other = np.zeros_like(mask)
            counts["lost"] += 1
        ious.append(float((mask & other).sum() / (mask | other).sum()))
        area = found.areas.get((photo, label), 0)
        errors.append(abs(area - mask.sum()) / mask.sum())
        if photo == turned:
            turned_ious.append(ious[-1] if found.sizes.get(photo) == mask.shape[::-1] else 0.0)
        for hole in holes(mask):
            counts["holes"] += 1
            counts["holes_kept"] += bool(other.any() and (~other[hole]).mean() >= 0.5)
        for part in small_parts(mask):
            counts["small_parts"] += 1
            counts["small_parts_kept"] += bool(other[part].mean() >= 0.5)
    unannotated = {photo.name for photo in photos} - {photo for photo, _ in regions}
    return {
        "way": way,
        "photos": len(photos),
        "photos_out": len(found.sizes),
        "unannotated": len(unannotated),
        "unannotated_kept": len(unannotated & found.sizes.keys()),
        "regions": len(regions),
        "annotations_out": found.annotations,
        **counts,
        "area_error": round(float(np.mean(errors)), 4),
        "iou_mean": round(float(np.mean(ious)), 4),
        "iou_min": round(min(ious), 4),
        "exif_iou": round(float(np.mean(turned_ious)), 4),
    }


def holes(mask: Mask) -> list[Mask]:
    """Ground that is closed in; its pixels touch by their sides."""
    ground = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    n, labels = cv2.connectedComponents(ground, connectivity=4)
    inner = labels[1:-1, 1:-1]
    return [inner == i for i in range(1, n) if i != labels[0, 0]]


def small_parts(mask: Mask) -> list[Mask]:
    """Parts under ``SMALL`` pixels of a mask with several; pixels touch by corners too."""
    n, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    parts = [labels == i for i in range(1, n)]
    return [part for part in parts if part.sum() < SMALL] if len(parts) > 1 else []


def brush_speed(data: Path) -> tuple[float, float]:
    """Milliseconds of the SDK and of prelabel for one mask."""
    with Image.open(next(iter(sorted((data / "masks").iterdir())))) as image:
        values = np.asarray(image.resize((1280, 960), Image.Resampling.NEAREST))
    mask = (values > 0) & (values < 255)
    picture = mask.astype(np.uint8) * 255
    assert encode_brush(mask) == brush.mask2rle(picture)
    sdk, own = [], []
    for _ in range(5):
        started = time.perf_counter()
        brush.mask2rle(picture)
        between = time.perf_counter()
        encode_brush(mask)
        sdk.append(between - started)
        own.append(time.perf_counter() - between)
    return 1e3 * min(sdk), 1e3 * min(own)


if __name__ == "__main__":
    main()
