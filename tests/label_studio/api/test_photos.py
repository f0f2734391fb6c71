"""Photos of tasks: every kind of URI, what is refused, and the folder they are kept in."""

from __future__ import annotations

import base64
import gzip
import os
import shutil
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

from prelabel.data import images
from prelabel.errors import PhotoError, UserError
from prelabel.label_studio.api import photos as module
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.hosts import AllowedHosts
from prelabel.label_studio.api.photos import Fetcher, Sources
from prelabel.label_studio.api.uris import decode_data_url, file_ending, is_photo_route
from support.hostile_photos import encoded
from support.hostile_server import hostile_server
from support.http_server import LEGACY, Answer, Server, answer, in_turn

PICTURE = encoded(Image.new("RGB", (2, 3), (9, 8, 7)))
OTHER = encoded(Image.new("RGB", (5, 4), (9, 8, 7)), "BMP")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as running:
        running.route = lambda *_: (200, {}, PICTURE)
        yield running


@pytest.fixture
def other() -> Iterator[Server]:
    """On another host as far as a client can tell: another port."""
    with Server().running() as running:
        running.route = lambda *_: (200, {}, OTHER)
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url, LEGACY, timeout=2, attempts=2, wait=0.01) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "photos"


def left_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


def test_upload__through_the_client_and_only_once(
    server: Server, client: Client, folder: Path
) -> None:
    fetcher = Fetcher(client, folder)
    file = fetcher.fetch("/data/upload/1/A.JPG")
    assert (file.read_bytes(), file.parent, file.suffix) == (PICTURE, folder, ".jpg")
    os.utime(file, (1, 1))
    assert fetcher.fetch("/data/upload/1/A.JPG") == file
    assert file.stat().st_mtime > time.time() - 60
    assert Fetcher(client, folder).fetch("/data/upload/1/A.JPG") == file
    assert server.asked == [("GET", "/data/upload/1/A.JPG", f"Token {LEGACY}")]


def test_names_differ_by_uri_and_server(client: Client, other: Server, folder: Path) -> None:
    with Client(other.url, LEGACY) as second:
        files = {
            Fetcher(client, folder).fetch("/data/upload/a.jpg"),
            Fetcher(client, folder).fetch("/data/upload/b.jpg"),
            Fetcher(second, folder).fetch("/data/upload/a.jpg"),
        }
    assert len(files) == 3


def test_threads_that_want_one_photo_ask_once(server: Server, client: Client, folder: Path) -> None:
    fetcher = Fetcher(client, folder)
    with ThreadPoolExecutor(8) as pool:
        files = list(pool.map(fetcher.fetch, ["/data/upload/a.jpg", "/data/upload/b.jpg"] * 8))
    assert len(set(files)) == 2
    assert len(server.asked) == 2


def test_address_of_the_server_itself(server: Server, client: Client, folder: Path) -> None:
    Fetcher(client, folder).fetch(f"{server.url}/data/upload/a.png?x=1")
    assert server.asked == [("GET", "/data/upload/a.png?x=1", f"Token {LEGACY}")]


# Local files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a b.jpg").write_bytes(b"local")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (root / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "out").symlink_to(tmp_path)
    (root / "empty.jpg").touch()
    return root


def test_local_files__below_the_root(
    server: Server, client: Client, folder: Path, root: Path
) -> None:
    fetcher = Fetcher(client, folder, Sources(local_root=root, max_bytes=5))
    for uri in (
        "/data/local-files/?d=sub/a%20b.jpg",
        f"{server.url}/data/local-files/?d=sub/a+b.jpg",
    ):
        assert fetcher.fetch(uri) == root / "sub" / "a b.jpg"
    assert server.asked == []
    with pytest.raises(PhotoError, match="empty"):
        fetcher.fetch("/data/local-files/?d=empty.jpg")
    with pytest.raises(PhotoError, match="more than"):
        Fetcher(client, folder, Sources(local_root=root, max_bytes=4)).fetch(
            "/data/local-files/?d=sub/a%20b.jpg"
        )


@pytest.mark.parametrize(
    "name",
    [
        "../secret.jpg",
        "sub/../../secret.jpg",
        "../../../../../../etc/passwd",
        "%2e%2e/secret.jpg",
        "/etc/passwd",
        "link.jpg",
        "out/secret.jpg",
        "a%00b",
        "sub",
        "",
    ],
)
def test_local_files__nothing_out_of_the_root(
    server: Server, client: Client, folder: Path, root: Path, name: str
) -> None:
    uri = f"/data/local-files/?d={name}"
    with pytest.raises(PhotoError):
        Fetcher(None, folder, Sources(local_root=root)).fetch(uri)
    # The server judges by its own rules; what it gives is what is used.
    assert Fetcher(client, folder, Sources(local_root=root)).fetch(uri).read_bytes() == PICTURE
    assert len(server.asked) == 1


def test_local_files__without_a_root_through_the_client(
    server: Server, client: Client, folder: Path
) -> None:
    file = Fetcher(client, folder).fetch("/data/local-files/?d=sub/a.png")
    assert (file.read_bytes(), file.suffix) == (PICTURE, ".png")


# Other hosts


@pytest.mark.parametrize("allowed", ["*", "with port"])
def test_other_host__allowed_and_without_the_token(
    client: Client, other: Server, folder: Path, allowed: str
) -> None:
    hosts = [f"127.0.0.1:{other.port}" if allowed == "with port" else allowed]
    file = Fetcher(client, folder, Sources(allowed_hosts=tuple(hosts))).fetch(
        f"{other.url}/data/upload/a.jpg?sig=cafe"
    )
    assert file.read_bytes() == OTHER
    assert other.asked == [("GET", "/data/upload/a.jpg?sig=cafe", None)]


@pytest.mark.parametrize(
    "hosts", [[], ["example.com"], ["127.0.0.1:1"], ["127.0.0.1"], ["27.0.0.1"]]
)
def test_other_host__not_allowed(
    client: Client, other: Server, folder: Path, hosts: list[str]
) -> None:
    address = other.url.replace("http://", "http://me:hunter2@")
    with pytest.raises(PhotoError, match=r"lies on 127\.0\.0\.1:\d+, which is not") as caught:
        Fetcher(client, folder, Sources(allowed_hosts=tuple(hosts))).fetch(
            f"{address}/a.jpg?sig=cafe"
        )
    assert "cafe" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert other.asked == []


def test_redirect__from_the_server_goes_without_the_token(
    server: Server, client: Client, other: Server, folder: Path
) -> None:
    server.route = lambda *_: (303, {"Location": f"{other.url}/data/upload/a.jpg?sig=cafe"}, b"")
    with pytest.raises(PhotoError, match="not among the hosts") as caught:
        Fetcher(client, folder).fetch("/data/upload/a.jpg")
    assert "cafe" not in str(caught.value)
    assert other.asked == []
    allowed = Sources(allowed_hosts=(f"127.0.0.1:{other.port}",))
    file = Fetcher(client, folder, allowed).fetch("/data/upload/a.jpg")
    assert file.read_bytes() == OTHER
    assert other.asked == [("GET", "/data/upload/a.jpg?sig=cafe", None)]


@pytest.mark.parametrize("target", ["http://localhost:1/x", "file:///etc/passwd", "http://[", "/a"])
def test_redirect__of_another_host(folder: Path, other: Server, target: str) -> None:
    other.route = lambda *_: (302, {"Location": target}, b"")
    with pytest.raises(PhotoError):
        Fetcher(None, folder, Sources((f"127.0.0.1:{other.port}",))).fetch(f"{other.url}/a")
    assert left_in(folder) == []


# Storages and data: URLs


@pytest.mark.parametrize("uri", ["s3://bucket/a.jpg", "gs://b/ü?.png", "azure-blob://c/d/e.webp"])
def test_cloud__resolved_by_the_server(
    server: Server, client: Client, folder: Path, uri: str
) -> None:
    file = Fetcher(client, folder).fetch(uri, task_id=42)
    assert file.read_bytes() == PICTURE
    path, _, query = server.asked[0][1].partition("?fileuri=")
    assert path == "/tasks/42/resolve/"
    assert base64.urlsafe_b64decode(query.replace("%3D", "=")).decode() == uri
    with pytest.raises(PhotoError, match="task's id"):
        Fetcher(client, folder).fetch(f"{uri}2")


@pytest.mark.parametrize(
    ("uri", "data", "suffix"),
    [
        ("data:image/png;base64,AAEC/w==", b"\x00\x01\x02\xff", ".png"),
        ("data:image/jpeg;charset=x;base64,AAEC_w", b"\x00\x01\x02\xff", ".jpg"),
        ("data:;base64,AA%3D%3D", b"\x00", ""),
        ("data:image/gif,a%00b+c", b"a\x00b+c", ".gif"),
        ("data:image/png;base64,AAEC\r\n /w= =\n", b"\x00\x01\x02\xff", ".png"),
        ("data:image/png;base64,-%2B_%2f", b"\xfb\xef\xff", ".png"),
    ],
)
def test_data_url__bytes_and_ending(uri: str, data: bytes, suffix: str) -> None:
    assert (decode_data_url(uri, 100), file_ending(uri)) == (data, suffix)


def test_data_url__decoded_without_many_copies() -> None:
    uri = f"data:image/png;base64,{'A' * 8_000_000}"
    tracemalloc.start()
    try:
        assert decode_data_url(uri, 10_000_000) == bytes(6_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 33_000_000


def test_data_url(folder: Path) -> None:
    uri = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    file = Fetcher(None, folder).fetch(uri)
    assert (file.read_bytes(), file.suffix) == (PICTURE, ".png")


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("data:image/png;base64", "without a comma"),
        ("data:image/png;base64,A!", "base64 is broken"),
        ("data:image/png;base64,A", "base64 is broken"),
        ("data:image/png;base64,AAE\u00e9", "base64 is broken"),
        ("data:image/png;base64,", "is empty"),
        (f"data:,{'a' * 101}", "more than"),
        (f"data:;base64,{'A' * 140}", "more than"),
    ],
)
def test_data_url__broken(folder: Path, uri: str, reason: str) -> None:
    with pytest.raises(PhotoError, match=reason):
        Fetcher(None, folder, Sources(max_bytes=100)).fetch(uri)
    assert left_in(folder) == []


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("file:///etc/passwd", "at file:"),
        ("ftp://host/a.jpg", "at ftp:"),
        ("FILE:/data/local-files/?d=sub/a b.jpg", "at file:"),
        ("photos/a.jpg", "at a relative path"),
        ("//127.0.0.1/a.jpg", "at a relative path"),
        ("", "at a relative path"),
        ("http://[/a.jpg", "not valid"),
        ("http://127.0.0.1:port/a.jpg", "not valid"),
        ("/a\ud800.jpg", "not valid"),
        (f"/{'a' * 20_000}.jpg", "20005 characters"),
    ],
)
def test_uri__of_no_use(
    server: Server, client: Client, folder: Path, root: Path, uri: str, found: str
) -> None:
    with pytest.raises(PhotoError, match=found):
        Fetcher(client, folder, Sources(allowed_hosts=("*",), local_root=root)).fetch(uri)
    assert server.asked == []
    assert left_in(folder) == []


def test_photo_that_was_damaged_in_the_folder_is_fetched_again(
    server: Server, client: Client, folder: Path
) -> None:
    fetcher = Fetcher(client, folder)
    file = fetcher.fetch("/data/upload/1/a.png")
    for damage in (b"", bytes(len(PICTURE)), b"<html>"):
        file.write_bytes(damage)
        assert fetcher.read("/data/upload/1/a.png") == PICTURE
    assert fetcher.fetch("/data/upload/1/a.png") == file
    assert len(server.asked) == 4


# What goes wrong


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (answer({}, 404), "no such file"),
        (answer({}, 403), "access is refused"),
        (answer({}, 500), "answer"),
        ((200, {}, b""), "empty"),
        ((200, {}, b"x" * 101), "more than 0.0001 MB"),
        ((200, {"Content-Length": "999999999"}, b"x"), "more than"),
        ((200, {"Content-Length": "90"}, b"x" * 50), "broke"),
        ((200, {"Content-Type": "text/html"}, b"<html>"), "web page"),
    ],
)
@pytest.mark.parametrize("place", ["server", "other"])
def test_photo_that_cannot_be_had_leaves_no_file(
    server: Server,
    client: Client,
    other: Server,
    folder: Path,
    given: tuple[int, dict[str, str], bytes],
    reason: str,
    place: str,
) -> None:
    server.route = other.route = lambda *_: given
    fetcher = Fetcher(client, folder, Sources(allowed_hosts=("*",), max_bytes=100))
    uri = "/data/upload/a.jpg?sig=cafe"
    with pytest.raises(PhotoError, match=reason) as caught:
        fetcher.fetch(uri if place == "server" else other.url + uri)
    assert "cafe" not in str(caught.value)
    assert LEGACY not in str(caught.value)
    assert left_in(folder) == []


def test_size_is_capped_without_a_stated_length(
    server: Server, client: Client, folder: Path
) -> None:
    data = PICTURE + bytes(500 - len(PICTURE))
    chunks = b"".join(b"64\r\n" + data[n : n + 100] + b"\r\n" for n in range(0, 500, 100))
    chunks += b"0\r\n\r\n"
    server.route = lambda *_: (200, {"Transfer-Encoding": "chunked", "Content-Length": ""}, chunks)
    with pytest.raises(PhotoError, match="more than"):
        Fetcher(client, folder, Sources(max_bytes=450)).fetch("/data/upload/a.jpg")
    assert left_in(folder) == []
    fetcher = Fetcher(client, folder, Sources(max_bytes=500))
    assert fetcher.fetch("/data/upload/a.jpg").read_bytes() == data


def test_timeout(server: Server, other: Server, folder: Path) -> None:
    over = threading.Event()

    def slow(*_: str) -> Answer:
        over.wait(60)
        return 200, {}, b"late"

    server.route = other.route = slow
    with Client(server.url, LEGACY, timeout=0.03, attempts=1) as client:
        fetcher = Fetcher(client, folder, Sources(allowed_hosts=("*",), seconds=0.1))
        for uri in ("/data/upload/a.jpg", f"{other.url}/data/upload/a.jpg"):
            with pytest.raises(PhotoError, match=r"not done after|in time"):
                fetcher.fetch(uri)
    over.set()
    assert left_in(folder) == []


def test_other_host__is_asked_again_after_a_break(other: Server, folder: Path) -> None:
    other.route = in_turn((200, {"Content-Length": "99"}, PICTURE[:9]), (200, {}, PICTURE))
    file = Fetcher(None, folder, Sources(allowed_hosts=("*",))).fetch(
        f"{other.url}/data/upload/a.jpg"
    )
    assert file.read_bytes() == PICTURE


def test_folder_that_cannot_be_written(client: Client, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be"):
        Fetcher(client, tmp_path / "file").fetch("/data/upload/a.jpg")


def test_refused_token_ends_the_job(server: Server, client: Client, folder: Path) -> None:
    server.route = lambda *_: answer({}, 401)
    with pytest.raises(UserError, match="refuses the token"):
        Fetcher(client, folder).fetch("/data/upload/a.jpg")


# Label Studio's own routes


@pytest.mark.parametrize(
    "path",
    [
        "/data/upload/1/a.jpg",
        "/data/upload/1/a%20b..c.jpg?x=1",
        "/data/local-files/?d=sub/../a.jpg",
        "/storage-data/uploaded/?filepath=upload/1/a.jpg",
        "/tasks/7/resolve/?fileuri=czM6",
        "/projects/7/presign/?fileuri=czM6",
        "/static/samples/sample.jpg",
    ],
)
def test_photo_route(path: str) -> None:
    assert is_photo_route(path)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/tasks/7",
        "/api/current-user/token",
        "/data/upload/",
        "/data/upload/../../api/tasks/7",
        "/data/upload/%2e%2e/%2E%2E/api/tasks/7",
        "/data/upload/..%2f..%2fapi/tasks/7",
        "/data/upload/..\\..\\api",
        "/data/upload//x",
        "/static/../api/tasks/7",
        "/data/local-files/../../api/x",
        "/tasks/7/",
        "/tasks/x/resolve/",
        "/user/account",
    ],
)
def test_path_that_is_no_photo_route_is_never_sent_the_token(
    server: Server, client: Client, folder: Path, path: str
) -> None:
    assert not is_photo_route(path)
    with pytest.raises(PhotoError, match="not among the hosts"):
        Fetcher(client, folder).fetch(path)
    assert server.asked == []
    allowed = Sources((f"127.0.0.1:{server.port}",))
    assert Fetcher(client, folder, allowed).fetch(path).read_bytes() == PICTURE
    assert [token for _, _, token in server.asked] == [None]


def test_static_picture__without_the_token(server: Server, client: Client, folder: Path) -> None:
    Fetcher(client, folder).fetch("/static/samples/sample.jpg")
    assert server.asked == [("GET", "/static/samples/sample.jpg", None)]


def test_redirect__from_a_photo_to_the_api_is_not_followed(
    server: Server, client: Client, folder: Path
) -> None:
    server.route = lambda *_: (302, {"Location": "/api/current-user/token"}, b"")
    with pytest.raises(PhotoError, match="not among the hosts"):
        Fetcher(client, folder).fetch("/data/upload/a.jpg")
    assert [path for _, path, _ in server.asked] == ["/data/upload/a.jpg"]


@pytest.mark.parametrize(
    ("host", "address", "allowed"),
    [
        ("example.com", "http://example.com/a", True),
        ("Example.com", "https://EXAMPLE.com:443/a", True),
        ("example.com", "http://example.com:8080/a", False),
        ("example.com", "https://example.com:80/a", True),
        ("example.com:8080", "http://example.com:8080/a", True),
        ("example.com:8080", "http://example.com/a", False),
        ("[::1]", "http://[::1]/a", True),
        ("[::1]:9", "http://[::1]:9/a", True),
        ("[::1]:9", "http://[::1]:8/a", False),
        ("*", "http://example.com:8080/a", True),
        ("example.com", "http://sub.example.com/a", False),
        ("*", "ftp://example.com/a", False),
    ],
)
def test_allowed_hosts(host: str, address: str, allowed: bool) -> None:
    hosts = AllowedHosts([host])
    if allowed:
        hosts.check(urlsplit(address))
    else:
        with pytest.raises(PhotoError):
            hosts.check(urlsplit(address))


@pytest.mark.parametrize("host", ["", "http://x", "x/y", "x:port", "x:0", "a@b", "x:99999"])
def test_allowed_host__that_is_none(host: str) -> None:
    with pytest.raises(UserError, match="is not a host: expected NAME"):
        AllowedHosts([host])


# Hostile and slow hosts

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PICTURE)
SLOW = {
    "body": (_HEAD, PICTURE),
    "head": (b"", _HEAD + PICTURE),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000),
    "early hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 10_000),
    "chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"1\r\nx\r\n" * 10_000,
    ),
    "nothing": (b"", b""),
}


@pytest.mark.parametrize("kind", SLOW)
@pytest.mark.parametrize("place", ["server", "other"])
def test_download_has_one_deadline(folder: Path, kind: str, place: str) -> None:
    at_once, slowly = SLOW[kind]
    with hostile_server(at_once, slowly, pause=0.05) as port:
        url = f"http://127.0.0.1:{port}"
        sources = Sources((f"127.0.0.1:{port}",), seconds=0.5)
        client = Client(url, LEGACY) if place == "server" else None
        uri = "/data/upload/a.jpg" if client else f"{url}/a.jpg"
        started = time.monotonic()
        with pytest.raises(PhotoError, match=r"not done after 0\.5 seconds"):
            Fetcher(client, folder, sources).fetch(uri)
        assert time.monotonic() - started < 1.5
        if client:
            client.close()
    assert left_in(folder) == []


def test_redirects_share_the_deadline(folder: Path) -> None:
    with hostile_server(b"", b"HTTP/1.1 302 Found\r\nLocation: /a\r\n\r\n", pause=0.02) as port:
        sources = Sources((f"127.0.0.1:{port}",), seconds=1.0)
        started = time.monotonic()
        with pytest.raises(PhotoError, match="not done after 1 seconds"):
            Fetcher(None, folder, sources).fetch(f"http://127.0.0.1:{port}/a")
        assert time.monotonic() - started < 2


def packed(data: bytes, times: int) -> bytes:
    for _ in range(times):
        data = gzip.compress(data, mtime=0)
    return data


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "deflate", "GZIP", "identity"])
def test_encoded_answer_is_decoded(
    client: Client, server: Server, folder: Path, encoding: str
) -> None:
    body = {"deflate": zlib.compress(PICTURE), "identity": PICTURE}.get(
        encoding, packed(PICTURE, 1)
    )
    server.route = lambda *_: (200, {"Content-Encoding": encoding}, body)
    assert Fetcher(client, folder).fetch("/data/upload/a.jpg").read_bytes() == PICTURE


@pytest.mark.parametrize(
    ("encoding", "body", "reason"),
    [
        ("gzip", packed(bytes(3_000_000), 1), "more than 1 MB"),
        ("gzip, gzip", packed(bytes(3_000_000), 2), "encoding 'gzip, gzip'"),
        ("br", PICTURE, "encoding 'br'"),
        ("zstd", PICTURE, "encoding 'zstd'"),
        ("gzip", PICTURE, "compression is broken"),
        ("gzip", packed(PICTURE, 1)[:-9], "compression is cut off"),
    ],
)
def test_encoded_answer_is_no_bomb(
    client: Client, server: Server, folder: Path, encoding: str, body: bytes, reason: str
) -> None:
    server.route = lambda *_: (200, {"Content-Encoding": encoding}, body)
    tracemalloc.start()
    try:
        with pytest.raises(PhotoError, match=reason):
            Fetcher(client, folder, Sources(max_bytes=1_000_000)).fetch("/data/upload/a.jpg")
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()
    assert left_in(folder) == []


@pytest.mark.parametrize(
    "page", [b"<!doctype html>Out of order", b'{"error": "busy"}', PICTURE[:50], b"GIF89a"]
)
def test_answer_that_is_no_picture_is_not_kept(
    server: Server, client: Client, folder: Path, page: bytes
) -> None:
    server.route = in_turn((200, {"Content-Type": "image/png"}, page), (200, {}, PICTURE))
    fetcher = Fetcher(client, folder)
    with pytest.raises(PhotoError, match="decoded"):
        fetcher.fetch("/data/upload/a.png")
    assert left_in(folder) == []
    assert fetcher.find("/data/upload/a.png") is None
    file = fetcher.fetch("/data/upload/a.png")  # the host is mended
    assert file.read_bytes() == PICTURE
    assert fetcher.find("/data/upload/a.png") == file


def test_photo_removed_by_another_process_is_fetched_again(
    server: Server, client: Client, folder: Path
) -> None:
    fetcher = Fetcher(client, folder)
    file = fetcher.fetch("/data/upload/a.jpg")
    shutil.rmtree(folder)
    assert fetcher.find("/data/upload/a.jpg") is None
    assert fetcher.fetch("/data/upload/a.jpg") == file
    assert len(server.asked) == 2


def test_photo_removed_between_fetching_and_reading(
    server: Server, client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetcher = Fetcher(client, folder)
    read_bytes = images.read_bytes
    removals = [True]

    def removed_first(file: Path) -> bytes:
        if removals:
            removals.clear()
            file.unlink()
        return read_bytes(file)

    fetcher.fetch("/data/upload/a.jpg")
    monkeypatch.setattr(images, "read_bytes", removed_first)
    assert fetcher.read("/data/upload/a.jpg") == PICTURE
    assert len(server.asked) == 2


def test_folder_that_is_removed_during_a_download(
    server: Server, client: Client, folder: Path
) -> None:
    removals = [True]

    def route(*_: str) -> Answer:
        if removals:
            removals.clear()
            shutil.rmtree(folder)
        return 200, {}, PICTURE

    server.route = route
    assert Fetcher(client, folder).fetch("/data/upload/a.jpg").read_bytes() == PICTURE
    assert len(server.asked) == 2


# The folder's size


def test_oldest_go_first_and_recent_ones_stay(client: Client, folder: Path) -> None:
    first = Fetcher(client, folder)
    old, older, recent = (
        first.fetch(f"/data/upload/{name}.jpg") for name in ("old", "older", "recent")
    )
    os.utime(old, (2000, 2000))
    os.utime(older, (1000, 1000))
    (folder / "notes.txt").write_text("not ours")
    os.utime(folder / "notes.txt", (1, 1))
    new = Fetcher(client, folder, Sources(cache_bytes=3 * len(PICTURE))).fetch(
        "/data/upload/new.jpg"
    )
    assert left_in(folder) == sorted([old.name, recent.name, new.name, "notes.txt"])
    newest = Fetcher(client, folder, Sources(cache_bytes=1)).fetch("/data/upload/newest.jpg")
    assert left_in(folder) == sorted([recent.name, new.name, newest.name, "notes.txt"])


def test_fetch__large_files_are_looked_at_one_by_one(
    monkeypatch: pytest.MonkeyPatch, client: Client, folder: Path
) -> None:
    monkeypatch.setattr(module, "_OPEN_BYTES", 1)
    looking = threading.Lock()

    def look(file: Path) -> None:
        assert looking.acquire(blocking=False)
        time.sleep(0.01)
        looking.release()

    monkeypatch.setattr(images, "read_image", look)
    fetcher = Fetcher(client, folder)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fetcher.fetch, [f"/data/upload/{n}.jpg" for n in range(16)]))
