"""Third-party plugins: installed with pip, used by name, and reported when they fail."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

PLUGIN = Path(__file__).parent / "third_party"
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The command line, in a process that sees the plugin which pip has installed beside."""
    folder = tmp_path_factory.mktemp("third_party")
    source, site = folder / "source", folder / "site"
    shutil.copytree(PLUGIN, source)  # building leaves files behind
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(site)]
    installed = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PRELABEL_CACHE": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "200",
        "PYTHONIOENCODING": "utf-8",
    }

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "prelabel", *map(str, arguments)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=environment,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four photos of a bright square on a dark ground, 96 × 80 pixels."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(4):
        rng = np.random.default_rng(number)
        pixels = rng.integers(20, 50, (80, 96, 3), dtype=np.uint8)
        pixels[24:56, 24 + 4 * number : 64 + 4 * number] += np.array([180, 120, 40], dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def _run(cli: Cli, photos: Path, out: Path, *sets: str) -> subprocess.CompletedProcess[str]:
    options = [part for one in sets for part in ("--set", one)]
    return cli(
        *("run", photos, "--out", out, "--recipe", "fast", "--backbone", "color-texture"),
        *("--format", "coco", "--set", "features.size=96", "--set", "backbone.patch=8"),
        *options,
    )


def test_run__with_a_third_party_refiner_and_rule(cli: Cli, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = _run(
        cli,
        photos,
        out,
        "refiner.name=example-median",
        "refiner.side=3",
        "foreground.name=example-rank",
    )
    assert done.returncode == 0, done.stderr
    [instances] = out.rglob("instances.json")
    exported = json.loads(instances.read_text())
    assert len(exported["images"]) == 4
    assert {a["image_id"] for a in exported["annotations"]} == {i["id"] for i in exported["images"]}
    [facts] = [json.loads(file.read_text()) for file in out.rglob("model.json")]
    assert facts["config"]["refiner"] == {"name": "example-median", "side": 3}
    assert facts["origins"]["refiner"] == "prelabel-example-plugin 0.1.0"
    assert facts["origins"]["foreground"] == "prelabel-example-plugin 0.1.0"
    assert facts["origins"]["clusterer"].startswith("prelabel ")


def test_run__settings_of_a_plugin_are_checked(cli: Cli, photos: Path, tmp_path: Path) -> None:
    done = _run(cli, photos, tmp_path / "out", "refiner.name=example-median", "refiner.sides=3")
    assert done.returncode == 2
    assert re.search("'example-median'.*'sides'.*'side'", done.stderr)
    assert "Traceback" not in done.stderr


def test_plugins_list__names_the_broken_one_and_keeps_the_others(cli: Cli) -> None:
    done = cli("plugins", "list")
    assert done.returncode == 0, done.stderr
    lines = {tuple(line.split()[:2]): line for line in done.stdout.splitlines()}
    broken = lines["refiner", "example-broken"]
    assert "a_library_that_nobody_has" in broken
    for name in (
        ("refiner", "example-median"),
        ("foreground", "example-rank"),
        ("refiner", "guided-filter"),
        ("exporter", "coco"),
    ):
        assert "a_library_that_nobody_has" not in lines[name]
    assert "prelabel-example-plugin 0.1.0" in lines["refiner", "example-median"]


@pytest.mark.parametrize("name", ["example-median", "example-rank"])
def test_plugins_check__kept(cli: Cli, name: str) -> None:
    done = cli("plugins", "check", name)
    assert done.returncode == 0, done.stdout + done.stderr


def test_plugins_check__broken_promises(cli: Cli) -> None:
    done = cli("plugins", "check", "example-wrong-shape")
    assert done.returncode == 2
    assert re.search(r"\(0, 1\).*\(1, 1\)", done.stdout)
    done = cli("plugins", "check", "example-broken")
    assert done.returncode == 2
    assert "a_library_that_nobody_has" in done.stdout


def test_run__a_wrong_shape_stops_with_the_strategys_name_and_both_shapes(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    done = _run(cli, photos, tmp_path / "out", "refiner.name=example-wrong-shape")
    assert done.returncode == 2
    assert re.search(r"'example-wrong-shape'.*\(79, 96\).*\(80, 96\)", done.stderr)
    assert "Traceback" not in done.stderr


def test_run__a_plugin_that_does_not_import(cli: Cli, photos: Path, tmp_path: Path) -> None:
    done = _run(cli, photos, tmp_path / "out", "refiner.name=example-broken")
    assert done.returncode == 2
    assert re.search("'example-broken'.*'a_library_that_nobody_has'", done.stderr)
    assert "Traceback" not in done.stderr
