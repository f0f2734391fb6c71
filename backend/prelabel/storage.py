"""Folders and files that prelabel writes: the cache's place, and writing beside then renaming."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """``$PRELABEL_CACHE``, else ``prelabel`` in the user's cache folder. Not created here."""
    named = os.environ.get("PRELABEL_CACHE")
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "prelabel"


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A path beside ``file`` to write to; it takes ``file``'s place only if all went well.

    A killed process leaves at most a hidden ``.tmp-*`` file that nobody reads.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    name = hashlib.blake2b(os.fsencode(file.name), digest_size=6).hexdigest()
    # Random, as processes in two containers may share a folder and have the same id.
    beside = file.parent / f".tmp-{name}-{secrets.token_hex(4)}{file.suffix}"
    try:
        yield beside
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(file)
    except OSError as error:
        if error.filename is None:  # a full disk's error does not say where
            error.filename = str(file)
        raise
    finally:
        beside.unlink(missing_ok=True)
