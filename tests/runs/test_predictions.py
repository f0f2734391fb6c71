"""predictions.jsonl: what is read again, and lines that are not predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from builders import box, prediction, region
from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel.runs.predictions import read_predictions, write_predictions

SIZE = (4, 4)
REGION = region(box(1, 1, 2, 2, photo=SIZE))  # its RLE is "52225"


def photo(i: int, n_regions: int = 1) -> Prediction:
    return prediction(f"{i}.jpg", *[REGION] * n_regions, size=SIZE)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "p.jsonl"


def test_read__what_was_written(file: Path) -> None:
    photos = [photo(i, i % 3) for i in range(600)]
    photos.append(prediction(b"\xff.jpg".decode("utf-8", "surrogateescape")))  # not UTF-8
    photos.append(prediction("crowd.jpg", region(box(0, 0, 3, 3), cluster=-1, crowd=True)))
    write_predictions(file, photos)
    assert list(read_predictions(file)) == photos


def test_write__what_contradicts_itself_leaves_the_file_as_it_was(file: Path) -> None:
    write_predictions(file, [photo(0)])
    before = file.read_bytes()
    wrong = prediction("2.jpg", REGION, structs.replace(REGION, area=5))
    with pytest.raises(UserError, match=r"'2.jpg' cannot be kept: .*area 5"):
        write_predictions(file, [photo(1), wrong])
    with pytest.raises(UserError, match="a photo of 0 × 4 pixels"):
        write_predictions(file, [structs.replace(photo(1, 0), width=0)])
    assert file.read_bytes() == before


def test_read__a_line_that_was_edited_is_taken_if_it_is_sound(file: Path) -> None:
    write_predictions(file, [photo(i, 2) for i in range(2)])
    change_region(file, 2, cluster=7)  # with spaces
    first, second = read_predictions(file)
    assert first == photo(0, 2)
    assert second == prediction("1.jpg", structs.replace(REGION, cluster=7), REGION)


def test_read__lines_of_earlier_versions_with_a_checksum(file: Path) -> None:
    write_predictions(file, [photo(0)])
    file.write_bytes(b'{"crc32":"0badc0de",' + file.read_bytes()[1:])
    assert list(read_predictions(file)) == [photo(0)]
    change_region(file, 1, area=5)
    with pytest.raises(UserError, match=r"line 1: .*area 5"):
        list(read_predictions(file))


def refusal(file: Path, **changes: Any) -> str:
    """The error for a line with these changes."""
    write_predictions(file, [photo(0, 0)])
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(UserError, match="line 1: not a prediction") as error:
        list(read_predictions(file))
    return str(error.value)


@pytest.mark.parametrize(("width", "height"), [(0, 4), (10**10, 10**10), (-(10**30), 4)])
def test_read__photos_of_no_size(width: int, height: int, file: Path) -> None:
    assert f"a photo of {width} × {height} pixels" in refusal(file, width=width, height=height)


@pytest.mark.parametrize("name", ["", ".", "/a.jpg", "../a.jpg", "b/../../a.jpg", "a\0.jpg"])
def test_read__names_that_lead_elsewhere(name: str, file: Path) -> None:
    assert f"a photo named {name!r}" in refusal(file, photo=name)


def test_read__a_share_of_foreground_that_is_not_a_number(file: Path) -> None:
    assert "foreground of nan" in refusal(file, foreground=float("nan"))


def change_region(file: Path, line: int, **changes: Any) -> None:
    """Change the first region of a line."""
    lines = file.read_text().splitlines()
    written = json.loads(lines[line - 1])
    written["regions"][0] |= changes
    lines[line - 1] = json.dumps(written)
    file.write_text("\n".join(lines))


def rle(counts: Any, size: Any = SIZE) -> dict[str, Any]:
    return {"rle": {"size": list(size), "counts": counts}}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (rle("5220"), "a mask that holds 11 pixels, expected 16"),  # pycocotools' iou never ends
        (rle("52225o0"), "a mask that holds"),
        (rle("5N4"), "counts are not an RLE"),
        (rle(""), "counts are not an RLE"),
        (rle(None), r"Expected `str`, got `null` - at `\$.regions\[0\].rle.counts`"),
        (rle([5, 2, 2, 2, 5]), r"Expected `str`, got `array` - at `\$.regions\[0\].rle.counts`"),
        (rle("52225", (4, 0)), r"a mask of size \[4, 0\], expected \[4, 4\]"),
        (rle("52225", (4, 4.5)), r"Expected `int`, got `float` - at `\$.regions\[0\].rle.size"),
        (rle("52225", (4,)), r"a mask of size \[4\]"),
        ({"rle": {"size": [4, 4]}}, "missing required field `counts`"),
        ({"rle": {"counts": "5"}}, "missing required field `size`"),
        ({"area": 5}, r"area 5 and box \[1, 1, 2, 2\], expected 4 and \[1, 1, 2, 2\]"),
        ({"box": [1, 1, 2, 3]}, r"area 4 and box \[1, 1, 2, 3\], expected 4 and \[1, 1, 2, 2\]"),
        ({"cluster": -2}, "a cluster -2, expected -1 to 65535"),
        ({"cluster": 2**16}, "a cluster 65536, expected -1 to 65535"),
        ({"score": float("nan")}, "a score of nan"),
        ({"score": float("inf")}, "a score of inf"),
        ({"rle": []}, r"Expected `object`, got `array` - at `\$.regions\[0\].rle"),
        ({"area": "4"}, r"Expected `int`, got `str` - at `\$.regions\[0\].area`"),
        ({"box": [1, 2, 3]}, r"\$.regions\[0\].box"),
    ],
)
def test_read__a_line_that_is_refused_is_named(
    changes: dict[str, Any], reason: str, file: Path
) -> None:
    write_predictions(file, [photo(i, 2) for i in range(300)])
    change_region(file, 290, **changes)
    with pytest.raises(UserError, match=reason) as error:
        list(read_predictions(file))
    assert f"{file}, line 290: " in str(error.value)
    assert str(error.value).endswith("predict again")


def test_read__a_file_that_was_cut_off(file: Path) -> None:
    write_predictions(file, [photo(i) for i in range(3)])
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"line 3: not a prediction"):
        list(read_predictions(file))
    with pytest.raises(UserError, match="no such file"):
        list(read_predictions(file.with_name("gone.jsonl")))
