"""Label Studio: tasks with brush predictions, and the label config that they belong to."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from prelabel.colors import class_color
from prelabel.label_studio.label_config import Control
from prelabel.label_studio.results import results
from prelabel.records import Prediction
from prelabel.strategies import ExportContext
from prelabel_exporters.common import JsonList, category_ids, class_name, replacing

TASKS = "tasks.json"
CONFIG = "label_config.xml"

_CONTROL = Control(kind="brush", name="label", to_name="image", image_key="image", labels=())


@dataclass(frozen=True)
class LabelStudio:
    """Writes ``tasks.json``, to be imported as it is, and ``label_config.xml``, the project's
    labeling interface: brush labels with the classes' names and the report's colours.

    ``url_prefix``: what stands before the photo's name (percent-encoded) in a task's ``image``;
    ``{folder}`` in it is the name of the folder of photos. The default fits Label Studio's local
    files storage. Label Studio serves ``?d=PATH`` from its document root and wants a storage to be
    a folder below that root, not the root itself. So, for photos in ``/data/photos``: start it with
    ``LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true`` and
    ``LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/data``, add a source storage "Local files" with the
    path ``/data/photos`` to the project, do not sync it (that would make tasks of its own), and
    import ``tasks.json``. With a web server: ``https://photos.example.com/``.

    - A task has one prediction, with ``score`` (mean of its regions' scores) and ``model_version``;
      a photo without regions has one with an empty ``result``.
    - Region ids depend on the photo's name and the mask alone.

    Raises UserError for a region whose class the context does not name.
    """

    url_prefix: str = "/data/local-files/?d={folder}/"

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        prefix = self.url_prefix.replace("{folder}", _quoted(context.photos.resolve().name))
        with replacing(folder / CONFIG) as config, replacing(folder / TASKS) as out:
            config.write(_label_config(context))
            tasks = JsonList(out)
            for prediction in predictions:
                tasks.append(
                    {
                        "data": {"image": prefix + _quoted(prediction.photo)},
                        "predictions": [_prediction(prediction, context)],
                    }
                )
            tasks.close()
        return folder / TASKS


def _label_config(context: ExportContext) -> str:
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name="image", value="$image", zoom="true")
    labels = ElementTree.SubElement(view, "BrushLabels", name="label", toName="image")
    for name, category_id in category_ids(context).items():
        color = "#{:02x}{:02x}{:02x}".format(*class_color(category_id - 1))
        ElementTree.SubElement(labels, "Label", value=name, background=color)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _prediction(prediction: Prediction, context: ExportContext) -> dict[str, Any]:
    names = {
        region.cluster: class_name(region, prediction, context) for region in prediction.regions
    }
    items, _ = results(prediction, names, _CONTROL, max_regions=len(prediction.regions))
    return {"model_version": prediction.model_version, "score": prediction.score, "result": items}


def _quoted(name: str) -> str:
    """Percent-encoded for a URL, ``/`` kept.

    Names that are no UTF-8 go byte by byte; web servers find those, Label Studio (1.23) does not.
    """
    return quote(os.fsencode(name))
