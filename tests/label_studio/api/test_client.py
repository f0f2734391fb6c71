"""The endpoints of Label Studio's API, against a small server that answers as 1.23 does."""

from __future__ import annotations

import io
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from prelabel.errors import PhotoError, UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.deadline import Deadline
from prelabel.label_studio.api.errors import ServerFault
from prelabel.label_studio.api.project_requests import ProjectInfo
from prelabel.label_studio.api.task_requests import TaskGone
from support.http_server import LEGACY, Answer, Route, Server, answer, in_turn


def paged(n_tasks: int, *, most: int = 1000, total: int | None = None, after: int = 404) -> Route:
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


# Projects and tasks


def test_project__with_its_settings(server: Server, client: Client) -> None:
    facts = {"id": 7, "label_config": "<View/>", "task_number": None, "title": "dogs"}
    server.route = lambda *_: answer({**facts, "created_at": "2026-01-02T03:04:05Z"})
    assert client.project(7) == ProjectInfo(
        id=7,
        label_config="<View/>",
        created_at="2026-01-02T03:04:05Z",
        title="dogs",
    )


def test_project__that_is_not_there(server: Server, client: Client) -> None:
    with pytest.raises(UserError, match="has no project 8"):
        client.project(8)


def test_project__of_another_kind_of_server(server: Server, client: Client) -> None:
    server.route = lambda *_: answer({"id": "seven"})
    with pytest.raises(UserError, match="is a Label Studio server"):
        client.project(7)


def test_find_project__by_its_whole_title(server: Server, client: Client) -> None:
    found = [{"id": 5, "title": "dogs 2"}, {"id": 6, "title": "dogs"}]
    server.route = lambda *_: answer({"results": found})
    assert client.find_project("dogs") == 6
    assert client.find_project("cats") is None
    assert server.asked[0][1] == "/api/projects/?title=dogs"


def test_create_project(server: Server, client: Client) -> None:
    server.route = lambda *_: answer({"id": 9}, 201)
    assert client.create_project("dogs", "<View/>", description="of mine") == 9
    sent = {"title": "dogs", "label_config": "<View/>", "description": "of mine"}
    assert json.loads(server.bodies[0]) == sent


def test_upload__every_photo_is_sent(server: Server, client: Client) -> None:
    server.route = lambda *_: answer({"task_count": 2}, 201)
    photos = [("a.jpg", b"first"), ("b.jpg", b"second")]
    client.upload(7, photos)
    assert server.asked[0][:2] == ("POST", "/api/projects/7/import")
    for name, data in photos:
        assert b"\r\n\r\n" + data + b"\r\n" in server.bodies[0]
        assert f'filename="{name}"'.encode() in server.bodies[0]


def test_connect_backend__takes_the_place_of_one_with_its_title(
    server: Server, client: Client
) -> None:
    connected = [{"id": 3, "title": "prelabel"}, {"id": 4, "title": "another"}]

    def route(method: str, path: str) -> Answer:
        if method == "DELETE":
            return answer({}, 404)  # somebody else was faster
        return answer(connected) if method == "GET" else answer({"id": 5}, 201)

    server.route = route
    number = client.connect_backend(7, "http://b:9090", title="prelabel", user="u", password="p")
    assert number == 5
    assert [(method, path) for method, path, _ in server.asked] == [
        ("GET", "/api/ml?project=7"),
        ("DELETE", "/api/ml/3"),
        ("POST", "/api/ml"),
    ]
    sent = json.loads(server.bodies[-1])
    assert (sent["project"], sent["url"]) == (7, "http://b:9090")
    assert (sent["basic_auth_user"], sent["basic_auth_pass"]) == ("u", "p")


def test_connect_backend__at_an_address_that_is_refused(server: Server, client: Client) -> None:
    def route(method: str, path: str) -> Answer:
        reason = {"detail": "reserved network address"}
        return answer([]) if method == "GET" else answer(reason, 403)

    server.route = route
    with pytest.raises(UserError, match="private address: start Label Studio with ML_BLOCK"):
        client.connect_backend(7, "http://b:9090", title="prelabel")
    assert json.loads(server.bodies[-1])["auth_method"] == "NONE"
    server.route = lambda method, _: answer([]) if method == "GET" else answer({}, 403)
    with pytest.raises(UserError, match="who may change the project"):
        client.connect_backend(7, "http://b:9090", title="prelabel")


def selection(path: str) -> tuple[dict[str, str], list[int]]:
    """What a request for some tasks asks for: its parameters, and the numbers of the tasks."""
    query = {key: values[0] for key, values in parse_qs(urlsplit(path).query).items()}
    selected = json.loads(query.pop("query"))["selectedItems"]
    assert selected["all"] is False
    return query, selected["included"]


def test_find_tasks__a_hundred_at_once_by_a_route_that_predicts_nothing(
    server: Server, client: Client
) -> None:
    asked: list[list[int]] = []

    def route(method: str, path: str) -> Answer:
        assert (
            urlsplit(path).path == "/api/tasks"
        )  # /api/tasks/N/ has Label Studio predict the task
        query, included = selection(path)
        assert query == {"project": "7", "page_size": "100", "fields": "all"}
        asked.append(included)
        return answer({"tasks": [{"id": i} for i in included if i != 5], "total": len(included)})

    server.route = route
    found = client.find_tasks(7, range(1, 151))
    assert sorted(found) == [i for i in range(1, 151) if i != 5]
    assert asked == [list(range(1, 101)), list(range(101, 151))]
    assert client.find_tasks(7, []) == {}


def test_find_tasks__their_counts_alone(server: Server, client: Client) -> None:
    # One more than was asked for, as of a server that knows no selection.
    tasks = [{"id": 1, "total_predictions": 2}, {"id": 2, "total_predictions": 0}]
    server.route = lambda *_: answer({"tasks": tasks, "total": 2})
    assert client.find_tasks(7, [1], whole=False) == {1: tasks[0]}
    assert "fields" not in selection(server.asked[0][1])[0]


def test_task__that_is_gone(server: Server, client: Client) -> None:
    found = {"tasks": [{"id": 5}], "total": 1}
    server.route = in_turn(answer(found), answer({"tasks": [], "total": 0}), answer({}, 404))
    assert client.task(7, 5) == {"id": 5}
    for _ in range(2):
        with pytest.raises(TaskGone, match=r"project 7 .* no task 6"):
            client.task(7, 6)


@pytest.mark.parametrize("found", [{}, {"tasks": None}, []])
def test_tasks__something_else(server: Server, client: Client, found: object) -> None:
    server.route = lambda *_: answer(found)
    with pytest.raises(UserError, match="is a Label Studio server"):
        list(client.tasks(7))


def test_tasks__of_a_project_that_is_not_there(server: Server, client: Client) -> None:
    with pytest.raises(UserError, match="404"):
        list(client.tasks(7))


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


def test_tasks__none_twice_when_some_are_added_meanwhile(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prelabel.label_studio.api.task_requests._PAGE", 2)
    pages = [[3, 2], [2, 1], []]
    server.route = in_turn(*[answer({"tasks": [{"id": i} for i in page]}) for page in pages])
    assert [task["id"] for task in client.tasks(7)] == [3, 2, 1]


def test_tasks__server_that_knows_no_pages(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prelabel.label_studio.api.task_requests._PAGE", 2)
    server.route = lambda *_: answer({"tasks": [{"id": 1}, {"id": 2}]})
    assert [task["id"] for task in client.tasks(7)] == [1, 2]


# Predictions


def test_import(server: Server, client: Client) -> None:
    server.route = lambda *_: answer({"created": 2}, 201)
    facts = {"result": [], "score": 0.5, "model_version": "abc-1"}
    sent = [{"task": task, **facts} for task in (1, 2)]
    assert client.import_predictions(7, sent) == 2
    assert client.import_predictions(7, []) == 0
    assert server.asked == [("POST", "/api/projects/7/import/predictions", f"Token {LEGACY}")]
    assert json.loads(server.bodies[0]) == sent


@pytest.mark.parametrize("created", [0, 1, None])
def test_import__fewer_created_than_sent(server: Server, client: Client, created: object) -> None:
    server.route = lambda *_: answer({"created": created}, 201)
    with pytest.raises(ServerFault, match=f"created {created} of 2 predictions"):
        client.import_predictions(7, [{"task": 1}, {"task": 2}])


def test_import__refused_names_the_labels_that_the_project_lacks(
    server: Server, client: Client
) -> None:
    xml = (
        '<View><Image name="i" value="$i"/><BrushLabels name="b" toName="i">'
        '<Label value="Red box" alias="red_1"/></BrushLabels></View>'
    )
    project = {"id": 7, "task_number": 1, "label_config": xml, "created_at": "2026"}
    server.route = lambda method, path, *_: (
        answer({"created": 0}, 201) if method == "POST" else answer(project)
    )
    item = {"from_name": "b", "type": "brushlabels", "value": {"brushlabels": ["Red box"]}}
    with pytest.raises(ServerFault, match=r"0 of 1 .*: its label config has no label 'Red box' in"):
        client.import_predictions(7, [{"task": 1, "result": [item]}])


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


# Downloads


def test_download(server: Server, client: Client) -> None:
    server.route = lambda *_: (200, {}, b"picture")
    into = io.BytesIO()
    assert client.download("/data/upload/1/a%20b.jpg?x=1", into, 7, Deadline(60)) is None
    assert into.getvalue() == b"picture"
    assert server.asked == [("GET", "/data/upload/1/a%20b.jpg?x=1", f"Token {LEGACY}")]


def test_download__starts_again_after_a_break(server: Server, client: Client) -> None:
    server.route = in_turn((200, {"Content-Length": "7"}, b"pic"), (200, {}, b"picture"))
    into = io.BytesIO()
    client.download("/data/upload/a.jpg", into, 100, Deadline(60))
    assert into.getvalue() == b"picture"


def test_download__of_a_server_below_a_path(server: Server) -> None:
    server.route = lambda *_: (200, {}, b"picture")
    with Client(f"{server.url}/ls/", LEGACY) as client:
        client.download("/data/upload/a.jpg", io.BytesIO(), 100, Deadline(60))
        client.download("/ls/data/upload/a.jpg", io.BytesIO(), 100, Deadline(60))
    assert [path for _, path, _ in server.asked] == ["/ls/data/upload/a.jpg"] * 2


@pytest.mark.parametrize("path", ["", "data/x", "//host/x", "http://host/x", "@host/x"])
def test_download__of_another_host_is_refused(client: Client, server: Server, path: str) -> None:
    with pytest.raises(PhotoError, match="not an absolute path"):
        client.download(path, io.BytesIO(), 100, Deadline(60))
    assert server.asked == []


def test_download__a_login_page_at_one_address_costs_that_photo(
    server: Server, client: Client
) -> None:
    token_is_good = True

    def route(method: str, path: str) -> Answer:
        if path == "/api/current-user/whoami":
            return answer({"id": 1}) if token_is_good else answer({}, 401)
        return 302, {"Location": f"/user/login/?next={path}"}, b""

    server.route = route
    with pytest.raises(PhotoError, match="asks for a login there"):
        client.download("/data/upload/a.jpg", io.BytesIO(), 100, Deadline(60))
    token_is_good = False
    with pytest.raises(UserError, match="refuses the token"):
        client.download("/data/upload/a.jpg", io.BytesIO(), 100, Deadline(60))


def test_download__follows_redirects_on_the_same_server(server: Server, client: Client) -> None:
    server.route = in_turn((302, {"Location": "/data/upload/b.jpg"}, b""), (200, {}, b"picture"))
    into = io.BytesIO()
    assert client.download("/data/upload/a.jpg", into, 100, Deadline(60)) is None
    assert into.getvalue() == b"picture"


def test_download__does_not_follow_to_another_host(
    server: Server, client: Client, other: Server
) -> None:
    server.route = lambda *_: (303, {"Location": f"{other.url}/a.jpg?sig=1"}, b"")
    into = io.BytesIO()
    assert (
        client.download("/data/upload/a.jpg", into, 100, Deadline(60)) == f"{other.url}/a.jpg?sig=1"
    )
    assert into.getvalue() == b""
    assert other.asked == []
