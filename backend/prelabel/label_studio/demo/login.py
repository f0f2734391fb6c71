"""The demo's user: made once, and kept beside Label Studio's data."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

from prelabel.errors import UserError
from prelabel.label_studio.demo.local_server import Login
from prelabel.storage.files import replacing

_FILE = "login.json"
_SECONDS = 300.0
"""For setting a password, which starts Label Studio's whole program."""
_TOKEN = """SELECT token.key FROM authtoken_token AS token
JOIN htx_user ON htx_user.id = token.user_id WHERE htx_user.email = ?"""


def login(command: Path, folder: Path) -> Login:
    """The demo's user, as the file in ``folder`` has it, which is readable for its owner alone.

    Without that file, one is made. If Label Studio's data is there already, with the annotations of
    earlier starts, its user stays and gets a new password. ``command``: the label-studio program.
    Raises UserError.
    """
    file = folder / _FILE
    if file.exists():
        try:
            return Login(**json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise UserError(
                f"{file} is damaged: put back a copy of it, or move it away, and a new password is "
                "set; projects and annotations stay"
            ) from error
    # In hex digits: a password that begins with "-" is an option to label-studio's command line.
    made = Login("demo@example.com", secrets.token_hex(8), secrets.token_hex(20))
    database = folder / "label_studio.sqlite3"
    token = _token_of(made.email, database) if database.exists() else ""
    if token:
        made = replace(made, token=token)
        _set_password(command, folder, made)
    with replacing(file) as beside:
        beside.touch(mode=0o600)
        beside.write_text(json.dumps(asdict(made)), encoding="utf-8")
    return made


def _token_of(email: str, database: Path) -> str:
    """A user's legacy token, "" if there is no such user yet. Raises UserError."""
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as opened:
            found = opened.execute(_TOKEN, (email,)).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # its first start was cut off
            return ""
        raise UserError(f"{database} cannot be read ({error}): put back a copy of it") from error
    except sqlite3.DatabaseError as error:
        raise UserError(f"{database} is damaged ({error}): put back a copy of it") from error
    return str(found[0]) if found else ""


def _set_password(command: Path, folder: Path, user: Login) -> None:
    """Raises UserError."""
    words = ["reset_password", "--username", user.email, "--password", user.password]
    try:
        subprocess.run(
            [command, *words],
            env={**os.environ, "LABEL_STUDIO_BASE_DATA_DIR": str(folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(
            f"{command} cannot set a password ({type(error).__name__}): put back {folder / _FILE}"
        ) from error
