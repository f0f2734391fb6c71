"""Label Studio tasks as labelled photos: which regions each photo has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from pycocotools import mask as coco_mask

from prelabel.data.dataset import Problems
from prelabel.data.masks import rle_area, rle_box
from prelabel.data.records import Prediction, Region
from prelabel.errors import PhotoError
from prelabel.label_studio.format.annotations import LabelSource
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.format.labelled_task import LabelledTask, NamedPhoto
from prelabel.label_studio.format.labels import is_unnamed, item_label, shared_labels
from prelabel.label_studio.format.photos import UniqueNames
from prelabel.label_studio.format.regions import DrawnRegion, Size, item_score, read_items
from prelabel.label_studio.format.shapes import shape_of_item
from prelabel.storage.json import JsonObject

FindSize = Callable[[NamedPhoto], Size | None]
"""A photo's size; None if nothing tells it. Raises PhotoError, with the reason, for that."""


class TaskLabels:
    """Tasks as a dataset's labels.

    ``tasks``: all of them, anew with each call. ``what``: which labels count. ``label_config``: the
    project's, where it is known. ``source``: the file or project, for messages. ``problems``: takes
    what was left out, counted anew with each stream.

    - A photo that nobody has labelled is there, without regions.
    - A region is one region, even where it has separate parts. Only if it was drawn twice, as
      through a brush and a rectangle tag, the finer one alone is kept: same label, and masks (or
      boxes, if one is a rectangle) with an IoU of 0.8 or more.
    - ``cluster`` is the label's place in ``classes``; -1 for a region that has no label. A predicted
      region of a class that nobody has named has that class (``object 3``).
    - ``score`` is the prediction's; 1 for what is annotated.
    - A photo's size is what most of the regions on it state.
    """

    def __init__(
        self,
        tasks: Callable[[], Iterator[JsonObject]],
        *,
        what: LabelSource,
        label_config: LabelConfig | None,
        source: str,
        problems: Problems,
    ) -> None:
        self._tasks = tasks
        self._what = what
        self._label_config = label_config
        self._source = source
        self._problems = problems
        self._annotated = False
        self.classes, self.model_version = self._survey()
        self._clusters = {label: index for index, label in enumerate(self.classes)}

    def photos(self) -> Iterator[NamedPhoto]:
        """Every photo of every task."""
        names = UniqueNames()
        for task in self._tasks():
            yield from LabelledTask(task, self._what, self._label_config).named_photos(names)

    def stream(self, find_size: FindSize) -> Iterator[Prediction]:
        """The labels of one photo after the other."""
        names, seen = UniqueNames(), set[int | str]()
        self._problems.counts.clear()
        self._problems.examples.clear()
        for task in self._tasks():
            here = f"{self._source}, task {task.get('id')}"
            found = LabelledTask(task, self._what, self._label_config)
            self._note(found, here)
            number = task.get("id")
            if isinstance(number, int | str):
                if number in seen:
                    self._problems.note("task ids used twice, both kept", here)
                seen.add(number)
            shared = shared_labels(found.items)
            for named in found.named_photos(names):
                size = self._size(named, find_size, here)
                if size is None:
                    continue
                drawing = read_items(
                    found.by_photo.get(named.photo, ()),
                    size,
                    shared=shared,
                    place=here,
                    problems=self._problems,
                    predicted=found.predicted,
                )
                regions = self._regions(drawing.regions, found)
                yield _prediction(named.name, size, regions, found.model_version)

    def _survey(self) -> tuple[tuple[str, ...], str]:
        """Classes and, if there is only one, the version of the predictions that count."""
        known = dict.fromkeys(self._label_config.label_names if self._label_config else ())
        others: set[str] = set()
        versions: set[str] = set()
        for task in self._tasks():
            found = LabelledTask(task, self._what, self._label_config)
            if found.entry is None:
                continue
            self._annotated |= not found.predicted
            versions.add(found.model_version)
            shared = shared_labels(found.items)
            labels = (item_label(item, shared, predicted=found.predicted) for item in found.items)
            others |= {self._stored(label) for label in labels if label}
        # Classes without a name come last, in the order of their numbers.
        others -= known.keys()
        order = sorted(others, key=lambda n: (len(n), n) if is_unnamed(n) else (0, n))
        classes = (*known, *order)
        return classes, versions.pop() if len(versions) == 1 else ""

    def _note(self, found: LabelledTask, here: str) -> None:
        if not found.photos:
            self._problems.note("tasks without a photo, left out", here)
        else:
            for _ in range(sum(shape_of_item(i) is not None for i in found.by_photo.get(None, ()))):
                self._problems.note(
                    "regions left out, since nothing tells which photo they are on: the project's "
                    "label config would",
                    here,
                )
        if found.predicted and found.entry is not None and self._annotated:
            self._problems.note("tasks that nobody has annotated, taken from predictions")
        listed = found.task.get("predictions") if self._what != "annotations" else None
        if isinstance(listed, list) and any(isinstance(number, int) for number in listed):
            self._problems.note(
                "tasks whose predictions are numbers only in this export: take them from the "
                "project itself (prelabel export --project)",
                here,
            )

    def _size(self, named: NamedPhoto, find_size: FindSize, here: str) -> Size | None:
        try:
            size = find_size(named)
        except PhotoError as error:
            self._problems.note("photos left out", f"{here}: {named.name} {error}")
            return None
        if size is None:
            self._problems.note(
                "photos without a region left out, since nothing tells their size: name the "
                "folder of photos",
                f"{here}: {named.name}",
            )
        return size

    def _stored(self, label: str) -> str:
        return self._label_config.stored(label) if self._label_config else label

    def _regions(self, drawn: Iterable[DrawnRegion], found: LabelledTask) -> list[Region]:
        """Highest score first."""
        whole = item_score(found.entry) if found.entry and found.predicted else None
        regions = []
        for one in drawn:
            own = one.score if one.score is not None else whole
            regions.append(
                Region(
                    rle=one.rle,
                    box=rle_box(one.rle),
                    area=rle_area(one.rle),
                    score=own if found.predicted and own is not None else 1.0,
                    cluster=self._clusters.get(self._stored(one.label), -1),
                )
            )
        return sorted(regions, key=lambda region: -region.score)


def _prediction(photo: str, size: Size, regions: Sequence[Region], version: str) -> Prediction:
    together = coco_mask.merge([region.rle for region in regions]) if regions else None
    return Prediction(
        photo=photo,
        digest="",
        width=size[0],
        height=size[1],
        regions=tuple(regions),
        foreground=rle_area(together) / (size[0] * size[1]) if together else 0.0,
        dropped=0,
        model_version=version,
    )
