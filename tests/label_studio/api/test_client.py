"""The Label Studio client against a small server that answers as 1.23 does."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from prelabel.errors import PhotoError, UserError
from prelabel.label_studio.api.client import Client, ServerFault
from support.http_server import LEGACY, Answer, Server, answer, in_turn


def jwt(**facts: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(facts).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{body}.c2lnbmVk"


PERSONAL = jwt(token_type="refresh", jti="personal")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as running:
        yield running


@pytest.fixture
def other() -> Iterator[Server]:
    """On another host as far as a client can tell: another port."""
    with Server().running() as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.url, LEGACY, timeout=2, attempts=3, wait=0.01) as client:
        yield client


def paged(n_tasks: int, *, most: int = 1000, total: int | None = None, after: int = 404) -> Any:
    def route(method: str, path: str) -> Answer:
        query = parse_qs(urlsplit(path).query)
        assert (query["project"], query["fields"]) == (["7"], ["all"])
        page, size = int(query["page"][0]), min(most, int(query["page_size"][0]))
        ids = range(1, n_tasks + 1)[(page - 1) * size : page * size]
        if not ids and page > 1:
            return answer({"detail": "Invalid page."} if after == 404 else {"tasks": []}, after)
        found = {"tasks": [{"id": i} for i in ids], "total": n_tasks if total is None else total}
        return answer(found)

    return route


# Tokens


def test_legacy_token(server: Server, client: Client) -> None:
    server.route = lambda *_: answer({"id": 7, "label_config": "<View/>"})
    assert client.project(7) == {"id": 7, "label_config": "<View/>"}
    assert server.asked == [("GET", "/api/projects/7/", f"Token {LEGACY}")]


def tokens_of(lifetime: float) -> Callable[[str, str], Answer]:
    """A server that gives access tokens, numbered."""
    number = iter(range(1, 100))

    def route(method: str, path: str) -> Answer:
        if path == "/api/token/refresh/":
            return answer({"access": jwt(iat=1000, exp=1000 + lifetime, jti=next(number))})
        return answer({"id": 7})

    return route


def test_personal_token__asks_for_an_access_token_once(server: Server) -> None:
    server.route = tokens_of(300)
    with Client(server.url, PERSONAL) as client:
        client.project(7)
        client.project(7)
    access = jwt(iat=1000, exp=1300, jti=1)
    assert server.asked == [
        ("POST", "/api/token/refresh/", None),
        ("GET", "/api/projects/7/", f"Bearer {access}"),
        ("GET", "/api/projects/7/", f"Bearer {access}"),
    ]
    assert json.loads(server.bodies[0]) == {"refresh": PERSONAL}


def test_personal_token__renewed_before_it_expires(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("prelabel.label_studio.api.client.time.monotonic", lambda: now[0])
    server.route = tokens_of(300)
    with Client(server.url, PERSONAL) as client:
        for now[0] in (0.0, 269.0, 271.0):  # 30 seconds before it would expire
            client.project(7)
    paths = [path for _, path, _ in server.asked]
    refresh, project = "/api/token/refresh/", "/api/projects/7/"
    assert paths == [refresh, project, project, refresh, project]


def test_personal_token__renewed_once_on_a_401(server: Server) -> None:
    give = tokens_of(300)
    first = jwt(iat=1000, exp=1300, jti=1)

    def route(method: str, path: str) -> Answer:
        if server.asked[-1][2] == f"Bearer {first}":
            return answer({"detail": "expired"}, 401)
        return give(method, path)

    server.route = route
    with Client(server.url, PERSONAL) as client:
        assert client.project(7) == {"id": 7}
    assert [path for _, path, _ in server.asked].count("/api/token/refresh/") == 2


@pytest.mark.parametrize("token", [LEGACY, PERSONAL])
def test_revoked_token(server: Server, token: str) -> None:
    server.route = lambda *_: answer({"detail": f"{token} is no good"}, 401)
    with (
        Client(server.url, token, wait=0.01) as client,
        pytest.raises(UserError, match=r"refuses the token.*/user/account") as caught,
    ):
        client.project(7)
    assert token not in str(caught.value)
    assert len(server.asked) == 1


def test_access_token_that_is_refused_twice(server: Server) -> None:
    give = tokens_of(300)
    server.route = lambda m, p: give(m, p) if m == "POST" else answer({}, 401)
    with Client(server.url, PERSONAL) as client, pytest.raises(UserError, match="refuses"):
        client.project(7)
    assert [method for method, _, _ in server.asked] == ["POST", "GET", "POST", "GET"]


def test_login_page_instead_of_a_401(server: Server, client: Client) -> None:
    server.route = lambda *_: (302, {"Location": "/user/login/?next=/data/x"}, b"")
    with pytest.raises(UserError, match="refuses the token"):
        client.download("/data/x", io.BytesIO(), 100)


@pytest.mark.parametrize("token", ["", "  ", "two words", "naïve", "a\nb"])
def test_token_that_cannot_be_sent(token: str) -> None:
    with pytest.raises(UserError, match="token is empty or has blanks") as caught:
        Client("http://127.0.0.1:1", token)
    assert token.strip() == "" or token not in str(caught.value)


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://x", "http://", "http://x:port"])
def test_address_that_is_none(url: str) -> None:
    with pytest.raises(UserError, match="http://HOST:PORT"):
        Client(url, LEGACY)


def test_address_with_a_password_does_not_show_it() -> None:
    with pytest.raises(UserError, match="user or password") as caught:
        Client("http://me:hunter2@127.0.0.1", LEGACY)
    assert "hunter2" not in str(caught.value)


# Repeating


def test_get__is_repeated_after_500(server: Server, client: Client) -> None:
    server.route = in_turn(answer({}, 500), answer({}, 500), answer({"id": 7}))
    assert client.project(7) == {"id": 7}
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_get__gives_up_in_the_end(server: Server, client: Client, status: int) -> None:
    server.route = lambda *_: answer({}, status)
    with pytest.raises(ServerFault, match=r"\(3 attempts\).*what is done is kept"):
        client.project(7)
    assert len(server.asked) == 3


def test_server_that_is_not_there(server: Server) -> None:
    with (
        Client("http://127.0.0.1:1", LEGACY, attempts=2, wait=0.01) as client,
        pytest.raises(ServerFault, match="cannot be reached") as caught,
    ):
        client.import_predictions(7, [{"task": 1}])
    assert not caught.value.reached


def test_import(server: Server, client: Client) -> None:
    server.route = lambda *_: answer({"created": 2}, 201)
    result: list[object] = []
    more = {"result": result, "score": 0.5, "model_version": "abc-1"}
    sent = [{"task": task, **more} for task in (1, 2)]
    assert client.import_predictions(7, sent) == 2
    assert client.import_predictions(7, []) == 0
    assert server.asked == [("POST", "/api/projects/7/import/predictions", f"Token {LEGACY}")]
    assert json.loads(server.bodies[0]) == sent


@pytest.mark.parametrize("status", [0, 500, 504])
def test_import__is_not_repeated_where_it_may_have_been_done(
    server: Server, client: Client, status: int
) -> None:
    server.route = lambda *_: answer({}, status)
    with pytest.raises(ServerFault, match="what is done is kept; run the same command again"):
        client.import_predictions(7, [{"task": 1}])
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 502, 503])
def test_import__is_repeated_where_it_was_not_done(
    server: Server, client: Client, status: int
) -> None:
    server.route = in_turn(answer({}, status), answer({"created": 1}, 201))
    assert client.import_predictions(7, [{"task": 1}]) == 1


@pytest.mark.parametrize("created", [0, 1, None])
def test_import__fewer_created_than_sent(server: Server, client: Client, created: object) -> None:
    server.route = lambda *_: answer({"created": created}, 201)
    with pytest.raises(ServerFault, match=f"created {created} of 2 predictions"):
        client.import_predictions(7, [{"task": 1}, {"task": 2}])


def test_import__refused_says_why_without_secrets(server: Server, client: Client) -> None:
    detail = f"Task ID 9 not found, {LEGACY}, https://s3/x.jpg?X-Amz-Signature=cafe"
    server.route = lambda *_: answer({"detail": detail}, 400)
    with pytest.raises(UserError, match=r"answered 400 .*Task ID 9 not found") as caught:
        client.import_predictions(7, [{"task": 9}])
    assert LEGACY not in str(caught.value)
    assert "cafe" not in str(caught.value)


def test_delete(server: Server, client: Client) -> None:
    server.route = in_turn(answer({}, 500), (204, {}, b""), answer({}, 404))
    client.delete_prediction(5)
    client.delete_prediction(5)  # gone already
    assert server.asked[0][:2] == ("DELETE", "/api/predictions/5/")
    assert len(server.asked) == 3


# Answers


def test_project__that_is_not_there(server: Server, client: Client) -> None:
    with pytest.raises(UserError, match="has no project 8"):
        client.project(8)


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"{"])
def test_answer__of_something_else(server: Server, client: Client, body: bytes) -> None:
    server.route = lambda *_: (200, {}, body)
    with pytest.raises(UserError, match="is a Label Studio server"):
        client.project(7)


@pytest.mark.parametrize("n_tasks", [0, 1, 99, 100, 200, 250])
@pytest.mark.parametrize("after", [404, 200])
def test_tasks(server: Server, client: Client, n_tasks: int, after: int) -> None:
    server.route = paged(n_tasks, after=after)
    assert [task["id"] for task in client.tasks(7)] == list(range(1, n_tasks + 1))


def test_tasks__are_not_read_ahead(server: Server, client: Client) -> None:
    server.route = paged(250)
    assert next(client.tasks(7)) == {"id": 1}
    assert len(server.asked) == 1


def test_tasks__server_with_smaller_pages(server: Server, client: Client) -> None:
    server.route = paged(250, most=40)
    assert [task["id"] for task in client.tasks(7)] == list(range(1, 251))


def test_tasks__fewer_than_stated(server: Server, client: Client) -> None:
    server.route = paged(150, total=160)
    with pytest.raises(ServerFault, match="gave 150 of 160 tasks"):
        list(client.tasks(7))


def test_tasks__none_twice_when_some_are_added_meanwhile(server: Server, client: Client) -> None:
    pages = [[3, 2], [2, 1], []]
    server.route = in_turn(*[answer({"tasks": [{"id": i} for i in page]}) for page in pages])
    assert [task["id"] for task in client.tasks(7, page_size=2)] == [3, 2, 1]


def test_tasks__server_that_knows_no_pages(server: Server, client: Client) -> None:
    server.route = lambda *_: answer({"tasks": [{"id": 1}, {"id": 2}]})
    assert [task["id"] for task in client.tasks(7, page_size=2)] == [1, 2]


# Downloads and redirects


def test_download(server: Server, client: Client) -> None:
    server.route = lambda *_: (200, {}, b"picture")
    into = io.BytesIO()
    assert client.download("/data/upload/1/a%20b.jpg?x=1", into, 7) is None
    assert into.getvalue() == b"picture"
    assert server.asked == [("GET", "/data/upload/1/a%20b.jpg?x=1", f"Token {LEGACY}")]


def test_download__starts_again_after_a_break(server: Server, client: Client) -> None:
    server.route = in_turn((200, {"Content-Length": "7"}, b"pic"), (200, {}, b"picture"))
    into = io.BytesIO()
    client.download("/a.jpg", into, 100)
    assert into.getvalue() == b"picture"


def test_download__of_a_server_below_a_path(server: Server) -> None:
    server.route = lambda *_: (200, {}, b"picture")
    with Client(f"{server.url}/ls/", LEGACY) as client:
        client.download("/data/a.jpg", io.BytesIO(), 100)
        client.download("/ls/data/a.jpg", io.BytesIO(), 100)
    assert [path for _, path, _ in server.asked] == ["/ls/data/a.jpg"] * 2


@pytest.mark.parametrize("path", ["", "data/x", "//host/x", "http://host/x", "@host/x"])
def test_download__of_another_host_is_refused(client: Client, server: Server, path: str) -> None:
    with pytest.raises(PhotoError, match="no absolute path"):
        client.download(path, io.BytesIO(), 100)
    assert server.asked == []


def test_download__follows_redirects_on_the_same_server(server: Server, client: Client) -> None:
    server.route = in_turn((302, {"Location": "/b.jpg"}, b""), (200, {}, b"picture"))
    into = io.BytesIO()
    assert client.download("/a.jpg", into, 100) is None
    assert into.getvalue() == b"picture"


def test_download__does_not_follow_to_another_host(
    server: Server, client: Client, other: Server
) -> None:
    server.route = lambda *_: (303, {"Location": f"{other.url}/a.jpg?sig=1"}, b"")
    into = io.BytesIO()
    assert client.download("/a.jpg", into, 100) == f"{other.url}/a.jpg?sig=1"
    assert into.getvalue() == b""
    assert other.asked == []


def test_api__does_not_follow_to_another_host(
    server: Server, client: Client, other: Server
) -> None:
    server.route = lambda *_: (301, {"Location": f"{other.url}/api/?secret=1"}, b"")
    for call in (lambda: client.project(7), lambda: client.import_predictions(7, [{"task": 1}])):
        with pytest.raises(UserError, match=f"redirects to {other.url}") as caught:
            call()
        assert "secret" not in str(caught.value)
    assert other.asked == []


def test_redirects_in_a_circle(server: Server, client: Client) -> None:
    server.route = lambda *_: (302, {"Location": "/api/"}, b"")
    with pytest.raises(ServerFault, match="circle"):
        client.project(7)
