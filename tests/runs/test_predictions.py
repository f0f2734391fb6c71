"""predictions.jsonl: what is read again, and lines that are not predictions."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from builders import RING, box, prediction, region
from prelabel.data.dataset import Dataset
from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel.evaluation import evaluate
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


def test_read__a_box_alone_is_its_box(file: Path) -> None:
    own = region(box(1, 1, 3, 2))
    write_predictions(file, [prediction("1.jpg", structs.replace(own, is_box=True))])
    assert [r.is_box for p in read_predictions(file) for r in p.regions] == [True]
    ring = structs.replace(region(RING), is_box=True)
    with pytest.raises(UserError, match="a box alone whose mask is not the box"):
        write_predictions(file, [prediction("1.jpg", ring)])


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


def test_read__other_facts_of_a_photo(file: Path) -> None:
    assert "-1 parts left out" in refusal(file, dropped=-1)
    assert "a digest '../x', expected 32 hex digits" in refusal(file, digest="../x")


def test_read__a_line_without_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_predictions(file, [photo(0)])
    monkeypatch.setattr("prelabel.runs.predictions._LONGEST_LINE", 100)
    with pytest.raises(UserError, match=r"line 1: .*longer than 100 bytes"):
        list(read_predictions(file))


_HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.sampled_from([10**400, 2**31, 2**63, -1e308, 1e308, float("nan"), float("inf"), 1.67, -0.0]),
    st.text(max_size=12),
    st.sampled_from(["52225", "5220", "o" * 50 + "0", "0" * 3000, "\ud800", "../a.jpg", "a\0"]),
    st.builds(lambda: [[[[]]]]),  # each time another one, as it may be changed
    st.lists(st.integers(min_value=-5, max_value=2**40), max_size=5),
    st.dictionaries(st.sampled_from(["size", "counts", "rle", "box"]), st.integers(), max_size=3),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to everything in a JSON value."""
    found = [path] * bool(path)
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        found += [place for key, part in inner for place in _places(part, (*path, key))]
    return found


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_read__any_change_of_a_line_is_refused_or_sound(data: st.DataObject, file: Path) -> None:
    """What is taken can be decoded, measured and compared; all else is one UserError."""
    write_predictions(file, [photo(0, 2)])
    written = json.loads(file.read_text())
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(_places(written)))
        target = written
        for key in path:
            target = target[key]
        if isinstance(target, dict) and data.draw(st.booleans()):
            del target[last]
        else:
            target[last] = data.draw(_HOSTILE)
        if not _places(written):
            break
    file.write_text(json.dumps(written))
    _taken_or_refused(file)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_read__any_bytes_are_refused_or_sound(data: st.DataObject, file: Path) -> None:
    write_predictions(file, [photo(0, 2)])
    line = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(line)))
        line[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    file.write_bytes(bytes(line))
    _taken_or_refused(file)


def _taken_or_refused(file: Path) -> None:
    with suppress(UserError):  # nothing else
        found = list(read_predictions(file))
        for one in found:
            for own in one.regions:
                assert own.mask.sum() == own.area
        dataset = Dataset(None, ("cat",), lambda: iter(found))
        evaluate(dataset, dataset)


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
        ({"score": -1e308}, r"a score of -1e\+308, expected at most 1e\+09"),
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
