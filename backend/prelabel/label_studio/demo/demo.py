"""Label Studio and the backend together on this machine, with the sample photos, ready to correct."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from prelabel.errors import UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.demo.local_server import LocalServer, free_port
from prelabel.label_studio.demo.login import login
from prelabel.storage.progress import RunLog

TITLE = "prelabel samples"
_UPLOAD = 20
"""Photos in one request."""


@dataclass(frozen=True)
class Backend:
    """A running ``prelabel serve``."""

    url: str
    user: str
    password: str


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
def backend(server: LocalServer, folder: Path, arguments: Sequence[str]) -> Iterator[Backend]:
    """``prelabel serve`` for that server, stopped at the end. Raises UserError if it does not start."""
    found = Backend(
        f"http://127.0.0.1:{free_port(9090)}", "label-studio", secrets.token_urlsafe(12)
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
            try:
                if httpx.get(f"{found.url}/health", timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
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


def project(
    client: Client, photos: Sequence[Path], labels: Sequence[str], backend: Backend, log: RunLog
) -> int:
    """The demo's project with its photos, connected to the backend: the one that is there from
    an earlier start, or a new one."""
    found = client.find_project(TITLE)
    if found is None:
        found = client.create_project(TITLE, label_xml(labels), instructions=INSTRUCTIONS)
        with log.stage("upload", len(photos)):
            for start in range(0, len(photos), _UPLOAD):
                client.upload(found, photos[start : start + _UPLOAD])
                for _ in photos[start : start + _UPLOAD]:
                    log.advance()
    client.connect_backend(
        found, backend.url, title="prelabel", user=backend.user, password=backend.password
    )
    return found


INSTRUCTIONS = """<p><b>Correct.</b> Press V and choose a region. Press the key of a label to name it,
change its edge with brush and eraser, or delete it.</p>
<p><b>Smart.</b> Switch on <i>Auto-Annotation</i> and <i>Auto-Accept Suggestions</i> below the photo. Press
M until the tool that you want is active: a point or a box. Choose a label in its row, and click an
object, or draw a box around it. The label is chosen anew for each point. Alt+click says what does not
belong to the object.</p>"""


def label_xml(labels: Sequence[str]) -> str:
    """A label config: masks with a brush, whose labels have the number keys; a click or a box asks the
    backend for the object there."""
    keyed = "".join(
        f'<Label value="{label}" hotkey="{key}"/>' for key, label in enumerate(labels, start=1)
    )
    choices = "".join(f'<Label value="{label}"/>' for label in labels)
    row = "display: flex; flex-wrap: wrap; align-items: baseline; column-gap: 8px"
    return f"""<View>
  <View style="{row}">
    <Header size="6" value="Regions"/>
    <BrushLabels name="label" toName="image" smart="false">{keyed}</BrushLabels>
  </View>
  <View style="{row}">
    <Header size="6" value="Smart click"/>
    <KeyPointLabels name="click" toName="image" smart="true" smartOnly="true">{choices}</KeyPointLabels>
  </View>
  <View style="{row}">
    <Header size="6" value="Smart box"/>
    <RectangleLabels name="box" toName="image" smart="true" smartOnly="true">{choices}</RectangleLabels>
  </View>
  <Image name="image" value="$image" zoom="true"/>
</View>"""
