"""Folders of commands: whose they are, and what run.json says of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from prelabel.errors import UserError
from prelabel.runs.facts import FolderFacts, PhotoFacts, PhotoFolder, RunFacts, Skipped, facts_json
from prelabel.runs.folder import (
    add_formats,
    check_finished,
    check_output_folder,
    find_predictions,
    locked,
    model_folder,
    output_folder,
    write_facts,
)
from prelabel.storage.marker import is_prelabel_folder
from support.messages import assert_says


def written(folder: Path) -> object:
    return json.loads((folder / "run.json").read_text())


def leave(folder: Path, facts: object) -> Path:
    """A folder with this run.json."""
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps(facts))
    return folder


DONE = {"command": "run", "state": "done", "model_version": "m-1", "formats": ["coco"]}


def test_facts_json__keys_in_their_order_and_none_left_out() -> None:
    facts = RunFacts(
        command="fit",
        state="done",
        prelabel="0.1.0",
        model_version="m-1",
        weights={"name": "x", "block": 11},
        photos=PhotoFacts("/p", 3, 2, [Skipped("\udcff.jpg", "broken")]),
        classes=1,
        class_names=["cat"],
        strategies={},
        config={"seed": 0},
        warnings=[],
        seconds={"total": 1.5},
        peak_memory_mb=10.0,
    )
    expected = {
        "command": "fit", "state": "done", "prelabel": "0.1.0", "model_version": "m-1",
        "weights": {"name": "x", "block": 11},
        "photos": {
            "folder": "/p", "found": 3, "fitted": 2,
            "skipped": [{"photo": "\udcff.jpg", "reason": "broken"}],
        },
        "classes": 1, "class_names": ["cat"], "strategies": {}, "config": {"seed": 0},
        "warnings": [], "seconds": {"total": 1.5}, "peak_memory_mb": 10.0,
    }  # fmt: skip
    assert facts_json(facts) == json.dumps(expected, indent=1) + "\n"


def test_prepare__a_new_folder_is_marked_first(tmp_path: Path) -> None:
    with output_folder(tmp_path / "out", command="run") as earlier:
        assert earlier is None
        assert written(tmp_path / "out") == {"command": "run", "state": "started"}
    assert is_prelabel_folder(tmp_path / "out")


def test_prepare__an_earlier_result_is_started_anew(tmp_path: Path) -> None:
    out = leave(tmp_path / "out", {**DONE, "seconds": {"total": 3.0}})
    leave(out / "evaluation", {"command": "evaluate", "state": "done"})
    (out / "evaluation" / "index.html").touch()
    with output_folder(out, command="run") as earlier:
        assert earlier == FolderFacts("run", "done", "m-1", ["coco"])
        assert written(out) == {**DONE, "state": "started"}
        assert not (out / "evaluation").exists()  # of other predictions
        (out / "evaluation").mkdir()
        (out / "evaluation" / "thesis.txt").touch()
    with output_folder(out, command="run") as again:
        assert again == FolderFacts("run", "started", "m-1", ["coco"])
        assert (out / "evaluation" / "thesis.txt").exists()


def test_output_folder__is_written_to_by_one_command_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with output_folder(out, command="run"):
        (out / "coco").mkdir()
        (out / "coco" / ".tmp-1").touch()  # of the one that is writing
        for other in (output_folder(out, command="run"), locked(out)):
            with pytest.raises(UserError) as error, other:
                pass
            assert_says(error.value, f"folder {str(out)!r} is in use by process {os.getpid()} on")
        assert (out / "coco" / ".tmp-1").exists()
    with output_folder(out, command="run"):
        assert not (out / "coco" / ".tmp-1").exists()


def test_output_folder__no_lock_is_left_in_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(UserError), output_folder(tmp_path, command="run"):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_check__folders_that_are_not_ours_stay_as_they_are(tmp_path: Path) -> None:
    def refusal(out: Path) -> str:
        with pytest.raises(UserError) as error:
            check_output_folder(out, command="run")
        return str(error.value)

    (tmp_path / "file").touch()
    assert "is a file" in refusal(tmp_path / "file")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").touch()
    assert "holds 'thesis.txt'" in refusal(mine)
    for foreign in (["command", "state"], {"command": "npm"}, {"command": 1, "state": "done"}):
        assert "holds 'run.json'" in refusal(leave(tmp_path / "foreign", foreign))
    (mine / "run.json").write_text('{"command": "run", "sta')
    assert "holds 'run.json'" in refusal(mine)
    assert "holds what `prelabel fit` wrote" in refusal(
        leave(tmp_path / "fit", {"command": "fit", "state": "done"})
    )


def test_check__damaged_facts_are_named(tmp_path: Path) -> None:
    out = leave(tmp_path / "out", {**DONE, "photos": 7})
    for look in (lambda: check_output_folder(out, command="run"), lambda: find_predictions(out)):
        with pytest.raises(UserError, match=r"run\.json.*`prelabel run`.*`\$\.photos`"):
            look()


def test_find_predictions(tmp_path: Path) -> None:
    run = leave(tmp_path / "run", {**DONE, "photos": {"folder": "/p", "found": 3}, "more": {}})
    facts = FolderFacts("run", "done", "m-1", ["coco"], photos=PhotoFolder("/p"))
    assert find_predictions(run) == (run / "predictions.jsonl", facts)
    lone = tmp_path / "lone.jsonl"
    lone.touch()
    assert find_predictions(lone) == (lone, None)

    def refusal(source: Path) -> str:
        with pytest.raises(UserError) as error:
            find_predictions(source)
        return str(error.value)

    assert "no such folder or file" in refusal(tmp_path / "gone")
    assert "not a result of `prelabel run`" in refusal(tmp_path)
    started = leave(tmp_path / "started", {"command": "predict", "state": "started"})
    assert "was not finished: run the same `prelabel predict` again" in refusal(started)
    fit = leave(tmp_path / "fit", {"command": "fit", "state": "done"})
    assert "what `prelabel fit` wrote, not predictions" in refusal(fit)


def test_check_finished__looks_at_the_folders_above(tmp_path: Path) -> None:
    run = leave(tmp_path / "run", {"command": "export", "state": "started"})
    (run / "coco").mkdir()
    with pytest.raises(UserError, match="was not finished"):
        check_finished(run / "coco" / "instances.json")
    leave(run, DONE)
    check_finished(run / "coco" / "instances.json")


def test_add_formats__keeps_all_else(tmp_path: Path) -> None:
    leave(tmp_path, {"command": "predict", "state": "done", "future": 1})
    add_formats(tmp_path, ["voc", "coco"])
    add_formats(tmp_path, ["coco", "yolo-seg"])
    assert written(tmp_path) == {
        "command": "predict", "state": "done", "future": 1, "formats": ["voc", "coco", "yolo-seg"],
    }  # fmt: skip


def test_write_facts__only_what_is_known(tmp_path: Path) -> None:
    write_facts(tmp_path, FolderFacts("export", "done", "", ["coco"]))
    assert written(tmp_path) == {
        "command": "export", "state": "done", "model_version": "", "formats": ["coco"],
    }  # fmt: skip


def test_model_folder__of_a_fit_and_of_a_run(tmp_path: Path) -> None:
    assert model_folder(tmp_path) == tmp_path
    (tmp_path / "model").mkdir()
    assert model_folder(tmp_path) == tmp_path / "model"
