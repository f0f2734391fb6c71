"""Photos of tasks: every kind of URI, what is refused, and the folder they are kept in."""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prelabel.errors import PhotoError, UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Fetcher
from support.http_server import LEGACY, Answer, Server, answer, in_turn


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as running:
        running.route = lambda *_: (200, {}, b"picture")
        yield running


@pytest.fixture
def other() -> Iterator[Server]:
    """On another host as far as a client can tell: another port."""
    with Server().running() as running:
        running.route = lambda *_: (200, {}, b"from another host")
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
    assert (file.read_bytes(), file.parent, file.suffix) == (b"picture", folder, ".jpg")
    os.utime(file, (1, 1))
    assert fetcher.fetch("/data/upload/1/A.JPG") == file
    assert file.stat().st_mtime > time.time() - 60
    assert Fetcher(client, folder).fetch("/data/upload/1/A.JPG") == file
    assert server.asked == [("GET", "/data/upload/1/A.JPG", f"Token {LEGACY}")]


def test_names_differ_by_uri_and_server(client: Client, other: Server, folder: Path) -> None:
    with Client(other.url, LEGACY) as second:
        files = {
            Fetcher(client, folder).fetch("/a.jpg"),
            Fetcher(client, folder).fetch("/b.jpg"),
            Fetcher(second, folder).fetch("/a.jpg"),
        }
    assert len(files) == 3


def test_threads_that_want_one_photo_ask_once(server: Server, client: Client, folder: Path) -> None:
    fetcher = Fetcher(client, folder)
    with ThreadPoolExecutor(8) as pool:
        files = list(pool.map(fetcher.fetch, ["/a.jpg", "/b.jpg"] * 8))
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
    fetcher = Fetcher(client, folder, local_root=root, max_bytes=5)
    for uri in (
        "/data/local-files/?d=sub/a%20b.jpg",
        f"{server.url}/data/local-files/?d=sub/a+b.jpg",
    ):
        assert fetcher.fetch(uri) == root / "sub" / "a b.jpg"
    assert server.asked == []
    with pytest.raises(PhotoError, match="empty"):
        fetcher.fetch("/data/local-files/?d=empty.jpg")
    with pytest.raises(PhotoError, match="more than"):
        Fetcher(client, folder, local_root=root, max_bytes=4).fetch(
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
        Fetcher(None, folder, local_root=root).fetch(uri)
    # The server judges by its own rules; what it gives is what is used.
    assert Fetcher(client, folder, local_root=root).fetch(uri).read_bytes() == b"picture"
    assert len(server.asked) == 1


def test_local_files__without_a_root_through_the_client(
    server: Server, client: Client, folder: Path
) -> None:
    file = Fetcher(client, folder).fetch("/data/local-files/?d=sub/a.png")
    assert (file.read_bytes(), file.suffix) == (b"picture", ".png")


# Other hosts


@pytest.mark.parametrize("allowed", ["*", "127.0.0.1", "with port"])
def test_other_host__allowed_and_without_the_token(
    client: Client, other: Server, folder: Path, allowed: str
) -> None:
    hosts = [f"127.0.0.1:{other.port}" if allowed == "with port" else allowed]
    file = Fetcher(client, folder, allowed_hosts=hosts).fetch(f"{other.url}/a.jpg?sig=cafe")
    assert file.read_bytes() == b"from another host"
    assert other.asked == [("GET", "/a.jpg?sig=cafe", None)]


@pytest.mark.parametrize("hosts", [[], ["example.com"], ["127.0.0.1:1"], ["27.0.0.1"]])
def test_other_host__not_allowed(
    client: Client, other: Server, folder: Path, hosts: list[str]
) -> None:
    address = other.url.replace("http://", "http://me:hunter2@")
    with pytest.raises(PhotoError, match=r"lies on 127\.0\.0\.1, which is not") as caught:
        Fetcher(client, folder, allowed_hosts=hosts).fetch(f"{address}/a.jpg?sig=cafe")
    assert "cafe" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert other.asked == []


def test_redirect__from_the_server_goes_without_the_token(
    server: Server, client: Client, other: Server, folder: Path
) -> None:
    server.route = lambda *_: (303, {"Location": f"{other.url}/a.jpg?sig=cafe"}, b"")
    with pytest.raises(PhotoError, match="not among the hosts") as caught:
        Fetcher(client, folder).fetch("/a.jpg")
    assert "cafe" not in str(caught.value)
    assert other.asked == []
    file = Fetcher(client, folder, allowed_hosts=["127.0.0.1"]).fetch("/a.jpg")
    assert file.read_bytes() == b"from another host"
    assert other.asked == [("GET", "/a.jpg?sig=cafe", None)]


@pytest.mark.parametrize("target", ["http://localhost:1/x", "file:///etc/passwd", "http://[", "/a"])
def test_redirect__of_another_host(folder: Path, other: Server, target: str) -> None:
    other.route = lambda *_: (302, {"Location": target}, b"")
    with pytest.raises(PhotoError):
        Fetcher(None, folder, allowed_hosts=["127.0.0.1"]).fetch(f"{other.url}/a")
    assert left_in(folder) == []


# Storages and data: URLs


@pytest.mark.parametrize("uri", ["s3://bucket/a.jpg", "gs://b/ü?.png", "azure-blob://c/d/e.webp"])
def test_cloud__resolved_by_the_server(
    server: Server, client: Client, folder: Path, uri: str
) -> None:
    file = Fetcher(client, folder).fetch(uri, task_id=42)
    assert file.read_bytes() == b"picture"
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
    ],
)
def test_data_url(folder: Path, uri: str, data: bytes, suffix: str) -> None:
    file = Fetcher(None, folder).fetch(uri)
    assert (file.read_bytes(), file.suffix) == (data, suffix)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("data:image/png;base64", "without a comma"),
        ("data:image/png;base64,A!", "base64 is broken"),
        ("data:image/png;base64,A", "base64 is broken"),
        ("data:image/png;base64,", "is empty"),
        (f"data:,{'a' * 101}", "more than"),
        (f"data:;base64,{'A' * 140}", "more than"),
    ],
)
def test_data_url__broken(folder: Path, uri: str, reason: str) -> None:
    with pytest.raises(PhotoError, match=reason):
        Fetcher(None, folder, max_bytes=100).fetch(uri)
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
    ],
)
def test_uri__of_no_use(
    server: Server, client: Client, folder: Path, root: Path, uri: str, found: str
) -> None:
    with pytest.raises(PhotoError, match=found):
        Fetcher(client, folder, allowed_hosts=["*"], local_root=root).fetch(uri)
    assert server.asked == []
    assert left_in(folder) == []


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
    fetcher = Fetcher(client, folder, allowed_hosts=["*"], max_bytes=100)
    uri = "/a.jpg?sig=cafe"
    with pytest.raises(PhotoError, match=reason) as caught:
        fetcher.fetch(uri if place == "server" else other.url + uri)
    assert "cafe" not in str(caught.value)
    assert LEGACY not in str(caught.value)
    assert left_in(folder) == []


def test_size_is_capped_without_a_stated_length(
    server: Server, client: Client, folder: Path
) -> None:
    chunks = b"".join(b"64\r\n" + b"x" * 100 + b"\r\n" for _ in range(5)) + b"0\r\n\r\n"
    server.route = lambda *_: (200, {"Transfer-Encoding": "chunked", "Content-Length": ""}, chunks)
    with pytest.raises(PhotoError, match="more than"):
        Fetcher(client, folder, max_bytes=450).fetch("/a.jpg")
    assert left_in(folder) == []
    assert Fetcher(client, folder, max_bytes=500).fetch("/a.jpg").read_bytes() == b"x" * 500


def test_timeout(server: Server, other: Server, folder: Path) -> None:
    over = threading.Event()

    def slow(*_: str) -> Answer:
        over.wait(60)
        return 200, {}, b"late"

    server.route = other.route = slow
    with Client(server.url, LEGACY, timeout=0.03, attempts=1) as client:
        fetcher = Fetcher(client, folder, allowed_hosts=["*"], timeout=0.03)
        for uri in ("/a.jpg", f"{other.url}/a.jpg"):
            with pytest.raises(PhotoError, match="did not answer in time"):
                fetcher.fetch(uri)
    over.set()
    assert left_in(folder) == []


def test_other_host__is_asked_again_after_a_break(other: Server, folder: Path) -> None:
    other.route = in_turn((200, {"Content-Length": "7"}, b"pic"), (200, {}, b"picture"))
    file = Fetcher(None, folder, allowed_hosts=["*"]).fetch(f"{other.url}/a.jpg")
    assert file.read_bytes() == b"picture"


def test_folder_that_cannot_be_written(client: Client, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be"):
        Fetcher(client, tmp_path / "file").fetch("/a.jpg")


def test_refused_token_ends_the_job(server: Server, client: Client, folder: Path) -> None:
    server.route = lambda *_: answer({}, 401)
    with pytest.raises(UserError, match="refuses the token"):
        Fetcher(client, folder).fetch("/a.jpg")


# The folder's size


def test_oldest_go_first_and_recent_ones_stay(client: Client, folder: Path) -> None:
    first = Fetcher(client, folder)
    old, older, recent = (first.fetch(f"/{name}.jpg") for name in ("old", "older", "recent"))
    os.utime(old, (2000, 2000))
    os.utime(older, (1000, 1000))
    (folder / "notes.txt").write_text("not ours")
    os.utime(folder / "notes.txt", (1, 1))
    new = Fetcher(client, folder, cache_bytes=21).fetch("/new.jpg")  # 4 × 7 bytes are there
    assert left_in(folder) == sorted([old.name, recent.name, new.name, "notes.txt"])
    newest = Fetcher(client, folder, cache_bytes=1).fetch("/newest.jpg")
    assert left_in(folder) == sorted([recent.name, new.name, newest.name, "notes.txt"])
