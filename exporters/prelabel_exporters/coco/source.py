"""Where COCO's files are, in the layouts that tools write, and their bytes."""

from __future__ import annotations

import gzip
import json
import os
import zlib
from pathlib import Path

from prelabel.errors import UserError
from prelabel.storage.files import is_file, open_file, read_file

FILE, RESULTS = "instances.json", "results.json"
_ENDINGS = (".json", ".json.gz")
_LOOK = 1 << 16
_GZIP = b"\x1f\x8b"
_ANY = 32 + zlib.MAX_WBITS
"""Says zlib that gzip has a head of its own."""
_LARGEST = 2_000_000_000
"""Bytes of an unpacked file; COCO's own largest has 0.5 GB."""


def candidates(source: Path) -> list[Path]:
    """The files that may be COCO's: ``source`` itself, or in a folder ``instances.json``, else
    ``annotations/instances_*.json`` (CVAT, datumaro, COCO itself), else ``instances_*.json``, else
    ``annotations/*.json`` of datumaro's own form, else its only JSON file."""
    if not source.is_dir():
        return [source] if source.name.lower().endswith(_ENDINGS) and source.is_file() else []
    for pattern in (FILE, f"{FILE}.gz", "annotations/instances_*.json*", "instances_*.json*"):
        found = [f for f in sorted(source.glob(pattern)) if f.name.lower().endswith(_ENDINGS)]
        if found:
            return found
    subsets = sorted(source.glob("annotations/*.json"))
    if subsets and all(map(is_datumaro, subsets)):
        return subsets
    found = [f for f in sorted(source.glob("*.json*")) if f.name.lower().endswith(_ENDINGS)]
    return found if len(found) == 1 else []


def is_datumaro(file: Path) -> bool:
    """Whether a file looks like datumaro's own JSON."""
    head, ends = look(file)
    return head.lstrip().startswith(b"{") and b'"label_groups"' in ends and b'"items"' in ends


def photos_beside(file: Path, name: str) -> Path | None:
    """The folder of photos in the layouts that tools write around a file of instances, if the photo of
    this name is in it: ``images/``, ``images/<split>/`` or ``<split>/`` beside the file or its folder
    ``annotations/``; None if it is in none of them."""
    root = file.parent.parent if file.parent.name == "annotations" else file.parent
    split = file.name.partition(".")[0].removeprefix("instances_")
    for folder in (root / "images", root / "images" / split, root / split):
        inside = os.path.normpath(folder / name)
        if is_file(folder / name) and Path(inside).is_relative_to(os.path.normpath(folder)):
            return folder
    return None


def look(file: Path) -> tuple[bytes, bytes]:
    """The beginning of a file as UTF-8, and both ends; empty for one that cannot be read."""
    try:
        with open_file(file) as data:
            head = data.read(_LOOK)
            tail = b""
            if head.startswith(_GZIP):
                head, tail = _packed_ends(file)
            elif (size := file.stat().st_size) > _LOOK:
                data.seek(max(_LOOK, size - _LOOK))
                tail = data.read(_LOOK)
    except (OSError, EOFError, zlib.error):
        return b"", b""
    start = _as_utf8(head, errors="ignore")
    # ASCII has zeros between its characters in UTF-16, whose tail may start with half of one.
    return start, start + (tail if start == head else tail.replace(b"\0", b""))


def load(file: Path) -> bytes:
    """The whole file as UTF-8, unpacked. Raises UserError."""
    try:
        data = read_file(file)
        if data.startswith(_GZIP):
            data = _unpacked(data, file)
        return _as_utf8(data)
    except (OSError, zlib.error, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{str(file)!r} cannot be read ({reason})") from error


def _packed_ends(file: Path) -> tuple[bytes, bytes]:
    """The two ends of what a packed file holds; of one with more than 1000 times ``_LOOK``, the end
    of that."""
    with gzip.open(file) as unpacked:
        head = unpacked.read(_LOOK)
        last = before = b""
        for _ in range(1000):
            if not (part := unpacked.read(_LOOK)):
                break
            before, last = last, part
    return head, before + last


def _unpacked(data: bytes, file: Path) -> bytes:
    unpacking = zlib.decompressobj(_ANY)
    text = unpacking.decompress(data, _LARGEST)
    if unpacking.unconsumed_tail:
        raise UserError(f"{file} has more than {_LARGEST / 1e9:g} GB unpacked: split it")
    if not unpacking.eof:
        raise UserError(f"{file} is not complete (its packed data end too soon): was it cut off?")
    return text


def _as_utf8(text: bytes, *, errors: str = "strict") -> bytes:
    """The same JSON in UTF-8 without a mark, from any encoding that JSON may have."""
    encoding = json.detect_encoding(text)
    if encoding == "utf-8":
        return text
    return text.decode(encoding, errors).encode("utf-8", "surrogatepass")
