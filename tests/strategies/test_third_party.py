"""Third-party plugins: installed with pip, used by name, and reported when they fail."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.command_line import LIGHT, write_discs, write_labels
from support.places import ROOT

pytestmark = pytest.mark.slow

PLUGIN = Path(__file__).parent / "third_party"
EXAMPLE = ROOT / "examples" / "plugin"
Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Of processes that see the plugins, which pip has installed beside."""
    folder = tmp_path_factory.mktemp("third_party")
    site = folder / "site"
    sources = [folder / "source", folder / "example"]
    for plugin, source in zip((PLUGIN, EXAMPLE), sources, strict=True):
        shutil.copytree(plugin, source)  # building leaves files behind
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(site)]
    installed = subprocess.run([*command, *map(str, sources)], capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PRELABEL_CACHE": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "200",
        "PYTHONIOENCODING": "utf-8",
    }


@pytest.fixture(scope="module")
def cli(environment: Mapping[str, str]) -> Cli:
    """The command line, in a process that sees the plugin."""

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


@pytest.fixture
def interruptible(
    environment: Mapping[str, str],
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """The command line, in a process that goes on."""
    started = []

    def start(*arguments: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "prelabel", *map(str, arguments)]
        started.append(
            subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()


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


def test_example__its_own_tests_pass(environment: Mapping[str, str], tmp_path: Path) -> None:
    tests = shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_example__is_checked_and_run_as_the_guide_says(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    guide = (ROOT / "docs" / "plugins.md").read_text("utf-8")
    settings = set(re.findall(r"--set (refiner\.(?!name)\S+)", guide))
    assert settings
    for setting in settings:
        assert f"--set {setting}" in guide
        checked = cli("plugins", "check", "soft-edges", "--set", setting)
        assert checked.returncode == 0, checked.stdout
    done = _run(cli, photos, tmp_path / "out", "refiner.name=soft-edges", *settings)
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "out" / "model" / "model.json").read_text())
    assert facts["origins"]["refiner"] == "prelabel-soft-edges 0.1.0"


def test_run__with_a_third_party_learner(cli: Cli, tmp_path: Path) -> None:
    assert "keeps the contract" in cli("plugins", "check", "example-nearest-mean").stdout
    photos = write_discs(tmp_path / "photos", 5)
    labels = write_labels(photos, tmp_path / "labels", 4)
    done = cli(
        *("run", photos, "--out", tmp_path / "out", *LIGHT, "--labels", labels),
        *("--set", "learner.name=example-nearest-mean", "--set", "learner.sharpness=3"),
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "out" / "model" / "model.json").read_text())
    assert facts["config"]["learner"] == {"name": "example-nearest-mean", "sharpness": 3.0}
    assert facts["origins"]["learner"] == "prelabel-example-plugin 0.1.0"
    assert facts["taught"]["classes"] == ["blue", "red"]
    assert facts["taught"]["weight"] > 0
    again = cli("predict", tmp_path / "out", photos, "--out", tmp_path / "again")
    assert again.returncode == 0, again.stderr
    (first, second) = (tmp_path / name / "predictions.jsonl" for name in ("out", "again"))
    assert first.read_bytes() == second.read_bytes()


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


def test_plugins_check__with_settings(cli: Cli) -> None:
    done = cli("plugins", "check", "example-median", "--set", "refiner.side=3")
    assert done.returncode == 0, done.stdout + done.stderr
    done = cli("plugins", "check", "example-median", "--set", "refiner.side=4")
    assert done.returncode == 2
    assert "refiner.side = 4" in done.stdout
    done = cli("plugins", "check", "example-median", "--set", "side=3")
    assert "expected section.name=value" in done.stderr
    done = cli("plugins", "check", "example-median", "--set", "embedder.side=3")
    assert "expected refiner.side" in done.stderr


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
    assert re.search(
        r"'example-wrong-shape' of prelabel-example-plugin 0.1.0 .*\(79, 96\).*\(80, 96\)",
        done.stderr,
    )
    assert "Traceback" not in done.stderr


def test_run__a_plugin_that_does_not_import(cli: Cli, photos: Path, tmp_path: Path) -> None:
    done = _run(cli, photos, tmp_path / "out", "refiner.name=example-broken")
    assert done.returncode == 2
    assert re.search("'example-broken'.*'a_library_that_nobody_has'", done.stderr)
    assert "Traceback" not in done.stderr


def test_plugins_list__a_hostile_name_is_shown_and_cannot_be_used(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    done = cli("plugins", "list")
    (line,) = [line for line in done.stdout.splitlines() if "<b>" in line]
    assert "\x1b" not in done.stdout
    assert "cannot be used: a name starts with a letter or digit" in line
    done = _run(cli, photos, tmp_path / "out", 'refiner.name="../<b>\\u001b[31m"')
    assert done.returncode == 2
    assert "cannot be used: a name starts with" in done.stderr


def test_plugins_list__no_plugin_takes_the_place_of_a_built_in_strategy(cli: Cli) -> None:
    lines = cli("plugins", "list").stdout.splitlines()
    (line,) = [line for line in lines if line.split()[:2] == ["refiner", "guided-filter"]]
    assert "prelabel-example-plugin" not in line


def test_plugins_check__a_crash_and_a_hang_are_broken_promises(cli: Cli) -> None:
    done = cli("plugins", "check", "example-crashing")
    assert done.returncode == 2
    assert re.search(
        r"ended the process \(SIGSEGV\) in refine \(.*misbehaving.py, line", done.stdout
    )
    done = cli("plugins", "check", "example-hanging", "--timeout", "8")
    assert done.returncode == 2
    assert re.search(r"did not end within 8 s in refine \(.*misbehaving.py, line", done.stdout)


def test_run__a_plugin_that_raises_is_named_with_the_place(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    done = _run(cli, photos, tmp_path / "out", "refiner.name=example-raising")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("prelabel: ")]
    assert re.search(r"prelabel-example-plugin 0.1.0 \(.*misbehaving.py, line \d+\) failed", line)
    assert "ZeroDivisionError: in the" in line
    assert "at 3 photos in a row: 0.png, 1.png, 2.png" in line


def test_run__a_plugin_that_fails_at_one_photo_costs_that_one(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    done = _run(cli, photos, tmp_path / "out", "refiner.name=example-picky")
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "out" / "run.json").read_text())
    (skipped,) = facts["photos"]["skipped"]
    assert skipped["photo"] == "3.png"
    assert re.search("prelabel-example-plugin 0.1.0 .*SystemExit: too dark", skipped["reason"])
    coco = json.loads((tmp_path / "out" / "coco" / "instances.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == ["0.png", "1.png", "2.png"]


def test_run__a_plugin_that_crashes_is_seen_in_the_traceback(
    cli: Cli, photos: Path, tmp_path: Path
) -> None:
    done = _run(cli, photos, tmp_path / "out", "refiner.name=example-crashing")
    assert done.returncode == -signal.SIGSEGV
    assert re.search(r"misbehaving.py.* in refine", done.stderr)


def test_run__a_plugin_that_hangs_can_be_interrupted_and_is_named(
    interruptible: Callable[..., subprocess.Popen[str]], photos: Path, tmp_path: Path
) -> None:
    process = interruptible(
        *("run", photos, "--out", tmp_path / "out", "--recipe", "fast"),
        *("--backbone", "color-texture", "--set", "features.size=96"),
        *("--set", "backbone.patch=8", "--set", "refiner.name=example-hanging"),
    )
    assert process.stderr
    for line in process.stderr:
        if line.startswith("levels"):  # then come the regions
            break
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130, said
    assert re.search(r"interrupted in .*prelabel-example-plugin 0.1.0 \(.*misbehaving.py", said)
