"""Label Studio tasks as labelled photos: which regions each photo has, whoever drew them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pycocotools import mask as coco_mask

from prelabel.data.dataset import Problems
from prelabel.data.masks import rle_area, rle_box
from prelabel.data.records import Prediction, Region
from prelabel.errors import PhotoError
from prelabel.label_studio.format.annotations import Entry, What, chosen
from prelabel.label_studio.format.items import Item
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.format.photo_names import UniqueNames, inside, photo_name
from prelabel.label_studio.format.regions import (
    DrawnRegion,
    Size,
    is_region,
    is_unnamed,
    item_label,
    item_score,
    item_size,
    read_items,
    shared_labels,
)
from prelabel.label_studio.format.task_images import Place, place_of, places

Task = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NamedPhoto:
    """A photo of a task. ``name``: its own in the dataset. ``uri``: where the task says it lies.
    ``stated``: the size that the task says it has; None if it does not."""

    name: str
    uri: str
    task: int | None
    stated: Size | None


Look = Callable[[NamedPhoto], Size | None]
"""A photo's size; None if nothing tells it. Raises PhotoError, with the reason, for that."""


class TaskLabels:
    """Tasks as a dataset's labels.

    ``tasks``: all of them, anew with each call. ``what``: which labels count. ``config``: the
    project's label config, where it is known. ``source``: the file or project, for messages.
    ``problems``: takes what was left out, counted anew with each stream.

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
        tasks: Callable[[], Iterator[Task]],
        *,
        what: What,
        config: LabelConfig | None,
        source: str,
        problems: Problems,
    ) -> None:
        self._tasks = tasks
        self._what = what
        self._config = config
        self._source = source
        self._problems = problems
        self._annotated = False
        self.classes, self.model_version = self._survey()
        self._clusters = {label: index for index, label in enumerate(self.classes)}

    def photos(self) -> Iterator[NamedPhoto]:
        """Every photo of every task."""
        names = UniqueNames()
        for task in self._tasks():
            entry, _ = chosen(task, self._what)
            own = places(task["data"], self._config)
            yield from _task_photos(task, own, self._by_place(_results(entry), own), names)

    def stream(self, look: Look) -> Iterator[Prediction]:
        """The labels of one photo after the other; ``look`` is asked for each one's size."""
        names, seen = UniqueNames(), set[object]()
        self._problems.counts.clear()
        self._problems.examples.clear()
        for task in self._tasks():
            here = f"{self._source}, task {task.get('id')}"
            entry, predicted = chosen(task, self._what)
            results = _results(entry)
            own = places(task["data"], self._config)
            by_place = self._by_place(results, own)
            self._note(task, own, by_place, predicted and entry is not None, here)
            if task.get("id") in seen:
                self._problems.note("task ids used twice, both kept", here)
            seen.add(task.get("id", object()))
            shared = shared_labels(results)
            for place, photo in zip(own, _task_photos(task, own, by_place, names), strict=True):
                size = self._size(photo, look, here)
                if size is None:
                    continue
                drawn = read_items(
                    by_place.get(place, ()),
                    size,
                    shared=shared,
                    place=here,
                    problems=self._problems,
                    predicted=predicted,
                )
                regions = self._regions(drawn, entry if predicted else None)
                version = str(entry.get("model_version") or "") if entry and predicted else ""
                yield _prediction(photo.name, size, regions, version)

    def _survey(self) -> tuple[tuple[str, ...], str]:
        """Classes and, if there is only one, the version of the predictions that count."""
        known = dict.fromkeys(self._config.label_names if self._config else ())
        others: set[str] = set()
        versions: set[str] = set()
        for task in self._tasks():
            entry, predicted = chosen(task, self._what)
            if entry is None:
                continue
            self._annotated |= not predicted
            versions.add(str(entry.get("model_version") or "") if predicted else "")
            results = _results(entry)
            shared = shared_labels(results)
            labels = (item_label(item, shared, predicted=predicted) for item in results)
            others |= {label for label in labels if label}
        # Classes without a name come last, in the order of their numbers.
        others -= known.keys()
        order = sorted(others, key=lambda n: (len(n), n) if is_unnamed(n) else (0, n))
        classes = (*known, *order)
        return classes, versions.pop() if len(versions) == 1 else ""

    def _by_place(
        self, results: Iterable[Item], own: Sequence[Place]
    ) -> dict[Place | None, list[Item]]:
        """The items by the photo that they were drawn on; None: by no photo that can be told."""
        found: dict[Place | None, list[Item]] = {}
        for item in results:
            found.setdefault(place_of(item, own, self._config), []).append(item)
        return found

    def _note(
        self,
        task: Task,
        own: Sequence[Place],
        by_place: Mapping[Place | None, Sequence[Item]],
        predicted: bool,
        here: str,
    ) -> None:
        if not own:
            self._problems.note("tasks without a photo, left out", here)
        elif lost := sum(is_region(item) for item in by_place.get(None, ())):
            for _ in range(lost):
                self._problems.note(
                    "regions left out, since nothing tells which photo they are on: the project's "
                    "label config would",
                    here,
                )
        if predicted and self._annotated:
            self._problems.note("tasks that nobody has annotated, taken from predictions")
        listed = task.get("predictions") if self._what != "annotations" else None
        if isinstance(listed, list) and any(isinstance(number, int) for number in listed):
            self._problems.note(
                "tasks whose predictions are numbers only in this export: take them from the "
                "project itself (prelabel export --project)",
                here,
            )

    def _size(self, photo: NamedPhoto, look: Look, here: str) -> Size | None:
        try:
            size = look(photo)
        except PhotoError as error:
            self._problems.note("photos left out", f"{here}: {photo.name} {error}")
            return None
        if size is None:
            self._problems.note(
                "photos without a region left out, since nothing tells their size: name the "
                "folder of photos",
                f"{here}: {photo.name}",
            )
        return size

    def _regions(self, drawn: Iterable[DrawnRegion], prediction: Entry | None) -> list[Region]:
        """Highest score first. ``prediction``: None for what is annotated."""
        whole = item_score(prediction) if prediction else None
        found = []
        for one in drawn:
            own = one.score if one.score is not None else whole
            found.append(
                Region(
                    rle=one.rle,
                    box=rle_box(one.rle),
                    area=rle_area(one.rle),
                    score=own if prediction and own is not None else 1.0,
                    cluster=self._clusters.get(one.label, -1),
                )
            )
        return sorted(found, key=lambda region: -region.score)


def _results(entry: Entry | None) -> list[Item]:
    return [dict(item) for item in entry["result"] if isinstance(item, Mapping)] if entry else []


def _task_photos(
    task: Task,
    own: Sequence[Place],
    by_place: Mapping[Place | None, Sequence[Item]],
    names: UniqueNames,
) -> Iterator[NamedPhoto]:
    """The photos of a task. A task with one may have its name and size from prelabel (``meta``)."""
    number, meta = task.get("id"), task.get("meta")
    if not isinstance(meta, Mapping) or len(own) != 1:
        meta = {}
    for place in own:
        name = meta.get("photo")
        name = inside(name) if isinstance(name, str) else ""
        size = {f"original_{side}": meta.get(side) for side in ("width", "height")}
        yield NamedPhoto(
            name=names.take(name or photo_name(place.uri, number), number),
            uri=place.uri,
            task=number if isinstance(number, int) else None,
            stated=_commonest(by_place.get(place, ())) or item_size(size),
        )


def _commonest(items: Iterable[Item]) -> Size | None:
    sizes = Counter(size for item in items if (size := item_size(item)))
    return sizes.most_common(1)[0][0] if sizes else None


def _prediction(photo: str, size: Size, regions: list[Region], version: str) -> Prediction:
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
