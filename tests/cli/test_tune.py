"""The command tune."""

from __future__ import annotations

from pathlib import Path

import pytest

from prelabel.config import load
from support.command_line import cli, refused, write_discs, write_labels
from support.messages import assert_says

FEW = (
    *("--backbone", "color-texture", "--set", "features.size=112"),
    *("--set", "learner.name=ridge", "--set", "refiner.name=none"),
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_discs(tmp_path / "photos", 5)


@pytest.mark.slow
def test_tune__prints_a_table_and_writes_a_recipe(photos: Path, tmp_path: Path) -> None:
    labels = write_labels(photos, tmp_path / "labels", 3)
    recipe = tmp_path / "recipe.toml"
    command = ("tune", photos, "--labels", labels, "--out", recipe, *FEW)
    first = cli(*command)
    assert first.exit_code == 0, first.output
    for word in ("recipe default", "regions.threshold = 0.3", "regions.min_area", "time saved"):
        assert word in first.stdout
    assert "features.size =" not in first.stdout  # what is given stays
    assert "3 labelled photos" in first.stdout
    config = load(str(recipe))
    assert config.features.size == 112
    assert config.backbone.name == "color-texture"
    again = cli(*command)  # its own file may be replaced
    assert again.stdout == first.stdout
    run = cli("run", photos, "--out", tmp_path / "out", "--recipe", recipe, "--labels", labels)
    assert run.exit_code == 0, run.output


def test_tune__refuses_wrong_use(photos: Path, tmp_path: Path) -> None:
    labels = write_labels(photos, tmp_path / "labels", 2)
    out = tmp_path / "recipe.toml"
    line = refused("tune", photos, "--labels", labels, "--out", out, *FEW)
    assert_says(line, "found 2 labelled photos", "at least 3")
    assert not out.exists()
    line = refused("tune", photos, "--labels", "cat", "--out", out, *FEW)
    assert_says(line, "'cat'", "no such file or folder")
    line = refused("tune", photos, "--labels", labels, "--out", tmp_path / "r.json", *FEW)
    assert_says(line, "r.json", ".toml")
    line = refused("tune", photos, "--labels", labels, "--out", out, "--set", "a.b=1")
    assert "'a'" in line
