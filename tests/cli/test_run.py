"""The commands run, fit and predict: what they write, print and refuse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from prelabel import load_model, predict
from prelabel.runs.predictions import read_predictions
from support.command_line import LIGHT, Finished, cli, contents, refused, write_discs
from support.messages import assert_says


def test_run__leaves_model_predictions_exports_and_report(done: Finished) -> None:
    _, out, _ = done
    assert {path.name for path in out.iterdir()} == {
        *("model", "predictions.jsonl", "coco", "voc", "label-studio", "report", "run.json"),
        ".prelabel.lock",
    }
    coco = COCO(out / "coco" / "instances.json")
    assert sorted(i["file_name"] for i in coco.imgs.values()) == [
        f"photo {i}.png" for i in range(4)
    ]
    assert len(list((out / "voc" / "SegmentationClass").glob("*.png"))) == 4
    assert len(json.loads((out / "label-studio" / "tasks.json").read_text())) == 4
    assert (out / "report" / "index.html").is_file()
    assert len(list((out / "report" / "thumbs").glob("*.jpg"))) >= 4


def test_run__facts(done: Finished) -> None:
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


def test_run__summary_and_plain_lines(done: Finished) -> None:
    _, out, result = done
    assert "4 of 5 processed" in result.stdout
    assert "broken.jpg: " in result.stdout
    for word in ("regions", "classes", "seconds", "photos per second", "MB at most"):
        assert word in result.stdout
    assert str(out / "report" / "index.html") in result.stdout
    assert "features: 5 of 5, " in result.stderr
    assert "\x1b" not in result.stderr + result.stdout
    assert "\r" not in result.stderr


def test_run__warns_of_what_a_format_cannot_hold(tmp_path: Path) -> None:
    photos = write_discs(tmp_path / "photos", 3)
    (photos / "photo 1.png").rename(photos / "a\nb.png")
    out = tmp_path / "out"
    result = cli("run", photos, "--out", out, *LIGHT, "--format", "voc")
    assert result.exit_code == 0, result.output
    (warning,) = (w for w in json.loads((out / "run.json").read_text())["warnings"] if "list" in w)
    assert "a\\nb" in warning
    assert warning in result.stderr


def test_run__says_what_regions_look_like_and_which_photos_are_alike(tmp_path: Path) -> None:
    photos = write_discs(tmp_path / "photos", 4)
    shutil.copy(photos / "photo 2.png", photos / "a copy.png")
    out = tmp_path / "out"
    result = cli("run", photos, "--out", out, *LIGHT)
    facts = json.loads((out / "run.json").read_text())
    assert facts["near_identical"] == [["a copy.png", "photo 2.png"]]
    assert "alike      2 photos are near-identical to others, in 1 group" in result.stdout
    assert facts["photos"]["predicted"] == 5  # none is left out
    assert facts["region_groups"] == {"regions": facts["regions"], "regions_needed": 50}
    assert "too few to say how many groups they look like" in result.stdout
    again = cli("run", photos, "--out", out, *LIGHT, "--set", "classes.count=auto")
    facts = json.loads((out / "run.json").read_text())
    assert facts["near_identical"] == [["a copy.png", "photo 2.png"]]  # from the cache
    assert "region_groups" not in facts
    assert "groups  " not in again.stdout


def test_run__single_file(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli("run", photos, "--out", out, *LIGHT, "--single-file").exit_code == 0
    assert "data:image/jpeg;base64," in (out / "report" / "index.html").read_text()


def test_fit_predict_export__equal_a_run(done: Finished, tmp_path: Path) -> None:
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


def test_predict__with_the_model_of_a_run(done: Finished, tmp_path: Path) -> None:
    photos, out, _ = done
    assert cli("predict", out, photos / "photo 1.png", "--out", tmp_path / "one").exit_code == 0
    (line,) = (tmp_path / "one" / "predictions.jsonl").read_text().splitlines()
    assert json.loads(line) in map(json.loads, (out / "predictions.jsonl").read_text().splitlines())


def test_evaluate__of_its_own_predictions(done: Finished, tmp_path: Path) -> None:
    _, out, _ = done
    copy = tmp_path / "run"
    shutil.copytree(out, copy)
    result = cli("evaluate", copy, out / "coco" / "instances.json")
    assert result.exit_code == 0
    assert "foreground IoU" in result.stdout
    assert (
        json.loads((copy / "evaluation" / "evaluation.json").read_text())["foreground_iou"] == 1.0
    )


def test_python__in_three_lines(done: Finished) -> None:
    from prelabel import config, fit, predict

    photos, out, _ = done
    model = fit(photos, config.load("fast", ["backbone.name=color-texture", "features.size=112"]))
    found = [p.photo for p in predict(model, photos)]
    assert found == [f"photo {i}.png" for i in range(4)]
    assert json.loads((out / "run.json").read_text())["model_version"] == model.version


def test_strict__exits_with_1_if_photos_were_skipped(photos: Path, tmp_path: Path) -> None:
    assert cli("run", photos, "--out", tmp_path / "a", *LIGHT, "--strict").exit_code == 0
    (photos / "empty.jpg").touch()
    assert cli("run", photos, "--out", tmp_path / "a", *LIGHT).exit_code == 0
    result = cli("run", photos, "--out", tmp_path / "a", *LIGHT, "--strict")
    assert result.exit_code == 1
    assert "empty.jpg: " in result.stdout


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--recipe", "fats"], "'fats'; did you mean 'fast'?"),
        (["--format", "cocoo"], "'cocoo'; did you mean 'coco'?"),
        (["--backbone", "color-textur"], "did you mean 'color-texture'?"),
        (["--backbone", "vit_smal_patch16_224.dino"], "did you mean 'vit_small_patch16_224.dino'?"),
        (["--backbone", "no/such.pth"], "'no/such.pth'"),
        (["--set", "regions.treshold=0.4"], "'treshold'; did you mean 'threshold'?"),
        (["--set", "region.threshold=0.4"], "'region'; did you mean 'regions'?"),
        (["--set", "regions.threshold=2"], "regions.threshold = 2: "),
        (["--set", "regions.threshold"], "section.name=value"),
        (["--set", "refiner.radus=3"], "'radus'; did you mean 'radius'?"),
    ],
)
def test_wrong_option__one_line_with_the_nearest_name(
    photos: Path, tmp_path: Path, options: Sequence[str], part: str
) -> None:
    rest = [] if "--backbone" in options else ["--backbone", "color-texture"]
    assert part in refused("run", photos, "--out", tmp_path / "out", *rest, *options)
    assert not (tmp_path / "out").exists()


def test_run__without_photos(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "x") in refused("run", tmp_path / "x", "--out", out, *LIGHT)
    assert "no photo" in refused("run", tmp_path / "empty", "--out", out, *LIGHT)
    (tmp_path / "empty" / "a.jpg").write_text("no picture")
    line = refused("run", tmp_path / "empty", "--out", out, *LIGHT)
    assert_says(line, "none of 1 photos", "(a.jpg)")


def test_predict_export_evaluate__without_a_model_or_run(photos: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out")
    assert_says(refused("predict", tmp_path, photos, *out), str(tmp_path), "no fitted model")
    assert_says(refused("export", photos, "--format", "voc", *out), str(photos), "prelabel run")
    assert str(photos) in refused("evaluate", photos, tmp_path / "x.json")


def test_predictions__a_damaged_line_is_named(done: Finished, tmp_path: Path) -> None:
    _, out, _ = done
    file = tmp_path / "predictions.jsonl"
    file.write_text((out / "predictions.jsonl").read_text() + '{"photo": "x"}\n')
    words = ("--format", "voc", "--out", tmp_path / "o", "--photos", tmp_path)
    assert_says(refused("export", file, *words), str(file), "line 5")


def test_out__with_other_files_is_refused_and_unchanged(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    assert "'thesis.txt'" in refused("run", photos, "--out", out, *LIGHT)
    assert [f.name for f in out.iterdir()] == ["thesis.txt"]
    assert "is a file" in refused("run", photos, "--out", out / "thesis.txt", *LIGHT)
    assert (out / "thesis.txt").read_text() == "mine"


def test_out__of_another_command_is_refused(done: Finished) -> None:
    photos, out, _ = done
    before = contents(out)
    assert "`prelabel run`" in refused("fit", photos, "--out", out, *LIGHT)
    assert contents(out) == before


def test_out__keeps_other_files_in_it(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cli("run", photos, "--out", out, *LIGHT)
    (out / "notes.txt").write_text("mine")
    assert cli("run", photos, "--out", out, *LIGHT).exit_code == 0
    assert (out / "notes.txt").read_text() == "mine"


def test_out__inside_the_folder_of_photos_is_not_read_as_photos(
    photos: Path, tmp_path: Path
) -> None:
    assert cli("run", photos, "--out", photos / "out", *LIGHT).exit_code == 0
    assert cli("run", photos, "--out", photos / "out", *LIGHT).exit_code == 0
    facts = json.loads((photos / "out" / "run.json").read_text())
    assert facts["photos"]["found"] == 4
    cli("run", photos, "--out", tmp_path / "other", *LIGHT)
    assert json.loads((tmp_path / "other" / "run.json").read_text())["photos"]["found"] == 4


def test_run__as_many_classes_as_there_are_groups(tmp_path: Path) -> None:
    photos, out = write_discs(tmp_path / "photos", 12), tmp_path / "out"
    command = ("run", photos, "--out", out, *LIGHT, "--set", "classes.count=auto")
    assert cli(*command, "--format", "label-studio").exit_code == 0
    facts = json.loads((out / "run.json").read_text())
    predictions = list(read_predictions(out / "predictions.jsonl"))
    used = {region.cluster for prediction in predictions for region in prediction.regions}
    assert facts["classes"] >= max(used) + 1 >= 1
    again = load_model(out)
    assert again.class_reach > -1
    assert list(predict(again, photos)) == predictions
    assert "expected a whole number or 'auto'" in refused(
        "run", photos, "--out", out, "--set", "classes.count=many"
    )
