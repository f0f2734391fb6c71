"""Where photos come from: a folder, one photo, a COCO file, or a list of paths."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

import numpy as np

from prelabel.data.image_formats import EXTENSIONS, HEIF, is_unread_picture
from prelabel.data.image_headers import begins_as_photo
from prelabel.data.records import ImageFile
from prelabel.errors import UserError
from prelabel.extras import install_command
from prelabel.storage.marker import is_prelabel_folder
from prelabel.storage.remote import Place, RemoteFile, RemoteFolder, is_url, place

T = TypeVar("T")


@dataclass(frozen=True)
class PhotoSet:
    """Photos sorted by name. ``root``: the folder that names are relative to. ``skipped``: names and
    reasons of photos left out because their folder or name cannot be read. ``passed_over``: how many
    pictures of formats that are not read lie beside them, by ending; "" is none."""

    root: Place
    photos: tuple[ImageFile, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    passed_over: Mapping[str, int] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """For people: what was passed over."""
        return [_passed_over(self.passed_over)] if self.passed_over else []


def find_photos(source: str | Place | Sequence[str | Path]) -> PhotoSet:
    """Photos of a folder (with sub-folders), of a COCO file's ``images`` (``.json``), of a list of
    paths, one a line (``.txt``), or a single photo; a folder or a photo may be an address of object
    storage. Raises UserError if there is none.
    """
    if isinstance(source, str) and is_url(source):
        source = place(source)
    if isinstance(source, RemoteFolder):
        return _remote(source)
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
        passed_over: Counter[str] = Counter()
        files = list(_walk(path, skipped, passed_over))
        return _named(path, files, source=path, skipped=skipped, passed_over=passed_over)
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


def _remote(folder: RemoteFolder) -> PhotoSet:
    """Photos in object storage, of which nothing but the names and sizes is read now."""
    files: dict[str, RemoteFile] = {}
    skipped: list[tuple[str, str]] = []
    passed_over: Counter[str] = Counter()
    found = folder.files()
    for name, file in found:
        ending = PurePosixPath(name).suffix.lower()
        if any(part.startswith(".") for part in name.split("/")):
            continue
        if ending in EXTENSIONS:
            if PurePosixPath(name).as_posix() == name:
                files[name] = file
            else:
                skipped.append((name, "its name has an empty part: rename it"))
        elif is_unread_picture(ending):
            passed_over[ending] += 1
    if [file.url for _, file in found] == [folder.url]:  # a photo's own address
        folder = RemoteFolder(folder.url.rpartition("/")[0])
    photos = tuple(ImageFile(name, file) for name, file in files.items())
    return _checked(PhotoSet(folder, photos, tuple(skipped), passed_over), str(folder))


def _walk(root: Path, skipped: list[tuple[Path, str]], passed_over: Counter[str]) -> Iterator[Path]:
    """Files with an image's ending, below ``root``. Links are followed, but no folder is entered twice,
    none above the root, and none that prelabel wrote, whose images are results. Folders that cannot be
    read are added to ``skipped``, and pictures of other formats to ``passed_over``."""

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
            file = Path(folder, name)
            ending = file.suffix.lower()
            if name.startswith("."):
                continue
            if ending in EXTENSIONS:
                yield file
            elif is_unread_picture(ending) or (not ending and _begins_as_photo(file)):
                passed_over[ending] += 1


def _begins_as_photo(file: Path) -> bool:
    try:
        if not file.is_file():  # reading a pipe may never end
            return False
        with file.open("rb") as data:
            return begins_as_photo(data.read(16))
    except OSError:
        return False


def _passed_over(counts: Mapping[str, int]) -> str:
    kinds = [f"{n} {ending or 'without an ending'}" for ending, n in sorted(counts.items())]
    total = sum(counts.values())
    note = f"{total} picture{'s were' if total > 1 else ' was'} passed over: {', '.join(kinds)}"
    return note + (f" ({install_command('heif')})" if HEIF & counts.keys() else "")


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
    passed_over: Mapping[str, int] | None = None,
) -> PhotoSet:
    photos: dict[str, ImageFile] = {}
    left_out = [(_readable(file.relative_to(root).as_posix()), why) for file, why in skipped]
    for file in files:
        name = file.relative_to(root).as_posix()
        if _readable(name) != name:
            left_out.append((_readable(name), "its name is not valid Unicode: rename it"))
            continue
        photos[name] = ImageFile(name=name, file=file)
    found = PhotoSet(
        root, tuple(photos[name] for name in sorted(photos)), tuple(left_out), passed_over or {}
    )
    return _checked(found, str(source))


def _checked(found: PhotoSet, source: str) -> PhotoSet:
    """The photos. Raises UserError if there is none."""
    if not found.photos and not found.skipped:
        others = f"; {'; '.join(notes)}" if (notes := found.notes()) else ""
        raise UserError(
            f"{source!r} holds no photo (looked for .jpg, .png, .tif, .webp and "
            f"{len(EXTENSIONS) - 4} other endings){others}"
        )
    return found


def _readable(name: str) -> str:
    """The name, with bytes that are not UTF-8 written as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()
