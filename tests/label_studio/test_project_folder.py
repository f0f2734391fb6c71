"""A project's folder: what goes live when, and what stays."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from prelabel.errors import UserError
from prelabel.label_studio.model_version import image_level_version, is_own
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.names.table import Exemplar
from prelabel.label_studio.project_folder import ProjectFolder, known_projects, project_folder
from prelabel.model import FittedModel
from prelabel.pipeline import fit
from support.small_photos import tiny_config, write_scenes


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[FittedModel, FittedModel]:
    photos = tmp_path_factory.mktemp("photos")
    write_scenes(photos, 4)
    return fit(photos, tiny_config()), fit(photos, tiny_config("levels.dataset_k=[4]"))


def _name(home: ProjectFolder, photo: str, *, seconds_ago: float = 0.0) -> None:
    vector = np.ones(3, dtype=np.float32)
    rle = {"size": [2, 2], "counts": "04"}
    assert ExemplarFile(home.names).learn(photo, [Exemplar(photo, rle, vector, "cat")])
    then = time.time() - seconds_ago
    os.utime(home.names, (then, then))


def test_version__says_that_there_is_no_model(tmp_path: Path) -> None:
    home = ProjectFolder(tmp_path / "1")
    config = tiny_config()
    assert home.go_live(config).version == image_level_version(config)
    assert home.go_live(config).version.startswith("image-level-")
    assert image_level_version(tiny_config("features.size=56")) != image_level_version(config)
    assert is_own(image_level_version(config))
    assert not is_own("image-level")
    assert not is_own(None)


def test_go_live__a_fit_counts_from_the_next_call(
    tmp_path: Path, models: tuple[FittedModel, FittedModel]
) -> None:
    home = ProjectFolder(tmp_path / "1")
    before = home.go_live(tiny_config()).version
    home.save_model(models[0], n_tasks=4)
    assert home.state.version == before
    assert home.state.model == ""
    live = home.go_live(tiny_config())
    assert live.version == f"{models[0].fit_hash}-0" == models[0].version
    assert live.versions == (before,)
    # While the second waits, the first is still there for those who are being answered.
    home.save_model(models[1], n_tasks=5)
    assert FittedModel.load(home.model_folder(home.state.model)).version == models[0].version
    live = home.go_live(tiny_config())
    assert live.version == models[1].version
    assert live.versions == (before, models[0].version)
    assert home.go_live(tiny_config()) == live
    newest = home.newest_model()
    assert newest is not None
    assert newest.version == models[1].version
    assert is_own(live.version)


def test_names__are_gathered_before_they_raise_the_revision(
    tmp_path: Path, models: tuple[FittedModel, FittedModel]
) -> None:
    home = ProjectFolder(tmp_path / "1")
    home.save_model(models[0], n_tasks=4)
    assert home.go_live(tiny_config()).revision == 0
    _name(home, "1/image", seconds_ago=60)
    first = home.go_live(tiny_config())
    assert (first.revision, first.version) == (1, f"{models[0].fit_hash}-1")
    # One a moment ago waits for others; asked for outright, it goes live.
    _name(home, "2/image")
    assert home.go_live(tiny_config()).revision == 1
    _name(home, "3/image")
    assert home.go_live(tiny_config(), now=True).revision == 3
    # The names of a revision stay as they were, and the one before it too.
    assert len(ExemplarFile(home.names_file(3)).exemplars) == 3
    _name(home, "4/image", seconds_ago=60)
    assert home.go_live(tiny_config()).revision == 4
    assert len(ExemplarFile(home.names_file(3)).exemplars) == 3
    assert not home.names_file(1).exists()


def test_names__that_keep_coming_go_live_after_five_minutes(tmp_path: Path) -> None:
    home = ProjectFolder(tmp_path / "1")
    _name(home, "1/image")
    assert home.go_live(tiny_config()).revision == 0
    home.update(gathering_since=time.time() - 290)
    assert home.go_live(tiny_config()).revision == 0
    home.update(gathering_since=time.time() - 310)
    assert home.go_live(tiny_config()).revision == 1
    assert home.state.gathering_since == 0


def test_update__loses_nothing_of_others(tmp_path: Path) -> None:
    home = ProjectFolder(tmp_path / "1")

    def work(field: str) -> None:
        for n in range(20):
            ProjectFolder(tmp_path / "1").update(**{field: n + 1})

    threads = [threading.Thread(target=work, args=(f,)) for f in ("revision", "n_tasks")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (home.state.revision, home.state.n_tasks) == (20, 20)


def test_state__damaged_says_what_to_do(tmp_path: Path) -> None:
    home = ProjectFolder(tmp_path / "1")
    home.update(server="http://a")
    (tmp_path / "1" / "project.json").write_text('{"server": 1')
    with pytest.raises(UserError, match=r"project\.json is damaged .*put back a copy"):
        _ = home.state


def test_known_projects__one_folder_for_each_server_and_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRELABEL_HOME", str(tmp_path))
    assert list(known_projects()) == []
    places = [
        project_folder("http://127.0.0.1:8080", 1),
        project_folder("https://user:secret@labels.example.com/studio/", 1),
        project_folder("https://labels.example.com/studio", 2),
    ]
    assert len(set(places)) == 3
    assert "secret" not in str(places)
    for place in places:
        ProjectFolder(place).update(server="x")
    assert sorted(home.folder for home in known_projects()) == sorted(places)
