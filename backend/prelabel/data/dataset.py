"""Labelled photos from anywhere, and what exporters and readers know beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prelabel.data.records import Prediction
from prelabel.storage.remote import Place

_NO_LABELS = ("photos", "images", "tasks", "names", "categories")
"""What kinds of problems begin with that are not about labels."""


class Problems:
    """What could not be read or kept as it was: counted by kind, the first few with their place."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}

    def note(self, kind: str, place: str = "", *, times: int = 1) -> None:
        """Count one more, or several.

        Args:
            kind: what happened, as a plural ("polygons with holes, kept as RLE"). With "left out" in
                it, something is missing in the result.
            place: the file, and the id or name in it.
            times: how many are counted, 1 or more.
        """
        self.counts[kind] = self.counts.get(kind, 0) + times
        if place and len(known := self.examples.setdefault(kind, [])) < 3:
            known.append(place)

    @property
    def labels_left_out(self) -> int:
        """How many regions and the like are missing in the result; photos do not count."""
        return sum(
            n
            for kind, n in self.counts.items()
            if "left out" in kind and not kind.startswith(_NO_LABELS)
        )

    def lines(self) -> list[str]:
        """For people: one line for each kind."""
        return [
            f"{n} {kind}"
            + (f" ({'; '.join(self.examples[kind])})" if kind in self.examples else "")
            for kind, n in self.counts.items()
        ]


@dataclass(frozen=True, slots=True)
class ExportContext:
    """What an exporter may know beside the predictions.

    Attributes:
        photos: the folder that the photos' names are relative to, here or in object storage.
        classes: names by class id.
        model_version: of the model that predicted; "" for what people made.
        problems: takes what the format could not keep.
        addresses: of photos that have one, such as a URL, by name.
        category_ids: the numbers that classes have in COCO, by name, as far as they are given.
    """

    photos: Place
    classes: tuple[str, ...]
    model_version: str
    problems: Problems = dataclasses.field(default_factory=Problems)
    addresses: Mapping[str, str] = dataclasses.field(default_factory=dict)
    category_ids: Mapping[str, int] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled photos that were found somewhere.

    Attributes:
        photos: the folder that their names are relative to, here or in object storage; None where nothing
            tells it.
        classes: names by class id.
        stream: the labels of one photo after the other, anew with each call; raises UserError where
            the source is damaged.
        problems: what was left out or mended while streaming.
        model_version: of the model that predicted; "" for what people made.
        addresses: of photos that have one, such as a URL, by name.
        has_objects: whether each region is one object. Masks of classes alone do not tell the
            objects of a class apart.
        category_ids: the numbers that classes have in COCO, by name, as far as they are given.
    """

    photos: Place | None
    classes: tuple[str, ...]
    stream: Callable[[], Iterator[Prediction]]
    problems: Problems = dataclasses.field(default_factory=Problems)
    model_version: str = ""
    addresses: Mapping[str, str] = dataclasses.field(default_factory=dict)
    has_objects: bool = True
    category_ids: Mapping[str, int] = dataclasses.field(default_factory=dict)
