"""Tokens, repeated requests and redirects, against a small server that answers as 1.23 does."""

from __future__ import annotations

import base64
import io
import json

import pytest

from prelabel.errors import UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.deadline import Deadline
from prelabel.label_studio.api.errors import ServerFault
from support.http_server import LEGACY, Answer, Route, Server, answer, in_turn


def jwt(**facts: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(facts).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{body}.c2lnbmVk"


PERSONAL = jwt(token_type="refresh", jti="personal")


# Tokens


def test_legacy_token(server: Server, client: Client) -> None:
    server.route = lambda *_: answer({"id": 7, "label_config": "<View/>"})
    assert client.project(7).label_config == "<View/>"
    assert server.asked == [("GET", "/api/projects/7/", f"Token {LEGACY}")]


def tokens_of(lifetime: float) -> Route:
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
    monkeypatch.setattr("prelabel.label_studio.api.tokens.time.monotonic", lambda: now[0])
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
        assert client.project(7).id == 7
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
        client.download("/data/upload/x", io.BytesIO(), 100, Deadline(60))


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
    assert client.project(7).id == 7
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


# Answers


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"{"])
def test_answer__of_something_else(server: Server, client: Client, body: bytes) -> None:
    server.route = lambda *_: (200, {}, body)
    with pytest.raises(UserError, match="is a Label Studio server"):
        client.project(7)


# Redirects


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
