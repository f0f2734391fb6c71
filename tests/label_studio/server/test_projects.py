"""The projects that a backend knows, and by which names."""

from __future__ import annotations

from pathlib import Path

import pytest

from prelabel.errors import UserError
from prelabel.label_studio.format.label_config import LabelConfig, parse_label_config
from prelabel.label_studio.project_home import open_folder
from prelabel.label_studio.server import projects as projects_module
from prelabel.label_studio.server.projects import Project, Projects
from support.fake_label_studio import BRUSH

SERVER, TOKEN = "http://labels.example.com:8080", "0123456789abcdef0123456789abcdef01234567"
pytestmark = pytest.mark.usefixtures("own_folders")


def test_connect__the_same_project_each_time(own_folders: Path) -> None:
    projects = Projects("", "")
    first = projects.connect("7.1767323045", f"{SERVER}/", TOKEN)
    assert (first.id, first.server, first.token) == (7, SERVER, TOKEN)
    assert first.folder.path == open_folder(SERVER, "7").path
    assert projects.connect("7.1767323045", SERVER, "") is first
    assert first.token == TOKEN  # one that was known stays
    assert projects.connect("7.1", SERVER, "") is not first  # another one, made at another time
    assert TOKEN not in repr(first)


def test_connect__the_settings_server_comes_first_and_has_its_own_token() -> None:
    projects = Projects("http://127.0.0.1:8080/", "of the settings")
    project = projects.connect("7.1", SERVER, "of the request")
    assert (project.server, project.token) == ("http://127.0.0.1:8080", "of the settings")


def test_restore__a_token_goes_to_its_own_server_only() -> None:
    open_folder(SERVER, "3").update(server=SERVER, project="3.1", label_config=BRUSH)
    projects = Projects("http://127.0.0.1:8080", "of the settings")
    (project,) = projects.restore(print)
    assert (project.server, project.token) == (SERVER, "")


def test_restore__what_is_damaged_is_reported_and_the_others_are_there() -> None:
    open_folder(SERVER, "3").update(server=SERVER, project="3.1", label_config=BRUSH)
    open_folder(SERVER, "4").update(project="4.1")  # used by the commands alone
    open_folder(SERVER, "5").update(server=SERVER, project="5.1", label_config=BRUSH)
    (open_folder(SERVER, "5").path / "project.json").write_text("{")
    problems: list[str] = []
    projects = Projects("", "")
    assert [project.id for project in projects.restore(problems.append)] == [3]
    assert ["project.json is damaged" in text for text in problems] == [True]


@pytest.mark.parametrize(
    "name",
    [
        *("", "x", "x.1", "-1.1", "1e3.1", "1./../../../x", "1.5/../x", "1.a b", "1.", "1.\0"),
        *("9" * 5000, "1." + "9" * 300, "\u0663.\u0664", "\u00b2", "1.1\n"),
    ],
)
def test_connect__a_name_that_is_not_valid(own_folders: Path, name: str) -> None:
    """Folders are called by the name: none is made, and above all none elsewhere."""
    projects = Projects("", "")
    projects.connect("1.1767323045", SERVER, "")
    before = sorted(own_folders.rglob("*"))
    with pytest.raises(UserError, match=r"expected id\.timestamp") as caught:
        projects.connect(name, SERVER, "")
    assert len(str(caught.value)) < 200
    assert sorted(own_folders.rglob("*")) == before


@pytest.mark.parametrize(
    "address",
    [
        *("", "labels.example.com", "ftp://a", "http://u:secret@a", "http://[", "http://a:99999"),
        *(
            "http://..",
            "http://a..b:80",
            f"http://{'a' * 300}.example",
            "http://a\nb",
            "http://a\0b",
        ),
        f"http://a/{'b' * 2000}",
    ],
)
def test_address__that_is_not_valid_is_not_repeated(address: str) -> None:
    with pytest.raises(UserError, match="http://HOST:PORT") as caught:
        Projects("", "").connect("1.1", address, "")
    assert "secret" not in str(caught.value)
    if address:
        with pytest.raises(UserError, match="http://HOST:PORT"):
            Projects(address, "")


def test_find__by_number_where_that_is_enough() -> None:
    projects = Projects("", "")
    one = projects.connect("1.5", SERVER, "")
    assert projects.find("1.5") is projects.find("1") is projects.find("") is one
    other = projects.connect("2.5", SERVER, "")
    assert projects.find("2") is other
    assert projects.find("") is None  # which of the two?
    assert projects.find("1.6") is None
    assert projects.find("3") is None


def test_find__a_project_that_was_never_set_up_is_on_the_settings_server() -> None:
    project = Projects(SERVER, TOKEN).find("9")
    assert project is not None
    assert (project.id, project.server, project.token) == (9, SERVER, TOKEN)


def test_of_webhook__by_number_and_time_of_creation() -> None:
    projects = Projects("", "")
    pairs: list[Project] = []
    for server in (SERVER, "http://127.0.0.1:8080"):
        name = f"1.{1767323045 + len(pairs)}"
        project = projects.connect(name, server, "")
        project.state = project.folder.update(project=name)
        pairs.append(project)
    assert projects.of_webhook({"id": 1, "created_at": "2026-01-02T03:04:06.5Z"}) is pairs[1]
    for created_at in ("2020-01-01T00:00:00Z", "yesterday", None, 5, "0001-01-01T00:00:00"):
        assert projects.of_webhook({"id": 1, "created_at": created_at}) is pairs[0]
    for number in (2, None, "1", [1]):
        assert projects.of_webhook({"id": number}) is None


def test_in_folder() -> None:
    projects = Projects("", "")
    project = projects.connect("1.5", SERVER, "")
    assert projects.in_folder(project.folder.path) is project
    assert projects.in_folder(project.folder.path.parent) is None


def test_label_config__is_parsed_once_for_each_text(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def counted(xml: str) -> LabelConfig:
        parsed.append(xml)
        return parse_label_config(xml)

    project: Project = Projects("", "").connect("1.5", SERVER, "")
    with pytest.raises(UserError, match="label config"):
        _ = project.label_config  # none is known yet
    other = BRUSH.replace("dog", "yak")
    with monkeypatch.context() as patch:
        patch.setattr(projects_module, "parse_label_config", counted)
        for text in (BRUSH, BRUSH, other):
            project.state = project.folder.update(label_config=text)
            assert project.label_config == parse_label_config(text)
        assert parsed == [BRUSH, other]
        project.state = project.folder.update(label_config=BRUSH)
        project.set_label_config(BRUSH, parse_label_config(BRUSH))  # as /setup has parsed it
        assert project.label_config == parse_label_config(BRUSH)
        assert parsed == [BRUSH, other]
