"""Label Studio: tasks with predictions, and the label config that they belong to; reading tasks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

from msgspec import structs

from prelabel.data.colors import class_color
from prelabel.data.dataset import Dataset, ExportContext, Problems
from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel.label_studio.format.annotations import LabelSource
from prelabel.label_studio.format.items import Losses, PredictionJson, ResultItem
from prelabel.label_studio.format.label_config import Control, LabelConfig, parse_label_config
from prelabel.label_studio.format.routing import (
    Route,
    choose_route,
    controls_by_kind,
    encode_routed,
)
from prelabel.label_studio.format.shapes import SHAPE_OF, Kind
from prelabel.label_studio.format.task_file import looks_like_tasks
from prelabel.storage.files import replacing_files
from prelabel_exporters.common import JsonList, category_ids, class_name, text_file
from prelabel_exporters.label_studio.reader import read_tasks

TASKS = "tasks.json"
CONFIG = "label_config.xml"


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
    what: LabelSource = "both"
    photos: str = ""

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        prefix = self.url_prefix.replace("{folder}", _quoted(context.photos.resolve().name))
        if self.label_config:
            xml = _read_text(self.label_config)
            controls = parse_label_config(xml).controls
        else:
            xml = _label_xml(self.kind, context)
            controls = (Control(self.kind, "label", "image", "image", labels=()),)
        with (
            replacing_files(folder) as beside,
            text_file(beside / CONFIG) as config,
            text_file(beside / TASKS) as out,
        ):
            config.write(xml)
            tasks = JsonList(out)
            for prediction in predictions:
                tasks.append(_task(prediction, prefix, controls, self.tolerance, context))
            tasks.close()
        return folder / TASKS

    def recognizes(self, source: Path) -> bool:
        file = source / TASKS if source.is_dir() else source
        return looks_like_tasks(file) or (file.name == TASKS and file.with_name(CONFIG).is_file())

    def read(self, source: Path) -> Dataset:
        file = source / TASKS if source.is_dir() else source
        return read_tasks(
            file,
            what=self.what,
            label_config=self._config_for(file),
            photos=Path(self.photos).expanduser() if self.photos else None,
        )

    def _config_for(self, tasks: Path) -> LabelConfig | None:
        """The label config that was named, else the one beside the tasks, if there is one."""
        beside = tasks.with_name(CONFIG)
        file = self.label_config or (str(beside) if beside.is_file() else "")
        return parse_label_config(_read_text(file)) if file else None


def _read_text(file: str) -> str:
    try:
        return Path(file).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: not a label config that can be read ({error})") from error


def _label_xml(kind: Kind, context: ExportContext) -> str:
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name="image", value="$image", zoom="true")
    labels = ElementTree.SubElement(view, SHAPE_OF[kind].tag, name="label", toName="image")
    for name, category_id in category_ids(context).items():
        color = "#{:02x}{:02x}{:02x}".format(*class_color(category_id - 1))
        ElementTree.SubElement(labels, "Label", value=name, background=color)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _task(
    prediction: Prediction,
    prefix: str,
    controls: Sequence[Control],
    tolerance: float,
    context: ExportContext,
) -> dict[str, object]:
    address = context.addresses.get(prediction.photo) or prefix + _quoted(prediction.photo)
    meta: dict[str, object] = {"width": prediction.width, "height": prediction.height}
    if _is_unicode(prediction.photo):
        meta["photo"] = prediction.photo
    return {
        "data": {controls[0].image_key: [address] if controls[0].is_list else address},
        "meta": meta,
        "predictions": [_prediction(prediction, controls, tolerance, context)],
    }


def _prediction(
    prediction: Prediction,
    controls: Sequence[Control],
    tolerance: float,
    context: ExportContext,
) -> PredictionJson:
    regions = tuple(region for region in prediction.regions if not region.crowd)
    for _ in range(len(prediction.regions) - len(regions)):
        context.problems.note("crowds left out, which Label Studio does not have", prediction.photo)
    kept = structs.replace(prediction, regions=regions)
    items: list[ResultItem] = []
    for number, of_kind in enumerate(controls_by_kind(controls, controls[0].image_key)):
        # Another kind of tag has the same regions once more: they are counted once.
        problems = context.problems if number == 0 else Problems()
        for control, found, losses in encode_routed(
            kept,
            _routes(kept, of_kind, context),
            of_kind,
            tolerance=tolerance,
            item_index=0 if controls[0].is_list else None,
        ):
            items += found
            _note_losses(problems, prediction.photo, control, len(found), losses)
    return {"model_version": prediction.model_version, "score": kept.score, "result": items}


def _routes(
    prediction: Prediction, controls: Sequence[Control], context: ExportContext
) -> dict[int, Route]:
    """Where each class goes. One with a name is its own label in a control without labels."""
    routes: dict[int, Route] = {}
    for region in prediction.regions:
        name = "" if region.cluster == -1 else class_name(region, prediction, context)
        labels = [(c.label_for(name) if c.labels else name) or None for c in controls]
        routes.setdefault(region.cluster, choose_route(controls, labels, note=name))
    return routes


def _note_losses(
    problems: Problems, photo: str, control: Control, n_items: int, losses: Losses
) -> None:
    keeps = SHAPE_OF[control.kind].keeps
    counts = {
        "holes filled, since polygons have none": losses.holes,
        "regions without a pixel, left out": losses.empty,
        "regions without a label": losses.unnamed,
        f"regions of which only the {keeps} is kept": 0
        if keeps in ("mask", "outline")
        else n_items,
    }
    for what, n in counts.items():
        for _ in range(n):
            problems.note(what, photo)


def _is_unicode(name: str) -> bool:
    return name == name.encode("utf-8", "replace").decode()


def _quoted(name: str) -> str:
    """Percent-encoded for a URL, ``/`` kept.

    Names that are not UTF-8 go byte by byte; web servers find those, Label Studio (1.23) does not.
    """
    return quote(os.fsencode(name))
