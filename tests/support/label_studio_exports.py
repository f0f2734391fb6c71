"""Label Studio's exports, written for a test and read by the label-studio reader."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builders import RING, item
from prelabel.data.dataset import Dataset
from prelabel.data.masks import Mask
from prelabel.data.records import Prediction
from prelabel.strategies import registry

CONFIG = """<View><Image name="img" value="$image"/>
<BrushLabels name="brush" toName="img"><Label value="tree"/><Label value="cat"/></BrushLabels>
<PolygonLabels name="poly" toName="img"><Label value="cat"/></PolygonLabels>
<RectangleLabels name="box" toName="img"><Label value="cat"/><Label value="dog"/></RectangleLabels>
<BitmaskLabels name="bits" toName="img"><Label value="cat"/></BitmaskLabels></View>"""


def shape_item(kind: str, value: dict[str, Any], label: str = "cat", **more: Any) -> dict[str, Any]:
    """A region of another type than brushes (``polygonlabels``, say), with one label."""
    value = {**value, kind: [label]}
    return {**item(RING, type=kind, from_name=kind, value=value, id="r2"), **more}


def annotated(*items: Any, number: int = 1, **more: Any) -> dict[str, Any]:
    """A task with one annotation; ``more`` replaces its fields."""
    annotation = {"id": 10 * number, "updated_at": "2026-01-01T00:00:00Z", "result": list(items)}
    return {
        "id": number,
        "data": {"image": f"/data/upload/1/0a1b2c3d-{number}.jpg"},
        "annotations": [annotation],
        "predictions": [],
        **more,
    }


def write_export(folder: Path, tasks: Sequence[Any], label_xml: str = "") -> Path:
    """``export.json`` in a folder, with a label config beside it if one is given."""
    file = folder / "export.json"
    file.write_text(json.dumps(tasks, indent=2), encoding="utf-8")
    if label_xml:
        (folder / "label_config.xml").write_text(label_xml, encoding="utf-8")
    return file


def read_export(
    folder: Path, tasks: Sequence[Any], label_xml: str = "", **settings: Any
) -> Dataset:
    """Tasks, written and read with the reader's settings."""
    reader = registry.make("exporter", "label-studio", settings)
    dataset = reader.read(write_export(folder, tasks, label_xml))
    assert isinstance(dataset, Dataset)
    return dataset


def masks(prediction: Prediction) -> list[Mask]:
    """Of each region."""
    return [region.mask for region in prediction.regions]


def labels(dataset: Dataset) -> list[list[str | None]]:
    """Of each region of each photo."""
    return [
        [dataset.classes[r.cluster] if r.cluster >= 0 else None for r in p.regions]
        for p in dataset.stream()
    ]
