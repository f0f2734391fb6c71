"""`prelabel review` of a run's folder: names count in its exports, and nothing is overwritten."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel.review.edits import BackgroundEdit, MoveEdit, NameEdit, UndoEdit
from prelabel.review.outputs import write_outputs
from prelabel.review.result_folder import ResultFolder, keep_names, review_of_run
from prelabel.review.review import Review
from prelabel.runs.datasets import open_dataset
from prelabel.runs.predictions import read_predictions
from support.command_line import LIGHT, Finished, cli, refused, write_discs
from support.messages import assert_says


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run over 6 photos, half of them with a red disc, half with a blue one."""
    folder = tmp_path_factory.mktemp("reviewed")
    photos = write_discs(folder / "photos", 6)
    out = folder / "out"
    result = cli("run", photos, "--out", out, *LIGHT, "--set", "classes.count=2", "--format", "voc")
    assert result.exit_code == 0, result.output
    return Finished(photos, out, result)


@pytest.fixture
def run(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the run, for one test."""
    shutil.copytree(finished.out, tmp_path / "run")
    return tmp_path / "run"


def opened(run: Path) -> Review:
    source = ResultFolder(run)
    return Review(source, source.place)


def applied(review: Review) -> None:
    """Have the edits count, as at the end of the command."""
    review.start()
    review.stop()
    assert review.state(None).applying.message == ""  # type: ignore[union-attr]


def names_of(run: Path) -> dict[str, list[str]]:
    """The names of each photo's regions, as all later commands see them."""
    dataset = open_dataset(run)
    return {p.photo: [dataset.classes[r.cluster] for r in p.regions] for p in dataset.stream()}


def of_class(run: Path, cluster: int) -> set[str]:
    """The photos with a region of a class, in the run's own predictions."""
    predictions = read_predictions(run / "predictions.jsonl")
    return {p.photo for p in predictions if any(r.cluster == cluster for r in p.regions)}


def test_names__count_in_exports_and_evaluations(run: Path) -> None:
    own = (run / "predictions.jsonl").read_bytes()
    before = json.loads((run / "run.json").read_text())
    review = opened(run)
    review.edit(NameEdit([0], "red disc"))
    applied(review)
    names = names_of(run)
    assert {photo for photo, found in names.items() if "red disc" in found} == of_class(run, 0)
    assert {"red disc", "object 2"} == {name for found in names.values() for name in found}
    assert cli("export", run, "--format", "coco", "--out", run).exit_code == 0
    coco = json.loads((run / "coco" / "instances.json").read_text())
    assert [c["name"] for c in coco["categories"]] == ["red disc", "object 2"]
    assert len(coco["annotations"]) == sum(map(len, names.values()))
    assert (run / "predictions.jsonl").read_bytes() == own
    dataset = open_dataset(run)
    assert dataset.model_version == f"{before['model_version'].removesuffix('-0')}-1"
    assert {p.model_version for p in dataset.stream()} == {dataset.model_version}


def test_background__is_left_out(run: Path) -> None:
    review = opened(run)
    review.edit(BackgroundEdit([1]))
    applied(review)
    kept = {p.photo: p for p in open_dataset(run).stream()}
    assert open_dataset(run).classes == ("object 1",)
    gone = of_class(run, 1) - of_class(run, 0)
    assert gone
    assert all(not kept[photo].regions and kept[photo].foreground == 0 for photo in gone)
    assert len(kept) == 6


def test_the_same_name__is_one_class(run: Path) -> None:
    review = opened(run)
    review.edit(NameEdit([0], "disc"))
    review.edit(NameEdit([1], "disc"))
    applied(review)
    assert open_dataset(run).classes == ("disc",)


def test_undone_and_closed_in_between__the_journal_is_what_counts(run: Path) -> None:
    review = opened(run)
    review.edit(NameEdit([0], "wrong"))
    del review  # as if killed: nothing was applied
    assert open_dataset(run).classes == ("object 1", "object 2")
    review = opened(run)
    assert review.board.snapshot().names[0] == "wrong"
    applied(review)
    assert "wrong" in open_dataset(run).classes


def test_a_moved_region__changes_its_class_alone(run: Path) -> None:
    review = opened(run)
    review.edit(NameEdit([0], "red"))
    review.edit(NameEdit([1], "blue"))
    region = int(review.board.regions_of(0)[0])
    photo = review.photo(region)
    review.edit(MoveEdit([region], 1))
    applied(review)
    names = names_of(run)
    place = [r.id for r in photo.regions].index(region)
    assert names[photo.name][place] == "blue"


def test_photos_that_were_moved_away__cost_their_pictures(
    finished: Finished, run: Path, tmp_path: Path
) -> None:
    review = opened(run)
    source = ResultFolder(run, photos=tmp_path)
    elsewhere = Review(source, source.place)
    assert len(elsewhere.index) == len(review.index)
    answer = elsewhere.class_regions(0, offset=0, limit=10)
    with pytest.raises(Exception, match="No such file"):
        elsewhere.thumbnail(answer.regions[0].id)
    assert review.thumbnail(answer.regions[0].id)[:2] == b"\xff\xd8"
    elsewhere.edit(NameEdit([0], "disc"))
    applied(elsewhere)
    assert "disc" in open_dataset(run).classes


def test_without_photos_and_cache__regions_are_kept_without_vectors(
    run: Path, empty_cache: Path, tmp_path: Path
) -> None:
    source = ResultFolder(run, photos=tmp_path)
    review = Review(source, source.place)
    assert len(review.index) >= 6
    assert_says(source.problems.lines()[0], "6 photos", "cannot be compared", "photo 0.png")


def test_without_cache__vectors_are_computed_again(
    run: Path, empty_cache: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(run, other)
    found = opened(run)
    ids = found.board.regions_of(0)
    shutil.rmtree(empty_cache)
    again = opened(other)
    assert abs(found.index.vectors(ids) - again.index.vectors(ids)).max() < 1e-2
    assert abs(found.index.vectors(ids)).max() > 0.01


def test_a_run_that_was_run_again_meanwhile__is_not_given_old_names(run: Path) -> None:
    review = opened(run)
    review.edit(NameEdit([0], "disc"))
    predictions = list(read_predictions(run / "predictions.jsonl"))
    _write(run, predictions[:3])
    review.start()
    review.stop()
    state = review.state(None)
    assert state is not None
    assert state.applying.state == "failed"
    assert_says(state.applying.message, "was run again", "start it anew")
    assert len(list(open_dataset(run).stream())) == 3


def _write(run: Path, predictions: list[Prediction]) -> None:
    from prelabel.runs.predictions import write_predictions

    write_predictions(run / "predictions.jsonl", predictions)


@pytest.mark.slow
def test_other_folders__are_refused_with_one_line(finished: Finished, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        ResultFolder(tmp_path)
    assert_says(error.value, "not a result")
    message = refused("review", tmp_path / "nothing")
    assert "no such folder" in message
    message = refused("review", finished.out / "predictions.jsonl")
    assert "is a file" in message
    predicted = tmp_path / "predicted"
    assert cli("predict", finished.out, finished.photos, "--out", predicted).exit_code == 0
    assert "prelabel predict" in refused("review", predicted)


@pytest.mark.slow
def test_a_run_with_labels__has_their_names_from_the_start(
    finished: Finished, tmp_path: Path
) -> None:
    from support.command_line import write_labels

    labels = write_labels(finished.photos, tmp_path / "labels", 4)
    out = tmp_path / "out"
    result = cli("run", finished.photos, "--out", out, *LIGHT, "--labels", labels)
    assert result.exit_code == 0, result.output
    review = opened(out)
    state = review.state(None)
    assert state is not None
    assert {label.name for label in state.labels} == {"red", "blue"}
    assert {"red", "blue"} <= {c.name for c in state.classes}


# --- the end of a review, and a run that is done again ---


def test_outputs__have_the_names_and_keep_their_settings(run: Path) -> None:
    options = ("--format", "coco", "--set", "coco.polygons=true", "--out", run)
    assert cli("export", run, *options).exit_code == 0
    review = opened(run)
    review.edit(NameEdit([0], "red disc"))
    review.edit(BackgroundEdit([1]))
    applied(review)
    files = write_outputs(run)
    assert set(files) == {"voc", "coco", "report"}
    coco = json.loads((run / "coco" / "instances.json").read_text())
    assert [c["name"] for c in coco["categories"]] == ["red disc"]
    assert all(isinstance(a["segmentation"], list) for a in coco["annotations"])
    assert "red disc" in (run / "voc" / "labels.txt").read_text()
    report = (run / "report" / "index.html").read_text()
    assert "red disc" in report
    assert "object 2" not in report
    named = [line for line in report.splitlines() if '"cuts":"thumbs/' in line]
    assert named
    assert write_outputs(run) == {}
    review.edit(UndoEdit())
    review = opened(run)
    applied(review)
    assert set(write_outputs(run)) == {"voc", "coco", "report"}
    assert "object 2" in (run / "report" / "index.html").read_text()


def test_outputs__of_a_run_without_a_review_stay(run: Path) -> None:
    assert write_outputs(run) == {}


@pytest.mark.slow
def test_the_same_run_again__has_the_names(finished: Finished, run: Path) -> None:
    review = opened(run)
    review.edit(NameEdit([0], "red disc"))  # and killed before it counts
    options = (*LIGHT, "--set", "classes.count=2", "--format", "voc")
    result = cli("run", finished.photos, "--out", run, *options)
    assert result.exit_code == 0, result.output
    assert "names of the review" in result.stderr
    assert "red disc" in open_dataset(run).classes
    assert "red disc" in (run / "voc" / "labels.txt").read_text()
    assert "red disc" in (run / "report" / "index.html").read_text()


@pytest.mark.slow
def test_a_run_with_more_photos_and_classes__has_the_names(
    finished: Finished, run: Path, tmp_path: Path
) -> None:
    review = opened(run)
    red, blue = of_class(run, 0), of_class(run, 1)
    assert not red & blue
    review.edit(NameEdit([0], "red disc"))
    review.edit(BackgroundEdit([1]))
    more = write_discs(tmp_path / "photos", 9)
    options = (*LIGHT, "--set", "classes.count=3", "--format", "coco")
    result = cli("run", more, "--out", run, *options)
    assert result.exit_code == 0, result.output
    names = names_of(run)
    assert [names[photo] for photo in red] == [["red disc"]] * 3
    assert [names[photo] for photo in blue] == [[]] * 3
    like_red, like_blue = ("photo 6.png", "photo 7.png")[:: 1 if "photo 0.png" in red else -1]
    assert (names[like_red], names[like_blue]) == (["red disc"], [])
    again = opened(run)
    assert again.index.n_photos == 9
    assert "red disc" in again.board.snapshot().names.values()


@pytest.mark.slow
def test_while_a_review_is_open__it_is_not_opened_again_and_a_run_says_so(
    finished: Finished, run: Path
) -> None:
    review = opened(run)
    review.edit(NameEdit([0], "red disc"))
    with review_of_run(ResultFolder(run)):
        assert "in use by process" in refused("review", run, "--port", 0)
        options = (*LIGHT, "--set", "classes.count=2")
        result = cli("run", finished.photos, "--out", run, *options)
        assert result.exit_code == 0
        assert_says(result.stderr.splitlines()[-1], "not in this result yet", "in use")


def test_a_run_without_a_review__stays_as_it_is(run: Path) -> None:
    assert not keep_names(run)
    assert not (run / "review").exists()


def test_a_run_without_regions__has_an_empty_page(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(2):
        Image.new("RGB", (64, 48), (20 * i, 90, 90)).save(photos / f"{i}.png")
    out = tmp_path / "out"
    options = (*LIGHT, "--set", "regions.min_area=0.99")
    assert cli("run", photos, "--out", out, *options).exit_code == 0
    assert not any(p.regions for p in read_predictions(out / "predictions.jsonl"))
    review = opened(out)
    state = review.state(None)
    assert state is not None
    assert (state.classes, state.progress.regions) == ([], 0)
    applied(review)


def test_facts_of_another_version__say_what_to_do(run: Path) -> None:
    facts = json.loads((run / "run.json").read_text())
    del facts["peak_memory_mb"]
    (run / "run.json").write_text(json.dumps(facts))
    assert "another version" in refused("review", run)


@pytest.mark.slow
def test_new_photos__predicted_with_the_runs_model_have_its_names(
    finished: Finished, run: Path, tmp_path: Path
) -> None:
    review = opened(run)
    red = of_class(run, 0)
    review.edit(NameEdit([0], "red disc"))
    review.edit(BackgroundEdit([1]))
    photos = write_discs(tmp_path / "photos", 8)
    for i in range(6):
        (photos / f"photo {i}.png").unlink()
    (photos / "photo 6.png").rename(photos / "photo 1.png")  # as another photo of the run
    predicted = tmp_path / "predicted"
    result = cli("predict", run, photos, "--out", predicted)
    assert "names of the review" in result.stderr
    expected = {"photo 1.png": ["red disc"], "photo 7.png": []}
    if "photo 0.png" not in red:
        expected = {"photo 1.png": [], "photo 7.png": ["red disc"]}
    assert names_of(predicted) == expected
    assert [p.photo for p in read_predictions(predicted / "predictions.jsonl")] == list(expected)
    pytest.importorskip("fsspec", reason="fsspec is not installed: pip install 'prelabel[cloud]'")
    result = cli("predict", run, photos.as_uri(), "--out", tmp_path / "of addresses")
    assert "names of the review" in result.stderr
    assert names_of(tmp_path / "of addresses") == expected


def test_predictions_that_somebody_reads__stay_while_names_change(run: Path) -> None:
    review = opened(run)
    review.edit(NameEdit([0], "one"))
    review.apply_now()
    reading = open_dataset(run).stream()
    review.edit(NameEdit([0], "two"))
    review.apply_now()
    assert len(list(reading)) == 6
    for name in ("three", "four"):
        review.edit(NameEdit([0], name))
        review.apply_now()
    assert len(list((run / "review").glob("predictions-*.jsonl"))) == 2
    (run / "review" / "names.json").write_text("{")
    assert open_dataset(run).classes == ("object 1", "object 2")
