"""The command compare."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.command_line import LIGHT, cli, refused, write_discs
from support.messages import assert_says
from support.report_data import Scripts


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_discs(tmp_path / "photos", 3)


def test_compare__runs_of_each_and_a_page(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    others = (
        "--vs",
        "regions.threshold=0.9 regions.min_area=0",
        "--vs",
        "recipe=default fit.seed=1",
    )
    done = cli("compare", photos, "--out", out, *LIGHT, *others[:2])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].startswith("1  recipe=fast features.size=112: ")
    assert lines[1].startswith("2  regions.threshold=0.9 regions.min_area=0: ")
    assert "different" in lines[1]
    assert lines[2].split() == ["page", str(out / "index.html")]
    for number, threshold in (("1", 0.5), ("2", 0.9)):
        facts = json.loads((out / number / "run.json").read_text())
        assert facts["config"]["regions"]["threshold"] == threshold
        assert facts["config"]["embedder"]["name"] == "region-pool"
    data = Scripts(out / "index.html").data
    assert len(data["photos"]) == 3
    assert (out / data["photos"][0]["thumb"]).is_file()
    assert cli("export", out / "2", "--format", "coco", "--out", tmp_path / "coco").exit_code == 0
    again = cli("compare", photos, "--out", out, *LIGHT, *others)
    assert again.exit_code == 0, again.output
    assert json.loads((out / "3" / "run.json").read_text())["config"]["fit"]["seed"] == 1
    line = refused("export", out, "--format", "coco", "--out", tmp_path / "other")
    assert_says(line, "prelabel compare", "not predictions")


def test_compare__refuses_wrong_use(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for other, words in (
        ("features.size", ("'features.size'", "section.name=value")),
        ("", ("''", "section.name=value")),
        ("recipe=fast recipe=default", ("recipe=NAME",)),
        ("features.sise=3", ("features has no setting 'sise'", "size")),
        ("features.size=112", ("the same as 'recipe=fast features.size=112'",)),
    ):
        assert_says(refused("compare", photos, "--out", out, *LIGHT, "--vs", other), *words)
    twice = ("--vs", "fit.seed=1", "--vs", "fit.seed=1")
    assert "the same as 'fit.seed=1'" in refused("compare", photos, "--out", out, *LIGHT, *twice)
    assert "--vs" in refused("compare", photos, "--out", out, *LIGHT)
    assert not out.exists()
