"""Which recipe photos get by ``auto``, on features and figures made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from prelabel import choose_recipe, config, fit
from prelabel.data.records import PatchFeatures
from prelabel.errors import UserError
from prelabel.recipe_choice import PhotoFigures, choose
from prelabel.storage.progress import RunLog
from support.command_line import cli, refused, write_discs

ONE_THING = PhotoFigures(parts=1, largest=1.0, on_frame=0.0, frame_spread=0.5)
PLAIN = PhotoFigures(parts=1, largest=1.0, on_frame=0.01, frame_spread=0.1)
MANY = PhotoFigures(parts=7, largest=0.4, on_frame=0.3, frame_spread=0.8)
LIGHT = ("--backbone", "color-texture", "--set", "features.size=112")


def _features(attention: list[list[float]], frame: float = 1.0) -> PatchFeatures:
    """Vectors of one number: 0 inside; on the frame 0 above and below, and ``frame`` beside."""
    grid = np.array(attention, dtype=np.float16)
    vectors = np.zeros((*grid.shape, 1), dtype=np.float16)
    vectors[:, [0, -1]] = frame
    return PatchFeatures(vectors, np.zeros(1, dtype=np.float16), grid)


def test_photo_figures__by_hand() -> None:
    """Two squares of 6 × 6 patches apart, one of them at the frame, on 20 × 20 patches."""
    attention = np.zeros((20, 20))
    attention[2:8, 2:8] = attention[12:18, 14:20] = 2
    figures = PhotoFigures.of(_features(attention.tolist()))
    assert figures.parts == 2
    assert figures.largest == pytest.approx(0.5, abs=0.05)
    assert figures.on_frame == pytest.approx(6 / 76, abs=2 / 76)  # its corners are blurred
    # On the frame 40 of 76 are 1, everywhere 40 of 400.
    expected = (40 / 76 * 36 / 76) / (0.1 * 0.9)
    assert figures.frame_spread == pytest.approx(expected, rel=1e-3)


def test_photo_figures__equal_attention_has_no_foreground() -> None:
    """As of backbones that have none."""
    figures = PhotoFigures.of(_features([[1.0] * 6] * 6, frame=0))
    assert figures == PhotoFigures(parts=0, largest=0.0, on_frame=0.0, frame_spread=1.0)
    assert choose([figures])[0] == "default"


@pytest.mark.parametrize(
    ("photos", "expected"),
    [
        ([ONE_THING], "default"),
        ([MANY], "microscopy"),
        ([PLAIN], "product"),
        ([MANY, MANY, ONE_THING], "microscopy"),
        ([MANY, ONE_THING, ONE_THING], "default"),
        ([PLAIN, PLAIN, MANY], "product"),
        # Each condition alone is not enough.
        ([PhotoFigures(4, 0.4, 0.3, 0.8)], "default"),
        ([PhotoFigures(7, 0.75, 0.3, 0.8)], "default"),
        ([PhotoFigures(2, 1.0, 0.01, 0.1)], "default"),
        ([PhotoFigures(1, 1.0, 0.1, 0.1)], "default"),
        ([PhotoFigures(1, 1.0, 0.01, 0.3)], "default"),
    ],
)
def test_choose__by_medians(photos: list[PhotoFigures], expected: str) -> None:
    name, reason = choose(photos)
    assert name == expected
    assert reason.startswith("in the median photo ")
    assert "\n" not in reason


def test_choose__says_why() -> None:
    assert choose([MANY])[1] == (
        "in the median photo 7 parts stand out, the largest is 40% of what does"
    )
    assert choose([PLAIN])[1] == (
        "in the median photo 1 part stands out, not at the frame, and the frame varies 10% as much "
        "as the photo"
    )


def test_choose_recipe__its_features_are_those_of_the_fit(
    tmp_path: Path, empty_cache: Path
) -> None:
    photos = write_discs(tmp_path / "photos", 4)
    settings = ["backbone.name=color-texture", "features.size=112"]
    choice = choose_recipe(photos, settings)
    assert choice.name == "default"
    assert choice.config == config.load("default", settings)
    before = {file: file.stat().st_mtime_ns for file in (empty_cache / "features").rglob("*.*")}
    assert before
    fit(photos, choice.config, log=RunLog())
    after = {file: file.stat().st_mtime_ns for file in (empty_cache / "features").rglob("*.*")}
    assert after.keys() == before.keys()


def test_choose_recipe__a_setting_that_the_recipe_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prelabel.recipe_choice.choose", lambda _: ("microscopy", "made up"))
    settings = ["backbone.name=color-texture", "features.size=112", "separator.similar=0.4"]
    with pytest.raises(UserError, match=r"'auto' chose 'microscopy', but: .*similar"):
        choose_recipe(write_discs(tmp_path / "photos", 2), settings)


@pytest.mark.parametrize("command", ["run", "fit"])
def test_commands__say_what_was_chosen_and_why(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prelabel.recipe_choice.choose", lambda _: ("product", "it is made up"))
    photos, out = write_discs(tmp_path / "photos", 3), tmp_path / "out"
    result = cli(command, photos, "--out", out, "--recipe", "auto", *LIGHT)
    assert result.exit_code == 0, result.stderr
    assert "prelabel: recipe product, since it is made up\n" in result.stderr
    assert "recipe     product, since it is made up\n" in result.stdout
    facts = json.loads((out / "run.json").read_text("utf-8"))
    assert facts["recipe"] == {"name": "product", "reason": "it is made up"}
    assert facts["config"]["separator"]["name"] == "largest"


def test_commands__a_recipe_that_was_named_was_not_chosen(tmp_path: Path) -> None:
    photos, out = write_discs(tmp_path / "photos", 3), tmp_path / "out"
    cli("fit", photos, "--out", out, "--recipe", "fast", *LIGHT)
    assert "recipe" not in json.loads((out / "run.json").read_text("utf-8"))


@pytest.mark.parametrize(
    "command",
    [
        ("serve",),
        ("label-studio", "fit", "--project", "1", "--token", "x"),
        ("label-studio", "predict", "--project", "1", "--token", "x"),
        ("compare", "photos", "--vs", "recipe=auto", "--out", "out"),
        ("recipes", "show", "auto"),
    ],
)
def test_commands__that_do_not_choose_say_which_do(command: tuple[str, ...]) -> None:
    recipe = () if "compare" in command or "show" in command else ("--recipe", "auto")
    line = refused(*command, *recipe)
    assert "recipe 'auto' is chosen by photos" in line
    assert "prelabel fit PHOTOS --recipe auto" in line


def test_run__wrong_settings_are_found_before_photos_are_looked_at(tmp_path: Path) -> None:
    photos = write_discs(tmp_path / "photos", 1)
    line = refused("run", photos, "--out", tmp_path / "out", "--recipe", "auto", "--set", "a.b=1")
    assert "no section 'a'" in line
