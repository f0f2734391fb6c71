"""What the URI of a photo says: where it is, and what kind of file."""

from __future__ import annotations

import base64
import re
from pathlib import PurePosixPath
from urllib.parse import SplitResult, parse_qs, unquote, unquote_to_bytes, urlsplit

from prelabel.data.image_formats import EXTENSIONS, ending_of_type
from prelabel.errors import PhotoError
from prelabel.label_studio.api.download import check_size

LOCAL_FILES = "/data/local-files/"
_PHOTO_ROUTES = re.compile(
    r"/data/upload/.+|/data/local-files/|/storage-data/uploaded/|/(tasks|projects)/\d+/(resolve|presign)/"
)
STATIC = "/static/"
"""Label Studio's own pictures, which need no token."""
_ONE_ALPHABET = bytes.maketrans(b"-_", b"+/")
PORTS = {"http": 80, "https": 443}


def split_uri(uri: str) -> SplitResult:
    """Raises PhotoError for an address that is not valid."""
    try:
        place = urlsplit(uri)
        _ = place.port  # raises on reading
    except ValueError:
        raise PhotoError("cannot be fetched (its address is not valid)") from None
    return place


def host_and_port(place: SplitResult) -> tuple[str, int | None]:
    """Host and port; the usual ports of http and https are one server."""
    port = None if place.port == PORTS.get(place.scheme) else place.port
    return (place.hostname or "").lower(), port


def request_path(place: SplitResult) -> str:
    """Path and query, as they are requested from the server."""
    return (place.path or "/") + (f"?{place.query}" if place.query else "")


def path_on_server(uri: str, server_url: str) -> str:
    """The path on the server, without the one that the server is below; "" for a URI that is
    elsewhere."""
    if uri.startswith("data:"):
        return ""
    place, server = split_uri(uri), urlsplit(server_url)
    if place.netloc and host_and_port(place) != host_and_port(server):
        return ""
    if place.scheme not in (("http", "https") if place.netloc else ("",)):
        return ""
    return place.path.removeprefix(server.path)


def is_photo_route(path: str) -> bool:
    """Whether a path of a Label Studio server, below its own, is one that it gives photos at."""
    plain = unquote(path.partition("?")[0].partition("#")[0])
    if "\\" in plain or any(part in ("", ".", "..") for part in plain[1:].rstrip("/").split("/")):
        return False  # servers may read it as another path
    return plain.startswith(STATIC) or bool(_PHOTO_ROUTES.fullmatch(plain))


def local_file_name(uri: str) -> str:
    """The path of a local file, in the URI's ``?d=``."""
    return parse_qs(split_uri(uri).query).get("d", [""])[0]


def file_ending(uri: str) -> str:
    """The URI's file ending in small letters; "" if it is not one of an image."""
    if uri.startswith("data:"):
        return ending_of_type(re.split("[;,]", uri[5:105], maxsplit=1)[0])
    place = split_uri(uri)
    path = local_file_name(uri) if place.path.endswith(LOCAL_FILES) else unquote(place.path)
    ending = PurePosixPath(path).suffix.lower()
    return ending if ending in EXTENSIONS else ""


def decode_data_url(uri: str, max_bytes: int) -> bytes:
    """The bytes of a ``data:`` URL (RFC 2397)."""
    head, comma, text = uri[5:].partition(",")
    if not comma:
        raise PhotoError("is a data: URL without a comma: expected data:image/png;base64,…")
    if text:
        check_size(max(1, len(text) // 4), max_bytes)  # before it is decoded: at most 4 a byte
    if head.lower().replace(" ", "").endswith(";base64"):
        try:
            # Both alphabets and missing padding are seen in the wild, line ends too.
            packed = unquote_to_bytes(text) if "%" in text else text.encode("ascii")
            packed = packed.translate(_ONE_ALPHABET, b" \t\n\r\f\v").rstrip(b"=")
            data = base64.b64decode(packed + b"=" * (-len(packed) % 4), validate=True)
        except ValueError:
            raise PhotoError("is a data: URL whose base64 is broken") from None
    else:
        data = unquote_to_bytes(text)
    check_size(len(data), max_bytes)
    return data
