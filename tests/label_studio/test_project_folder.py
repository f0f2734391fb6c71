"""A project's folder: what goes live when, and what stays."""

from __future__ import annotations

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
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.names.table import Exemplar
from prelabel.label_studio.project_folder import ProjectFolder, ProjectState
from prelabel.model import FittedModel
from prelabel.pipeline import fit
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
    assert ExemplarFile(folder.names).learn({photo: ("", (_exemplar(photo),))})
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
    ExemplarFile(folder.names).learn({"1/image": ("1:a", (_exemplar("1/image"),))})
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


def test_names__that_keep_coming_go_live_after_five_minutes(tmp_path: Path) -> None:
    folder = ProjectFolder(tmp_path / "1")
    _name(folder, "1/image")
    assert folder.go_live(tiny_config()).revision == 0
    folder.update(gathering_since=time.time() - 290)
    assert folder.go_live(tiny_config()).revision == 0
    folder.update(gathering_since=time.time() - 310)
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
    with pytest.raises(UserError, match=r"project\.json is damaged .*put back a copy"):
        _ = folder.state
    with pytest.raises(UserError, match=r"project\.json is damaged .*put back a copy"):
        folder.update(revision=1)
    assert (tmp_path / "project.json").read_text() == text


def test_of_and_known__one_folder_for_each_server_and_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRELABEL_HOME", str(tmp_path))
    assert list(ProjectFolder.known()) == []
    folders = [
        ProjectFolder.of("http://127.0.0.1:8080", 1),
        ProjectFolder.of("https://user:secret@labels.example.com/studio/", 1),
        ProjectFolder.of("https://labels.example.com/studio", 2),
    ]
    paths = [folder.path for folder in folders]
    assert len(set(paths)) == 3
    assert "secret" not in str(paths)
    for folder in folders:
        folder.update(server="x")
    assert sorted(folder.path for folder in ProjectFolder.known()) == sorted(paths)
