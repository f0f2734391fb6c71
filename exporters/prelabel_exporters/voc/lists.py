"""The lists of photos in ImageSets/, as many tools write them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from prelabel.data.dataset import Problems
from prelabel.data.images import EXTENSIONS
from prelabel.storage.files import is_file
from prelabel_exporters.common import read_text
from prelabel_exporters.voc.layout import CLASSES, IMAGES, LISTS, MASK_ENDINGS, find_mask

_MORE = "lines of lists with more than a name, which is taken"


@dataclass(frozen=True)
class Listed:
    """``name``: of the masks, without ending. ``photo``: the photo's name below ``JPEGImages/`` where
    a list pairs it with a mask; else "", and the photo has the masks' name."""

    name: str
    photo: str = ""


def listed(root: Path, problems: Problems) -> Iterator[Listed]:
    """The photos that the lists name, in their order; without lists, those that have masks."""
    lists = root / LISTS
    whole = lists / "trainval.txt"
    files = [whole] if whole.is_file() else sorted(lists.glob("*.txt"))
    if not files:
        yield from _with_masks(root / CLASSES)
        return
    seen: set[str] = set()
    for file in files:
        for number, line in enumerate(read_text(file).split("\n"), start=1):
            if not (text := line.strip()):
                continue
            found = _meant(root, text)
            if found.name != text:
                problems.note(_MORE, f"{file}, line {number}: {text!r}")
            if found.name not in seen:
                seen.add(found.name)
                yield found


def _with_masks(masks: Path) -> Iterator[Listed]:
    names = (
        file.relative_to(masks).with_suffix("").as_posix()
        for file in sorted(masks.rglob("*"))
        if file.suffix.lower() in MASK_ENDINGS
    )
    yield from map(Listed, dict.fromkeys(names))


def _meant(root: Path, line: str) -> Listed:
    """What a line means: the first reading of it that has a mask, else the line as it stands."""
    words = line.split()
    for text in dict.fromkeys((line, *_beginnings(line), *words)):
        for name in _names(text):
            path = PurePosixPath(name)
            is_inside = not path.is_absolute() and ".." not in path.parts and "\0" not in name
            if is_inside and is_file(find_mask(root / CLASSES, name)):
                is_pair = text in words[1:] and PurePosixPath(words[0]).suffix.lower() in EXTENSIONS
                return Listed(name, next(iter(_names(words[0]))) if is_pair else "")
    return Listed(line)


def _beginnings(line: str) -> Iterator[str]:
    """The line without its last word, its last two …: what follows a name in further columns."""
    while line := line.rstrip().rpartition(" ")[0].rstrip():
        yield line


def _names(text: str) -> Iterator[str]:
    """A path below the folder of photos or masks, and without the ending of its file."""
    parts = list(PurePosixPath(text.replace("\\", "/")).parts)
    for folder in (IMAGES, CLASSES):
        if folder in parts:
            parts = parts[len(parts) - parts[::-1].index(folder) :]
    path = PurePosixPath(*parts)
    yield path.as_posix()
    if path.suffix.lower() in (*EXTENSIONS, *MASK_ENDINGS):
        yield path.with_suffix("").as_posix()
