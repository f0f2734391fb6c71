"""Folders and files that prelabel writes: the cache's place, and writing beside then renaming."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO


def cache_folder() -> Path:
    """``$PRELABEL_CACHE``, else ``prelabel`` in the user's cache folder. Not created here."""
    named = os.environ.get("PRELABEL_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "prelabel"


def data_folder() -> Path:
    """``$PRELABEL_HOME``, else ``prelabel`` in the user's data folder: what cannot simply be computed
    again, such as the fitted models of Label Studio projects. Not created here."""
    named = os.environ.get("PRELABEL_HOME")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_DATA_HOME", "~/.local/share")).expanduser() / "prelabel"


LEFTOVERS = ".tmp-*"
"""What a killed process leaves of ``replacing`` and ``replacing_files``, hidden and read by nobody."""
_ABANDONED = 86400.0
"""Seconds after which a leftover in a folder that others may write to is nobody's any more."""
LOCK = ".prelabel.lock"
"""The lock of a folder of results, held by the command that writes to it."""
_FILE_MANAGERS = (".DS_Store", "Thumbs.db", "desktop.ini")


def is_clutter(name: str) -> bool:
    """Whether a file of that name is not the user's: a leftover, a lock, or a file manager's."""
    return name in _FILE_MANAGERS or fnmatch(name, LEFTOVERS) or name.startswith(LOCK)


def remove_leftovers(folder: Path, *, older_than: float = 0.0) -> None:
    """Remove the leftovers in a folder. ``older_than``: in seconds, where others may be writing."""
    for left in folder.glob(LEFTOVERS):
        with suppress(FileNotFoundError):
            if older_than and time.time() - left.stat().st_mtime <= older_than:
                continue
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()


def is_file(path: Path) -> bool:
    """Whether a file is there. False for a name that no file can have, as in lists that others wrote,
    of which pathlib raises that it is too long."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Whether a folder is there; as ``is_file``."""
    return os.path.isdir(path)  # noqa: PTH112


def open_file(file: Path) -> BinaryIO:
    """A file whose bytes are read. Raises OSError, also for a pipe or a device, which may never end."""
    mode = file.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # of a folder, the system has its own words
        raise OSError(errno.EINVAL, "is not a file", str(file))
    return file.open("rb")


def read_file(file: Path) -> bytes:
    """All bytes of a file. Raises OSError, as ``open_file``."""
    with open_file(file) as data:
        return data.read()


@contextmanager
def replacing_files(folder: Path) -> Iterator[Path]:
    """A folder inside ``folder`` to write files to; only if all went well, each takes the place of
    the file of its name in ``folder``, where other files stay as they are. What a killed process
    left long ago is removed; another one may be writing now."""
    remove_leftovers(folder, older_than=_ABANDONED)
    beside = Path(tempfile.mkdtemp(prefix=LEFTOVERS.removesuffix("*"), dir=folder))
    try:
        yield beside
        for place, _, names in os.walk(beside):
            target = folder / Path(place).relative_to(beside)
            target.mkdir(parents=True, exist_ok=True)
            for name in names:
                Path(place, name).replace(target / name)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def replacing(file: Path, *, sync: bool = True) -> Iterator[Path]:
    """A path beside ``file`` to write to; it takes ``file``'s place only if all went well.

    A killed process leaves at most a file that ``remove_leftovers`` removes. ``sync``: wait until it
    is on the disk, which takes longer than making what is small again.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    name = hashlib.blake2b(os.fsencode(file.name), digest_size=6).hexdigest()
    # Random, as processes in two containers may share a folder and have the same id.
    beside = file.parent / f".tmp-{name}-{secrets.token_hex(4)}{file.suffix}"
    try:
        with named_errors(file):
            yield beside
            if sync:
                with beside.open("rb") as written:
                    os.fsync(written.fileno())
            beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)


def write_again_if_removed(
    file: Path, write: Callable[[Path], object], *, sync: bool = True
) -> None:
    """``write`` a file as ``replacing`` does; once more if another process removes its folder
    meanwhile, as those do that make room in the cache."""
    for last in (False, False, True):
        try:
            with replacing(file, sync=sync) as beside:
                write(beside)
            return
        except FileNotFoundError:
            if last:
                raise


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """An OSError that does not say which file it is about (a full disk's does not) gets this path."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
