"""Predictions in shards that are merged equal those of one call."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prelabel.data.records import ImageFile
from prelabel.errors import UserError
from prelabel.runs import shards
from prelabel.runs.shards import Shard
from support.command_line import LIGHT, cli, refused, write_discs
from support.messages import assert_says


@given(st.lists(st.text(min_size=1), max_size=20, unique=True), st.integers(1, 7))
def test_shard__each_photo_is_in_one(names: list[str], count: int) -> None:
    for name in names:
        photo = ImageFile(name, Path("x"))
        assert sum(Shard(i + 1, count).has(photo) for i in range(count)) == 1


def test_shard__stays_the_same_for_ever() -> None:
    """Another machine, version or day must not move a photo: the hash is BLAKE2b's."""
    numbers = [
        next(i for i in range(1, 6) if Shard(i, 5).has(ImageFile(name, Path(name))))
        for name in ("a.jpg", "folder/b.jpg", "ü.png", "\udcff.png")
    ]
    assert numbers == [5, 3, 4, 1]  # by `b2sum --length 64`, modulo 5


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "a/b", "1/0", "1/200000", "-1/4", "1/2/3"])
def test_shard__refuses_other_numbers(text: str) -> None:
    with pytest.raises(UserError, match="as in 3/20"):
        Shard.parse(text)


def test_shards__merged_equal_one_call(tmp_path: Path) -> None:
    photos = write_discs(tmp_path / "photos", 7)
    (photos / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    model, shards = tmp_path / "model", tmp_path / "shards"
    assert cli("fit", photos, "--out", model, *LIGHT).exit_code == 0
    assert cli("predict", model, photos, "--out", tmp_path / "one").exit_code == 0
    for i in (2, 3):
        assert cli("predict", model, photos, "--out", shards, "--shard", f"{i}/3").exit_code == 0
    line = refused("merge", shards, "--out", tmp_path / "merged")
    assert_says(line, "1 of 3 shards are missing", "--shard 1/3")
    assert cli("predict", model, photos, "--out", shards, "--shard", "1/3").exit_code == 0
    merged = cli("merge", shards, "--out", tmp_path / "merged")
    assert merged.exit_code == 0, merged.output
    expected = (tmp_path / "one" / "predictions.jsonl").read_bytes()
    assert (tmp_path / "merged" / "predictions.jsonl").read_bytes() == expected
    one, together = (
        json.loads((tmp_path / name / "run.json").read_text()) for name in ("one", "merged")
    )
    for facts in (one, together):
        for measured in ("seconds", "peak_memory_mb", "photos_per_second"):
            facts.pop(measured, None)
        facts["photos"].pop("from_cache", None)
    assert together == one
    assert cli("merge", shards, "--out", tmp_path / "merged", "--strict").exit_code == 1


def test_merge__of_more_shards_than_files_can_be_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, model = write_discs(tmp_path / "photos", 7), tmp_path / "model"
    assert cli("fit", photos, "--out", model, *LIGHT).exit_code == 0
    assert cli("predict", model, photos, "--out", tmp_path / "one").exit_code == 0
    monkeypatch.setattr(shards, "_AT_ONCE", 2)
    engine = ("--engine", "local", "--shards", 5)
    assert cli("predict", model, photos, "--out", tmp_path / "out", *engine).exit_code == 0
    expected = (tmp_path / "one" / "predictions.jsonl").read_bytes()
    assert (tmp_path / "out" / "predictions.jsonl").read_bytes() == expected
    assert not list(tmp_path.rglob(".tmp-*"))


def test_engine__goes_on_where_it_stopped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    photos, model, out = write_discs(tmp_path / "photos", 4), tmp_path / "model", tmp_path / "out"
    assert cli("fit", photos, "--out", model, *LIGHT).exit_code == 0
    command = ("predict", model, photos, "--out", out, "--engine", "local")
    assert cli(*command, "--shards", 3).exit_code == 0
    parts = sorted(out.glob("shards/*/run.json"))
    written = [part.stat().st_mtime_ns for part in parts]
    assert cli(*command).exit_code == 0  # into as many as there are
    assert [part.stat().st_mtime_ns for part in parts] == written
    assert not caplog.messages
    assert cli("fit", photos, "--out", model, *LIGHT, "--seed", "1").exit_code == 0
    assert cli(*command).exit_code == 0
    (told,) = caplog.messages
    assert_says(told, "1-of-3 and 2 more: predicted by another model", "predicted again")
    assert cli(*command, "--shards", 2).exit_code == 0
    assert_says(refused(*command), "holds shards of 2 and of 3: say which by --shards")
    assert cli(*command, "--shards", 2).exit_code == 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--engine", "local", "--shard", "1/2"), "--shard predicts one shard, --engine all"),
        (("--shards", 2), "--shards is about an engine"),
        (("--address", "auto"), "--address is about an engine"),
        (("--set", "engine.gpus=1"), "--set is about an engine"),
        (("--engine", "local", "--address", "auto"), "engine 'local' has no setting 'address'"),
        (("--engine", "ray", "--set", "engine.gpus=many"), "engine.gpus = 'many'"),
        (("--engine", "ray", "--set", "fit.seed=1"), "expected a setting of the engine"),
        (("--engine", "rai"), "did you mean 'ray'"),
        (("--engine", "local", "--shards", 0), "--shards"),
        (("--engine", "local", "--shards", 100_001), "expected 1 to 100000"),
    ],
)
def test_engine__refuses_options(options: tuple[object, ...], told: str, tmp_path: Path) -> None:
    photos, model = write_discs(tmp_path / "photos", 2), tmp_path / "model"
    assert cli("fit", photos, "--out", model, *LIGHT).exit_code == 0
    assert_says(refused("predict", model, photos, "--out", tmp_path / "out", *options), told)


def test_ray__missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, model = write_discs(tmp_path / "photos", 2), tmp_path / "model"
    assert cli("fit", photos, "--out", model, *LIGHT).exit_code == 0
    monkeypatch.setitem(sys.modules, "ray", None)
    line = refused("predict", model, photos, "--out", tmp_path / "out", "--engine", "ray")
    assert_says(line, "ray is missing", "pip install 'prelabel[ray]'")


def test_shards__a_finished_one_is_not_predicted_again(tmp_path: Path) -> None:
    photos = write_discs(tmp_path / "photos", 4)
    model, shards = tmp_path / "model", tmp_path / "shards"
    assert cli("fit", photos, "--out", model, *LIGHT).exit_code == 0
    command = ("predict", model, photos, "--out", shards, "--shard", "1/1")
    assert cli(*command).exit_code == 0
    written = (shards / "1-of-1" / "run.json").stat().st_mtime_ns
    assert cli(*command).exit_code == 0
    assert (shards / "1-of-1" / "run.json").stat().st_mtime_ns == written
    write_discs(tmp_path / "more", 6)
    (tmp_path / "more" / "photo 5.png").rename(photos / "photo 5.png")
    assert cli(*command).exit_code == 0
    lines = (shards / "1-of-1" / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(line)["photo"] for line in lines][-1] == "photo 5.png"
    assert len(lines) == 5


def test_merge__refuses_what_does_not_belong_together(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert_says(refused("merge", tmp_path / "none", "--out", out), "no such folder")
    shards = tmp_path / "shards"
    shards.mkdir()
    assert_says(refused("merge", shards, "--out", out), "no shards", "--shard 1/20")
    photos, model = write_discs(tmp_path / "photos", 4), tmp_path / "model"
    assert cli("fit", photos, "--out", model, *LIGHT).exit_code == 0
    for i in (1, 2):
        assert cli("predict", model, photos, "--out", shards, "--shard", f"{i}/2").exit_code == 0
    other = tmp_path / "other"
    assert cli("fit", photos, "--out", other, *LIGHT, "--seed", "1").exit_code == 0
    assert cli("predict", other, photos, "--out", shards, "--shard", "2/2").exit_code == 0
    assert_says(refused("merge", shards, "--out", out), "1 of 2 shards", "another model")
    (shards / "1-of-3").mkdir()
    assert_says(refused("merge", shards, "--out", out), "shards of 2 and of 3")
    assert not out.exists()
