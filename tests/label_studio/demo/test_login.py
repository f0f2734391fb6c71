"""The demo's login: made once, and made anew without losing what is in Label Studio."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

import pytest

from prelabel.errors import UserError
from prelabel.label_studio.demo.local_server import Login
from prelabel.label_studio.demo.login import login
from support.label_studio_server import COMMAND, EMAIL, PASSWORD, TOKEN, Server
from support.messages import assert_says
from support.places import require

NONE = Path("label-studio")


def test_login__is_made_once_and_for_this_user_alone(tmp_path: Path) -> None:
    made = login(NONE, tmp_path)
    assert login(NONE, tmp_path) == made
    assert len(made.token) == 40
    assert (tmp_path / "login.json").stat().st_mode & 0o077 == 0


def test_login__has_a_password_that_no_command_line_takes_for_an_option(tmp_path: Path) -> None:
    for number in range(200):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert login(NONE, folder).password.isalnum()


def _program(file: Path) -> Path:
    """Notes what it was asked for."""
    file.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        f"print(os.environ['LABEL_STUDIO_BASE_DATA_DIR'], *sys.argv[1:], file=open({str(file)!r} + '.asked', 'w'))\n"
    )
    file.chmod(0o755)
    return file


def _database(folder: Path, *users: tuple[str, str]) -> None:
    """As Label Studio's, as far as it matters here."""
    with sqlite3.connect(folder / "label_studio.sqlite3") as database:
        database.execute("CREATE TABLE htx_user (id INTEGER, email TEXT)")
        database.execute("CREATE TABLE authtoken_token (key TEXT, user_id INTEGER)")
        for number, (email, token) in enumerate(users):
            database.execute("INSERT INTO htx_user VALUES (?, ?)", (number, email))
            database.execute("INSERT INTO authtoken_token VALUES (?, ?)", (token, number))


@pytest.mark.parametrize("text", ["{", '{"email": "me@example.com"}'])
def test_login__that_is_damaged_and_moved_away_is_made_anew(tmp_path: Path, text: str) -> None:
    program = _program(tmp_path / "program")
    folder = tmp_path / "data"
    folder.mkdir()
    _database(folder, ("other@example.com", "1" * 40), ("demo@example.com", "2" * 40))
    (folder / "login.json").write_text(text)
    with pytest.raises(UserError) as error:
        login(program, folder)
    assert_says(error.value, "login.json is damaged", "move it away", "annotations stay")
    (folder / "login.json").rename(tmp_path / "login.json")

    made = login(program, folder)
    assert (made.email, made.token) == ("demo@example.com", "2" * 40)
    asked = (tmp_path / "program.asked").read_text().split()
    assert asked == [
        *(str(folder), "reset_password", "--username", made.email, "--password", made.password)
    ]
    assert login(program, folder) == made


def test_login__of_a_database_without_its_user(tmp_path: Path) -> None:
    _database(tmp_path, ("other@example.com", "1" * 40))
    assert len(login(NONE, tmp_path).password) > 8
    (tmp_path / "login.json").unlink()
    (tmp_path / "label_studio.sqlite3").write_bytes(b"")  # its first start was cut off
    assert len(login(NONE, tmp_path).password) > 8


def test_login__of_a_damaged_database(tmp_path: Path) -> None:
    (tmp_path / "label_studio.sqlite3").write_bytes(b"not a database" * 100)
    with pytest.raises(UserError, match=r"label_studio\.sqlite3 is damaged"):
        login(NONE, tmp_path)


def test_login__of_a_program_that_is_not_there(tmp_path: Path) -> None:
    _database(tmp_path, ("demo@example.com", "2" * 40))
    with pytest.raises(UserError, match="cannot set a password"):
        login(tmp_path / "gone", tmp_path)
    assert not (tmp_path / "login.json").exists()


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.timeout(600)
def test_login__of_a_real_label_studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require("label-studio", COMMAND.exists(), f"no {COMMAND}: make label-studio-server")
    server = Server(tmp_path)
    server.login = Login("demo@example.com", PASSWORD, TOKEN)
    assert server.login.email != EMAIL
    try:
        server.start()
        project = server.project("<View/>")
        server.stop()
        made = login(COMMAND, tmp_path)
        assert made.token == TOKEN
        server.login = made
        server.start()
        assert server.json("GET", f"/api/projects/{project}/")["id"] == project
        page = server.http.get("/user/login/")
        token = page.text.split('name="csrfmiddlewaretoken" value="')[1].split('"')[0]
        form = {"email": made.email, "password": made.password, "csrfmiddlewaretoken": token}
        answer = server.http.post("/user/login/", data=form)
        assert answer.status_code == 302  # it accepts the new password
    finally:
        server.stop()
