"""Names of photos from what other tools write for them: paths on other machines, and addresses.

A photo's name is its path below the folder of photos. Everything that reads labels names photos here,
so that the same photo has the same name everywhere.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from prelabel.label_studio.format.photos import photo_name
from prelabel.storage.files import is_file

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|/data/local-files/\?|/data/upload/")
_DRIVE = re.compile(r"[A-Za-z]:(?=[/\\])")
_UPLOAD = re.compile(r"/(data|media)/upload/[0-9]+/[^/]+$")
"""The path of an upload inside Label Studio, as its own COCO names it."""


@dataclass(frozen=True)
class PhotoName:
    """``name``: below the folder of photos. ``address``: where the photo is, if that was stated, as
    Label Studio takes it; else ""."""

    name: str
    address: str = ""


class PhotoNames:
    """The names of all photos of a source.

    - What leads to a file in the folder of photos is the path of that file: an absolute path, one
      with ``..`` (from the folder of photos or of the source), or any path whose end is that of one
      file there alone.
    - Else a path that is relative and stays inside is the name. A backslash separates, unless a file
      there has one in its name.
    - Else it is the last part of the path if no other photo has that; else the path below the folder
      that all such photos have in common.
    - The path of an address is that on its server; of Label Studio's own, that of the file.
    """

    def __init__(self, texts: Iterable[object], photos: Path | None, beside: Path) -> None:
        """``texts``: all that stand for a photo. ``photos``: their folder, if it is known.
        ``beside``: the folder of the source."""
        self._photos = photos
        self._beside = beside
        self._files: dict[str, list[str]] | None = None
        known = {text: found for text in texts if isinstance(text, str) and (found := _path(text))}
        elsewhere = [path for text, path in known.items() if _leads_elsewhere(text, path)]
        self._last = Counter(PurePosixPath(path).name for path in set(elsewhere))
        parents = {str(PurePosixPath("/", _plain(path)).parent) for path in elsewhere}
        self._common = os.path.commonpath(parents) if parents else "/"

    def of(self, text: object) -> PhotoName | None:
        """The name of the photo that a text stands for; None if it can be none."""
        if not isinstance(text, str) or not (path := _path(text)):
            return None
        is_address = bool(_ADDRESS.match(text))
        address = text if is_address and not text.startswith("file:") else ""
        if not is_address and self._is_there(text):
            return PhotoName(PurePosixPath(text).as_posix())
        if self._is_there(path):
            return PhotoName(path, address)
        if not _leads_elsewhere(text, path):
            decoded = unquote(path, errors="surrogateescape")
            return PhotoName(decoded if self._is_there(decoded) else path)
        name = self._below(path) or self._by_its_end(path) or self._elsewhere(path)
        return PhotoName(name, address) if name else None

    def _is_there(self, path: str) -> bool:
        return self._photos is not None and _is_inside(path) and is_file(self._photos / path)

    def _below(self, path: str) -> str:
        """A path that leads into the folder of photos from outside, relative to it; else ""."""
        if self._photos is None or _is_inside(path):
            return ""
        root = os.path.realpath(self._photos)
        for start in (self._beside, self._photos):
            found = os.path.normpath(Path(os.path.realpath(start), path))
            if found.startswith(f"{root}{os.sep}"):
                return Path(found).relative_to(root).as_posix()
        return ""

    def _by_its_end(self, path: str) -> str:
        """The one file in the folder of photos that shares most of the path's end; else ""."""
        parts = PurePosixPath(path).parts[::-1]
        for last in (parts[0], re.sub(r"^[0-9a-f]{8}-", "", parts[0])):
            shared = [
                (_n_equal(PurePosixPath(file).parts[::-1][1:], parts[1:]), file)
                for file in self._in_folder().get(last, [])
            ]
            best = max(shared, default=(0, ""))
            is_certain = best[0] > 0 or self._last[parts[0]] < 2
            if is_certain and sum(n == best[0] for n, _ in shared) == 1:
                return best[1]
        return ""

    def _elsewhere(self, path: str) -> str:
        last = PurePosixPath(path).name
        if self._last[last] == 1:
            return last
        whole = PurePosixPath("/", _plain(path))
        return whole.relative_to(self._common).as_posix()

    def _in_folder(self) -> dict[str, list[str]]:
        """The files of the folder of photos by the last part of their path."""
        if self._files is None:
            self._files = {}
            for place, _, names in os.walk(self._photos) if self._photos is not None else ():
                for name in names:
                    file = Path(place, name).relative_to(self._photos or "").as_posix()
                    self._files.setdefault(name, []).append(file)
        return self._files


def _path(text: str) -> str:
    """The path in a text, of an address that on its server; "" if there is none."""
    if "\0" in text or not text.strip():
        return ""
    if text.startswith("file://"):
        path = unquote(text.removeprefix("file://"), errors="surrogateescape")
        path = path.removeprefix("localhost")
    elif _ADDRESS.match(text) or _UPLOAD.search(text):
        path = photo_name(text, "")
    else:
        path = _DRIVE.sub("", text.replace("\\", "/"), count=1)
    found = PurePosixPath(path)
    return "" if found.name in ("", "..") else str(found)


def _leads_elsewhere(text: str, path: str) -> bool:
    return bool(_ADDRESS.match(text) or _UPLOAD.search(text)) or not _is_inside(path)


def _is_inside(path: str) -> bool:
    return bool(path) and not path.startswith("/") and ".." not in path.split("/")


def _plain(path: str) -> str:
    """A path without the parts that lead upwards."""
    return "/".join(part for part in path.split("/") if part not in ("", ".", ".."))


def _n_equal(first: tuple[str, ...], second: tuple[str, ...]) -> int:
    """How many parts are equal from the start."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))
