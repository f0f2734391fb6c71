"""Where photos come from: a folder, one photo, a COCO file, or a list of paths."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prelabel.errors import UserError
from prelabel.images import EXTENSIONS
from prelabel.records import Photo


@dataclass(frozen=True)
class PhotoSet:
    """Photos sorted by name. ``root``: the folder that names are relative to. ``skipped``: name and
    reason of those that cannot even be named."""

    root: Path
    photos: tuple[Photo, ...]
    skipped: tuple[tuple[str, str], ...] = ()


def find_photos(source: str | Path | Sequence[str | Path]) -> PhotoSet:
    """Photos of a folder (with sub-folders), of a COCO file's ``images`` (``.json``), of a list of
    paths, one a line (``.txt``), or a single photo. Raises UserError if there is none.
    """
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        if not path.exists():
            raise UserError(f"{str(path)!r}: no such folder or file")
        if path.is_dir():
            return _named(path, list(_walk(path)), source=path)
        if path.suffix.lower() == ".json":
            return _named(path.parent, _coco_files(path), source=path)
        if path.suffix.lower() == ".txt":
            lines = path.read_text(encoding="utf-8").splitlines()
            files = [path.parent / line for line in lines if line.strip()]
            return _listed(files, source=path)
        return _named(path.parent, [path], source=path)
    return _listed([Path(file) for file in source], source=Path("the list"))


def _walk(root: Path) -> Iterator[Path]:
    """Files with a picture's ending; links are followed, but no folder is entered twice."""
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                yield Path(folder) / name


def _coco_files(file: Path) -> list[Path]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["images"]
        return [file.parent / entry["file_name"] for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: no COCO file with images and their file_name ({error})") from error


def _listed(files: Sequence[Path], *, source: Path) -> PhotoSet:
    files = [file.absolute() for file in files]
    folders = {file.parent for file in files}
    root = Path(os.path.commonpath([str(f) for f in folders])) if folders else Path.cwd()
    return _named(root, files, source=source)


def _named(root: Path, files: Sequence[Path], *, source: Path) -> PhotoSet:
    photos: dict[str, Photo] = {}
    skipped = []
    for file in files:
        name = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            readable = name.encode("utf-8", "backslashreplace").decode()
            skipped.append((readable, "its name is not valid Unicode: rename it"))
            continue
        photos[name] = Photo(name=name, file=file)
    if not photos and not skipped:
        endings = " ".join(sorted(EXTENSIONS))
        raise UserError(f"{str(source)!r} holds no photo (looked for {endings})")
    return PhotoSet(root, tuple(photos[name] for name in sorted(photos)), tuple(skipped))
