"""What `make label-studio` starts, with a backbone that needs no weights: a newcomer names all classes on
the review page, and sees masks in Label Studio with names and colours."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from prelabel.data.colors import read_hex_color
from prelabel.label_studio.demo.local_server import LocalServer, Login
from prelabel.label_studio.format.items import decode_item
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.model_version import is_own
from support.browser import LabelStudioTab, chromium
from support.label_studio_server import COMMAND
from support.places import require
from support.review_page import ReviewTab

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(600)]
PRELABEL = [sys.executable, "-m", "prelabel"]
N_PHOTOS = 33


@dataclass(frozen=True)
class Running:
    """A demo that runs. ``rows``: of the table that it has printed."""

    folder: Path
    printed: str
    rows: dict[str, str]

    @property
    def server(self) -> LocalServer:
        """Its Label Studio, which it has started itself."""
        login = Login(**json.loads((self.folder / "label-studio" / "login.json").read_text()))
        url = self.rows["open"].partition("/projects")[0]
        return LocalServer(COMMAND, self.folder, login, port=int(url.rpartition(":")[2]))

    @property
    def backend(self) -> str:
        """Its address."""
        return self.rows["backend"].split()[0]

    @property
    def user(self) -> dict[str, str]:
        """As the browser gives it to the backend."""
        found = re.search(r"user (\S+), password (\S+)\)", self.rows["backend"])
        assert found
        return {"username": found[1], "password": found[2]}

    def ask(self, path: str) -> Any:
        """What Label Studio answers."""
        server = self.server
        token = {"Authorization": f"Token {server.login.token}"}
        return httpx.get(f"{server.url}{path}", headers=token, timeout=60).json()

    def predictions(self) -> dict[int, list[Any]]:
        """The predictions of each task."""
        tasks = self.ask("/api/tasks?project=1&page_size=100&fields=all")["tasks"]
        return {task["id"]: task["predictions"] for task in tasks}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """It is stopped as by Ctrl-C."""
    require("label-studio", COMMAND.exists(), f"no {COMMAND}: make label-studio-server")
    pytest.importorskip("skimage")
    folder = tmp_path_factory.mktemp("demo")
    words = ("label-studio", "demo", "--command", str(COMMAND), "--folder", str(folder))
    process = subprocess.Popen(
        [*PRELABEL, *words, "--backbone", "color-texture"],
        env={**os.environ, "PRELABEL_HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    printed = ""
    try:
        for line in process.stdout:
            printed += line
            if "Ctrl-C stops" in line:
                break
        rows = dict(row.split(maxsplit=1) for row in printed.splitlines() if " " in row.strip())
        assert "open" in rows, printed
        found = Running(folder, printed, rows)
        server, backend = found.server.url, found.backend
        yield found
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
    assert code == 0
    for address in (server, backend):
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{address}/health", timeout=2)


def test_demo__everything_runs(demo: Running) -> None:
    assert f"{N_PHOTOS} got a prediction" in demo.printed
    coco = json.loads((demo.folder / "export" / "coco" / "instances.json").read_text())
    assert len(coco["images"]) == N_PHOTOS
    assert coco["annotations"]
    login = demo.server.login
    assert login.password in demo.printed
    assert (demo.folder / "label-studio" / "login.json").stat().st_mode & 0o077 == 0
    (model,) = demo.ask("/api/ml?project=1")
    assert model["state"] == "CO"
    assert model["url"] == demo.backend
    assert httpx.get(f"{demo.backend}/").status_code == 401
    project = demo.ask("/api/projects/1/")
    assert f"{demo.backend}/projects/1/review/" in project["expert_instruction"]

    # One home, one model: the command finds what backend and demo have fitted together.
    names = subprocess.run(
        [*PRELABEL, "label-studio", "names", "--project", "1", "--url", demo.server.url],
        env={**os.environ, "PRELABEL_HOME": str(demo.folder / "home")},
        capture_output=True,
        text=True,
    )
    assert "not named yet" in names.stdout, names.stderr
    assert len(list((demo.folder / "home").rglob("model.json"))) == 1
    versions = demo.ask("/api/projects/1/model-versions")
    assert [n for version, n in versions.items() if is_own(version)] == [N_PHOTOS]


def test_review__names_and_colours_reach_label_studio(demo: Running) -> None:
    before = demo.predictions()
    config = parse_label_config(demo.ask("/api/projects/1/")["label_config"])
    colors = {label.value: read_hex_color(label.color or "") for label in config.controls[0].labels}
    named = [label for label in colors if not label.startswith("object ")]
    assert len(named) == 5
    with chromium() as browser:
        _name_all(demo, browser, named)
        after = demo.predictions()
        masks = [item for own in after.values() for p in own for item in p["result"]]
        assert {label for item in masks for label in item["value"]["brushlabels"]} <= set(named)
        assert {task: len(own) for task, own in after.items()} == dict.fromkeys(before, 1)

        tab = LabelStudioTab(browser, demo.server, demo.folder)
        task, [prediction] = next((t, p) for t, p in after.items() if len(p[0]["result"]) == 1)
        [item] = prediction["result"]
        [region] = tab.open(1, task)
        assert region["labels"] == item["value"]["brushlabels"]
        plain, drawn = tab.colours([]), tab.colours([item["id"]])
        tab.save("demo-reviewed")
        mask = decode_item(item, height=item["original_height"], width=item["original_width"])
        assert mask is not None
        height, width = mask.shape
        inner = np.zeros_like(
            mask
        )  # of a photo that fills the page, the frame lies beyond its border
        inner[height // 20 : -height // 20, width // 20 : -width // 20] = True
        mask = mask & inner
        towards = np.array(colors[region["labels"][0]]) - plain[mask]
        change = (drawn - plain)[mask]
        cosine = (towards * change).sum() / (np.linalg.norm(towards) * np.linalg.norm(change))
        assert cosine > 0.9  # the mask has the colour of its label


def _name_all(demo: Running, browser: Any, labels: list[str]) -> None:
    """By the keyboard: each class gets one of the labels; the predictions are brought up to date."""
    page = demo.rows["begin"].split()[1]
    size = {"width": 1280, "height": 800}
    tab = ReviewTab(browser, page, http_credentials=demo.user, viewport=size)
    tab.save_shot(demo.folder, "demo-review-1")
    n = len(tab.classes())
    for number in range(n):
        tab.say(labels[number % len(labels)])
        tab.until(f"document.querySelectorAll('.row.unnamed').length === {n - number - 1}")
    tab.page.get_by_text("no class left").wait_for()
    tab.page.click("#push")
    tab.page.get_by_text("Predictions updated").wait_for(timeout=180_000)
    tab.save_shot(demo.folder, "demo-review-2")
    tab.close()
    _wait_for_one_prediction(demo, browser)


def _wait_for_one_prediction(demo: Running, browser: Any) -> None:
    """Earlier predictions stay for a minute, as somebody may have a task open."""
    page = browser.new_page(http_credentials=demo.user)
    for _ in range(120):
        if all(len(own) == 1 for own in demo.predictions().values()):
            break
        page.wait_for_timeout(1000)
    page.goto(demo.backend)
    page.get_by_text("classes named").wait_for()
    page.screenshot(path=demo.folder / "demo-backend.png")
    assert page.inner_text("h3") == "prelabel samples"
    page.close()
