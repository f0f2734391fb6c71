"""A project's folder: what goes live when, and what stays."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from prelabel.data.masks import Rle
from prelabel.errors import UserError
from prelabel.label_studio.model_version import image_level_version, is_own
from prelabel.label_studio.names.exemplar_lines import PhotoExemplars
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.project_state import ProjectState
from prelabel.model import FittedModel
from prelabel.pipeline import fit
from prelabel.steps.exemplars import Exemplar
from support.small_photos import tiny_config, write_scenes


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[FittedModel, FittedModel]:
    photos = tmp_path_factory.mktemp("photos")
    write_scenes(photos, 4)
    return fit(photos, tiny_config()), fit(photos, tiny_config("levels.dataset_k=[4]"))


def _exemplar(photo: str) -> Exemplar:
    rle: Rle = {"size": [2, 2], "counts": "04"}
    return Exemplar(photo, rle, np.ones(3, dtype=np.float32), "cat")


def _name(folder: ProjectFolder, photo: str, *, seconds_ago: float = 0.0) -> None:
    assert ExemplarFile(folder.names).learn({photo: PhotoExemplars("", (_exemplar(photo),))})
    then = time.time() - seconds_ago
    os.utime(folder.names, (then, then))


def test_version__says_that_there_is_no_model(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path / "1")
    config = tiny_config()
    assert folder.go_live(config).version == image_level_version(config)
    assert folder.go_live(config).version.startswith("image-level-")
    assert image_level_version(tiny_config("features.size=56")) != image_level_version(config)
    assert is_own(image_level_version(config))
    assert not is_own("image-level")
    assert not is_own(None)


def test_go_live__a_fit_counts_from_the_next_call(
    tmp_path: Path, models: tuple[FittedModel, FittedModel]
) -> None:
    folder = ProjectFolder(tmp_path / "1")
    before = folder.go_live(tiny_config()).version
    folder.save_model(models[0], n_tasks=4)
    assert folder.state.version == before
    assert folder.state.model == ""
    live = folder.go_live(tiny_config())
    assert live.version == models[0].version
    assert live.model == models[0].fit_hash
    assert live.versions == (before,)
    # While the second waits, the first is still there for those who are being answered.
    folder.save_model(models[1], n_tasks=5)
    assert FittedModel.load(folder.model_folder(folder.state.model)).version == models[0].version
    live = folder.go_live(tiny_config())
    assert live.version == models[1].version
    assert live.versions == (before, models[0].version)
    assert folder.go_live(tiny_config()) == live
    newest = folder.newest_model()
    assert newest is not None
    assert newest.version == models[1].version
    assert is_own(live.version)


def test_go_live__reads_no_tensors(tmp_path: Path, models: tuple[FittedModel, FittedModel]) -> None:
    folder = ProjectFolder(tmp_path / "1")
    folder.save_model(models[0], n_tasks=4)
    [tensors] = folder.model_folder(models[0].fit_hash).glob("tensors-*")
    tensors.unlink()
    assert folder.go_live(tiny_config()).version == models[0].version


def test_go_live__of_a_damaged_model_still_has_a_version(
    tmp_path: Path, models: tuple[FittedModel, FittedModel]
) -> None:
    folder = ProjectFolder(tmp_path / "1")
    folder.save_model(models[0], n_tasks=4)
    (folder.model_folder(models[0].fit_hash) / "model.json").write_text("{")
    assert is_own(folder.go_live(tiny_config()).version)


def test_state__of_a_prelabel_that_kept_no_record_of_its_code(
    tmp_path: Path, models: tuple[FittedModel, FittedModel]
) -> None:
    model = models[0]
    folder = ProjectFolder(tmp_path / "1")
    facts_file = folder.model_folder(model.fit_hash) / "model.json"
    model.save(facts_file.parent)
    facts = json.loads(facts_file.read_text())
    del facts["code"]
    facts_file.write_text(json.dumps({**facts, "version": f"{model.fit_hash}-0"}))
    ExemplarFile(folder.names).learn({"1/image": PhotoExemplars("1:a", (_exemplar("1/image"),))})
    shutil.copy(folder.names, folder.names_file(1))
    state = {"server": "http://a", "project": "1.5", "label_config": "<View/>", "revision": 1}
    state |= {"model": model.fit_hash, "newest": model.fit_hash, "version": f"{model.fit_hash}-1"}
    state |= {"versions": ["0123456789ab-0"], "n_tasks": 4, "fit_requested": False}
    (folder.path / "project.json").write_text(json.dumps({**state, "gathering_since": 0.0}))

    newest = folder.newest_model()
    assert newest is not None
    assert newest.fit_hash == model.fit_hash
    assert newest.code == {}
    live = folder.go_live(tiny_config())
    assert live.model == model.fit_hash
    assert live.version == f"{newest.version[:12]}-1"  # the code that answers is another one
    assert live.versions == ("0123456789ab-0", f"{model.fit_hash}-1")
    assert all(is_own(version) for version in (*live.versions, live.version))
    assert len(ExemplarFile(folder.names_file(live.revision)).exemplars) == 1


def test_names__are_gathered_before_they_raise_the_revision(
    tmp_path: Path, models: tuple[FittedModel, FittedModel]
) -> None:
    folder = ProjectFolder(tmp_path / "1")
    folder.save_model(models[0], n_tasks=4)
    assert folder.go_live(tiny_config()).revision == 0
    _name(folder, "1/image", seconds_ago=60)
    first = folder.go_live(tiny_config())
    assert (first.revision, first.version) == (1, f"{models[0].version[:12]}-1")
    # One a moment ago waits for others; asked for outright, it goes live.
    _name(folder, "2/image")
    assert folder.go_live(tiny_config()).revision == 1
    _name(folder, "3/image")
    assert folder.go_live(tiny_config(), now=True).revision == 3
    # The names of a revision stay as they were, and the one before it too.
    assert len(ExemplarFile(folder.names_file(3)).exemplars) == 3
    _name(folder, "4/image", seconds_ago=60)
    assert folder.go_live(tiny_config()).revision == 4
    assert len(ExemplarFile(folder.names_file(3)).exemplars) == 3
    assert not folder.names_file(1).exists()


def test_names__that_keep_coming_go_live_after_half_a_minute(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path / "1")
    _name(folder, "1/image")
    assert folder.go_live(tiny_config()).revision == 0
    folder.update(gathering_since=time.time() - 20)
    assert folder.go_live(tiny_config()).revision == 0
    folder.update(gathering_since=time.time() - 40)
    assert folder.go_live(tiny_config()).revision == 1
    assert folder.state.gathering_since == 0


def test_update__loses_nothing_of_others(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path / "1")

    def work(field: str) -> None:
        for n in range(20):
            ProjectFolder(tmp_path / "1").update(**{field: n + 1})

    threads = [threading.Thread(target=work, args=(f,)) for f in ("revision", "n_tasks")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (folder.state.revision, folder.state.n_tasks) == (20, 20)


def test_state__a_file_of_an_older_version_is_read(tmp_path: Path) -> None:
    """As written before the fields were typed, and with fewer of them."""
    folder = ProjectFolder(tmp_path)
    facts: dict[str, object] = {"server": "http://a", "project": "3.17"}
    facts |= {"gathering_since": 5, "versions": ["x-1"], "fit_wanted": True}
    (tmp_path / "project.json").write_text(json.dumps(facts, indent=1))
    assert folder.state == ProjectState(
        server="http://a",
        project="3.17",
        gathering_since=5.0,
        versions=("x-1",),
        fit_requested=True,
    )
    folder.update(fit_requested=False)
    assert json.loads((tmp_path / "project.json").read_text())["fit_wanted"] is False


def test_state__fields_of_a_newer_version_are_kept(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path)
    file = tmp_path / "project.json"
    file.write_text(json.dumps({"server": "http://a", "teams": {"red": [1, 2.5, None]}}))
    assert folder.state.server == "http://a"
    folder.update(revision=3)
    folder.go_live(tiny_config())
    written = json.loads(file.read_text("utf-8"))
    assert written["teams"] == {"red": [1, 2.5, None]}
    assert (written["server"], written["revision"]) == ("http://a", 3)


@pytest.mark.parametrize(
    "text",
    ['{"server": "http://a"', "", "[]", '{"server": 1}', '{"versions": [5]}', '{"revision": "2"}'],
)
def test_state__damaged_names_the_file_and_what_to_do(tmp_path: Path, text: str) -> None:
    folder = ProjectFolder(tmp_path)
    (tmp_path / "project.json").write_text(text)
    with pytest.raises(UserError, match=r"project\.json is damaged .*move it away"):
        _ = folder.state
    with pytest.raises(UserError, match=r"project\.json is damaged .*move it away"):
        folder.update(revision=1)
    assert (tmp_path / "project.json").read_text() == text


# Following the advice of messages: nothing is lost that is still at hand -------------------------


def test_state__without_the_damaged_file_models_and_names_are_found_again(
    tmp_path: Path, models: tuple[FittedModel, FittedModel]
) -> None:
    folder = ProjectFolder(tmp_path / "1")
    folder.save_model(models[0], n_tasks=4)
    folder.go_live(tiny_config())
    _name(folder, "1/image", seconds_ago=60)
    folder.save_model(models[1], n_tasks=4)
    before = folder.go_live(tiny_config())
    before = folder.go_live(tiny_config())
    kept = sorted(file for file in folder.path.rglob("*") if file.parent != folder.path)
    (folder.path / "project.json").write_text('{"server": "http')
    with pytest.raises(UserError, match="move it away"):
        folder.go_live(tiny_config())
    (folder.path / "project.json").rename(tmp_path / "project.json")

    after = folder.go_live(tiny_config())
    assert (after.model, after.newest) == (models[1].fit_hash, models[1].fit_hash)
    assert (after.revision, after.version) == (before.revision, before.version)
    assert after.n_tasks == 4  # else it would seem to have grown, and be fitted again
    assert len(ExemplarFile(folder.names_file(after.revision)).exemplars) == 1
    assert sorted(file for file in folder.path.rglob("*") if file.parent != folder.path) == kept
    # As the backend does when it is connected again; and a model that is fitted then replaces it.
    folder.update(server="http://a", project="1.5", label_config="<View/>")
    folder.save_model(models[0], n_tasks=5)
    assert folder.go_live(tiny_config()).version.startswith(models[0].version[:12])
    assert folder.model_folder(models[1].fit_hash).exists()


def test_state__a_damaged_model_is_passed_over(
    tmp_path: Path, models: tuple[FittedModel, FittedModel]
) -> None:
    folder = ProjectFolder(tmp_path / "1")
    for model in models:
        folder.save_model(model, n_tasks=4)
    (folder.model_folder(models[1].fit_hash) / "model.json").write_text("{")
    (folder.path / "project.json").unlink()
    assert folder.state.newest == models[0].fit_hash


def test_go_live__removes_only_models_that_were_replaced(
    tmp_path: Path, models: tuple[FittedModel, FittedModel]
) -> None:
    folder = ProjectFolder(tmp_path / "1")
    third = dataclasses.replace(models[0], classes=models[0].classes + 1)
    mine = folder.model_folder("by-hand")
    shutil.copytree(_saved(models[0], tmp_path / "copy"), mine)
    for model in (*models, third):
        folder.save_model(model, n_tasks=4)
        folder.go_live(tiny_config())
    left = {path.name for path in mine.parent.iterdir()}
    assert left == {models[1].fit_hash, third.fit_hash, "by-hand"}
    assert set(folder.state.models) == {models[1].fit_hash, third.fit_hash}


def _saved(model: FittedModel, folder: Path) -> Path:
    model.save(folder)
    return folder


def test_names__that_are_damaged_come_back_from_their_copy(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path / "1")
    for photo in ("1/image", "2/image"):
        _name(folder, photo, seconds_ago=60)
    before = folder.go_live(tiny_config())
    assert before.revision == 2
    folder.names.write_bytes(folder.names.read_bytes()[:-20])  # in place: the copy stays whole
    with pytest.raises(UserError, match=r"copy names-2\.jsonl, which lies beside it") as error:
        ExemplarFile(folder.names)
    assert "remove" not in str(error.value)
    shutil.copyfile(folder.names_file(2), folder.names)
    assert len(ExemplarFile(folder.names).exemplars) == 2
    assert folder.go_live(tiny_config()).version == before.version
    # The other way round.
    folder.names_file(2).write_text("{")
    with pytest.raises(UserError, match=r"copy names\.jsonl"):
        ExemplarFile(folder.names_file(2))
    shutil.copyfile(folder.names, folder.names_file(2))
    assert len(ExemplarFile(folder.names_file(2)).exemplars) == 2


def test_names__that_were_moved_away_get_new_revisions(tmp_path: Path) -> None:
    """There are predictions with the names of the old ones."""
    folder = ProjectFolder(tmp_path / "1")
    for photo in ("1/image", "2/image"):
        _name(folder, photo, seconds_ago=60)
    assert folder.go_live(tiny_config()).revision == 2
    folder.names.rename(tmp_path / "away")
    assert folder.go_live(tiny_config()).revision == 2
    assert ExemplarFile(folder.names).exemplars == ()
    _name(folder, "3/image", seconds_ago=60)
    assert folder.go_live(tiny_config()).revision == 3
    assert [e.photo for e in ExemplarFile(folder.names_file(3)).exemplars] == ["3/image"]


@pytest.mark.parametrize("listed", ["", ".", "..", "../../other"])
def test_go_live__removes_models_alone_whatever_a_damaged_file_lists(
    tmp_path: Path, models: tuple[FittedModel, FittedModel], listed: str
) -> None:
    folder = ProjectFolder(tmp_path / "1")
    (tmp_path / "other").mkdir()
    for model in models:
        folder.save_model(model, n_tasks=4)
    folder.update(models=(listed, *folder.state.models))
    kept = [model.fit_hash for model in models]
    assert list(folder.go_live(tiny_config()).models) == kept
    assert all(folder.model_folder(fit_hash).is_dir() for fit_hash in kept)
    assert (tmp_path / "other").is_dir()


def test_newest_model__that_is_gone(
    tmp_path: Path, models: tuple[FittedModel, FittedModel]
) -> None:
    folder = ProjectFolder(tmp_path / "7")
    folder.save_model(models[0], n_tasks=4)
    shutil.rmtree(folder.model_folder(models[0].fit_hash))
    with pytest.raises(UserError, match="prelabel label-studio fit --project 7"):
        folder.newest_model()
