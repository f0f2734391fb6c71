"""A Label Studio on this machine alone, started without a click."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from prelabel.errors import UserError

_FIRST_START = 300.0
"""Seconds that the first start may take: it makes its database."""


@dataclass(frozen=True)
class Login:
    """A user that the first start makes. ``token``: a legacy token, 40 hex digits."""

    email: str
    password: str
    token: str


class LocalServer:
    """``command``: the label-studio program; ``folder``: its data, kept from start to start.
    Listens on loopback, sends no statistics, and accepts ML backends on loopback."""

    def __init__(self, command: Path, folder: Path, login: Login, *, port: int = 0) -> None:
        self.command = command
        self.folder = folder
        self.login = login
        self.port = port or free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *arguments: str) -> None:
        """Returns when it answers. Raises UserError if it does not."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "server.log"
        try:
            with log.open("ab") as into:
                self.process = subprocess.Popen(
                    [self.command, "start", "--no-browser", *self._place(), *arguments],
                    env={**os.environ, **self._settings()},
                    stdin=subprocess.DEVNULL,
                    stdout=into,
                    stderr=into,
                    start_new_session=True,  # Ctrl-C: the parent ends it
                )
        except OSError as error:
            raise UserError(f"{self.command} cannot be started ({error.strerror})") from error
        until = time.monotonic() + _FIRST_START
        while time.monotonic() < until and self.process.poll() is None:
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            time.sleep(0.3)
        ended = self.process.poll()
        self.stop()
        how = (
            f"no answer in {_FIRST_START:.0f} s" if ended is None else f"ended with status {ended}"
        )
        raise UserError(f"Label Studio does not start ({how}); the end of {log}:\n{_end_of(log)}")

    def stop(self) -> None:
        """Kill it, as a power cut would; its database survives that."""
        if self.process:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _place(self) -> Sequence[str]:
        return "--internal-host", "127.0.0.1", "-p", str(self.port)

    def _settings(self) -> dict[str, str]:
        return {
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.folder),
            "LABEL_STUDIO_USERNAME": self.login.email,
            "LABEL_STUDIO_PASSWORD": self.login.password,
            "LABEL_STUDIO_USER_TOKEN": self.login.token,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
            "LABEL_STUDIO_HOST": self.url,
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            # Since 1.23 it asks no backend on a private address without these two.
            "ML_BLOCK_LOCAL_IP": "false",
            "SSRF_PROTECTION_ENABLED": "false",
        }


def _end_of(log: Path, lines: int = 15) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def free_port(preferred: int = 0) -> int:
    """The preferred port of loopback if it is free, else some free one."""
    for port in (preferred, 0):
        with socket.socket() as place:
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                place.bind(("127.0.0.1", port))
                return int(place.getsockname()[1])
    raise UserError("no port of 127.0.0.1 is free")
