"""One folder for each project, whoever asks and by whatever address."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from prelabel.errors import UserError
from prelabel.label_studio.api.project_requests import ProjectInfo
from prelabel.label_studio.project_home import known_folders, no_model, open_folder
from support.messages import assert_says

LOCAL = "http://127.0.0.1:8080"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRELABEL_HOME", str(tmp_path))
    return tmp_path


def test_open_folder__one_for_each_server_and_number() -> None:
    assert list(known_folders()) == []
    folders = [
        open_folder(LOCAL, "1"),
        open_folder("https://user:secret@labels.example.com/studio/", "1"),
        open_folder("https://labels.example.com/studio", "2"),
    ]
    paths = [folder.path for folder in folders]
    assert len(set(paths)) == 3
    assert "secret" not in str(paths)
    for folder in folders:
        folder.update(server="x")
    assert sorted(folder.path for folder in known_folders()) == sorted(paths)


def test_open_folder__the_backend_and_the_commands_share_it(home: Path) -> None:
    """The backend knows a project by /setup, a command by the server's API, and `names`, which has no
    token, by its number alone."""
    facts = ProjectInfo(id=1, created_at="2026-01-02T03:04:05.678901Z")
    setup = open_folder("http://label-studio:8080", "1.1767323045")
    assert setup.path == home / "label-studio" / "label_studio_8080" / "1"
    command = open_folder(LOCAL, facts.name)
    assert command.path == setup.path
    assert open_folder("http://label-studio:8080", "1").path == setup.path
    assert setup.state.project == facts.name


@pytest.mark.parametrize("other", ["localhost", "0.0.0.0", "[::1]"])
def test_open_folder__names_of_this_machine(other: str) -> None:
    assert open_folder(f"http://{other}:8080", "1").path == open_folder(LOCAL, "1").path
    assert open_folder(f"http://{other}", "1").path == open_folder("http://127.0.0.1", "1").path
    other_host = f"http://{other.strip('[]')}.example.com:8080"
    assert open_folder(other_host, "1").path != open_folder(LOCAL, "1").path


def test_open_folder__a_label_studio_that_was_installed_anew_gets_its_own() -> None:
    first = open_folder(LOCAL, "1.1000")
    first.update(n_tasks=5)
    second = open_folder(LOCAL, "1.2000")
    assert second.path != first.path
    assert (second.project_id, second.state.project, second.state.n_tasks) == (1, "1.2000", 0)
    assert [open_folder(LOCAL, name).path for name in ("1.1000", "1.2000")] == [
        first.path,
        second.path,
    ]
    # By number alone: the one that was used last.
    for used, folder in ((100, second), (200, first)):
        os.utime(folder.path / "project.json", (used, used))
    assert open_folder(LOCAL, "1").path == first.path
    os.utime(second.path / "project.json", (300, 300))
    assert open_folder(LOCAL, "1").path == second.path


def test_open_folder__a_damaged_one_is_not_passed_over() -> None:
    folder = open_folder(LOCAL, "1.1000")
    (folder.path / "project.json").write_text("{")
    with pytest.raises(UserError, match=r"project\.json is damaged"):
        open_folder(LOCAL, "1.1000")


def test_no_model__names_the_models_that_are_there(home: Path) -> None:
    assert_says(no_model(LOCAL, 1), "project 1", LOCAL, str(home), "label-studio fit --project 1")
    open_folder("http://127.0.0.1:41000", "1.5").update(newest="0123456789ab")
    open_folder(LOCAL, "2.5")
    assert_says(no_model(LOCAL, 1), "models of project 1 of http://127.0.0.1:41000:", "--url")


def test_project_info__name() -> None:
    assert ProjectInfo(id=3, created_at="2026-01-02T03:04:05+00:00").name == "3.1767323045"
    assert ProjectInfo(id=3).name == "3"


def test_known_folders__what_is_no_project_is_passed_over(home: Path) -> None:
    known = open_folder(LOCAL, "1").path
    for name in ("notes", "1 copy"):
        (known.parent / name).mkdir(parents=True)
        (known.parent / name / "project.json").write_text("{}")
    open_folder(LOCAL, "1").update(project="1.5")
    assert [folder.path for folder in known_folders()] == [known]
    assert open_folder(LOCAL, "1.5").path == known
