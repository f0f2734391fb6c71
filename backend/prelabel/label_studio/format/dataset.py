"""Label Studio tasks as labelled photos: which regions each photo has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prelabel.data.dataset import Problems
from prelabel.data.masks import rle_area, rle_box
from prelabel.data.records import Prediction, Region
from prelabel.errors import PhotoError, UserError
from prelabel.label_studio.format.label_choice import LabelChoice
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.format.labelled_task import LabelledTask, NamedPhoto
from prelabel.label_studio.format.labels import is_unnamed, item_label
from prelabel.label_studio.format.linked_regions import merge_linked, relations
from prelabel.label_studio.format.photos import UniqueNames, no_photo
from prelabel.label_studio.format.regions import Size, item_score, read_items
from prelabel.label_studio.format.shapes import shape_of_item
from prelabel.storage.json import JsonObject
from prelabel.storage.text import whole_text

FindSize = Callable[[NamedPhoto], Size | None]
"""A photo's size; None if nothing tells it. Raises PhotoError, with the reason, for that."""


class TaskLabels:
    """Tasks as a dataset's labels.

    ``tasks``: all of them, anew with each call. ``label_config``: the project's, where it is known.
    ``source``: the file or project, for messages. ``problems``: takes what was left out, counted
    anew with each stream. ``names``: of all photos that the last stream has passed, untouched ones
    too. Raises UserError if no task has a photo.

    - A region is one region, even where it has separate parts. Only if it was drawn twice, as
      through a brush and a rectangle tag, the finer one alone is kept: same label, and masks (or
      boxes, if one is a rectangle) with an IoU of 0.8 or more. Regions that a relation links are
      one, if they have one label.
    - ``cluster`` is the label's place in ``classes``; -1 for a region that has no label. A predicted
      region of a class that nobody has named has that class (``object 3``).
    - ``score`` is the prediction's; 1 for what is annotated.
    - A photo's size is what most of the regions on it state.
    """

    def __init__(
        self,
        tasks: Callable[[], Iterator[JsonObject]],
        choice: LabelChoice,
        *,
        label_config: LabelConfig | None,
        source: str,
        problems: Problems,
    ) -> None:
        self._tasks = tasks
        self._choice = choice
        self._label_config = label_config
        self._source = source
        self._problems = problems
        self._annotated = False
        self._changed: list[str] = []
        self.names: set[str] = set()
        self.classes, self.model_version = self._survey()
        self._clusters = {label: index for index, label in enumerate(self.classes)}

    @property
    def category_ids(self) -> dict[str, int]:
        """The classes' numbers in COCO, as far as the label config gives them."""
        given = self._label_config.categories if self._label_config else {}
        return {whole_text(name): number for name, number in given.items()}

    def photos(self) -> Iterator[NamedPhoto]:
        """Every photo that is streamed."""
        names = UniqueNames()
        for task in self._tasks():
            found = self._read(task)
            named = list(found.named_photos(names))
            if found.entry is not None or self._choice.untouched:
                yield from named

    def stream(self, find_size: FindSize) -> Iterator[Prediction]:
        """The labels of one photo after the other."""
        names, seen = UniqueNames(), set[int | str]()
        n_photos = n_touched = 0
        self.names.clear()
        self._problems.counts.clear()
        self._problems.examples.clear()
        for label in self._changed:
            what = "labels with half a character, which no file can hold, changed"
            self._problems.note(what, ascii(label))
        for task in self._tasks():
            here = f"{self._source}, task {task.get('id')}"
            found = self._read(task)
            self._note(found, here)
            number = task.get("id")
            if isinstance(number, int | str):
                if number in seen:
                    self._problems.note("task ids used twice, both kept", here)
                seen.add(number)
            own = list(found.named_photos(names))
            self.names.update(named.name for named in own)
            n_photos += len(own)
            n_touched += len(own) if found.entry is not None else 0
            if found.entry is not None or self._choice.untouched:
                for named in own:
                    size = self._size(found, named, find_size, here)
                    if size is not None:
                        regions = self._regions(found, named, size, here)
                        yield _prediction(named.name, size, regions, found.model_version)
        if n_touched < n_photos:
            self._note_untouched(n_touched, n_photos)

    def _read(self, task: JsonObject) -> LabelledTask:
        return LabelledTask(task, self._choice.what, self._label_config)

    def _survey(self) -> tuple[tuple[str, ...], str]:
        """Classes and, if there is only one, the version of the predictions that count."""
        known = dict.fromkeys(self._label_config.label_names if self._label_config else ())
        others: set[str] = set()
        versions: set[str] = set()
        data, has_photo = None, False
        for task in self._tasks():
            found = self._read(task)
            data, has_photo = task.get("data"), has_photo or bool(found.photos)
            if found.entry is None:
                continue
            self._annotated |= not found.predicted
            versions.add(found.model_version)
            labels = (
                item_label(item, found.labels, predicted=found.predicted) for item in found.items
            )
            others |= {self._stored(label) for label in labels if label}
        if data is not None and not has_photo:
            raise UserError(f"{self._source}: {no_photo(self._label_config, data)}")
        self._changed = sorted(label for label in {*known, *others} if whole_text(label) != label)
        known = dict.fromkeys(map(whole_text, known))
        # Classes without a name come last, in the order of their numbers.
        others = {whole_text(label) for label in others} - known.keys()
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
        what = self._choice.what
        listed = found.task.get("predictions") if what != "annotations" else None
        if isinstance(listed, list) and any(isinstance(number, int) for number in listed):
            self._problems.note(
                "tasks whose predictions are numbers only in this export: take them from the "
                "project itself (prelabel export --project)",
                here,
            )

    def _note_untouched(self, n_touched: int, n_photos: int) -> None:
        state = {"annotations": "are annotated", "predictions": "have a prediction"}.get(
            self._choice.what, "are annotated or have a prediction"
        )
        others = "the others have no regions"
        if not self._choice.untouched:
            others = "the others are not taken (--with-untouched, label-studio.untouched=true)"
        self._problems.note(f"of {n_photos} photos {state}; {others}", times=n_touched)

    def _size(
        self, found: LabelledTask, named: NamedPhoto, find_size: FindSize, here: str
    ) -> Size | None:
        try:
            size = find_size(named)
        except PhotoError as error:
            self._problems.note("photos left out", f"{here}: {named.name} {error}")
            return None
        items = [i for i in found.by_photo.get(named.photo, ()) if shape_of_item(i) is not None]
        if size is None and items:
            self._problems.note(
                "regions left out, since they do not state original_width and original_height: "
                "name the folder of photos",
                f"{here}: {named.name}",
                times=len(items),
            )
        elif size is None:
            self._problems.note(
                "photos without a region left out, since nothing tells their size: name the "
                "folder of photos",
                f"{here}: {named.name}",
            )
        return size

    def _stored(self, label: str) -> str:
        return self._label_config.stored(label) if self._label_config else label

    def _regions(
        self, found: LabelledTask, named: NamedPhoto, size: Size, here: str
    ) -> list[Region]:
        """Those of a photo, highest score first."""
        drawing = read_items(
            found.by_photo.get(named.photo, ()),
            size,
            shared=found.labels,
            place=here,
            problems=self._problems,
            predicted=found.predicted,
            attributes=found.attributes,
        )
        drawn = merge_linked(
            drawing.regions,
            relations(found.items),
            self._choice.merge_by,
            place=here,
            problems=self._problems,
        )
        whole = item_score(found.entry) if found.entry and found.predicted else None
        regions = []
        for one in drawn:
            own = one.score if one.score is not None else whole
            box, area = rle_box(one.rle), rle_area(one.rle)
            regions.append(
                Region(
                    rle=one.rle,
                    box=box,
                    area=area,
                    score=own if found.predicted and own is not None else 1.0,
                    cluster=self._clusters.get(whole_text(self._stored(one.label)), -1),
                    is_box=one.kind == "rectangle" and area == box[2] * box[3],  # not a turned one
                    attributes=one.attributes,
                )
            )
        return sorted(regions, key=lambda region: -region.score)


def _prediction(photo: str, size: Size, regions: Sequence[Region], version: str) -> Prediction:
    return Prediction(
        photo=photo,
        digest="",
        width=size[0],
        height=size[1],
        regions=tuple(regions),
        dropped=0,
        model_version=version,
    )
