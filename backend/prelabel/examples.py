"""Which labels are the examples whose like is looked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from prelabel.data.dataset import Dataset
from prelabel.data.records import ImageFile, Prediction
from prelabel.errors import UserError
from prelabel.labelled_photos import labelled_photos
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.steps.patch_labels import LabelledPhoto
from prelabel.storage.progress import RunLog

_NAMED = 5
"""Names that a message lists."""


@dataclass(frozen=True)
class ExampleChoice:
    """``photo``: the only one that examples are taken of, "" for all with labels. ``class_name``: their
    only class, "" for all. ``complete``: whether what is not labelled on these photos is
    background."""

    photo: str = ""
    class_name: str = ""
    complete: bool = True


@dataclass(frozen=True)
class Examples:
    """``matched``: the photos with examples and their labels; ``others``: photos to search."""

    matched: tuple[tuple[ImageFile, Prediction], ...]
    others: tuple[ImageFile, ...]
    labels: Dataset
    choice: ExampleChoice

    def read(self, segmenter: PhotoSegmenter, log: RunLog) -> list[LabelledPhoto]:
        """What is drawn on the photos with examples. Objects of other classes than the chosen one count
        as background. Raises UserError if none of them can be used."""
        with log.stage("examples", len(self.matched)):
            found = list(log.advancing(self._read(segmenter, log)))
        if not found:
            raise UserError(
                f"no photo with examples can be used: {self.matched[0][0].name} {self._reason(log)}"
            )
        return found

    def _read(self, segmenter: PhotoSegmenter, log: RunLog) -> Iterator[LabelledPhoto]:
        chosen = self.choice.class_name
        for _, photo in labelled_photos(
            self.matched, self.labels, segmenter, log, complete=self.choice.complete
        ):
            regions = tuple(
                region if chosen in ("", region.name) else replace(region, name="")
                for region in photo.regions
            )
            yield replace(photo, regions=regions)

    def _reason(self, log: RunLog) -> str:
        name = self.matched[0][0].name
        return log.skipped.get(name) or "; ".join(self.labels.problems.lines())


def choose_examples(
    matched: Sequence[tuple[ImageFile, Prediction]],
    labels: Dataset,
    photos: Sequence[ImageFile],
    choice: ExampleChoice,
) -> Examples:
    """The examples among labels that were matched with ``photos``. Raises UserError if there is none, or
    no other photo."""
    if choice.photo:
        by_name = [pair for pair in matched if pair[0].name == choice.photo]
        matched = by_name or [
            pair for pair in matched if pair[0].name.rpartition("/")[2] == choice.photo
        ]
        if len(matched) != 1:
            known = {file.name for file in photos}
            found = (
                "has no labels" if choice.photo in known else "is not among the photos with labels"
            )
            if matched:
                found = f"is the name of {len(matched)} photos: name its folder too"
            raise UserError(f"--photo {choice.photo!r} {found}")
    drawn = {
        labels.classes[region.cluster]
        for _, labelled in matched
        for region in labelled.regions
        if region.cluster >= 0 and not region.crowd and region.area
    }
    if choice.class_name and choice.class_name not in drawn:
        raise UserError(
            f"--class {choice.class_name!r}: no object of it is labelled, only of {_listed(drawn)}"
        )
    if not drawn - {""}:
        raise UserError("the labels hold no object with a class, so there is no example")
    names = {file.name for file, _ in matched}
    others = tuple(photo for photo in photos if photo.name not in names)
    if not others:
        raise UserError(
            "every photo is an example, so there is no other one to search: name one with --photo"
            if len(names) > 1
            else "there is no other photo than the example, so there is none to search"
        )
    return Examples(tuple(matched), others, labels, choice)


def _listed(names: set[str]) -> str:
    known = sorted(names)
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return ", ".join(map(repr, known[:_NAMED])) + more if known else "none"
