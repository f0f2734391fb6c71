"""Label Studio and the backend together on this machine, with the sample photos, ready to correct."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from prelabel.errors import UserError
from prelabel.label_studio.create import Backend
from prelabel.label_studio.demo.local_server import LocalServer, free_port
from prelabel.label_studio.demo.login import login


@contextmanager
def label_studio(command: Path, folder: Path) -> Iterator[LocalServer]:
    """A Label Studio with its data in ``folder``, stopped at the end."""
    server = LocalServer(command, folder, login(command, folder), port=free_port(8080))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def backend(
    server: LocalServer, folder: Path, arguments: Sequence[str], *, port: int = 0
) -> Iterator[Backend]:
    """``prelabel serve`` for that server, at that port if it is free, stopped at the end. Raises
    UserError if it does not start."""
    found = Backend(
        f"http://127.0.0.1:{free_port(port)}", "label-studio", secrets.token_urlsafe(12)
    )
    secret = {
        "PRELABEL_BASIC_AUTH": f"{found.user}:{found.password}",
        "LABEL_STUDIO_URL": server.url,
        "LABEL_STUDIO_API_KEY": server.login.token,
    }
    with (folder / "backend.log").open("ab") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "prelabel", "serve"),
                *("--port", found.url.rpartition(":")[2], *arguments),
            ],
            env={**os.environ, **secret},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise UserError(f"the backend does not start: {folder / 'backend.log'} says why")
            with suppress(httpx.TransportError):
                # With the password, as another backend may have taken the port since.
                if httpx.get(found.url, auth=(found.user, found.password)).status_code == 200:
                    break
            time.sleep(0.1)
        else:
            raise UserError(f"the backend does not answer: {folder / 'backend.log'} says why")
        yield found
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
