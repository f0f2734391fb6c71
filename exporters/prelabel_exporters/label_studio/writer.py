"""Label Studio: tasks with predictions, and the label config that they belong to; reading tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from msgspec import structs

from prelabel.data.colors import class_color
from prelabel.data.dataset import Dataset, ExportContext, Problems
from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel.label_studio.format import label_config
from prelabel.label_studio.format.annotations import What
from prelabel.label_studio.format.items import Item, encode_regions
from prelabel.label_studio.format.label_config import Control, Kind
from prelabel.label_studio.format.task_file import looks_like_tasks
from prelabel.storage.files import replacing_files
from prelabel_exporters.common import JsonList, category_ids, class_name, text_file
from prelabel_exporters.label_studio.reader import read_tasks

TASKS = "tasks.json"
CONFIG = "label_config.xml"

_TAGS = {
    "brush": "BrushLabels",
    "bitmask": "BitmaskLabels",
    "polygon": "PolygonLabels",
    "rectangle": "RectangleLabels",
}


@dataclass(frozen=True)
class LabelStudio:
    """Label Studio: writes ``tasks.json`` with predictions and ``label_config.xml``; reads tasks.

    ``tasks.json`` is imported as it is; ``label_config.xml`` is the project's labeling interface,
    with the classes' names and the report's colours.

    - A task has one prediction, with ``score`` (mean of its regions' scores) and ``model_version``;
      a photo without regions has one with an empty ``result``. A region of class -1 has no label.
    - ``meta`` holds the photo's own name and size, so that reading gives them back.
    - Region ids depend on the photo's name and the mask alone.
    - Label Studio serves ``?d=PATH`` from its document root, and a storage has to be a folder below
      that root, not the root itself. So, for photos in ``/data/photos``: start it with
      ``LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true`` and
      ``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/data``, add a source storage "Local files" with the
      path ``/data/photos`` to the project, do not sync it (that would make tasks of its own), and
      import ``tasks.json``. With a web server: ``https://photos.example.com/`` as ``url_prefix``.

    Read are ``tasks.json`` and Label Studio's own exports (JSON, JSON_MIN): brushes, bitmasks,
    polygons and rectangles, made by people or by this tool. ``label_config.xml`` beside the file is
    used if there is one. Raises UserError for a region whose class the context does not name, and a
    label config or tasks that cannot be read.

    Attributes:
        url_prefix: what stands before the photo's name (percent-encoded) in a task's ``image``;
            ``{folder}`` in it is the name of the folder of photos. The default fits Label Studio's
            local files storage.
        kind: how regions are drawn. Brushes and bitmasks keep every pixel; polygons fill holes and
            are one for each separate part; rectangles are the boxes.
        label_config: a file with the labeling interface of the project that the tasks are for. Its
            tags decide then, and not ``kind``: every kind of tag gets the regions; among several
            tags of one kind, a region goes to the first that has its label (see
            ``predicted_values``), else to the first without a label. Reading, it tells which labels
            there are and which data are photos.
        tolerance: pixels that a polygon may stray from the outline; 0 is exact.
        what: for reading, which labels count: the newest annotation, the newest prediction, or the
            annotation of a task that has one and else its prediction.
        photos: for reading, the folder that the photos' names are relative to. With it, every
            photo's size is looked up; without it, one that has no region has none, and is left out.
    """

    url_prefix: str = "/data/local-files/?d={folder}/"
    kind: Kind = "brush"
    label_config: str = ""
    tolerance: float = 1.0
    what: What = "both"
    photos: str = ""

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        prefix = self.url_prefix.replace("{folder}", _quoted(context.photos.resolve().name))
        if self.label_config:
            xml = _read(self.label_config)
            controls = label_config.parse_label_config(xml).controls
        else:
            xml = _label_config(self.kind, context)
            controls = (Control(self.kind, "label", "image", "image", labels=()),)
        key, is_list = controls[0].image_key, controls[0].is_list
        with (
            replacing_files(folder) as beside,
            text_file(beside / CONFIG) as config,
            text_file(beside / TASKS) as out,
        ):
            config.write(xml)
            tasks = JsonList(out)
            for prediction in predictions:
                address = prefix + _quoted(prediction.photo)
                task: dict[str, Any] = {
                    "data": {key: [address] if is_list else address},
                    "meta": {"width": prediction.width, "height": prediction.height},
                    "predictions": [_prediction(prediction, controls, self.tolerance, context)],
                }
                if _is_unicode(prediction.photo):
                    task["meta"]["photo"] = prediction.photo
                tasks.append(task)
            tasks.close()
        return folder / TASKS

    def recognizes(self, source: Path) -> bool:
        file = source / TASKS if source.is_dir() else source
        return looks_like_tasks(file) or (file.name == TASKS and file.with_name(CONFIG).is_file())

    def read(self, source: Path) -> Dataset:
        file = source / TASKS if source.is_dir() else source
        beside = file.with_name(CONFIG)
        config = self.label_config or (str(beside) if beside.is_file() else "")
        return read_tasks(
            file,
            what=self.what,
            config=label_config.parse_label_config(_read(config)) if config else None,
            photos=Path(self.photos).expanduser() if self.photos else None,
        )


def _read(file: str) -> str:
    try:
        return Path(file).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: no label config that can be read ({error})") from error


def _label_config(kind: Kind, context: ExportContext) -> str:
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name="image", value="$image", zoom="true")
    labels = ElementTree.SubElement(view, _TAGS[kind], name="label", toName="image")
    for name, category_id in category_ids(context).items():
        color = "#{:02x}{:02x}{:02x}".format(*class_color(category_id - 1))
        ElementTree.SubElement(labels, "Label", value=name, background=color)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _prediction(
    prediction: Prediction,
    controls: Sequence[Control],
    tolerance: float,
    context: ExportContext,
) -> dict[str, Any]:
    regions = tuple(region for region in prediction.regions if not region.crowd)
    for _ in range(len(prediction.regions) - len(regions)):
        context.problems.note("crowds left out, which Label Studio has not", prediction.photo)
    kept = structs.replace(prediction, regions=regions)
    own = [control for control in controls if control.image_key == controls[0].image_key]
    items: list[Item] = []
    for number, kind in enumerate(dict.fromkeys(control.kind for control in own)):
        # Another kind of tag has the same regions once more: they are counted once.
        problems = context.problems if number == 0 else Problems()
        items += _of_kind(kept, [c for c in own if c.kind == kind], tolerance, context, problems)
    return {"model_version": prediction.model_version, "score": kept.score, "result": items}


def _of_kind(
    prediction: Prediction,
    controls: Sequence[Control],
    tolerance: float,
    context: ExportContext,
    problems: Problems,
) -> list[Item]:
    """The items of all regions, each in one of these tags of one kind."""
    names: dict[int, str | None] = {}
    for region in prediction.regions:
        unlabelled = region.cluster == -1
        names[region.cluster] = None if unlabelled else class_name(region, prediction, context)
    places = {cluster: _place(name, controls) for cluster, name in names.items()}
    items: list[Item] = []
    for index, control in enumerate(controls):
        regions = tuple(r for r in prediction.regions if places[r.cluster][0] == index)
        found, losses = encode_regions(
            structs.replace(prediction, regions=regions),
            {cluster: label for cluster, (_, label) in places.items()},
            control,
            tolerance=tolerance,
            max_regions=len(regions),
            item_index=0 if control.is_list else None,
            notes={c: name for c, name in names.items() if places[c][1] is None},
        )
        items += found
        counts = {
            "holes filled, which polygons have not": losses.holes,
            "regions without a pixel, left out": losses.empty,
            "regions without a label": losses.unnamed,
            "regions of which the box alone is kept": len(found) * (control.kind == "rectangle"),
        }
        for what, n in counts.items():
            for _ in range(n):
                problems.note(what, prediction.photo)
    return items


def _place(name: str | None, controls: Sequence[Control]) -> tuple[int, str | None]:
    """The tag that a class goes to, by its index, and the class's label there."""
    for index, control in enumerate(controls):
        if name is not None and (label := control.label_for(name) if control.labels else name):
            return index, label
    return 0, None


def _is_unicode(name: str) -> bool:
    return name == name.encode("utf-8", "replace").decode()


def _quoted(name: str) -> str:
    """Percent-encoded for a URL, ``/`` kept.

    Names that are no UTF-8 go byte by byte; web servers find those, Label Studio (1.23) does not.
    """
    return quote(os.fsencode(name))
