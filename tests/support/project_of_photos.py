"""A project's folder, its photos and annotations, without a server: what learning needs of one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from builders import prediction, region
from prelabel.data.masks import Mask
from prelabel.label_studio.format.items import encode_regions
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.format.photos import TaskPhoto
from prelabel.label_studio.format.shapes import Kind
from prelabel.label_studio.learn import learn_task
from prelabel.label_studio.predict.predictor import Predictor
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.teaching import ProjectTeacher
from prelabel.model import FittedModel
from prelabel.steps.taught import Taught

TAGS: Mapping[Kind, str] = {
    "brush": "BrushLabels",
    "bitmask": "BitmaskLabels",
    "polygon": "PolygonLabels",
    "vector": "VectorLabels",
    "rectangle": "RectangleLabels",
    "ellipse": "EllipseLabels",
}


def label_xml(kind: Kind = "brush", labels: str = "polyp,tool") -> str:
    """A config with one tag of a shape."""
    own = "".join(f'<Label value="{label}"/>' for label in labels.split(","))
    image = '<View><Image name="image" value="$image"/>'
    if kind == "magicwand":
        return f'{image}<Labels name="l" toName="image">{own}</Labels><MagicWand name="m" toName="image"/></View>'
    tag = TAGS[kind]
    return f'{image}<{tag} name="l" toName="image">{own}</{tag}></View>'


class ProjectOfPhotos:
    """``photos``: PNGs by task. ``xml``: the label config, which may be changed."""

    def __init__(
        self, folder: Path, model: FittedModel, photos: Mapping[int, bytes], xml: str = ""
    ) -> None:
        self.folder = ProjectFolder(folder)
        self.model = model
        self.photos = photos
        self.xml = xml or label_xml()
        self.annotations: dict[int, list[dict[str, Any]]] = {}
        self.problems: list[str] = []
        self.reads = 0
        self.folder.save_model(model, n_tasks=len(photos))
        self.predictor = Predictor(model, model.config)
        self._clock = 0

    def annotation(self, *regions: tuple[Mask, str], **facts: Any) -> dict[str, Any]:
        """A new one that draws these regions, each with its label."""
        [control] = parse_label_config(self.xml).controls
        items = []
        for number, (mask, label) in enumerate(regions):
            one = prediction("p", region(mask))
            own, _ = encode_regions(one, {0: label or None}, control, max_points=60)
            items += [{**item, "id": f"{number}-{item['id']}"} for item in own]
        self._clock += 1
        at = f"2026-02-03T04:05:{self._clock:02}Z"
        return {"id": 100 + self._clock, "updated_at": at, "result": items, **facts}

    def annotate(self, task: int, *regions: tuple[Mask, str], **facts: Any) -> None:
        """Submit an annotation, in place of the task's others, and learn from it."""
        self.annotations[task] = [self.annotation(*regions, **facts)]
        self.learn(task)

    def delete(self, task: int) -> None:
        """Delete the task's annotations, and learn from that."""
        self.annotations.pop(task)
        self.learn(task)

    def learn(self, task: int, *, partial: bool = False) -> bool:
        """Learn from a task as it is now. Returns whether anything was new."""
        memory = self.folder.memory(self.predictor.vectors_origin, partial=partial)
        data = {"image": f"{task}.png"}
        whole = {"id": task, "data": data, "annotations": self.annotations.get(task, [])}
        lessons = learn_task(
            whole,
            parse_label_config(self.xml),
            memory,
            self.predictor,
            ResultOptions(),
            lambda photo: self._read(task, photo),
            shown=self._shown(),
        )
        return memory.names.learn(lessons)

    def _shown(self) -> Predictor:
        """What annotators see predictions of."""
        revision = self.folder.state.revision
        taught = ProjectTeacher(self.folder, self.model).taught(revision, self.problems.append)
        return self.predictor.taught_with(taught) if taught else self.predictor

    def taught(self) -> Taught | None:
        """What the newest names teach, as a process that has just started finds it."""
        state = self.folder.go_live(self.model.config, now=True)
        return ProjectTeacher(self.folder, self.model).taught(state.revision, self.problems.append)

    def taught_bytes(self) -> bytes:
        """The file of what the newest names teach."""
        self.taught()
        revision = self.folder.state.revision
        [file] = self.folder.path.glob(f"taught-*-{revision}.safetensors")
        return file.read_bytes()

    def masks(self, task: int) -> Mask:
        """All regions that are predicted now, together."""
        taught = self.taught()
        predictor = Predictor(self.model, self.model.config, taught)
        segment = predictor.segment(self.photos[task])
        found = np.zeros((segment.height, segment.width), dtype=np.bool_)
        for one in segment.regions:
            found |= one.mask
        return found

    def _read(self, task: int, photo: TaskPhoto) -> bytes:
        self.reads += 1
        return self.photos[task]
