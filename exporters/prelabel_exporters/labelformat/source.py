"""Where the photos and labels of a YOLO folder are, in the layouts that tools write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from prelabel.data.images import EXTENSIONS
from prelabel.errors import UserError
from prelabel.storage.files import is_file, is_folder
from prelabel_exporters.common import read_text, whole_number

_YAML = (".yaml", ".yml")
_NAMES = ("classes.txt", "obj.names")
"""Lists of names, of Label Studio and other tools, and of Darknet (CVAT's YOLO 1.1)."""
_SPLITS = ("train", "val", "validation", "test", "minival")
_LOOK = 1 << 18
"""Bytes of the largest ``data.yaml``: thousands of names are far less."""


@dataclass(frozen=True)
class Source:
    """``root``: what splits are relative to. ``names``: of the classes by number. ``splits``: folders,
    lists and photos, each with what names it. ``file``: that was read."""

    root: Path
    names: Mapping[int, str]
    splits: tuple[str, ...]
    file: Path


def find_source(source: Path) -> Path | None:
    """The ``data.yaml`` or the list of names of a YOLO folder, or ``source`` itself if it is one;
    None for anything else."""
    if source.is_file():
        return source if source.suffix.lower() in _YAML and _is_data(source) else None
    files = [file for end in _YAML for file in sorted(source.glob(f"*{end}"))]
    found = next((file for file in files if _is_data(file)), None)
    if found is None:
        lists = (source / name for name in _NAMES)
        found = next((file for file in lists if file.is_file() and _has_labels(source)), None)
    return found


def read_source(file: Path) -> Source:
    """What such a file says. Raises UserError."""
    if file.suffix.lower() not in _YAML:
        lines = [line.strip() for line in read_text(file).split("\n")]
        names = {number: name for number, name in enumerate(lines) if name}
        photos = "train.txt" if (file.parent / "train.txt").is_file() else "images"
        return Source(file.parent, _checked(names, file), (photos,), file)
    data = _load(file)
    if "kpt_shape" in data:
        raise UserError(f"{file} is of key points (kpt_shape): expected boxes or polygons")
    root = file.parent
    path = data.get("path")
    if isinstance(path, str) and is_folder(file.parent / path):
        root = file.parent / path
    splits: list[str] = []
    for value in (data.get(split) for split in _SPLITS):
        texts = value if isinstance(value, list) else [value]
        splits += [text for text in texts if isinstance(text, str) and text]
    return Source(root, _names(data, file), tuple(splits), file)


def photos_of(source: Source) -> Iterator[str]:
    """What stands for each photo: a path that is absolute, or begins with that of the root. Raises
    UserError for a list that cannot be read."""
    for split in source.splits:
        place = _place(source.root, split)
        if is_folder(place):
            yield from (str(f) for f in sorted(place.rglob("*")) if _is_photo(f.name))
        elif place.suffix.lower() == ".txt" and is_file(place):
            for line in read_text(place).split("\n"):
                text = line.strip().replace("\\", "/")
                if text:
                    # Ultralytics: relative to the list with a dot, else to where it was started.
                    is_own = text.startswith("./") or is_file(place.parent / text)
                    yield str(place.parent / text if is_own else _place(source.root, text))
        elif _is_photo(place.name):
            yield str(place)
        else:
            yield from _by_labels(source.root, place)


def label_file(photo: Path) -> Path:
    """Where a photo's labels are: ``labels/`` instead of the last ``images/``, as Ultralytics looks,
    else beside it."""
    parts = list(photo.parts)
    if "images" in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index("images")
        parts[last] = "labels"
    return Path(*parts).with_suffix(".txt")


def _by_labels(root: Path, place: Path) -> Iterator[str]:
    """Photos that are not there, by the names of their labels."""
    labels = label_file(place / "x.jpg").parent
    for file in sorted((labels if is_folder(labels) else root / "labels").rglob("*.txt")):
        inside = file.relative_to(labels if is_folder(labels) else root / "labels")
        yield str(place / inside.with_suffix(".jpg"))


def _place(root: Path, split: str) -> Path:
    text = split.replace("\\", "/")
    place = root / text
    if is_file(place) or is_folder(place):
        return place
    # Paths of another machine, and those of Roboflow, which lead out: by their end.
    parts = [part for part in PurePosixPath(text).parts if part not in ("..", "/")]
    ends = (root.joinpath(*parts[first:]) for first in range(len(parts)))
    return next((end for end in ends if is_file(end) or is_folder(end)), place)


def _load(file: Path) -> dict[str, object]:
    try:
        # Every value as text: in YAML 1.1 the names "no" and "on" are flags.
        data = yaml.load(read_text(file), Loader=yaml.BaseLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file} is not YAML that can be read ({reason})") from error
    if not isinstance(data, dict):
        raise UserError(f"{file} is not YOLO's data.yaml: expected names, train and val")
    return {str(key): value for key, value in data.items()}


def _names(data: Mapping[str, object], file: Path) -> Mapping[int, str]:
    found = data.get("names")
    listed = enumerate(found) if isinstance(found, list) else ()
    names: dict[int, str] = {}
    for key, name in found.items() if isinstance(found, dict) else listed:
        number = whole_number(key)
        if number is None or not isinstance(name, str) or not name:
            raise UserError(f"{file}: {key!r}: {name!r} does not name a class, expected 0: name")
        names[number] = name
    return _checked(names, file)


def _checked(names: Mapping[int, str], file: Path) -> Mapping[int, str]:
    if not names or min(names) < 0 or max(names) >= 2**16:
        raise UserError(f"{file} names no classes that can be read: expected names from 0")
    return names


def _is_data(file: Path) -> bool:
    try:
        if file.stat().st_size > _LOOK:
            return False
        data = _load(file)
    except (UserError, OSError):
        return False
    return isinstance(data.get("names"), list | dict) and any(split in data for split in _SPLITS)


def _has_labels(folder: Path) -> bool:
    return (folder / "labels").is_dir() or (folder / "obj_train_data").is_dir()


def _is_photo(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in EXTENSIONS
