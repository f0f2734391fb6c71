"""The command line: what it leaves, what it says, and how it ends."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from pycocotools.coco import COCO
from typer.testing import CliRunner

from prelabel.cli import console, doctor
from prelabel.cli.main import app
from prelabel.config import Config
from prelabel.runs.tally import Tally
from prelabel.storage import files
from prelabel.storage.text import one_line

LIGHT = ("--backbone", "color-texture", "--recipe", "fast", "--set", "features.size=112")
COMMAND = [sys.executable, "-m", "prelabel"]


def cli(*arguments: str | Path) -> Any:
    """The command line in this process; an unexpected error is raised, not kept."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], prog_name="prelabel")
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(*arguments: str | Path) -> str:
    """What it says on its last line when it is used wrongly."""
    result = cli(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    lines = result.stderr.splitlines()
    assert sum(line.startswith("prelabel") for line in lines) == 1, lines
    return str(lines[-1])


def write_photos(folder: Path, n: int, *, seed: int = 0) -> Path:
    """Photos of 96 × 64 pixels: a bright disc on a dark, grainy ground."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :96]
    for i in range(n):
        pixels = rng.integers(30, 60, (64, 96, 3))
        disc = (x - rng.integers(30, 66)) ** 2 + (y - 32) ** 2 < 18**2
        pixels[disc] = ((230, 60, 40), (60, 80, 230))[i % 2]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"photo {i}.png")
    return folder


def contents(out: Path) -> dict[str, bytes]:
    """All files of a run by name, but for those with times in them."""
    files = {f.relative_to(out).as_posix(): f.read_bytes() for f in out.rglob("*") if f.is_file()}
    return {
        name: data for name, data in files.items() if name not in ("run.json", "report/index.html")
    }


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos", 4)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any]:
    """Photos, the folder of a finished run over them, and what it said."""
    folder = tmp_path_factory.mktemp("done")
    photos = write_photos(folder / "photos", 4)
    (photos / "broken.jpg").write_bytes(b"no picture")
    formats = ("--format", "coco", "--format", "voc", "--format", "label-studio")
    result = cli("run", photos, "--out", folder / "out", *LIGHT, *formats)
    assert result.exit_code == 0, result.output
    return photos, folder / "out", result


# What a run leaves and says


def test_run__leaves_model_predictions_exports_and_report(done: tuple[Path, Path, Any]) -> None:
    _, out, _ = done
    names = {path.name for path in out.iterdir()}
    wanted = {"model", "predictions.jsonl", "coco", "voc", "label-studio", "report", "run.json"}
    assert names == wanted
    coco = COCO(out / "coco" / "instances.json")
    assert sorted(i["file_name"] for i in coco.imgs.values()) == [
        f"photo {i}.png" for i in range(4)
    ]
    assert len(list((out / "voc" / "SegmentationClass").glob("*.png"))) == 4
    assert len(json.loads((out / "label-studio" / "tasks.json").read_text())) == 4
    assert (out / "report" / "index.html").is_file()
    assert len(list((out / "report" / "thumbs").glob("*.jpg"))) >= 4


def test_run__facts(done: tuple[Path, Path, Any]) -> None:
    photos, out, _ = done
    facts = json.loads((out / "run.json").read_text())
    assert facts["state"] == "done"
    assert facts["photos"]["folder"] == str(photos.resolve())
    assert facts["photos"]["found"] == 5
    assert facts["photos"]["predicted"] == 4
    assert [item["photo"] for item in facts["photos"]["skipped"]] == ["broken.jpg"]
    stages = {"features", "levels", "regions", "predictions", "export", "report", "total"}
    assert stages <= set(facts["seconds"])
    lines = (out / "predictions.jsonl").read_text().splitlines()
    assert facts["regions"] == sum(len(json.loads(line)["regions"]) for line in lines)


def test_run__summary_and_plain_lines(done: tuple[Path, Path, Any]) -> None:
    _, out, result = done
    assert "photos     4 of 5 processed" in result.stdout
    assert "broken.jpg: is not a picture that can be decoded (10 bytes)" in result.stdout
    for word in ("regions", "classes", "seconds", "photos per second", "MB at most"):
        assert word in result.stdout
    assert str(out / "report" / "index.html") in result.stdout
    assert "features: 5 of 5, " in result.stderr
    assert "\x1b" not in result.stderr + result.stdout
    assert "\r" not in result.stderr


def test_run__says_what_its_formats_lost(tmp_path: Path) -> None:
    photos = write_photos(tmp_path / "photos", 3)
    (photos / "photo 1.png").rename(photos / "a\nb.png")
    out = tmp_path / "out"
    result = cli("run", photos, "--out", out, *LIGHT, "--format", "voc")
    assert result.exit_code == 0, result.output
    (warning,) = (w for w in json.loads((out / "run.json").read_text())["warnings"] if "list" in w)
    assert warning.startswith("1 names that cannot be in a list")
    assert "1 names that cannot be in a list" in result.stderr


def test_run__single_file(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli("run", photos, "--out", out, *LIGHT, "--single-file").exit_code == 0
    assert "data:image/jpeg;base64," in (out / "report" / "index.html").read_text()


def test_fit_predict_export__equal_a_run(done: tuple[Path, Path, Any], tmp_path: Path) -> None:
    photos, out, _ = done
    assert cli("fit", photos, "--out", tmp_path / "model", *LIGHT).exit_code == 0
    result = cli("predict", tmp_path / "model", photos, "--out", tmp_path / "predicted")
    assert result.exit_code == 0
    predicted = (tmp_path / "predicted" / "predictions.jsonl").read_bytes()
    assert predicted == (out / "predictions.jsonl").read_bytes()
    result = cli("export", tmp_path / "predicted", "--format", "coco", "--out", tmp_path / "files")
    assert result.exit_code == 0
    exported = (tmp_path / "files" / "coco" / "instances.json").read_bytes()
    assert exported == (out / "coco" / "instances.json").read_bytes()


def test_predict__with_the_model_of_a_run(done: tuple[Path, Path, Any], tmp_path: Path) -> None:
    photos, out, _ = done
    assert cli("predict", out, photos / "photo 1.png", "--out", tmp_path / "one").exit_code == 0
    (line,) = (tmp_path / "one" / "predictions.jsonl").read_text().splitlines()
    assert json.loads(line) in map(json.loads, (out / "predictions.jsonl").read_text().splitlines())


def test_evaluate__of_its_own_predictions(done: tuple[Path, Path, Any], tmp_path: Path) -> None:
    _, out, _ = done
    copy = tmp_path / "run"
    shutil.copytree(out, copy)
    result = cli("evaluate", copy, out / "coco" / "instances.json")
    assert result.exit_code == 0
    assert "foreground IoU" in result.stdout
    assert json.loads((copy / "evaluation.json").read_text())["foreground_iou"] == 1.0


def test_python__in_three_lines(done: tuple[Path, Path, Any]) -> None:
    from prelabel import config, fit, predict

    photos, out, _ = done
    model = fit(photos, config.load("fast", ["backbone.name=color-texture", "features.size=112"]))
    found = [p.photo for p in predict(model, photos)]
    assert found == [f"photo {i}.png" for i in range(4)]
    assert json.loads((out / "run.json").read_text())["model_version"] == model.version


# Exit codes


def test_strict__exits_with_1_if_photos_were_skipped(photos: Path, tmp_path: Path) -> None:
    assert cli("run", photos, "--out", tmp_path / "a", *LIGHT, "--strict").exit_code == 0
    (photos / "empty.jpg").touch()
    assert cli("run", photos, "--out", tmp_path / "a", *LIGHT).exit_code == 0
    result = cli("run", photos, "--out", tmp_path / "a", *LIGHT, "--strict")
    assert result.exit_code == 1
    assert "empty.jpg: is empty (0 bytes)" in result.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--recipe", "fats"], "no recipe is named 'fats'; did you mean 'fast'?"),
        (["--format", "cocoo"], "no exporter is named 'cocoo'; did you mean 'coco'?"),
        (["--backbone", "color-textur"], "did you mean 'color-texture'?"),
        (["--backbone", "vit_smal_patch16_224.dino"], "did you mean 'vit_small_patch16_224.dino'?"),
        (["--backbone", "no/such.pth"], "'no/such.pth': no such file"),
        (["--set", "regions.treshold=0.4"], "no setting 'treshold'; did you mean 'threshold'?"),
        (["--set", "region.threshold=0.4"], "no section 'region'; did you mean 'regions'?"),
        (["--set", "regions.threshold=2"], "regions.threshold = 2: "),
        (["--set", "regions.threshold"], "section.name=value wanted"),
        (["--set", "refiner.radus=3"], "no setting 'radus'; did you mean 'radius'?"),
    ],
)
def test_wrong_option__one_line_with_the_nearest_name(
    photos: Path, tmp_path: Path, options: Sequence[str], said: str
) -> None:
    rest = [] if "--backbone" in options else ["--backbone", "color-texture"]
    assert said in refused("run", photos, "--out", tmp_path / "out", *rest, *options)
    assert not (tmp_path / "out").exists()


def test_usage_errors__one_line_and_2(photos: Path) -> None:
    assert refused("run", photos) == "prelabel run: Missing option '--out'. See prelabel run --help"
    assert "No such command 'runn'" in refused("runn")
    assert "--fromat" in refused("run", photos, "--fromat", "coco")


def test_photos_that_are_not_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    assert "no such folder or file" in refused("run", tmp_path / "x", "--out", out, *LIGHT)
    assert "holds no photo" in refused("run", tmp_path / "empty", "--out", out, *LIGHT)
    (tmp_path / "empty" / "a.jpg").write_text("no picture")
    said = refused("run", tmp_path / "empty", "--out", out, *LIGHT)
    assert "none of 1 photos can be used; a.jpg: is not a picture" in said


def test_model_and_run_that_are_not_there(photos: Path, tmp_path: Path) -> None:
    assert "holds no fitted model" in refused("predict", tmp_path, photos, "--out", tmp_path / "o")
    assert "no result of" in refused("export", photos, "--format", "voc", "--out", tmp_path / "o")
    assert "of no known format" in refused("evaluate", photos, tmp_path / "x.json")


def test_bug__keeps_its_traceback(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("prelabel.runs.run.fit", broken)
    with pytest.raises(ZeroDivisionError):
        cli("run", photos, "--out", tmp_path / "out", *LIGHT)


# The folder that results go into


def test_out__of_somebody_else_is_refused_and_untouched(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    assert "holds 'thesis.txt' and is not an earlier result" in refused(
        "run", photos, "--out", out, *LIGHT
    )
    assert [f.name for f in out.iterdir()] == ["thesis.txt"]
    assert "is a file" in refused("run", photos, "--out", out / "thesis.txt", *LIGHT)
    assert (out / "thesis.txt").read_text() == "mine"


def test_out__of_another_command_is_refused(done: tuple[Path, Path, Any]) -> None:
    photos, out, _ = done
    before = contents(out)
    assert "holds what `prelabel run` wrote" in refused("fit", photos, "--out", out, *LIGHT)
    assert contents(out) == before


def test_out__keeps_what_a_user_put_beside(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cli("run", photos, "--out", out, *LIGHT)
    (out / "notes.txt").write_text("mine")
    assert cli("run", photos, "--out", out, *LIGHT).exit_code == 0
    assert (out / "notes.txt").read_text() == "mine"


def test_out__inside_the_photos_is_no_photo_next_time(photos: Path, tmp_path: Path) -> None:
    assert cli("run", photos, "--out", photos / "out", *LIGHT).exit_code == 0
    assert cli("run", photos, "--out", photos / "out", *LIGHT).exit_code == 0
    facts = json.loads((photos / "out" / "run.json").read_text())
    assert facts["photos"]["found"] == 4
    cli("run", photos, "--out", tmp_path / "other", *LIGHT)
    assert json.loads((tmp_path / "other" / "run.json").read_text())["photos"]["found"] == 4


# Interrupted, killed, a full disk: the rerun equals an unbroken run


def test_full_disk__one_line_then_the_rerun_equals(
    done: tuple[Path, Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, whole, _ = done
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    formats = ("--format", "coco", "--format", "voc", "--format", "label-studio")
    real = Path.write_bytes
    for place in (".safetensors", ".jpg"):

        def full(self: Path, data: bytes, place: str = place) -> int:
            if place in self.name:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(self, data)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "write_bytes", full)
            result = cli("run", photos, "--out", out, *LIGHT, *formats)
        last = result.stderr.splitlines()[-1]
        assert result.exit_code == 2
        assert last.startswith("prelabel: the disk is full: ")
        assert str(tmp_path) in last
        assert last.endswith("free some space and run the same command again")
    assert cli("run", photos, "--out", out, *LIGHT, *formats).exit_code == 0
    assert contents(out) == contents(whole)


def test_no_permission__one_line(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "out"))

    monkeypatch.setattr("prelabel.runs.run.prepare_output_folder", denied)
    said = refused("run", photos, "--out", tmp_path / "out", *LIGHT)
    assert f"{tmp_path / 'out'} cannot be used (permission denied)" in said


@pytest.mark.slow
def test_stopped_at_every_write__the_rerun_equals(
    done: tuple[Path, Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, whole, _ = done
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    formats = ("--format", "coco", "--format", "voc", "--format", "label-studio")
    out = tmp_path / "out"
    real = Path.replace
    stops = 0
    for turn in range(200):  # each turn one rename further
        left = turn

        def stopping(self: Path, target: Path) -> Path:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return real(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", stopping)
            result = cli("run", photos, "--out", out, *LIGHT, *formats)
        if result.exit_code == 0:
            break
        assert result.exit_code == 130
        stops += 1
    assert stops > 10
    assert contents(out) == contents(whole)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGKILL])
def test_signal__the_rerun_equals(tmp_path: Path, kind: signal.Signals) -> None:
    photos = write_photos(tmp_path / "photos", 40)
    environment = {**os.environ, "PRELABEL_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    arguments = ["run", str(photos), *LIGHT, "--out"]
    run = subprocess.Popen(
        [*COMMAND, *arguments, str(tmp_path / "out")],
        env=environment,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "report" / "thumbs").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    run.send_signal(kind)
    _, said = run.communicate(timeout=60)
    if kind == signal.SIGINT:
        assert run.returncode == 130
        assert (
            said.splitlines()[-1] == "prelabel: interrupted; the same command continues from here"
        )
    else:
        assert run.returncode == -signal.SIGKILL
    assert "Traceback" not in said
    again = cli_apart(environment, *arguments, str(tmp_path / "out"))
    assert again.returncode == 0, again.stderr
    fresh = {**environment, "PRELABEL_CACHE": str(tmp_path / "fresh")}
    assert cli_apart(fresh, *arguments, str(tmp_path / "whole")).returncode == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def cli_apart(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return subprocess.run(
        [*COMMAND, *arguments], env=environment, capture_output=True, text=True, check=False
    )


# What there is


def test_every_command__help_ends_with_an_example() -> None:
    for words in commands(typer.main.get_command(app)):
        result = cli(*words, "--help")
        assert result.exit_code == 0
        lines = result.stdout.rstrip().splitlines()
        assert lines[-2].strip() == "Example:", words
        assert lines[-1].strip().startswith(" ".join(["prelabel", *words])), words


def commands(group: Any, words: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The words of each command and group that help shows, but for prelabel itself."""
    found = []
    for name, command in group.commands.items():
        if command.hidden:
            continue
        found.append((*words, name))
        if hasattr(command, "commands"):
            found += commands(command, (*words, name))
    return found


def test_commands__are_all_there() -> None:
    found = {" ".join(words) for words in commands(typer.main.get_command(app))}
    assert found >= {
        *("run", "fit", "predict", "export", "samples", "evaluate", "doctor"),
        *("plugins list", "plugins check", "plugins show", "weights pull", "weights list"),
        *("recipes list", "recipes show"),
    }


def test_label_studio_predict__has_its_old_name_still() -> None:
    usage = cli("label-studio", "prelabel", "--help").stdout
    assert usage.replace("label-studio prelabel", "label-studio predict") == (
        cli("label-studio", "predict", "--help").stdout
    )
    assert "label-studio prelabel" not in cli("label-studio", "--help").stdout


def test_version_and_no_arguments() -> None:
    assert cli("--version").stdout.startswith("prelabel 0.")
    result = cli()
    assert result.exit_code == 0
    assert "Usage: prelabel" in result.stdout


@pytest.mark.parametrize("words", [["--help"], ["recipes", "list"], ["run", "--help"]])
def test_start_up__without_torch(words: list[str]) -> None:
    code = (
        "import sys; from prelabel.cli.main import app\n"
        f"try: app({words!r})\n"
        "except SystemExit as end: assert not end.code\n"
        "print([m for m in ('torch', 'timm', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_recipes(tmp_path: Path) -> None:
    listed = cli("recipes", "list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["default", "fast", "paper"]
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
    assert (checked.exit_code, checked.stdout) == (
        0,
        "consistency mean: keeps the contract of its kind\n",
    )
    assert "did you mean 'guided-filter'?" in refused("plugins", "check", "guided-filtr")
    assert "did you mean 'refiner'?" in refused("plugins", "check", "none", "--kind", "refinr")


def test_weights__pull_again_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path))
    assert "did you mean 'stand-in'?" in refused("weights", "pull", "standin")
    from prelabel.weights.load import stand_in_file

    stand_in_file().parent.mkdir(parents=True)
    stand_in_file().write_bytes(b"as it was")
    result = cli("weights", "pull", "stand-in")
    assert result.exit_code == 0
    assert result.stdout.startswith("stand-in is here already: ")
    assert stand_in_file().read_bytes() == b"as it was"
    row = next(r for r in cli("weights", "list").stdout.splitlines() if r.startswith("stand-in "))
    assert row.split()[1] == "yes"


def test_doctor__says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda d: "" if d == "pydensecrf2" else version(d))
    monkeypatch.setitem(sys.modules, "pydensecrf", None)  # as if it were not installed
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    monkeypatch.delitem(sys.modules, "prelabel_plugins.refiners.dense_crf", raising=False)
    result = cli("doctor")
    assert result.exit_code == 0
    (line,) = [line for line in result.stdout.splitlines() if "dense-crf" in line]
    assert "pip install 'prelabel[dense-crf]'" in line
    assert "prelabel weights pull stand-in" in result.stdout
    for word in ("torch", "timm", "bfloat16", str(tmp_path)):
        assert word in result.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("stand_in")
def test_no_backbone_and_no_hub__the_stand_in_with_one_line(photos: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    result = cli_apart(
        environment,
        *("run", str(photos), "--out", str(tmp_path / "out")),
        *("--recipe", "fast", "--set", "features.size=56"),
    )
    assert result.returncode == 0, result.stderr
    said = [line for line in result.stderr.splitlines() if "no backbone was named" in line]
    assert len(said) == 1
    assert "the stand-in, trained with labels" in said[0]
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert "Stand-in weights, trained with labels." in page


# What looks wrong says so


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ([0.1, 0.61, 0.9], "in the median photo 61.0% of the pixels are foreground, more than 60%"),
        ([0.0, 0.009, 0.3], "in the median photo 0.9% of the pixels are foreground, less than 1%"),
    ],
)
def test_warning__names_the_settings_to_turn(shares: list[float], said: str) -> None:
    tally = Tally()
    tally.foreground.extend(shares)
    (warning,) = tally.warnings(Config())
    assert warning.startswith(said)
    assert "regions.threshold" in warning
    assert "foreground.name=border" in warning


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6])
def test_warning__none_for_what_looks_right(share: float) -> None:
    tally = Tally()
    tally.foreground.extend([share + 1e-6 if share < 0.5 else share - 1e-6])
    assert tally.warnings(Config()) == []


def test_lines__say_how_long_is_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    lines = console.Lines()
    lines.start("features", 30)
    for _ in range(10):
        now += 1.2
        lines.advance()
    now += 3.0
    lines.stop()
    # 9 photos in 10.8 s are 0.833 a second; the other 21 take 25.2 s; 10 in 15 s at the end
    assert capsys.readouterr().err.splitlines() == [
        "features: 9 of 30, 0.833 a second, 25.2 s left",
        "features: 10 of 30, 15.0 s, 0.667 a second",
    ]


def test_one_line__whatever_a_name_holds() -> None:
    assert one_line("a\nb\x1b[31m \udcff é") == "a\\nb\\x1b[31m \\udcff é"


def test_replacing__names_the_file_of_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"a\.json"), files.replacing(tmp_path / "a.json"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_predictions__a_damaged_line_is_named(done: tuple[Path, Path, Any], tmp_path: Path) -> None:
    _, out, _ = done
    file = tmp_path / "predictions.jsonl"
    file.write_text((out / "predictions.jsonl").read_text() + '{"photo": "x"}\n')
    said = refused("export", file, "--format", "voc", "--out", tmp_path / "o", "--photos", tmp_path)
    assert f"{file}" in said
    assert "line 5" in said


def test_label_studio__without_httpx() -> None:
    code = "import sys; sys.modules['httpx'] = None; from prelabel.cli.main import main; main()"
    command = [sys.executable, "-c", code, "label-studio", "predict", "--project", "1"]
    done = subprocess.run([*command, "--token", "x"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'prelabel[label-studio]'" in done.stderr
    assert "Traceback" not in done.stderr
