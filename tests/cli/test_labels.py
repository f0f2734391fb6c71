"""The option --labels: labels of some photos teach; names set the number of classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prelabel import export, load_model, predict
from prelabel.cli.labels import read_labels_option
from prelabel.errors import UserError
from support.command_line import (
    LIGHT,
    cli,
    contents,
    disc_labels,
    refused,
    write_discs,
    write_labels,
)
from support.messages import assert_says


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos with a disc each, red and blue in turn."""
    return write_discs(tmp_path_factory.mktemp("labels") / "photos", 8)


@pytest.fixture(scope="module")
def taught(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run that five labelled photos taught, and what it printed."""
    folder = tmp_path_factory.mktemp("taught")
    labels = write_labels(photos, folder / "labels", 5)
    result = cli("run", photos, "--out", folder / "out", *LIGHT, "--labels", labels)
    assert result.exit_code == 0, result.output
    return folder / "out", result.stdout


def test_run__says_what_was_learned(taught: tuple[Path, str]) -> None:
    out, printed = taught
    facts = json.loads((out / "run.json").read_text())
    learned = facts["taught"]
    assert learned["photos"] == 5
    assert learned["classes"] == ["blue", "red"]
    assert facts["class_names"][:2] == ["blue", "red"]
    assert 0 <= learned["weight"] <= 1
    scores = learned["foreground_iou"]
    without, best = scores["0"], scores[f"{learned['weight']:g}"]
    (line,) = (line for line in printed.splitlines() if line.startswith("labels"))
    assert_says(line, "5 photos, 2 classes", f"{best:.2f}", f"{without:.2f}")
    page = (out / "report" / "index.html").read_text()
    assert "5 photos, 2 classes; foreground IoU on photos left out" in page


def test_run__with_labels_names_regions(taught: tuple[Path, str], photos: Path) -> None:
    out, _ = taught
    truth = disc_labels(photos, [f"photo {i}.png" for i in range(8)])
    true = {p.photo: truth.classes[p.regions[0].cluster] for p in truth.stream()}
    coco = json.loads((out / "coco" / "instances.json").read_text())
    names = {c["id"]: c["name"] for c in coco["categories"]}
    files = {i["id"]: i["file_name"] for i in coco["images"]}
    found = {files[a["image_id"]]: names[a["category_id"]] for a in coco["annotations"]}
    assert found == true


def test_run__without_labels_has_no_facts_of_them(photos: Path, tmp_path: Path) -> None:
    result = cli("run", photos, "--out", tmp_path / "out", *LIGHT)
    assert "taught" not in json.loads((tmp_path / "out" / "run.json").read_text())
    assert "\nlabels " not in result.stdout
    assert "Labels that taught" not in (tmp_path / "out" / "report" / "index.html").read_text()


def test_run__again_comes_from_the_cache_and_is_the_same(
    taught: tuple[Path, str], photos: Path, tmp_path: Path
) -> None:
    out, _ = taught
    labels = write_labels(photos, tmp_path / "labels", 5)
    result = cli("run", photos, "--out", tmp_path / "out", *LIGHT, "--labels", labels)
    assert "8 of 8 processed (8 from the cache)" in result.stdout
    assert contents(tmp_path / "out") == contents(out)


def test_run__other_labels_are_another_model(
    taught: tuple[Path, str], photos: Path, tmp_path: Path
) -> None:
    out, _ = taught
    labels = write_labels(photos, tmp_path / "labels", 2)
    assert cli("run", photos, "--out", tmp_path / "out", *LIGHT, "--labels", labels).exit_code == 0
    first, second = load_model(out), load_model(tmp_path / "out")
    assert first.version != second.version
    assert first.segment_hash != second.segment_hash


@pytest.mark.parametrize("format", ["voc", "label-studio"])
def test_run__labels_of_any_format_teach_the_same(
    taught: tuple[Path, str], photos: Path, tmp_path: Path, format: str
) -> None:
    out, _ = taught
    write_labels(photos, tmp_path / "labels", 5, format)
    source = ("--labels", tmp_path / "labels" / format, "--labels-from", format)
    assert cli("fit", photos, "--out", tmp_path / "model", *LIGHT, *source).exit_code == 0
    assert load_model(tmp_path / "model").version == load_model(out).version


def test_predict__with_a_taught_model_equals_the_run(
    taught: tuple[Path, str], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, _ = taught
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "another cache"))
    result = cli("predict", out, photos, "--out", tmp_path / "predicted")
    assert result.exit_code == 0
    predicted = (tmp_path / "predicted" / "predictions.jsonl").read_bytes()
    assert predicted == (out / "predictions.jsonl").read_bytes()
    assert "5 photos, 2 classes" in result.stdout
    in_python = list(predict(load_model(out), photos))
    assert {p.model_version for p in in_python} == {load_model(out).version}


def test_run__problems_of_labels_are_warnings(photos: Path, tmp_path: Path) -> None:
    shown = ["photo 0.png", "elsewhere/photo 1.png", "nowhere.png"]
    labels = disc_labels(photos, [f"photo {i}.png" for i in range(3)], shown)
    made = export(labels, tmp_path / "labels", format="coco")["coco"]
    out = tmp_path / "out"
    result = cli("run", photos, "--out", out, *LIGHT, "--labels", made)
    assert result.exit_code == 0, result.output
    facts = json.loads((out / "run.json").read_text())
    assert facts["taught"]["photos"] == 2
    (warning,) = (w for w in facts["warnings"] if "not among" in w)
    assert_says(warning, "labels", "1", "nowhere.png")
    assert warning in result.stderr


def test_run__partial_background_is_where_nothing_is_found_either(
    photos: Path, tmp_path: Path
) -> None:
    labels = write_labels(photos, tmp_path / "labels", 3)
    out = tmp_path / "out"
    assert cli("fit", photos, "--out", out, *LIGHT, "--labels", labels, "--partial").exit_code == 0
    model = load_model(out)
    assert model.taught is not None
    assert model.taught.learned
    assert model.taught.facts.classes == ("blue", "red")


def test_run__labels_of_no_photo(photos: Path, tmp_path: Path) -> None:
    labels = disc_labels(photos, ["photo 0.png"], ["elsewhere.png"])
    made = export(labels, tmp_path / "labels", format="coco")["coco"]
    line = refused("run", photos, "--out", tmp_path / "out", *LIGHT, "--labels", made)
    assert_says(line, "none of the photos", "'elsewhere.png'", "'photo 0.png'")


def test_run__of_its_own_predictions(
    taught: tuple[Path, str], photos: Path, tmp_path: Path
) -> None:
    out, _ = taught
    line = refused("run", photos, "--out", tmp_path / "out", *LIGHT, "--labels", out)
    assert_says(line, str(out), "predictions of prelabel", "corrected")
    assert not (tmp_path / "out").exists()


def test_run__of_an_unknown_format(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text("{}")
    line = refused(
        "run", photos, "--out", tmp_path / "out", *LIGHT, "--labels", tmp_path / "labels.json"
    )
    assert_says(line, "labels.json", "--labels-from")
    assert not (tmp_path / "out").exists()


def test_fit__a_folder_that_has_the_name_of_a_class(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cat").mkdir()
    line = refused("fit", photos, "--out", "out", *LIGHT, "--labels", "cat")
    assert_says(line, "'cat'", "--labels-from", "where it is a name: --set")


def test_fit__names_set_the_number_of_classes(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert cli("fit", photos, "--out", out, *LIGHT, "--labels", "cat, dog").exit_code == 0
    model = load_model(out)
    assert model.config.classes.labels == ("cat", "dog")
    assert model.taught is None


@pytest.mark.parametrize(
    "text", ["labels.json", "cat,dog.xml", "no/such", r"no\such", "~/labels", "labels.tar.gz"]
)
def test_read_labels_option__what_looks_like_a_path_is_no_name(text: str) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        read_labels_option(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        (" , ", ()),
        ("cat", ("cat",)),
        ("cat, traffic light,St. Bernard", ("cat", "traffic light", "St. Bernard")),
        ("2.5, No. 3", ("2.5", "No. 3")),
        ("cat\0dog", ("cat\0dog",)),
        ("a" * 5000, ("a" * 5000,)),
    ],
)
def test_read_labels_option__names(text: str, names: tuple[str, ...]) -> None:
    option = read_labels_option(text)
    assert option.names == names
    assert option.source is None
    assert option.complete


def test_read_labels_option__what_exists_is_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("cat").mkdir()
    option = read_labels_option("cat", format="voc", partial=True)
    assert (option.source, option.format, option.names) == (Path("cat"), "voc", ())
    assert not option.complete


@pytest.mark.parametrize(
    ("text", "format", "partial", "named"),
    [
        ("cat,dog", "coco", False, "--labels-from"),
        ("", "coco", False, "--labels-from"),
        ("cat", "", True, "--partial"),
        ("", "", True, "--partial"),
    ],
)
def test_read_labels_option__options_that_need_labels(
    text: str, format: str, partial: bool, named: str
) -> None:
    with pytest.raises(UserError, match=f"^{named}.*--labels FILE"):
        read_labels_option(text, format=format, partial=partial)


def test_run__a_labelled_photo_that_cannot_be_read_is_skipped(tmp_path: Path) -> None:
    photos = write_discs(tmp_path / "photos", 4)
    labels = write_labels(photos, tmp_path / "labels", 3)
    (photos / "photo 1.png").write_bytes(b"no picture")
    out = tmp_path / "out"
    assert cli("run", photos, "--out", out, *LIGHT, "--labels", labels).exit_code == 0
    facts = json.loads((out / "run.json").read_text())
    assert [one["photo"] for one in facts["photos"]["skipped"]] == ["photo 1.png"]
    assert facts["taught"]["photos"] == 2
