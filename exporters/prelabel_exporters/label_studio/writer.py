"""Label Studio: tasks with predictions, and the label config that they belong to; reading tasks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from prelabel.data.colors import class_color
from prelabel.data.dataset import Dataset, ExportContext
from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel.label_studio.format.annotations import LabelSource
from prelabel.label_studio.format.label_choice import RELATIONS, LabelChoice
from prelabel.label_studio.format.label_config import (
    Control,
    LabelConfig,
    parse_label_config,
    parse_leniently,
)
from prelabel.label_studio.format.region_attributes import Answers
from prelabel.label_studio.format.shapes import SHAPE_OF
from prelabel.label_studio.format.simplified import MAX_POINTS, Outline
from prelabel.label_studio.format.task_file import looks_like_tasks
from prelabel.storage.files import replacing_files
from prelabel_exporters.common import JsonList, category_ids, text_file
from prelabel_exporters.label_studio.reader import read_tasks
from prelabel_exporters.label_studio.tasks import TaskMaker, quoted

LabelledKind = Literal["brush", "bitmask", "polygon", "vector", "rectangle", "ellipse"]
"""The kinds whose tags have labels of their own."""
LOCAL_FILES = "/data/local-files/?d={folder}/"
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
    polygons, closed vectors, rectangles and ellipses, made by people or by this tool, also those of
    2020 (``completions``). ``label_config.xml`` beside the file is used if there is one. Regions
    keep their attributes: answers in tags with ``perRegion="true"``. Raises UserError for a region
    whose class the context does not name, for tasks without any photo, and for a label config or
    tasks that cannot be read.

    Attributes:
        url_prefix: what stands before the photo's name (percent-encoded) in a task's ``image``;
            ``{folder}`` in it is the name of the folder of photos. The default fits Label Studio's
            local files storage; photos in object storage have their own addresses (s3://…) by it,
            which Label Studio reads from a storage of that bucket.
        kind: how regions are drawn. Brushes and bitmasks keep every pixel; polygons and vectors fill
            holes and are one for each separate part; rectangles are the boxes; ellipses have the
            centre and second moments of the region.
        label_config: a file with the labeling interface of the project that the tasks are for. Its
            tags decide then, and not ``kind``: a region goes to one of them, the finest (in the
            order of ``kind``) that has its label (see ``predicted_values``), else to the finest,
            without a label. Tags with ``model_skip="false"`` have all regions once more, those with
            ``model_skip="true"`` none. Reading, it tells which labels there are and which data are
            photos.
        tolerance: pixels that a polygon may stray from the outline; with 0 and ``max_points`` 0 it
            is exact.
        max_points: the most corners that a polygon has, so that people can edit it; 0 for any
            number. The IoU that it costs is said.
        what: for reading, which labels count: the newest annotation, the newest prediction, or the
            annotation of a task that has one and else its prediction.
        untouched: for reading, whether tasks are taken for which nothing counts, as photos without
            objects. Those that were submitted without a region are taken in any case.
        merge_by: for reading, which regions are one object, if they have one label: those that
            ``relations`` link; or those with one answer in the tag of this name
            (``perRegion="true"``); "" for none.
        photos: for reading, the folder that the photos' names are relative to. With it, every
            photo's size is looked up; without it, one that has no region has none, and is left out.
    """

    url_prefix: str = LOCAL_FILES
    kind: LabelledKind = "brush"
    label_config: str = ""
    tolerance: float = 1.0
    max_points: int = MAX_POINTS
    what: LabelSource = "both"
    untouched: bool = False
    merge_by: str = RELATIONS
    photos: str = ""

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        prefix: str | None = self.url_prefix
        if isinstance(context.photos, Path):
            prefix = self.url_prefix.replace("{folder}", quoted(context.photos.resolve().name))
        elif self.url_prefix == LOCAL_FILES:
            prefix = None
        if self.label_config:
            xml = _read_text(self.label_config)
            own = parse_label_config(xml)
            controls, answers = own.controls, Answers(dict(own.attributes))
        else:
            xml, answers = "", Answers()
            controls = (Control(self.kind, "label", "image", "image", labels=()),)
        with (
            replacing_files(folder) as beside,
            text_file(beside / CONFIG) as config,
            text_file(beside / TASKS) as out,
        ):
            tasks = JsonList(out)
            outline = Outline(self.tolerance, self.max_points)
            maker = TaskMaker(prefix, controls, outline, answers, context)
            for prediction in predictions:
                tasks.append(maker.task(prediction))
            tasks.close()
            maker.note_outlines()
            config.write(xml or _label_xml(self.kind, answers, context))
        return folder / TASKS

    def recognizes(self, source: Path) -> bool:
        file = source / TASKS if source.is_dir() else source
        return looks_like_tasks(file) or (file.name == TASKS and file.with_name(CONFIG).is_file())

    def read(self, source: Path) -> Dataset:
        file = source / TASKS if source.is_dir() else source
        return read_tasks(
            file,
            LabelChoice(self.what, self.untouched, self.merge_by),
            label_config=self._config_for(file),
            photos=Path(self.photos).expanduser() if self.photos else None,
        )

    def _config_for(self, tasks: Path) -> LabelConfig | None:
        """The label config that was named, else the one beside the tasks, if there is one."""
        if self.label_config:
            return parse_label_config(_read_text(self.label_config))
        beside = tasks.with_name(CONFIG)
        return parse_leniently(_read_text(str(beside))) if beside.is_file() else None


def _read_text(file: str) -> str:
    try:
        return Path(file).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: not a label config that can be read ({error})") from error


def _label_xml(kind: LabelledKind, answers: Answers, context: ExportContext) -> str:
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name="image", value="$image", zoom="true")
    labels = ElementTree.SubElement(view, SHAPE_OF[kind].tag, name="label", toName="image")
    for name, category_id in category_ids(context).items():
        color = "#{:02x}{:02x}{:02x}".format(*class_color(category_id - 1))
        ElementTree.SubElement(labels, "Label", value=name, background=color)
    for name, tag in answers.tags.items():
        tag = {"number": "Number", "textarea": "TextArea"}[tag]
        ElementTree.SubElement(view, tag, name=name, toName="image", perRegion="true")
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"
