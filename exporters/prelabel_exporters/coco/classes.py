"""The classes of a COCO file: names, and the class of each annotation."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import TypeGuard

from prelabel.data.dataset import Problems
from prelabel_exporters.coco.file import Annotation, InstancesFile

_MOST_CLASSES = 2**16
_NOT_IN_FILES = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters and lone surrogates."""


class Classes:
    """``names``: by class id, in the file's order.

    Where the annotations have a ``cluster``, as this tool writes it beside a ``model_version``, that
    is the class id, and categories are one more.
    """

    def __init__(self, file: Path, data: InstancesFile, problems: Problems) -> None:
        categories = _categories(file, data, problems)
        self.names = tuple(categories.values())
        self._class_of = {number: i for i, number in enumerate(categories)}
        if _is_written_by_prelabel(data, categories):
            self._take_clusters(data.annotations, categories)

    def _take_clusters(
        self, annotations: list[Annotation], categories: dict[Hashable, str]
    ) -> None:
        ids = [number for number in categories if isinstance(number, int)]
        names = {number - 1: categories[number] for number in ids}
        for annotation in annotations:
            if _is_class(annotation.cluster, 0):
                names.setdefault(
                    annotation.cluster, categories.get(id_of(annotation.category_id), "")
                )
        self.names = tuple(names.get(i) or f"object {i + 1}" for i in range(max(names) + 1))
        self._class_of = {number: number - 1 for number in ids}

    def of(self, annotation: Annotation) -> int | None:
        """The class of an annotation; None if the file does not have its category. If it was
        corrected, the category says it and not the cluster, since people see the category."""
        cluster, category = annotation.cluster, self._class_of.get(id_of(annotation.category_id))
        if category is None or not (_is_class(cluster, 0) and cluster < len(self.names)):
            return category
        return cluster if self.names[cluster] == self.names[category] else category


def id_of(value: object) -> Hashable:
    """An id; None where it is of a type that no id can have."""
    return None if isinstance(value, list | dict) else value


def _categories(file: Path, data: InstancesFile, problems: Problems) -> dict[Hashable, str]:
    """Names by category id, in the file's order."""
    categories: dict[Hashable, str] = {}
    for category in data.categories:
        number, name = id_of(category.get("id")), category.get("name")
        place = f"{file}, category {category.get('id')!r}"
        if number is None:
            problems.note("categories without an id, left out", f"{place}: {name}")
        elif number in categories:
            problems.note("categories whose id comes twice, the first one taken", place)
        elif not isinstance(name, str) or not name:
            problems.note("categories without a name, left out", place)
        else:
            sound = _NOT_IN_FILES.sub("\N{REPLACEMENT CHARACTER}", name).strip() or "_"
            if sound != name:
                problems.note("names of categories that not all formats can hold, changed", place)
            categories[number] = sound
    return categories


def _is_written_by_prelabel(data: InstancesFile, categories: dict[Hashable, str]) -> bool:
    """Whether this tool wrote the file, from a model's predictions."""
    return (
        data.model_version is not None
        and bool(data.annotations)
        and all(_is_class(number, 1) for number in categories)
        and all(_is_class(annotation.cluster, 0) for annotation in data.annotations)
    )


def _is_class(value: object, first: int) -> TypeGuard[int]:
    return type(value) is int and first <= value < first + _MOST_CLASSES
