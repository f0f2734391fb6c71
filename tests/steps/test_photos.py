"""Finding photos: folders, links, lists, awkward names."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from prelabel.data import image_formats
from prelabel.data.image_formats import EXTENSIONS, HEIF
from prelabel.errors import UserError
from prelabel.steps import photos as photos_step
from prelabel.steps.photos import find_photos
from support.messages import assert_says

AWKWARD = [
    "with space.jpg",
    'it\'s "quoted".jpg',
    "snow ☃ and 🐙.jpg",
    "two\nlines.jpg",
    "a-weird Filename.asdf.jpg",
    "-rf.jpg",
    "UPPER.JPEG",
    "tab\tand\u2028separator.png",
    "back\\slash.jpg",
]


def names(source: object) -> list[str]:
    return [photo.name for photo in find_photos(source).photos]  # type: ignore[arg-type]


def touch(folder: Path, *files: str) -> None:
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()


def test_folder__sorted_by_name_and_only_pictures(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a/z.png", "a.txt", ".hidden.jpg", ".git/x.jpg", "c.tar.gz", "jpg")
    photos = find_photos(tmp_path)
    assert [(p.name, p.file) for p in photos.photos] == [
        ("a/z.png", tmp_path / "a/z.png"),
        ("b.jpg", tmp_path / "b.jpg"),
    ]
    assert photos.root == tmp_path
    assert photos.skipped == ()


def test_folder__one_name_in_two_folders_are_two_photos(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.jpg", "b/x.jpg", "x.jpg")
    assert names(tmp_path) == ["a/x.jpg", "b/x.jpg", "x.jpg"]


def test_folder__awkward_names(tmp_path: Path) -> None:
    touch(tmp_path, *AWKWARD)
    photos = find_photos(tmp_path)
    assert [p.name for p in photos.photos] == sorted(AWKWARD)
    assert all(Path(str(p.file)).is_file() for p in photos.photos)


def test_folder__name_that_is_not_unicode_is_skipped_readably(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.jpg")).touch()
    photos = find_photos(tmp_path)
    assert [p.name for p in photos.photos] == ["a.jpg"]
    [(name, reason)] = photos.skipped
    assert name == r"\udcff\udcfe.jpg"
    assert_says(reason, "Unicode", "rename")


def test_folder__empty_or_without_photos(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.jpg.*\.webp"):
        find_photos(tmp_path)
    touch(tmp_path, "notes.txt", "sub/table.csv")
    with pytest.raises(UserError, match=re.escape(str(tmp_path))):
        find_photos(str(tmp_path))


@pytest.mark.parametrize("name", ["nowhere", "x" * 5000, "nul\0byte", "~nobody-of-that-name/x"])
def test_source__that_does_not_exist(tmp_path: Path, name: str) -> None:
    source = name if name.startswith("~") else f"{tmp_path}/{name}"
    with pytest.raises(UserError) as raised:
        find_photos(source)
    assert_says(raised.value, "folder", "file")


def test_folder__links_are_followed_but_no_folder_twice(tmp_path: Path) -> None:
    touch(tmp_path, "outside/o.jpg", "photos/in/i.jpg", "beside/s.jpg")
    (tmp_path / "photos/link").symlink_to(tmp_path / "outside")
    (tmp_path / "photos/in/loop").symlink_to(tmp_path / "photos")
    (tmp_path / "photos/self").symlink_to("self")
    (tmp_path / "photos/up").symlink_to(tmp_path)  # leads to a folder that nobody asked for
    (tmp_path / "photos/file.jpg").symlink_to(tmp_path / "outside/o.jpg")
    assert names(tmp_path / "photos") == ["file.jpg", "in/i.jpg", "link/o.jpg"]


def test_folder__given_as_a_link(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert names(tmp_path / "link") == ["a.jpg"]


def test_folder__subfolder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a.jpg", "locked/b.jpg")
    scandir = os.scandir

    def refuse(folder: str) -> Iterator[os.DirEntry[str]]:
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    photos = find_photos(tmp_path)
    assert [p.name for p in photos.photos] == ["a.jpg"]
    [(name, reason)] = photos.skipped
    assert name == "locked"
    assert_says(reason, "Permission denied")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ('{"command": "run", "state": "done"}', ["a.jpg"]),
        ('{"command": "walk"}', ["a.jpg", "sub/result.jpg"]),  # somebody else's run.json
        ("[]", ["a.jpg", "sub/result.jpg"]),
        ("no JSON", ["a.jpg", "sub/result.jpg"]),
    ],
)
def test_folder__what_prelabel_wrote_is_not_searched(
    tmp_path: Path, facts: str, expected: list[str]
) -> None:
    touch(tmp_path, "a.jpg", "sub/result.jpg")
    (tmp_path / "sub" / "run.json").write_text(facts)
    assert names(tmp_path) == expected


def test_single_photo(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    photos = find_photos(tmp_path / "b.jpg")
    assert ([p.name for p in photos.photos], photos.root) == (["b.jpg"], tmp_path)


def test_paths__named_relative_to_their_common_folder(tmp_path: Path) -> None:
    paths = [tmp_path / "a/x.jpg", tmp_path / "b/c/../x.jpg", tmp_path / "a/x.jpg"]
    assert names(paths) == ["a/x.jpg", "b/x.jpg"]
    with pytest.raises(UserError, match="the list"):
        find_photos([])


def test_list__one_path_a_line(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("\ufeffa/x.jpg\r\n\r\nb/🐙 \u2028.jpg\n".encode())
    photos = find_photos(tmp_path / "list.txt")
    assert [p.name for p in photos.photos] == ["a/x.jpg", "b/🐙 \u2028.jpg"]
    assert photos.photos[0].file == tmp_path / "a/x.jpg"


def test_list__of_photos_elsewhere_never_leads_out_of_its_root(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/l.txt").write_text(f"../photos/a.jpg\n{tmp_path}/more/b.jpg\n")
    photos = find_photos(tmp_path / "lists/l.txt")
    assert [p.name for p in photos.photos] == ["more/b.jpg", "photos/a.jpg"]
    assert photos.root == tmp_path


def test_list__that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(UserError, match=r"l\.txt.*UTF-8"):
        find_photos(tmp_path / "l.txt")


def test_coco(tmp_path: Path) -> None:
    entries = [{"id": 1, "file_name": "b.jpg"}, {"id": 2, "file_name": "sub/a.jpg"}]
    (tmp_path / "c.json").write_text(json.dumps({"images": entries}))
    photos = find_photos(tmp_path / "c.json")
    assert [(p.name, p.file) for p in photos.photos] == [
        ("b.jpg", tmp_path / "b.jpg"),
        ("sub/a.jpg", tmp_path / "sub/a.jpg"),
    ]


def test_coco__photos_outside_never_lead_out_of_the_root(tmp_path: Path) -> None:
    files = ["../images/a.jpg", str(tmp_path / "images/b.jpg")]
    (tmp_path / "annotations").mkdir()
    coco = tmp_path / "annotations/c.json"
    coco.write_text(json.dumps({"images": [{"file_name": file} for file in files]}))
    photos = find_photos(coco)
    assert [p.name for p in photos.photos] == ["a.jpg", "b.jpg"]
    assert photos.root == tmp_path / "images"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "{}", '{"images": [{}]}', '{"images": 3}', '{"images": [{"file_name": 1}]}'],
)
def test_coco__damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(UserError, match=r"c\.json.*COCO.*file_name"):
        find_photos(tmp_path / "c.json")


def test_folder__pictures_that_are_passed_over_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photos_step, "EXTENSIONS", EXTENSIONS - HEIF)
    monkeypatch.setattr(image_formats, "EXTENSIONS", EXTENSIONS - HEIF)
    touch(tmp_path, "a.jpg", "b.CR2", "sub/c.cr2", "d.heic", "notes.txt", "list", ".hidden.heic")
    (tmp_path / "e").write_bytes(b"\xff\xd8\xff\xe0 a photo")
    found = find_photos(tmp_path)
    assert [photo.name for photo in found.photos] == ["a.jpg"]
    assert found.passed_over == {".cr2": 2, ".heic": 1, "": 1}
    [note] = found.notes()
    assert_says(note, "4 pictures", "2 .cr2", "1 .heic", "1 without an ending", "prelabel[heif]")


def test_folder__with_nothing_but_passed_over_pictures_says_so(tmp_path: Path) -> None:
    touch(tmp_path, "a.nef")
    with pytest.raises(UserError, match=r"no photo.*1 picture was passed over: 1 \.nef"):
        find_photos(tmp_path)


def test_folder__pipe_without_an_ending_is_not_waited_for(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "pipe")
    assert find_photos(tmp_path).notes() == []
