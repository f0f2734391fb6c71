"""The HTTP of a review page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.types import Message

from prelabel.review.app import create_app
from prelabel.review.review import Review
from support.messages import assert_says
from support.review_source import SyntheticSource, review_of


@dataclass
class Page:
    """A client that has loaded the page."""

    client: TestClient
    review: Review
    source: SyntheticSource
    token: str = ""

    def load(self) -> None:
        text = self.client.get("./").text
        self.token = text.partition('"prelabel-token" content="')[2].partition('"')[0]

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def edit(self, **body: Any) -> Any:
        answer = self.client.post("api/edits", json=body, headers={"X-Prelabel-Token": self.token})
        return answer.json()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """24 regions of 3 classes, 4 on each of 6 photos."""
    with opened(tmp_path) as found:
        yield found


class opened:  # noqa: N801
    """A review of a synthetic source behind the app, with the page loaded."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        review, source = review_of(folder, **settings)
        client = TestClient(create_app(lambda: review), base_url="http://127.0.0.1:1/")
        self._page = Page(client, review, source)

    def __enter__(self) -> Page:
        self._page.load()
        return self._page

    def __exit__(self, *_: object) -> None:
        self._page.client.close()


def test_state__says_all_and_then_nothing_new(tmp_path: Path) -> None:
    labels = {"cat": "#112233", "dog": ""}
    with opened(tmp_path, names={1: "cat", 2: None}, expected=labels) as page:
        state = page.get("api/state")
        answer = page.client.get(f"api/state?since={state['version']}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert [label["name"] for label in state["labels"]] == ["cat", "dog"]
        classes = {c["id"]: c for c in state["classes"]}
        assert [classes[i]["name"] for i in range(3)] == ["", "cat", ""]
        assert [classes[i]["background"] for i in range(3)] == [False, False, True]
        assert classes[1]["color"] == "#112233"
        assert classes[0]["count"] == 8
        assert classes[0]["score"] == pytest.approx(
            0.25 + 0.5 * np.mean(range(0, 24, 3)) / 24, abs=1e-3
        )
        assert state["progress"] == {
            "regions": 24, "named": 16, "classes": 3, "classes_left": 1,
            "seconds_saved": 32.0, "seconds_total": 48.0,
        }  # fmt: skip
        assert state["push"] is None
        assert state["map"] == {"ready": False}


def test_edits__are_seen_by_a_second_client(page: Page) -> None:
    before = page.get("api/state")["version"]
    other = TestClient(page.client.app, base_url="http://127.0.0.1:1/")
    assert other.get(f"api/state?since={before}").status_code == 204
    answer = page.edit(kind="name", classes=[0], name="cat")
    state = other.get(f"api/state?since={before}").json()
    assert state["version"] == answer["version"] > before
    assert {c["id"]: c["name"] for c in state["classes"]} == {0: "cat", 1: "", 2: ""}
    assert state["undo"] == ["name cat: class 1"]
    second = Page(other, page.review, page.source)
    second.load()
    second.edit(kind="name", classes=[0], name="dog")  # the last writer wins
    assert page.get("api/state")["classes"][0]["name"] == "dog"


def test_edits__tell_which_class_was_made(page: Page) -> None:
    assert page.edit(kind="move", regions=[0, 1], **{"class": None})["class"] == 3
    assert page.edit(kind="split", parts=2, **{"class": 2})["class"] == 4


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"kind": "name", "classes": [9], "name": "x"}, "no class 9"),
        ({"kind": "name", "classes": [0], "name": " "}, "empty"),
        ({"kind": "name", "classes": [0], "name": "x" * 300}, "300 characters"),
        ({"kind": "move", "regions": [24], "class": 0}, "no region 24"),
        ({"kind": "undo"}, "nothing to undo"),
        ({}, "not an edit"),
    ],
)
def test_edits__that_are_bad_are_refused_with_one_line(
    body: dict[str, Any], says: str, page: Page
) -> None:
    answer = page.client.post("api/edits", json=body, headers={"X-Prelabel-Token": page.token})
    assert answer.status_code == 400
    assert_says(answer.json()["error"], says)


@pytest.mark.parametrize("token", ["", "x", "ü"])
def test_posts__need_the_token_of_the_page(token: str, page: Page) -> None:
    headers = [(b"X-Prelabel-Token", token.encode())]
    for path in ("api/edits", "api/push"):
        answer = page.client.post(path, json={"kind": "undo"}, headers=headers)
        assert answer.status_code == 403
        assert_says(answer.json()["error"], "load the page again")


@pytest.mark.parametrize(
    "host", ["example.com", "127.0.0.1.example.com", "192.168.1.5", "[fe80::1]"]
)
def test_hosts__of_other_machines_are_refused(host: str, page: Page) -> None:
    for path in ("./", "api/state", "page/main.js"):
        assert page.client.get(path, headers={"Host": host}).status_code == 403


def test_hosts__that_are_no_address_are_one_line(page: Page) -> None:
    for host in ("[1", "127.0.0.1:x", "127.0.0.1@example.com", "a b", ""):
        answer = page.client.get("api/state", headers={"Host": host})
        assert answer.status_code == 403
        assert_says(answer.json()["error"], "not a name of this machine")


@pytest.mark.parametrize("host", ["127.0.0.1:8075", "localhost:1", "[::1]:5", "x.localhost"])
def test_hosts__of_this_machine_are_answered(host: str, page: Page) -> None:
    assert page.client.get("api/state", headers={"Host": host}).status_code == 200


def test_headers__allow_nothing_inline_and_no_frames(page: Page) -> None:
    for path in ("./", "api/state", "api/regions/0/thumbnail", "api/nothing"):
        headers = page.client.get(path).headers
        if path != "api/nothing":
            assert "unsafe" not in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"


def test_class_regions__closest_first_in_parts(page: Page) -> None:
    whole = page.get("api/classes/1/regions")
    assert whole["total"] == 8
    assert sorted(r["id"] for r in whole["regions"]) == list(range(1, 24, 3))
    closeness = [r["closeness"] for r in whole["regions"]]
    assert closeness == sorted(closeness, reverse=True)
    assert closeness[0] > 0.9
    part = page.get("api/classes/1/regions?offset=2&limit=3")
    assert part == {"total": 8, "regions": whole["regions"][2:5]}
    first = whole["regions"][0]
    assert (first["photo"], first["name"]) == (first["id"] // 4, f"photo {first['id'] // 4}.jpg")
    assert page.get("api/classes/1/regions?offset=50")["regions"] == []
    assert page.client.get("api/classes/7/regions").status_code == 400
    for query in ("offset=-1", "limit=x", "limit=5000"):
        assert page.client.get(f"api/classes/1/regions?{query}").status_code == 400


def test_class_regions__follow_an_edit(page: Page) -> None:
    page.get("api/classes/1/regions")
    page.edit(kind="move", regions=[0], **{"class": 1})
    assert page.get("api/classes/1/regions")["total"] == 9


def test_thumbnail__dims_what_is_around_and_is_kept(page: Page) -> None:
    answer = page.client.get("api/regions/0/thumbnail")
    assert answer.headers["content-type"] == "image/jpeg"
    pixels = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    assert max(pixels.shape) == 160
    assert int(pixels[70, 60]) == pytest.approx(60, abs=3)  # the photo's colour
    assert int(pixels[-2, -2]) < 40
    headers = {"If-None-Match": answer.headers["etag"]}
    again = page.client.get("api/regions/0/thumbnail", headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    for number in ("24", "99999999999999999999"):
        assert page.client.get(f"api/regions/{number}/thumbnail").status_code == 400


def test_photo__with_the_outlines_of_all_its_regions(page: Page) -> None:
    page.edit(kind="name", classes=[0], name="cat")
    found = page.get("api/regions/5/photo")
    assert {k: found[k] for k in ("id", "photo", "name", "width", "height")} == {
        "id": 5, "photo": 1, "name": "photo 1.jpg", "width": 40, "height": 30,
    }  # fmt: skip
    assert [(r["id"], r["class"], r["name"]) for r in found["regions"]] == [
        (4, 1, ""), (5, 2, ""), (6, 0, "cat"), (7, 1, ""),
    ]  # fmt: skip
    assert found["regions"][0]["path"] == "M0 5l0 9 8 0 0-9z"
    image = page.client.get(f"api/photos/{found['photo']}/image")
    pixels = cv2.imdecode(np.frombuffer(image.content, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape == (30, 40, 3)
    assert page.client.get("api/photos/6/image").status_code == 400


def test_a_photo_that_is_gone__costs_its_pictures(tmp_path: Path) -> None:
    with opened(tmp_path, gone=["p1"]) as page:
        for path in ("api/regions/4/thumbnail", "api/photos/1/image"):
            answer = page.client.get(path)
            assert answer.status_code == 404
            assert_says(answer.json()["error"], "photo", "No such file")
        assert page.get("api/regions/4/photo")["name"] == "photo 1.jpg"
        assert page.client.get("api/regions/8/thumbnail").status_code == 200


def test_map__has_a_place_for_each_region(page: Page) -> None:
    assert page.client.get("api/map").status_code == 404
    page.review.start()
    page.review.stop()
    while not page.get("api/state")["map"]["ready"]:
        pass
    content = page.client.get("api/map").content
    assert np.frombuffer(content[:4], "<u4")[0] == 24
    rows = np.frombuffer(content[4:], [("xy", "<f4", 2), ("class", "<u4"), ("score", "<f4")])
    assert rows["class"].tolist() == [i % 3 for i in range(24)]
    assert rows["xy"].min() == 0
    assert rows["xy"].max() == 1
    middles = [rows["xy"][c::3].mean(axis=0) for c in range(3)]
    spread = max(float(rows["xy"][c::3].std()) for c in range(3))
    assert min(np.linalg.norm(middles[i] - middles[i - 1]) for i in range(3)) > spread / 2


def test_figures__count_all_regions(page: Page) -> None:
    found = page.get("api/figures")
    assert [c["id"] for c in found["classes"]] == [0, 1, 2]
    for own in found["classes"]:
        assert sum(own["scores"]) == sum(own["sizes"]) == 8
    assert len(found["score_edges"]) == len(found["classes"][0]["scores"]) + 1


def test_hostile_names__come_out_as_they_are(tmp_path: Path) -> None:
    def photo_name(i: int) -> str:
        return ["</script><b>", "a\nb", "\udcff.jpg", "\u202egpj", "x" * 5000, "'\"&"][i]

    with opened(tmp_path, photo_name=photo_name) as page:
        found = page.get("api/classes/0/regions")["regions"]
        assert {r["name"] for r in found} == {photo_name(r["photo"]) for r in found}
        page.edit(kind="name", classes=[0], name="</script><script>alert(1)</script>")
        assert "alert(1)" not in page.client.get("./").text
        assert page.client.get("api/state").headers["content-type"] == "application/json"


def test_a_review_without_regions(tmp_path: Path) -> None:
    with opened(tmp_path, per_photo=0) as page:
        page.review.start()
        page.review.stop()
        assert page.get("api/state")["classes"] == []
        assert page.get("api/figures")["classes"] == []
        while not page.get("api/state")["map"]["ready"]:
            pass
        assert page.client.get("api/map").content == b"\0\0\0\0"
        assert "no region" in page.edit(kind="move", regions=[0])["error"]


def test_regions_without_vectors(tmp_path: Path) -> None:
    with opened(tmp_path, vectors=False) as page:
        assert page.get("api/classes/0/regions")["total"] == 8
        assert "all alike" in page.edit(kind="split", parts=2, **{"class": 0})["error"]


def test_mounted__under_any_path_for_those_who_are_let_in(tmp_path: Path) -> None:
    review, _ = review_of(tmp_path)
    inner = create_app(lambda: review, only_this_machine=False)
    client = TestClient(Starlette(routes=[Mount("/projects/7/review", app=inner)]))
    assert client.get("/projects/7/review/").status_code == 200
    answer = client.get("/projects/7/review/api/state", headers={"Host": "labels.example.com"})
    assert answer.status_code == 200


def test_assets__only_scripts_and_styles_of_the_page(page: Page) -> None:
    for path in ("page/index.html.j2", "page/../app.py", "page/%2e%2e/app.py", "page//etc/passwd"):
        assert page.client.get(path).status_code == 404


@pytest.mark.parametrize("place", ["classes/{}/regions", "regions/{}/thumbnail", "photos/{}/image"])
def test_numbers__of_thousands_of_digits(place: str, page: Page) -> None:
    assert page.client.get(f"api/{place.format('9' * 5000)}").status_code == 404


def test_push__where_there_is_nothing_to_push(page: Page) -> None:
    answer = page.client.post("api/push", headers={"X-Prelabel-Token": page.token})
    assert answer.status_code == 400
    assert_says(answer.json()["error"], "names count at once")


def test_a_fault__is_one_line(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(Review, "figures", fail)
    answer = page.client.get("api/figures")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    monkeypatch.setattr(Review, "figures", lambda _: (_ for _ in ()).throw(OSError(28, "No space")))
    assert_says(page.client.get("api/figures").json()["error"], "room on the disk")


def test_large_edits__are_received_one_at_a_time(page: Page) -> None:
    app = create_app(lambda: page.review)
    pulled: list[str] = []

    async def send(name: str, *, size: int, whole: bool) -> int:
        """An edit of a client that says how long it is; whether all of it comes is another thing."""
        headers = [(b"host", b"127.0.0.1"), (b"content-length", b"%d" % size)]
        scope = {"type": "http", "method": "POST", "path": "/api/edits", "headers": headers}
        statuses: list[int] = []

        async def receive() -> Message:
            pulled.append(name)
            if not whole:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def answer(message: Message) -> None:
            statuses.append(message.get("status", 0))

        await app({**scope, "query_string": b""}, receive, answer)
        return statuses[0]

    async def test() -> None:
        first = asyncio.create_task(send("first", size=19_000_000, whole=False))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(send("second", size=19_000_000, whole=True))
        assert await send("small", size=2, whole=True) == 400
        assert pulled == ["first", "small"]
        first.cancel()
        assert await second == 400
        assert pulled == ["first", "small", "second"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prelabel.review.app.has_token", lambda *_: True)
        asyncio.run(asyncio.wait_for(test(), 10))
