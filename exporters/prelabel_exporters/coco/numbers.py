"""Numbers, flags and ids as other tools write them: ``"0"``, ``640.0``, ``"false"``, a name of 7."""

from __future__ import annotations

from pathlib import Path

from prelabel.data.dataset import Problems
from prelabel_exporters.coco.file import Annotation, InstancesFile
from prelabel_exporters.common import whole_number

WRITTEN_OTHERWISE = "numbers and flags written as others do, read as what they mean"
_LARGEST_SCORE = 1e9
_FLAGS = {"0": 0, "1": 1, "false": 0, "true": 1, "no": 0, "yes": 1, "": 0}


def normalize(data: InstancesFile, file: Path, problems: Problems) -> None:
    """Change what is certain to the type that COCO has. An annotation whose ``iscrowd`` is not
    certain is taken out; each change is noted."""

    def changed(value: object, found: object, place: str) -> object:
        if type(found) is not type(value):
            problems.note(WRITTEN_OTHERWISE, f"{file}, {place} {value!r}")
        return found

    for category in data.categories:
        place = f"category {category.get('id')!r}:"
        if "id" in category:
            category["id"] = changed(category["id"], _id(category["id"]), f"{place} id")
        if type(name := category.get("name")) in (int, float):
            category["name"] = changed(name, str(name), f"{place} name")
    for image in data.images:
        if type(image.id) is int and type(image.width) is int and type(image.height) is int:
            continue
        place = f"image {image.id!r}:"
        image.id = changed(image.id, _id(image.id), f"{place} id")
        for side in ("width", "height"):
            value = getattr(image, side)
            if type(value) is not int and (number := whole_number(value)) is not None:
                setattr(image, side, changed(value, number, f"{place} {side}"))
    for annotation in data.annotations:
        place = f"annotation {annotation.id!r}:"
        for name in ("id", "image_id", "category_id", "cluster"):
            value = getattr(annotation, name)
            if type(value) is not int and value is not None:
                setattr(annotation, name, changed(value, _id(value), f"{place} {name}"))
        if type(annotation.score) is not float and annotation.score is not None:
            annotation.score = changed(
                annotation.score, _number(annotation.score), f"{place} score"
            )
    data.annotations = [a for a in data.annotations if _has_flag(a, file, problems)]


def score_of(score: object) -> float | None:
    """A score that is a number that can be compared; 1.0 where there is none, as for what people
    made; None for anything else."""
    if score is None:
        return 1.0
    if isinstance(score, bool) or not isinstance(score, int | float):
        return None
    return float(score) if abs(score) <= _LARGEST_SCORE else None


def _has_flag(annotation: Annotation, file: Path, problems: Problems) -> bool:
    """Whether ``iscrowd`` is 0 or 1, made so if it is certain."""
    value = annotation.iscrowd
    if type(value) is int and value in (0, 1):
        return True
    place = f"{file}, annotation {annotation.id!r}: iscrowd {value!r}"
    if value is None or isinstance(value, bool):
        annotation.iscrowd = int(bool(value))
        return True
    number = _FLAGS.get(value.strip().casefold()) if isinstance(value, str) else None
    number = whole_number(value) if number is None else number
    if number not in (0, 1):
        problems.note("annotations whose iscrowd is neither 0 nor 1, left out", place)
        return False
    problems.note(WRITTEN_OTHERWISE, place)
    annotation.iscrowd = number
    return True


def _id(value: object) -> object:
    """An id; text that is how a whole number is written is that number."""
    number = whole_number(value)
    is_written_otherwise = isinstance(value, str) and str(number) != value.strip()
    return value if number is None or is_written_otherwise else number


def _number(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return value
    try:
        return float(value)
    except (ValueError, OverflowError):
        return value
