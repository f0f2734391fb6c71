"""predictions.jsonl: what is read again, and lines that are no predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prelabel.errors import UserError
from prelabel.masks import encode_rle
from prelabel.predictions import read_predictions, write_predictions
from prelabel.records import Prediction, Region

SQUARE = np.zeros((4, 4), dtype=np.bool_)
SQUARE[1:3, 1:3] = True
REGION = Region(encode_rle(SQUARE), (1, 1, 2, 2), 4, 0.5, 0)


def prediction(i: int, *regions: Region) -> Prediction:
    return Prediction(f"{i}.jpg", "ab", 4, 4, regions, 0.25, 1, "m-1")


def test_read__what_was_written(tmp_path: Path) -> None:
    # More than are read at once, names that are no UTF-8 among them.
    photos = [prediction(i, *[REGION] * (i % 3)) for i in range(600)]
    photos.append(
        Prediction(b"\xff.jpg".decode("utf-8", "surrogateescape"), "", 4, 4, (), 0.0, 0, "")
    )
    write_predictions(tmp_path / "p.jsonl", photos)
    assert list(read_predictions(tmp_path / "p.jsonl")) == photos


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
        (rle(None), "is no RLE"),
        (rle([5, 2, 2, 2, 5]), "is no RLE"),
        (rle("52225", (4, 0)), "a mask of 4 × 0 pixels"),
        (rle("52225", (4, 4.0)), r"a mask of 4 × 4.0 pixels"),
        (rle("52225", (4,)), "ValueError"),
        ({"rle": {"size": [4, 4]}}, "KeyError: 'counts'"),
        ({"rle": {"counts": "5"}}, "KeyError: 'size'"),
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
