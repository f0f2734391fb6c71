"""Where photos come from: a folder, one photo, a COCO file, or a list of paths."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from prelabel.data.images import EXTENSIONS
from prelabel.data.records import ImageFile
from prelabel.errors import UserError
from prelabel.storage.marker import is_prelabel_folder

T = TypeVar("T")


@dataclass(frozen=True)
class PhotoSet:
    """Photos sorted by name. ``root``: the folder that names are relative to. ``skipped``: names and
    reasons of photos left out because their folder or name cannot be read."""

    root: Path
    photos: tuple[ImageFile, ...]
    skipped: tuple[tuple[str, str], ...] = ()


def find_photos(source: str | Path | Sequence[str | Path]) -> PhotoSet:
    """Photos of a folder (with sub-folders), of a COCO file's ``images`` (``.json``), of a list of
    paths, one a line (``.txt``), or a single photo. Raises UserError if there is none.
    """
    if not isinstance(source, str | Path):
        return _listed([Path(file) for file in source], source=Path("the list"))
    path = Path(source)
    try:
        path = path.expanduser()
        path.stat()
    except (OSError, RuntimeError, ValueError) as error:  # ValueError: a null byte
        reason = (error.strerror if isinstance(error, OSError) else "") or error
        raise UserError(f"{str(path)!r}: no such folder or file ({reason})") from error
    if path.is_dir():
        skipped: list[tuple[Path, str]] = []
        files = list(_walk(path, skipped))
        return _named(path, files, source=path, skipped=skipped)
    if path.suffix.lower() == ".json":
        return _listed(_coco_files(path), source=path, root=path.absolute().parent)
    if path.suffix.lower() == ".txt":
        return _listed(_lines(path), source=path)
    return _named(path.parent, [path], source=path)


def draw_sample(items: Sequence[T], *, most: int, seed: int) -> list[T]:
    """All items, or ``most`` of them drawn with the seed, in order."""
    if len(items) <= most:
        return list(items)
    chosen = np.sort(np.random.default_rng(seed).choice(len(items), most, replace=False))
    return [items[i] for i in chosen]


def _walk(root: Path, skipped: list[tuple[Path, str]]) -> Iterator[Path]:
    """Files with an image's ending, below ``root``. Links are followed, but no folder is entered twice,
    none above the root, and none that prelabel wrote, whose images are results. Folders that cannot be
    read are added to ``skipped``."""

    def skip(error: OSError) -> None:
        skipped.append((Path(error.filename), f"cannot be read ({error.strerror or error})"))

    seen = {(s.st_dev, s.st_ino) for s in (p.stat() for p in root.resolve().parents)}
    for folder, subfolders, names in os.walk(root, onerror=skip, followlinks=True):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen or is_prelabel_folder(Path(folder)):
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                yield Path(folder) / name


def _coco_files(file: Path) -> list[Path]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8-sig"))["images"]
        return [file.parent / entry["file_name"] for entry in entries]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} is not a COCO file: expected images with a file_name ({error})"
        ) from error


def _lines(file: Path) -> list[Path]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file} cannot be read: expected a list of paths, one per line, in UTF-8 ({error})"
        ) from error
    # Not splitlines(): it also cuts at characters that may be part of a name.
    return [file.parent / line for line in text.split("\n") if line.strip()]


def _listed(files: Sequence[Path], *, source: Path, root: Path | None = None) -> PhotoSet:
    """Files under one root: the given one where all lie in it, else their common folder. So no name
    leads out of it, and nothing that is written under a name does."""
    files = [Path(os.path.normpath(file.absolute())) for file in files]
    if root is None or not all(file.is_relative_to(root) for file in files):
        folders = {str(file.parent) for file in files}
        root = Path(os.path.commonpath(folders)) if folders else Path.cwd()
    return _named(root, files, source=source)


def _named(
    root: Path,
    files: Sequence[Path],
    *,
    source: Path,
    skipped: Sequence[tuple[Path, str]] = (),
) -> PhotoSet:
    photos: dict[str, ImageFile] = {}
    left_out = [(_readable(file.relative_to(root).as_posix()), why) for file, why in skipped]
    for file in files:
        name = file.relative_to(root).as_posix()
        if _readable(name) != name:
            left_out.append((_readable(name), "its name is not valid Unicode: rename it"))
            continue
        photos[name] = ImageFile(name=name, file=file)
    if not photos and not left_out:
        endings = " ".join(sorted(EXTENSIONS))
        raise UserError(f"{str(source)!r} holds no photo (looked for {endings})")
    return PhotoSet(root, tuple(photos[name] for name in sorted(photos)), tuple(left_out))


def _readable(name: str) -> str:
    """The name, with bytes that are not UTF-8 written as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()
