"""The commands plugins, weights, recipes and doctor."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from prelabel.cli import doctor
from support.command_line import cli, refused


def test_recipes(tmp_path: Path) -> None:
    listed = cli("recipes", "list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == [
        *("default", "defects", "fast", "microscopy", "paper", "product", "scene", "auto")
    ]
    assert 'name = "dense-crf"' in cli("recipes", "show", "paper").stdout
    own = tmp_path / "own.toml"
    own.write_text(cli("recipes", "show", "fast", "--all").stdout)
    assert cli("recipes", "show", str(own), "--all").stdout == own.read_text()
    assert "did you mean 'paper'?" in refused("recipes", "show", "papr")


def test_plugins() -> None:
    listed = cli("plugins", "list").stdout
    for name in ("color-texture", "spherical-kmeans", "cascade", "guided-filter", "label-studio"):
        assert name in listed
    shown = cli("plugins", "show", "color-texture").stdout
    assert "backbone.patch" in shown
    assert "16" in shown
    checked = cli("plugins", "check", "mean")
    assert checked.exit_code == 0
    assert checked.stdout.startswith("consistency mean: ")
    assert "did you mean 'guided-filter'?" in refused("plugins", "check", "guided-filtr")
    assert "did you mean 'refiner'?" in refused("plugins", "check", "none", "--kind", "refinr")


def test_weights__pull_again_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path))
    assert "did you mean 'stand-in'?" in refused("weights", "pull", "standin")
    from prelabel.weights.load import stand_in_file

    stand_in_file().parent.mkdir(parents=True)
    save_file({"x": torch.zeros(3)}, stand_in_file())
    before = stand_in_file().read_bytes()
    result = cli("weights", "pull", "stand-in")
    assert result.exit_code == 0
    assert str(stand_in_file()) in result.stdout
    assert stand_in_file().read_bytes() == before
    row = next(r for r in cli("weights", "list").stdout.splitlines() if r.startswith("stand-in "))
    assert row.split()[1] == "yes"


def test_weights__pull_mends_a_file_that_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path))
    from prelabel.weights import stand_in
    from prelabel.weights.load import stand_in_file

    def pull() -> tuple[Path, float]:
        save_file({"x": torch.ones(3)}, stand_in_file())
        return stand_in_file(), 1e-6

    monkeypatch.setattr(stand_in, "pull", pull)
    stand_in_file().parent.mkdir(parents=True)
    save_file({"x": torch.ones(3)}, stand_in_file())
    whole = stand_in_file().read_bytes()
    for damaged in (whole[:-1], whole[:20], b""):
        stand_in_file().write_bytes(damaged)
        result = cli("weights", "pull", "stand-in")
        assert result.exit_code == 0
        assert "fetched again" in result.stderr
        assert stand_in_file().read_bytes() == whole


def test_doctor__says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    version = doctor._version
    gone = ("pydensecrf2", "osam")
    monkeypatch.setattr(doctor, "_version", lambda d: "" if d in gone else version(d))
    for package in ("pydensecrf", "pydensecrf.densecrf", "osam"):  # as if they were not installed
        monkeypatch.setitem(sys.modules, package, None)
    for ours in ("prelabel_plugins.refiners.dense_crf", "prelabel_plugins.refiners.sam"):
        monkeypatch.delitem(sys.modules, ours, raising=False)
    monkeypatch.delitem(sys.modules, "prelabel.weights.sam", raising=False)
    result = cli("doctor")
    assert result.exit_code == 0
    for extra in ("dense-crf", "sam"):
        (line,) = [s for s in result.stdout.splitlines() if f"prelabel[{extra}]" in s]
        assert f"pip install 'prelabel[{extra}]'" in line
    assert "prelabel weights pull stand-in" in result.stdout
    for word in ("torch", "timm", "bfloat16", str(tmp_path)):
        assert word in result.stdout
