"""Fetching the photos of Label Studio tasks into a folder, from wherever a task says they lie."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlencode, urlsplit

import httpx

from prelabel.data import images
from prelabel.errors import PhotoError, UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.deadline import Deadline
from prelabel.label_studio.api.download import HEADERS, check_size, write_photo
from prelabel.label_studio.api.hosts import AllowedHosts
from prelabel.label_studio.api.uris import (
    LOCAL_FILES,
    decode_data_url,
    file_ending,
    host_and_port,
    local_file_name,
    path_on_server,
    request_path,
    split_uri,
)
from prelabel.storage.files import cache_folder, write_again_if_removed
from prelabel.storage.memory import MemoryBudget
from prelabel.storage.pruning import prune

DOWNLOADS = 8
"""Photos fetched at once: a server's own workers are about as many."""
_CLOUD = ("s3", "gs", "azure-blob")
_IN_USE = 600.0
"""Seconds during which a photo that was fetched is not removed."""
_LOOK_EVERY = 10.0
"""Seconds between two looks at the folder's size: it may hold many files."""
_REDIRECTS = 5
_ATTEMPTS = 3
_READ_TIMEOUT = 30.0
"""Seconds for connecting, and for each read."""
_OURS = re.compile(r"[0-9a-f]{32}(\.[a-z0-9]+)?|\.tmp-[0-9a-f-]+(\.[a-z0-9]+)?")
_LONGEST = 16_000
"""Characters of an address that is no data: URL; servers take fewer."""
_OPEN_BYTES = 50_000_000
"""Bytes of files that are in memory at once, however many threads use them."""
_CHECKED = "checked"
"""Part of a photo's name in the folder: earlier versions kept what is not a picture."""


@dataclass(frozen=True)
class Sources:
    """Where photos may come from beside the server, and how much of them.

    ``allowed_hosts``: ``name``, which means the usual ports, or ``name:port``; ``*`` allows all.
    ``local_root``: the server's document root for local files, if it is on this machine.
    ``max_bytes``: of one photo. ``seconds``: that fetching one may take in all. ``cache_bytes``: of
    all that are kept; beyond it what was used longest ago is removed, but nothing used in the last 10
    minutes.
    """

    allowed_hosts: tuple[str, ...] = ()
    local_root: Path | None = None
    max_bytes: int = 100_000_000
    seconds: float = 120.0
    cache_bytes: int = 20_000_000_000

    def __post_init__(self) -> None:
        """Raises UserError for hosts that are none."""
        AllowedHosts(self.allowed_hosts)


class Fetcher:
    """Photos by URI, each fetched once. May be used by several threads at once.

    ``client``: the server whose paths and storages the URIs mean; None: it cannot be asked, and
    ``server``, its address, only tells what was fetched from it earlier. ``folder``: where photos
    are kept, created when needed. Only what can be decoded is kept.
    """

    def __init__(
        self,
        client: Client | None,
        folder: Path,
        sources: Sources | None = None,
        *,
        server: str = "",
    ) -> None:
        self.client = client
        self.server = client.url if client else server.rstrip("/")
        self.folder = folder
        self._sources = sources = sources or Sources()
        self._allowed = AllowedHosts(sources.allowed_hosts)
        self._local_root = sources.local_root.expanduser().resolve() if sources.local_root else None
        # Connections are not kept: each download must know its own.
        unkept = httpx.Limits(max_keepalive_connections=0)
        self._http = httpx.Client(timeout=_READ_TIMEOUT, follow_redirects=False, limits=unkept)
        self._locks = tuple(threading.Lock() for _ in range(256))
        self._open = MemoryBudget(_OPEN_BYTES)
        self._pruning = threading.Lock()
        self._look_at = 0.0

    def find(self, uri: str) -> Path | None:
        """The photo's file, if it need not be fetched. Raises PhotoError and UserError as ``fetch``."""
        uri = _checked_uri(uri)
        return self._local(uri) or self._kept(self._file(uri))

    def fetch(self, uri: str, *, task_id: int | None = None) -> Path:
        """The photo's file: in ``folder``, or below ``local_root``.

        ``uri``: a path of the server (``/data/upload/…``, ``/data/local-files/?d=…``), an
        ``http(s)://`` address, a ``data:`` URL, or ``s3://``, ``gs://``, ``azure-blob://``, which
        the server resolves for the task ``task_id``. Raises PhotoError, with a reason that holds no
        part of the URI but its scheme and host; UserError if no photo can be fetched or kept.
        """
        uri = _checked_uri(uri)
        local = self._local(uri)
        if local:
            return local
        file = self._file(uri)
        with self._locks[int(file.name[:2], 16)]:  # two threads that need one photo fetch it once
            if kept := self._sound(file):
                return kept
            try:
                write_again_if_removed(file, lambda beside: self._download(uri, beside, task_id))
            except OSError as error:
                raise UserError(
                    f"{self.folder}: photos cannot be kept there ({error.strerror or error}): "
                    "make room, or set PRELABEL_CACHE to another folder"
                ) from error
        self._prune()
        return file

    def read(self, uri: str, *, task_id: int | None = None) -> bytes:
        """The photo's bytes. Raises PhotoError and UserError."""
        file = self.fetch(uri, task_id=task_id)
        try:
            return images.read_bytes(file)
        except PhotoError:
            if file.exists():
                raise
        return images.read_bytes(self.fetch(uri, task_id=task_id))  # removed by another process

    @contextmanager
    def reading(self, uri: str, *, task_id: int | None = None) -> Iterator[bytes]:
        """The photo's bytes; while others are in use, it waits until there is room for them. Raises
        PhotoError and UserError. Within, nothing is fetched: that may need the room."""
        file = self.fetch(uri, task_id=task_id)
        size = file.stat().st_size if file.exists() else 0
        with self._open.taking(size):
            yield images.read_bytes(file)

    def _file(self, uri: str) -> Path:
        name = hashlib.blake2b(f"{_CHECKED}\n{self.server}\n".encode(), digest_size=16)
        name.update(uri.encode())
        return self.folder / f"{name.hexdigest()}{file_ending(uri)}"

    def _kept(self, file: Path) -> Path | None:
        """The file, if it is there; it counts as used now."""
        try:
            os.utime(file)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"{file}: cannot be used ({error.strerror or error})") from error
        return file

    def _sound(self, file: Path) -> Path | None:
        """The file, if it is there and was not damaged on the disk, as far as its head tells."""
        kept = self._kept(file)
        try:
            if kept:
                images.read_size(kept)
        except PhotoError:
            file.unlink(missing_ok=True)
            return None
        return kept

    def _local(self, uri: str) -> Path | None:
        """The file below ``local_root``, if the URI means one that is there."""
        url = self.client.url if self.client else ""
        if self._local_root is None or not path_on_server(uri, url).startswith(LOCAL_FILES):
            return None
        try:
            file = (self._local_root / local_file_name(uri)).resolve()
            if not (file.is_relative_to(self._local_root) and file.is_file()):
                return None
            n_bytes = file.stat().st_size
        except (OSError, RuntimeError, ValueError):  # a circle of links, a null byte
            return None
        check_size(n_bytes, self._sources.max_bytes)
        return file

    def _download(self, uri: str, file: Path, task_id: int | None) -> None:
        """Raises PhotoError also for what cannot be decoded."""
        with file.open("w+b") as into, Deadline(self._sources.seconds) as deadline:
            self._write(uri, into, task_id, deadline)
        if not file.exists():
            raise FileNotFoundError(str(file))
        with self._open.taking(file.stat().st_size):
            images.read_image(file)

    def _write(self, uri: str, into: BinaryIO, task_id: int | None, deadline: Deadline) -> None:
        place = split_uri(uri)
        if place.scheme == "data":
            into.write(decode_data_url(uri, self._sources.max_bytes))
        elif place.scheme in ("http", "https"):
            if self.client and host_and_port(place) == host_and_port(urlsplit(self.client.url)):
                self._from_server(request_path(place), into, deadline)
            else:
                self._from_elsewhere(uri, into, deadline)
        elif place.scheme in _CLOUD:
            if task_id is None:
                raise PhotoError(
                    f"lies at {place.scheme}://, which Label Studio resolves for a task: "
                    "expected the task's id"
                )
            encoded = base64.urlsafe_b64encode(uri.encode()).decode()
            path = f"/tasks/{task_id}/resolve/?{urlencode({'fileuri': encoded})}"
            self._from_server(path, into, deadline)
        elif not place.scheme and uri.startswith("/") and not uri.startswith("//"):
            self._from_server(uri, into, deadline)
        else:
            found = f"at {place.scheme}:" if place.scheme else "at a relative path"
            raise PhotoError(
                f"lies {found}, where no photo is fetched from: expected an absolute path of the "
                "server, http://, https://, s3://, gs://, azure-blob:// or data:"
            )

    def _from_server(self, path: str, into: BinaryIO, deadline: Deadline) -> None:
        if self.client is None:
            raise PhotoError("lies on a Label Studio server, and none was given: give its address")
        elsewhere = self.client.download(path, into, self._sources.max_bytes, deadline)
        if elsewhere is not None:
            self._from_elsewhere(elsewhere, into, deadline)

    def _from_elsewhere(self, address: str, into: BinaryIO, deadline: Deadline) -> None:
        """Without the token. Redirects are looked at one by one."""
        for attempt in range(1, _ATTEMPTS + 1):
            into.seek(0)
            into.truncate()
            try:
                self._follow(address, into, deadline)
                return
            except (httpx.InvalidURL, UnicodeError):  # a host's name that cannot be looked up
                raise PhotoError("cannot be fetched (its address is not valid)") from None
            except httpx.RequestError as error:
                deadline.check()
                slow = isinstance(error, httpx.TimeoutException)
                if slow or attempt == _ATTEMPTS:
                    reason = "did not answer in time" if slow else "cannot be reached or broke off"
                    raise PhotoError(
                        f"cannot be fetched ({split_uri(address).hostname} {reason})"
                    ) from error

    def _follow(self, address: str, into: BinaryIO, deadline: Deadline) -> None:
        for _ in range(_REDIRECTS + 1):
            self._allowed.check(split_uri(address))
            deadline.check()
            with self._http.stream(
                "GET", address, headers=HEADERS, extensions={"trace": deadline.trace}
            ) as response:
                if not response.has_redirect_location:
                    write_photo(response, into, self._sources.max_bytes)
                    return
                try:
                    address = str(response.url.join(response.headers["location"]))
                except ValueError:
                    raise httpx.InvalidURL("") from None
        raise PhotoError(f"cannot be fetched (more than {_REDIRECTS} redirects)")

    def _prune(self) -> None:
        """Remove what was used longest ago until the folder is small enough."""
        with self._pruning:
            if time.monotonic() < self._look_at:
                return
            self._look_at = time.monotonic() + _LOOK_EVERY
            prune(
                (file for file in self.folder.glob("*") if _OURS.fullmatch(file.name)),
                most_bytes=self._sources.cache_bytes,
                in_use=_IN_USE,
            )


def open_fetcher(client: Client | None, sources: Sources, *, server: str = "") -> Fetcher:
    """Photos as the backend and all commands fetch them, into one folder of the cache."""
    return Fetcher(client, cache_folder() / "photos", sources, server=server)


def _checked_uri(uri: str) -> str:
    uri = uri.strip()
    if len(uri) > _LONGEST and not uri.startswith("data:"):
        raise PhotoError(
            f"cannot be fetched (its address has {len(uri)} characters: expected at most {_LONGEST})"
        )
    if not uri.isascii() and re.search("[\ud800-\udfff]", uri):
        raise PhotoError("cannot be fetched (its address is not valid Unicode)")
    return uri
