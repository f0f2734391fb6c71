"""Where photos are in a task's data; expected values are what Label Studio's own page resolves."""

from __future__ import annotations

import pytest

from prelabel.errors import UserError
from prelabel.label_studio.format.data_paths import data_with, path_of, resolve

DATA: dict[str, object] = {
    "image": "a.jpg",
    "photo": {"url": "b.jpg", "sizes": [{"url": "c.jpg"}]},
    "images": ["d.jpg", "e.jpg"],
    "dot.ted": "f.jpg",
    "n": 7,
    "empty": None,
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("$image", "a.jpg"),
        ("$photo.url", "b.jpg"),
        ("$photo.sizes[0].url", "c.jpg"),
        ("$images[1]", "e.jpg"),
        ("$images", ["d.jpg", "e.jpg"]),
        ("$dot.ted", "f.jpg"),
        ("https://host/x/$image", "https://host/x/a.jpg"),
        ("/data/$photo.url?v=1", "/data/b.jpg?v=1"),
        ("$image/$images[0]", "a.jpg/d.jpg"),
        ("/$n/$image", "/7/a.jpg"),
        ("$images[2]", None),
        ("$photo.none.url", None),
        ("$image.url", None),
        ("https://host/$none", None),
        ("https://host/$photo", None),
        ("$empty", None),
    ],
)
def test_resolve(value: str, expected: object) -> None:
    assert resolve(path_of(value), DATA) == expected


def test_resolve__of_no_data() -> None:
    for data in (None, ["image"], "image"):
        assert resolve("image", data) is None
    # Keys that are no names in JavaScript are found as they are written.
    assert resolve(path_of("$my image"), {"my image": "a.jpg"}) == "a.jpg"


@pytest.mark.parametrize("value", ["", "$", "photo", "https://host/photo.jpg"])
def test_path_of__names_nothing(value: str) -> None:
    assert path_of(value) == ""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("$image", {"image": "/d/a.jpg"}),
        ("$photo.url", {"photo": {"url": "/d/a.jpg"}}),
        ("$images[1]", {"images": [None, "/d/a.jpg"]}),
        ("/d/$name", {"name": "a.jpg"}),
        ("http://x/$name", {"name": "/d/a.jpg"}),
        ("$my image", {"my image": "/d/a.jpg"}),
    ],
)
def test_data_with__what_resolve_finds(value: str, expected: dict[str, object]) -> None:
    data = data_with(path_of(value), "/d/a.jpg")
    assert data == expected
    if not value.startswith("http"):
        assert resolve(path_of(value), data) == "/d/a.jpg"
    assert resolve(path_of("$some.list"), data_with("some.list", "a", listed=True)) == ["a"]


@pytest.mark.parametrize("value", ["/$a/x.jpg", "$a/$b"])
def test_data_with__what_cannot_be_told_from_an_address(value: str) -> None:
    with pytest.raises(UserError, match="expected one key"):
        data_with(path_of(value), "/d/a.jpg")
