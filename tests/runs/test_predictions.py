"""predictions.jsonl: what is read again, and lines that are no predictions."""

from __future__ import annotations

import json
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from prelabel.data.masks import encode_rle
from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.runs.predictions import _is_as_written, read_predictions, write_predictions

SQUARE = np.zeros((4, 4), dtype=np.bool_)
SQUARE[1:3, 1:3] = True
REGION = Region(encode_rle(SQUARE), (1, 1, 2, 2), 4, 0.5, 0)


def prediction(i: int, *regions: Region) -> Prediction:
    return Prediction(f"{i}.jpg", "ab", 4, 4, regions, 0.25, 1, "m-1")


def test_read__what_was_written(tmp_path: Path) -> None:
    # A name that is no UTF-8 among them.
    photos = [prediction(i, *[REGION] * (i % 3)) for i in range(600)]
    photos.append(
        Prediction(b"\xff.jpg".decode("utf-8", "surrogateescape"), "", 4, 4, (), 0.0, 0, "")
    )
    write_predictions(tmp_path / "p.jsonl", photos)
    assert list(read_predictions(tmp_path / "p.jsonl")) == photos


def test_write__a_line_starts_with_the_checksum_of_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    write_predictions(file, [prediction(0, REGION)])
    (line,) = file.read_bytes().splitlines()
    body = line.removeprefix(b'{"crc32":"')[10:]
    assert body.startswith(b'"photo":')
    assert json.loads(line)["crc32"] == f"{zlib.crc32(body):08x}"


def test_write__what_contradicts_itself_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    write_predictions(file, [prediction(0, REGION)])
    before = file.read_bytes()
    wrong = structs.replace(REGION, area=5)
    with pytest.raises(
        UserError, match=r"the labels of '2.jpg' cannot be kept: a mask of 4 pixels"
    ):
        write_predictions(file, [prediction(1, REGION), prediction(2, REGION, wrong)])
    with pytest.raises(UserError, match="a photo of 0 × 4 pixels"):
        write_predictions(file, [structs.replace(prediction(1), width=0)])
    assert file.read_bytes() == before


def test_read__a_line_that_was_edited_is_taken_if_it_is_sound(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    write_predictions(file, [prediction(i, REGION, REGION) for i in range(2)])
    changed(file, 2, cluster=7)  # with spaces, and an old checksum
    first, second = read_predictions(file)
    assert first == prediction(0, REGION, REGION)
    assert second == prediction(1, structs.replace(REGION, cluster=7), REGION)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line in lines:
        del line["crc32"]  # as earlier versions wrote it
    file.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    assert list(read_predictions(file)) == [first, second]


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 10**6), code=st.integers(0, 255))
def test_read__a_changed_byte_never_passes_by_its_checksum(at: int, code: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "p.jsonl"
        write_predictions(file, [prediction(0, REGION)])
        data = bytearray(file.read_bytes())
        at %= len(data)
        same = data[at] == code
        data[at] = code
        (line, *_) = bytes(data).split(b"\n")
        assert _is_as_written(line + b"\n") == same


@pytest.mark.parametrize(("width", "height"), [(0, 4), (10**10, 10**10), (-(10**30), 4)])
def test_read__photos_of_no_size(width: int, height: int, tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    write_predictions(file, [prediction(0)])
    line = json.loads(file.read_text()) | {"width": width, "height": height}
    file.write_text(json.dumps(line))
    with pytest.raises(UserError, match=f"line 1: .*a photo of {width} × {height} pixels"):
        list(read_predictions(file))


@pytest.mark.parametrize("name", ["", ".", "/a.jpg", "../a.jpg", "b/../../a.jpg", "a\0.jpg"])
def test_read__names_that_lead_elsewhere(name: str, tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    write_predictions(file, [prediction(0)])
    file.write_text(json.dumps(json.loads(file.read_text()) | {"photo": name}))
    with pytest.raises(UserError, match=r"line 1: .*a path below the folder of photos is wanted"):
        list(read_predictions(file))


def changed(file: Path, line: int, **changes: Any) -> None:
    """Change the first region of a line."""
    lines = file.read_text().splitlines()
    facts = json.loads(lines[line - 1])
    facts["regions"][0] |= changes
    lines[line - 1] = json.dumps(facts)
    file.write_text("\n".join(lines))


def rle(counts: Any, size: Any = (4, 4)) -> dict[str, Any]:
    return {"rle": {"size": list(size), "counts": counts}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (rle("5220"), "a mask of 4 × 4 pixels holds 11 pixels"),  # pycocotools' iou never ends
        (rle("52225o0"), "a mask of 4 × 4 pixels holds"),
        (rle("5N4"), "a mask of 4 × 4 pixels is no RLE"),
        (rle(""), "is no RLE"),
        (rle(None), r"`null` - at `\$.regions\[0\].rle.counts`"),
        (rle([5, 2, 2, 2, 5]), r"`array` - at `\$.regions\[0\].rle.counts`"),
        (rle("52225", (4, 0)), r"a mask of size \[4, 0\], wanted \[4, 4\], the photo's height"),
        (rle("52225", (4, 4.5)), r"`float` - at `\$.regions\[0\].rle.size\[1\]`"),
        (rle("52225", (4,)), r"a mask of size \[4\]"),
        ({"rle": {"size": [4, 4]}}, r"`counts` - at `\$.regions\[0\].rle`"),
        ({"rle": {"counts": "5"}}, r"`size` - at `\$.regions\[0\].rle`"),
        ({"area": 5}, r"a mask of 4 pixels in \[1, 1, 2, 2\] is said to have 5 in \[1, 1, 2, 2\]"),
        ({"box": [1, 1, 2, 3]}, r"is said to have 4 in \[1, 1, 2, 3\]"),
        ({"cluster": -2}, "a cluster -2: from -1 to 65535"),
        ({"cluster": 2**16}, "a cluster 65536: from -1 to 65535"),
        ({"score": float("nan")}, "a score of nan"),
        ({"score": float("inf")}, "a score of inf"),
        ({"rle": []}, r"Expected `object`, got `array` - at `\$.regions\[0\].rle`"),
        ({"area": "4"}, r"Expected `int`, got `str` - at `\$.regions\[0\].area`"),
        ({"box": [1, 2, 3]}, r"\$.regions\[0\].box"),
    ],
)
def test_read__a_line_that_is_none_is_named(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "p.jsonl"
    write_predictions(file, [prediction(i, REGION, REGION) for i in range(300)])
    changed(file, 290, **changes)
    with pytest.raises(UserError, match=said) as error:
        list(read_predictions(file))
    assert f"{file}, line 290: no prediction" in str(error.value)
    assert str(error.value).endswith("predict again")


def test_read__a_file_that_was_cut_off(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    write_predictions(file, [prediction(i, REGION) for i in range(3)])
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"line 3: no prediction \(JSONDecodeError"):
        list(read_predictions(file))
    with pytest.raises(UserError, match="no such file"):
        list(read_predictions(tmp_path / "gone.jsonl"))
