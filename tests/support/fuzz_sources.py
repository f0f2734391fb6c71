"""Small sound inputs for every reader, and how each is read, for ``fuzz_readers.py``."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from builders import HEIGHT, PARTS, RING, WIDTH, box, item, prediction, region, task
from prelabel.config import load
from prelabel.data.dataset import ExportContext
from prelabel.data.masks import encode_rle
from prelabel.errors import UserError
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.format.photos import task_photos
from prelabel.label_studio.format.unnamed_labels import add_labels, remove_labels
from prelabel.label_studio.names.exemplar_lines import PhotoExemplars, PhotoLabels, to_text
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.model import FittedModel
from prelabel.pipeline import fit
from prelabel.runs.datasets import open_dataset
from prelabel.runs.predictions import write_predictions
from prelabel.steps.exemplars import Exemplar
from prelabel.strategies import registry
from prelabel_exporters.coco.writer import Coco
from prelabel_exporters.cvat.exporter import Cvat
from prelabel_exporters.label_studio.writer import LabelStudio
from prelabel_exporters.voc.writer import Voc
from support.small_photos import tiny_config, write_scenes


@dataclass(frozen=True)
class Reader:
    """``make`` fills a folder with a sound input, ``read`` reads such a folder to the end."""

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]


PHOTOS = [
    prediction("x.jpg", region(RING, 1), region(PARTS), region(box(0, 0, 2, 2), -1, crowd=True)),
    prediction("a/y.jpg", region(box(1, 1, 5, 5), 1)),
    prediction("nothing.jpg"),
]


def _context(folder: Path) -> ExportContext:
    return ExportContext(folder, ("dog", "cat"), "m-1")


def _photos(folder: Path) -> Path:
    for photo in PHOTOS:
        (folder / photo.photo).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(folder / photo.photo)
    return folder


def _coco(folder: Path) -> None:
    size = [HEIGHT, WIDTH]
    square = [[2, 3, 4, 3, 4, 5, 2, 5]]
    shapes: list[dict[str, object]] = [
        {"segmentation": square},
        {"segmentation": encode_rle(RING), "score": 0.5, "cluster": 0},
        {"segmentation": {"size": size, "counts": [3, 4, 73]}, "iscrowd": 1},
        {"bbox": [1, 1, 4, 4]},
    ]
    names = ["a/x.jpg", "https://e.com/y.jpg", "../z.jpg"]
    images = [
        {"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT}
        for i, name in enumerate(names, start=1)
    ]
    annotations = [
        {"id": i, "image_id": 1 + i % 3, "category_id": 1 + i % 2, **shape}
        for i, shape in enumerate(shapes, start=1)
    ]
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    data = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(data), encoding="utf-8")


def _datumaro(folder: Path) -> None:
    shapes: list[dict[str, object]] = [
        {"type": "polygon", "points": [2, 3, 4, 3, 4, 5, 2, 5], "group": 1},
        {"type": "mask", "rle": encode_rle(RING), "attributes": {"is_crowd": True, "score": 0.5}},
        {"type": "bbox", "bbox": [1, 1, 4, 4], "group": 1},
        {"type": "ellipse", "points": [0, 0, 8, 6]},
    ]
    image = {"path": "a/x.jpg", "size": [HEIGHT, WIDTH]}
    annotations = [{"id": 0, "group": 0, "label_id": 0, **one} for one in shapes]
    labels = {"labels": [{"name": "cat", "parent": ""}], "label_groups": []}
    items = [{"id": "a/x", "annotations": annotations, "image": image}]
    data = {"infos": {}, "categories": {"label": labels}, "items": items}
    (folder / "annotations").mkdir()
    (folder / "annotations/train.json").write_text(json.dumps(data), encoding="utf-8")


def _results(folder: Path) -> None:
    Coco().write(PHOTOS, folder, _context(folder))


def _panoptic(folder: Path) -> None:
    Coco(panoptic=True, results=False).write(PHOTOS, folder, _context(folder))
    (folder / "instances.json").unlink()


def _voc(folder: Path) -> None:
    Voc(images="copy").write(PHOTOS, folder, _context(_photos(folder / "photos")))


def _labelmap(folder: Path) -> None:
    _voc(folder)
    (folder / "labels.txt").unlink()
    for file in (folder / "SegmentationClass").rglob("*.png"):
        with Image.open(file) as mask:
            mask.convert("RGB").save(file)


def _boxes(folder: Path) -> None:
    (folder / "Annotations").mkdir()
    _voc(folder / "whole")
    for name in ("x", "a/y"):
        text = (folder / "whole/Annotations" / f"{name}.xml").read_bytes()
        (folder / "Annotations" / f"{name.replace('/', '-')}.xml").write_bytes(text)


def _label_studio(folder: Path) -> None:
    LabelStudio().write(PHOTOS, folder, _context(folder))


def _export(folder: Path) -> None:
    polygon = {"points": [[10, 10], [60, 10], [60, 60]], "polygonlabels": ["cat"]}
    rectangle = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 10}
    regions = [
        item(RING),
        item(RING, type="polygonlabels", value=polygon, id="r2"),
        item(RING, type="rectanglelabels", value={**rectangle, "rectanglelabels": ["dog"]}),
    ]
    tasks = [task(1, annotation=regions), task(2, predicted=regions), task(3)]
    (folder / "export.json").write_text(json.dumps(tasks), encoding="utf-8")


def _minimal(folder: Path) -> None:
    """JSON_MIN: of two tasks, one with two annotations, with labels apart from their drawings."""
    size = {"original_width": WIDTH, "original_height": HEIGHT}
    ring = {**item(RING)["value"], "brushlabels": ["dog"], **size}
    polygon = {"points": [[10, 10], [60, 10], [60, 60]], "closed": True, **size}
    drawn = {"label": [ring], "tag": [{**polygon, "labels": ["cat"]}], "p": [polygon]}
    facts = {"image": "/data/upload/1/0a1b2c3d-x.jpg", "annotator": 1, "lead_time": 1.5}
    rows = [
        {"id": 1, "annotation_id": 5, "updated_at": "2026-01-02T03:04:05Z", **facts, **drawn},
        {"id": 1, "annotation_id": 6, "updated_at": "2026-01-02T03:04:06Z", **facts, "label": ring},
        {"id": 2, "annotation_id": 7, "image": "y.jpg", "said": {"choices": ["a"], **polygon}},
    ]
    (folder / "minimal.json").write_text(json.dumps(rows), encoding="utf-8")


def _completions(folder: Path) -> None:
    one = {"id": 1001, "created_at": 1581333851, "result": [item(RING)], "skipped": False}
    tasks = [{"id": 1, "data": {"image": "x.jpg"}, "completions": [one]}]
    (folder / "completions.json").write_text(json.dumps(tasks), encoding="utf-8")


def _class_masks(folder: Path) -> None:
    _voc(folder / "whole")
    (folder / "whole/SegmentationClass").rename(folder / "masks")
    names = {"0": "background", "1": "dog", "2": "cat"}
    (folder / "classes.json").write_text(json.dumps(names))
    shutil.rmtree(folder / "whole")


def _names(folder: Path) -> None:
    exemplar = Exemplar("1/image", encode_rle(RING), np.ones(4, dtype=np.float32), "dog")
    labels = PhotoLabels("0123456789abcdef", "m", [encode_rle(PARTS)])
    photos = {"1/image": PhotoExemplars("1:a", (exemplar,), labels)}
    (folder / "names.jsonl").write_text(to_text(3, photos), encoding="utf-8")


def _label_config(folder: Path) -> None:
    (folder / "config.xml").write_text(
        '<View><!-- a --><Header value="x"/><Image name="image" value="$photo.urls[0]"/>'
        '<BrushLabels name="b" toName="image" model_skip="false"><Label value="dog " alias="d" '
        'category="3" background="#ff0000" predicted_values="object 1,cat"/></BrushLabels>'
        '<Image name="pages" valueList="$pages"/><Labels name="l" toName="pages"><Label value="cat"/>'
        '</Labels><Polygon name="p" toName="pages"/><KeyPointLabels name="k" toName="image" '
        'smart="true"><Label value="cat"/></KeyPointLabels></View>',
        encoding="utf-8",
    )


def _read_label_config(folder: Path) -> None:
    xml = (folder / "config.xml").read_text("utf-8", "replace")
    config = parse_label_config(xml)
    data = {"photo": {"urls": ["/a.png"]}, "pages": ["/b.png"]}
    task_photos(1, data, config)
    added = add_labels(xml, ("object 1", "object 2"))
    parse_label_config(added)
    parse_label_config(remove_labels(added))


def _yolo(folder: Path) -> None:
    context = _context(_photos(folder / "photos"))
    registry.make("exporter", "yolo-seg", {"images": "copy"}).write(PHOTOS, folder, context)
    (folder / "labels/x.txt").write_text("1 0.5 0.5 0.4 0.5 0.9\n0 0.1 0.1 0.5 0.1 0.5 0.5\n")


def _cvat(folder: Path) -> None:
    Cvat().write(PHOTOS, folder, _context(folder))
    shapes = (
        '<box label="cat" xtl="2.0" ytl="3" xbr="6" ybr="5.2"/>'
        '<polygon label="cat" points="2,3;6,3;6,5;2,5"/>'
        '<ellipse label="dog" cx="3" cy="4" rx="2" ry="1.1"/></image>'
    )
    file = folder / "annotations.xml"
    file.write_text(file.read_text(encoding="utf-8").replace("</image>", shapes, 1))


def _predictions(folder: Path) -> None:
    write_predictions(folder / "predictions.jsonl", PHOTOS)


def _recipe(folder: Path) -> None:
    (folder / "recipe.toml").write_text(
        "[backbone]\nname = 'color-texture'\n[features]\nsize = 112\n[regions]\nthreshold = 0.5\n"
    )


def _model(folder: Path) -> None:
    write_scenes(folder / "photos", 3)
    fit(folder / "photos", tiny_config()).save(folder / "model")
    shutil.rmtree(folder / "photos")


def _only(folder: Path, pattern: str) -> Path:
    """The one file that the input is."""
    return next(folder.glob(pattern))


def _opened(folder: Path, source: Path, format: str) -> None:
    """Read as the commands do: recognized, or by its name, with photos where they are there."""
    for name in ("", format):
        try:
            photos = folder / "photos"
            dataset = open_dataset(source, format=name, photos=photos if photos.is_dir() else None)
            for labels in dataset.stream():
                for own in labels.regions:
                    own.mask.any()
        except UserError as error:
            if "\n" in str(error):
                raise


def _reader(name: str, format: str, make: Callable[[Path], object], pattern: str = "") -> Reader:
    def read(folder: Path) -> None:
        _opened(folder, _only(folder, pattern) if pattern else folder, format)

    return Reader(name, make, read)


def _read_cvat(folder: Path) -> None:
    for labels in Cvat().read(folder).stream():
        for own in labels.regions:
            own.mask.any()


READERS = {
    reader.name: reader
    for reader in (
        _reader("coco", "coco", _coco),
        _reader("datumaro", "coco", _datumaro),
        _reader("results", "coco", _results, "results.json"),
        _reader("panoptic", "coco", _panoptic, "panoptic.json"),
        _reader("voc", "voc", _voc),
        _reader("labelmap", "voc", _labelmap),
        _reader("boxes", "voc", _boxes),
        _reader("label-studio", "label-studio", _label_studio),
        _reader("export", "label-studio", _export, "export.json"),
        _reader("yolo", "yolo-seg", _yolo),
        _reader("predictions", "", _predictions, "predictions.jsonl"),
        Reader("model", _model, lambda folder: FittedModel.load(folder / "model")),
        _reader("minimal", "label-studio", _minimal, "minimal.json"),
        _reader("completions", "label-studio", _completions, "completions.json"),
        _reader("class-masks", "voc", _class_masks),
        Reader("names", _names, lambda folder: ExemplarFile(folder / "names.jsonl").exemplars),
        Reader("label-config", _label_config, _read_label_config),
        Reader("cvat", _cvat, _read_cvat),
        Reader("recipe", _recipe, lambda folder: load(str(folder / "recipe.toml"))),
    )
}
