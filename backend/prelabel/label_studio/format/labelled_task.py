"""A task as its labels are read: photos with names, and the items on each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prelabel.label_studio.format.annotations import LabelSource, chosen, result_items
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.format.labels import shared_labels
from prelabel.label_studio.format.photos import (
    TaskPhoto,
    UniqueNames,
    inside,
    photo_name,
    photo_of_item,
    task_photos,
)
from prelabel.label_studio.format.region_attributes import region_attributes
from prelabel.label_studio.format.regions import Size, item_size
from prelabel.storage.json import JsonObject


@dataclass(frozen=True, slots=True)
class NamedPhoto:
    """A photo of a task. ``name``: its own in the dataset. ``stated``: the size that the task says
    it has; None if it does not."""

    name: str
    photo: TaskPhoto
    stated: Size | None


class LabelledTask:
    """A task with the annotation or prediction that counts, if any.

    ``photos``: the task's. ``items``: the entry's result items. ``by_photo``: the same by the photo
    that they are on; None for those of which nothing tells. ``labels``, ``attributes``: what is
    said of regions in items of their own, by the region's id.
    """

    def __init__(
        self, task: JsonObject, what: LabelSource, label_config: LabelConfig | None
    ) -> None:
        self.task = task
        self.entry, self.predicted = chosen(task, what)
        self.items = result_items(self.entry)
        number = task.get("id")
        self.id = number if isinstance(number, int) else None
        self.photos = task_photos(self.id, task.get("data"), label_config)
        self.labels = shared_labels(self.items)
        self.attributes = region_attributes(self.items)
        self.by_photo: dict[TaskPhoto | None, list[JsonObject]] = {}
        for item in self.items:
            photo = photo_of_item(item, self.photos, label_config)
            self.by_photo.setdefault(photo, []).append(item)

    @property
    def model_version(self) -> str:
        """The prediction's model version; "" for an annotation."""
        return str(self.entry.get("model_version") or "") if self.entry and self.predicted else ""

    def named_photos(self, names: UniqueNames) -> Iterator[NamedPhoto]:
        """A task with one photo may have its name and size from prelabel (``meta``)."""
        number, meta = self.task.get("id"), self.task.get("meta")
        if not isinstance(meta, Mapping) or len(self.photos) != 1:
            meta = {}
        for photo in self.photos:
            name = meta.get("photo")
            name = inside(name) if isinstance(name, str) else ""
            size = {f"original_{side}": meta.get(side) for side in ("width", "height")}
            yield NamedPhoto(
                name=names.take(name or photo_name(photo.uri, number), number),
                photo=photo,
                stated=_commonest_size(self.by_photo.get(photo, ())) or item_size(size),
            )


def _commonest_size(items: Iterable[JsonObject]) -> Size | None:
    sizes = Counter(size for item in items if (size := item_size(item)))
    return sizes.most_common(1)[0][0] if sizes else None
