"""Files and folders in object storage, by addresses such as s3://bucket/photos, through fsspec.

Photos are read one by one. A folder of results is made on this machine and then uploaded, so that
nothing else needs to know that it ends elsewhere.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from prelabel.errors import UserError
from prelabel.storage.files import is_clutter
from prelabel.storage.json import encode
from prelabel.storage.marker import MARKER, STARTED, Marker, read_marker
from prelabel.storage.threads import prefetch_map

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""Also what is left of an address in a Path; a drive of Windows has one letter."""
_REQUESTS = 16
"""At once, while a folder is fetched."""
_TIMEOUTS = {"connect_timeout": 10, "read_timeout": 60}
"""In seconds, of the driver for S3, which tries five times."""


def is_url(text: object) -> bool:
    """Whether a text is an address and not a path on this machine."""
    return bool(_URL.match(str(text)))


def local_path(text: str | Path, *, what: str = "this") -> Path:
    """The path on this machine. Raises UserError for an address, of which a folder would be made."""
    if is_url(text):
        address = str(text)
        if "://" not in address:
            address = address.replace(":/", "://", 1)  # as it was before it was a Path
        raise UserError(
            f"{address!r} is an address: {what} takes paths of this machine (run, fit, predict "
            "and merge also take addresses of object storage)"
        )
    return Path(text)


def place(text: str | Path) -> Place:
    """The path on this machine or the folder in object storage that people name."""
    if isinstance(text, str) and is_url(text) and "://" in text:
        return RemoteFolder(text.rstrip("/"))
    return local_path(text)


def file_in(folder: Place, name: str) -> Path | RemoteFile:
    """The file of that name, with ``/``, in a folder."""
    return folder / name if isinstance(folder, Path) else RemoteFile(f"{folder.url}/{name}", size=0)


def is_below(file: Path | RemoteFile, folder: Place) -> bool:
    """Whether a file lies in a folder; links are followed."""
    if isinstance(file, Path):
        return isinstance(folder, Path) and file.resolve().is_relative_to(folder.resolve())
    name = file.url.removeprefix(f"{folder}/")
    return name != file.url and ".." not in name.split("/")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in object storage. ``size``: in bytes, as it was listed; 0 if it was not."""

    url: str
    size: int

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The last part of its address."""
        return self.url.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The name's ending, as of a Path."""
        return PurePosixPath(self.name).suffix

    def absolute(self) -> RemoteFile:
        """Itself."""
        return self

    def read_bytes(self) -> bytes:
        """All bytes, by one request. Raises FileNotFoundError and PermissionError, which are about
        this file, and UserError if the storage does not answer."""
        try:
            system, path = _opened(self.url)
            return bytes(system.cat_file(path))
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:
            raise _told(self.url, error) from error


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder in object storage; ``url`` has no slash at its end."""

    url: str

    def __str__(self) -> str:
        return self.url

    def __truediv__(self, name: str) -> RemoteFolder:
        return RemoteFolder(f"{self.url}/{name}")

    def absolute(self) -> RemoteFolder:
        """Itself."""
        return self

    def files(self) -> list[tuple[str, RemoteFile]]:
        """All files below it, by their names relative to it, sorted; of a file's address, the file
        itself. Raises UserError if it cannot be listed."""
        try:
            system, path = _opened(self.url)
            found = system.find(path, detail=True)
        except Exception as error:
            raise _told(self.url, error) from error
        root = path.rstrip("/")
        files = []
        for key, facts in found.items():
            if key == root:
                return [(PurePosixPath(key).name, RemoteFile(self.url, int(facts["size"] or 0)))]
            name = key[len(root) + 1 :]
            if name and not name.endswith("/"):  # that is how some tools make empty folders
                files.append((name, RemoteFile(f"{self.url}/{name}", int(facts["size"] or 0))))
        return sorted(files, key=lambda file: file[0])

    def write(self, name: str, data: bytes | Path) -> None:
        """Upload a file, which is there as a whole or not at all. Raises UserError and OSError."""
        url = f"{self.url}/{name}"
        try:
            system, path = _opened(url)
            if isinstance(data, Path):
                system.put_file(str(data), path)
            else:
                system.pipe_file(path, data)
        except Exception as error:
            raise _told(url, error) from error

    def remove(self, name: str) -> None:
        """Remove a file. Raises UserError."""
        url = f"{self.url}/{name}"
        try:
            system, path = _opened(url)
            system.rm_file(path)
        except Exception as error:
            raise _told(url, error) from error


Place = Path | RemoteFolder
"""A folder, here or in object storage."""


@contextmanager
def fetched(folder: Place, names: Sequence[str]) -> Iterator[Path]:
    """The folder on this machine; of one in object storage, a copy of its files with these names
    (patterns of paths in it), which is removed afterwards. Raises UserError."""
    if isinstance(folder, Path):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="prelabel-") as temporary:
        here = Path(temporary)
        with _named(here, folder):
            files = folder.files()
            chosen = [own for own in files if any(fnmatch(own[0], pattern) for pattern in names)]
            read = prefetch_map(lambda own: own[1].read_bytes(), chosen, workers=_REQUESTS)
            for (name, _), data in read:
                copy = here / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(data)
            yield here


@contextmanager
def results(
    folder: Place,
    names: Sequence[str] = (MARKER,),
    *,
    beside: str = "",
    outdated: Sequence[str] = (),
) -> Iterator[Path]:
    """The folder to write results to; for one in object storage, one on this machine that has a copy of
    its files with these names at first, and whose new and changed files are uploaded if all went well,
    each by one request, run.json last. Files whose names in it are like ``outdated`` (patterns in which
    "*" would take in sub-folders) and that are no longer among them are removed.

    Raises UserError, also for a folder in object storage with other things in it than results;
    ``beside``: a sub-folder that may be there.
    """
    if isinstance(folder, Path):
        yield folder
        return
    with fetched(folder, names) as here, _named(here, folder):
        if not read_marker(here / MARKER) and (other := _other_file(folder, beside)):
            raise UserError(
                f"--out {folder.url!r} holds {other!r} and is not an earlier result of prelabel "
                f"(no {MARKER}): name a new or an empty folder"
            )
        before = _state(here)
        yield here
        after = _state(here)
        changed = [name for name, state in after.items() if before.get(name) != state]
        if changed:
            gone = [name for name, _ in folder.files() if name not in after] if outdated else []
            gone = [name for name in gone if any(fnmatch(name, pattern) for pattern in outdated)]
            _upload(here, folder, changed, gone)


def _upload(here: Path, folder: RemoteFolder, names: Sequence[str], gone: Sequence[str]) -> None:
    """Whoever reads the folder meanwhile, or after this has broken off, sees that it is not done."""
    if marker := read_marker(here / MARKER):
        folder.write(MARKER, encode(Marker(marker.command, STARTED)))
    for name in sorted(set(names) - {MARKER}):
        folder.write(name, here / name)
    for name in gone:
        folder.remove(name)
    if MARKER in names:
        folder.write(MARKER, here / MARKER)


def _other_file(folder: RemoteFolder, beside: str) -> str:
    """The first file that does not lie in the sub-folder ``beside``; "" if there is none."""
    names = (name for name, _ in folder.files())
    return next((name for name in names if not beside or name.split("/")[0] != beside), "")


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    """Of each file, what changes when it is written."""
    files = [f for f in folder.rglob("*") if f.is_file() and not is_clutter(f.name)]
    stats = {file.relative_to(folder).as_posix(): file.stat() for file in files}
    return {name: (stat.st_mtime_ns, stat.st_ino) for name, stat in stats.items()}


@contextmanager
def _named(here: Path, folder: RemoteFolder) -> Iterator[None]:
    """Errors name the folder that people know."""
    try:
        yield
    except UserError as error:
        text = str(error).replace(str(here), folder.url)
        raise type(error)(text) from error


def _opened(url: str) -> tuple[Any, str]:
    """The storage, as fsspec's own configuration has it, and the path in it."""
    import fsspec
    from fsspec.config import conf

    scheme = url.partition(":")[0].lower()
    if scheme in ("http", "https"):
        raise UserError(f"{url!r}: pages of the web cannot be listed: name a folder or a bucket")
    is_here = scheme in ("file", "local")
    options: dict[str, Any] = {"auto_mkdir": True} if is_here else {"use_listings_cache": False}
    if scheme in ("s3", "s3a"):
        options["max_concurrency"] = 1  # with more, it asks for a file's size before it reads it
        if "config_kwargs" not in conf.get("s3", {}):
            options["config_kwargs"] = _TIMEOUTS
    kind = fsspec.get_filesystem_class(scheme)  # not url_to_fs(), which cuts at "::" in names
    options.update(kind._get_kwargs_from_urls(url))
    return kind(**options), str(kind._strip_protocol(url))


def _told(url: str, error: Exception) -> UserError:
    """An error of a storage, for people."""
    if isinstance(error, UserError):
        return error
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return UserError(f"{url!r}: no such bucket, folder or file")
    if isinstance(error, ImportError):
        return UserError(
            f"{url!r} needs a driver ({reason}): pip install 'prelabel[cloud]' has S3's"
        )
    if isinstance(error, PermissionError) or "redential" in type(error).__name__:
        return UserError(
            f"{url!r}: access is denied ({reason}): check the credentials in the environment, as the "
            "storage's own tools take them"
        )
    if isinstance(error, ValueError) and "rotocol" in reason:
        return UserError(f"{url!r}: no such kind of storage ({reason})")
    return UserError(
        f"{url!r} cannot be reached ({type(error).__name__}: {reason}): finished work is kept; run the "
        "same command again"
    )
