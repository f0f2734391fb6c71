"""The photos of a task: finding, distinguishing and naming them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prelabel.data.dataset import Problems
from prelabel.errors import UserError
from prelabel.label_studio.api.tasks import read_task
from prelabel.label_studio.format.dataset import TaskLabels
from prelabel.label_studio.format.label_choice import LabelChoice
from prelabel.label_studio.format.label_config import LabelConfig, parse_label_config
from prelabel.label_studio.format.photos import (
    TaskPhoto,
    UniqueNames,
    find_photo,
    photo_name,
    photo_of_item,
    task_photos,
)

BRUSHES = """<BrushLabels name="brush" toName="img"><Label value="cat"/></BrushLabels>
<BrushLabels name="other" toName="side"><Label value="cat"/></BrushLabels>"""
CONFIG = f"""<View><Image name="img" value="$image"/><Image name="side" value="$side"/>
{BRUSHES}</View>"""
LIST = parse_label_config(CONFIG.replace('value="$image"', 'valueList="$image"'))
PLAIN = parse_label_config(CONFIG)
BOTH = parse_label_config(
    f"""<View><Image name="img" valueList="$image"/><Image name="side" value="$image"/>
    {BRUSHES}</View>"""
)
PAGES = ["/a.png", "/b.png", "/c.png"]


def photos_of(data: object, config: LabelConfig | None) -> list[tuple[str, str]]:
    return [(p.name, p.uri) for p in task_photos(9, data, config)]


def test_task_photos__what_the_label_config_s_tags_look_at() -> None:
    data = {"image": "/a.png", "side": "/b.png", "thumbnail": "/c.png"}
    assert photos_of(data, PLAIN) == [("9/image", "/a.png"), ("9/side", "/b.png")]
    assert photos_of({"image": PAGES, "text": "hello"}, LIST) == [
        ("9/image/0", "/a.png"),
        ("9/image/1", "/b.png"),
        ("9/image/2", "/c.png"),
    ]
    assert photos_of({"image": "/a.png"}, LIST) == [("9/image/0", "/a.png")]


def test_task_photos__of_a_list_that_no_tag_reads_as_one_the_first() -> None:
    assert photos_of({"image": PAGES}, PLAIN) == [("9/image", "/a.png")]
    assert photos_of({"image": [None, "/b.png"]}, PLAIN) == []


def test_task_photos__a_key_that_two_tags_read_is_there_once() -> None:
    assert photos_of({"image": PAGES}, BOTH) == [(f"9/image/{i}", p) for i, p in enumerate(PAGES)]


@pytest.mark.parametrize("data", [None, [], "x", {}, {"image": 5}, {"image": " "}, {"image": [""]}])
def test_task_photos__ignores_what_is_not_an_address(data: object) -> None:
    for config in (PLAIN, LIST, None):
        assert photos_of(data, config) == []


def test_task_photos__keep_their_places_in_a_list_with_gaps() -> None:
    assert [n for n, _ in photos_of({"image": ["/a.png", None, "/c.png"]}, LIST)] == [
        "9/image/0",
        "9/image/2",
    ]


def test_task_photos__without_a_label_config_whatever_looks_like_one() -> None:
    data = {
        "image": "s3://bucket/a",
        "pages": ["x/1.PNG", "x/2.jpg"],
        "inline": "data:image/png;base64,AAAA",
        "pdf": "data:application/pdf;base64,AAAA",
        "mixed": ["x/1.png", 5],
        "empty": [],
        "title": "Cats.",
    }
    assert [name for name, _ in photos_of(data, None)] == [
        "9/image",
        "9/pages/0",
        "9/pages/1",
        "9/inline",
    ]


@pytest.mark.parametrize("config", [PLAIN, LIST, BOTH], ids=["plain", "list", "both"])
@pytest.mark.parametrize(
    "data",
    [
        {"image": "/a.png", "side": "/b.png"},
        {"image": PAGES, "side": "/b.png"},
        {"image": ["", "/b.png", 5, "/d.png"]},
        {"side": PAGES},
        {"text": "hello"},
    ],
)
def test_task_photos__export_and_backend_find_the_same(
    data: dict[str, Any], config: LabelConfig
) -> None:
    task = {"id": 9, "data": data}
    if not read_task(task, config).photos:
        with pytest.raises(UserError, match="no task has a photo under"):
            TaskLabels(
                lambda: iter([task]),
                LabelChoice(),
                label_config=config,
                source="x",
                problems=Problems(),
            )
        return
    exported = TaskLabels(
        lambda: iter([task]),
        LabelChoice(untouched=True),
        label_config=config,
        source="x",
        problems=Problems(),
    )
    assert tuple(named.photo for named in exported.photos()) == read_task(task, config).photos


def test_find_photo__by_key_and_place() -> None:
    photos = task_photos(9, {"image": PAGES, "side": "/d.png"}, LIST)

    def uri(key: str | None, index: object) -> str | None:
        found = find_photo(photos, key, index)
        return found.uri if found else None

    indices: list[object] = [None, 0, 2, 2.0, 3, "1"]
    assert [uri("image", index) for index in indices] == [
        *("/a.png", "/a.png", "/c.png", "/c.png"),
        *(None, None),
    ]
    assert uri("side", 5) == "/d.png"  # it is not one of a list
    assert uri("text", 0) is uri(None, 0) is None


@pytest.mark.parametrize(
    ("item", "uri"),
    [
        ({"to_name": "img", "from_name": "brush", "item_index": 1}, "/b.png"),
        ({"to_name": "side", "from_name": "brush"}, "/d.png"),  # where it was drawn counts
        ({"from_name": "other"}, "/d.png"),  # as in JSON_MIN
        ({"to_name": "gone", "from_name": "other"}, "/d.png"),
        ({"to_name": "gone", "from_name": "renamed"}, None),
        ({}, None),
    ],
)
def test_photo_of_item__with_a_label_config(item: dict[str, Any], uri: str | None) -> None:
    photos = task_photos(9, {"image": PAGES, "side": "/d.png"}, LIST)
    found = photo_of_item(item, photos, LIST)
    assert (found.uri if found else None) == uri


def test_photo_of_item__the_only_key_needs_no_name() -> None:
    photos = task_photos(9, {"image": PAGES}, LIST)
    for config in (LIST, None):
        found = photo_of_item({"to_name": "gone", "item_index": 2}, photos, config)
        assert found == TaskPhoto(9, "image", 2, "/c.png")
    two = task_photos(9, {"left": "/a.png", "right": "/b.png"}, None)
    assert photo_of_item({"to_name": "right"}, two, None) == TaskPhoto(9, "right", None, "/b.png")
    assert photo_of_item({"to_name": "img"}, two, None) is None


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/data/upload/1/0a1b2c3d-IMG 7.jpg", "IMG 7.jpg"),
        ("http://host:8080/data/upload/12/0a1b2c3d-x%20y.png", "x y.png"),
        ("/data/upload/1/not-a-prefix.jpg", "not-a-prefix.jpg"),
        ("/data/local-files/?d=photos/sub%20folder/x.jpg", "photos/sub folder/x.jpg"),
        ("/data/local-files/?d=../../etc/passwd", "etc/passwd"),
        ("/data/local-files/?d=/data/x.jpg", "data/x.jpg"),
        ("https://example.com/a/../../b/x.jpg?size=2", "a/b/x.jpg"),
        ("https://example.com/%2e%2e/%2e%2e/x.jpg", "x.jpg"),
        ("s3://bucket/a/b.jpg", "a/b.jpg"),
        ("gs://bucket/b.jpg", "b.jpg"),
        ("https://example.com/", "task-7"),
        ("data:image/jpeg;base64,AAAA", "task-7.jpg"),
        ("data:image/png;base64,AAAA", "task-7.png"),
        ("http://[broken", "task-7"),
        ("sub/x#1.jpg", "sub/x#1.jpg"),
    ],
)
def test_photo_name__from_every_kind_of_address(uri: str, name: str) -> None:
    assert photo_name(uri, 7) == name


@given(st.text(max_size=40))
def test_photo_name__never_leads_out_of_a_folder(text: str) -> None:
    for uri in (
        text,
        f"/data/local-files/?d={text}",
        f"https://h/{text}",
        f"/data/upload/1/{text}",
    ):
        parts = photo_name(uri, 7).split("/")
        assert not {"", ".", ".."} & set(parts)
        assert "\0" not in "".join(parts)


def test_unique_names__equal_names_get_the_task_before_them() -> None:
    names = UniqueNames()
    taken = [names.take(n, t) for n, t in [("x.jpg", 1), ("X.jpg", 2), ("x.jpg", 2), ("x.jpg", 2)]]
    assert taken == ["x.jpg", "task-2/X.jpg", "_task-2/x.jpg", "task-2/_task-2/x.jpg"]
