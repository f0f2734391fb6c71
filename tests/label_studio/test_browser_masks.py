"""Three photos are corrected, and the masks of all others become better: in a real Label Studio and a
real browser. The tests build on each other, in this order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from builders import prediction, region
from prelabel.data.masks import Mask
from prelabel.label_studio.create import Backend
from prelabel.label_studio.demo import demo
from prelabel.label_studio.format.items import decode_item, encode_regions
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.model_version import is_own
from support.browser import LabelStudioTab, chromium
from support.faint_things import SIDE, faint_thing
from support.label_studio_server import Server
from support.project_of_photos import label_xml

SETTINGS = ["--backbone", "color-texture", "--recipe", "fast", "--set", "features.size=224"]
THINGS = {f"thing-{number}.png": faint_thing(number) for number in range(1, 22)}
CORRECTED = ("thing-1.png", "thing-2.png", "thing-3.png")
FOURTH = "thing-4.png"
XML = label_xml()

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Stage:
    """All that runs, and the project."""

    server: Server
    backend: Backend
    tab: LabelStudioTab
    project: int

    def tasks(self) -> dict[str, dict[str, Any]]:
        """The project's tasks by the photo's name."""
        return {
            next(name for name in THINGS if task["data"]["image"].endswith(f"-{name}")): task
            for task in self.server.tasks(self.project)
        }

    def mean_iou(self) -> float:
        """Of the newest predictions, on the photos that nobody has corrected."""
        tasks = self.tasks()
        rest = [name for name in THINGS if name not in CORRECTED]
        return float(np.mean([_iou(_predicted(tasks[n]), THINGS[n].mask) for n in rest]))


@pytest.fixture(scope="module")
def stage(label_studio: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("browser")
    with pytest.MonkeyPatch.context() as patch, chromium() as browser:
        patch.setenv("PRELABEL_HOME", str(folder / "home"))
        with demo.backend(label_studio, folder, SETTINGS) as backend:
            tab = LabelStudioTab(browser, label_studio, folder)
            project = label_studio.project(XML)
            label_studio.upload(project, [(name, made.png) for name, made in THINGS.items()])
            tab.connect(project, backend.url, backend.user, backend.password)
            found = Stage(label_studio, backend, tab, project)
            _wait(lambda: "Model fitted" in _page(found), seconds=120)
            tab.retrieve(project)
            yield found


def _wait(ready: Any, *, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.5)


def _page(stage: Stage) -> str:
    """The backend's own page."""
    answer = stage.server.http.get(
        stage.backend.url, auth=(stage.backend.user, stage.backend.password)
    )
    return answer.text


def _own(task: dict[str, Any]) -> list[dict[str, Any]]:
    own = [p for p in task["predictions"] if is_own(p["model_version"])]
    return sorted(own, key=lambda one: int(one["id"]))


def _predicted(task: dict[str, Any]) -> Mask:
    """All regions of a task's newest prediction, together."""
    found = np.zeros((SIDE, SIDE), dtype=np.bool_)
    for item in _own(task)[-1]["result"]:
        mask = decode_item(item, height=SIDE, width=SIDE)
        assert mask is not None
        found |= mask
    return found


def _iou(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / max((one | other).sum(), 1))


def _correct(stage: Stage, name: str) -> None:
    """Submit the truth."""
    [control] = parse_label_config(XML).controls
    drawn = prediction(name, region(THINGS[name].mask))
    items, _ = encode_regions(drawn, {0: "polyp"}, control)
    stage.server.annotate(stage.tasks()[name]["id"], items)


@pytest.fixture(scope="module")
def corrected(stage: Stage) -> tuple[float, float]:
    """Three photos are made equal to the truth; the mean IoU of the others before and after."""
    before = stage.mean_iou()
    tasks = stage.tasks()
    stage.tab.open(stage.project, tasks["thing-9.png"]["id"])
    stage.tab.save("masks-1-before")
    versions = {p["model_version"] for task in tasks.values() for p in _own(task)}
    for name in CORRECTED:
        _correct(stage, name)
    began = time.monotonic()
    _wait(lambda: "Masks learned from 3 photos" in _page(stage), seconds=60)
    rest = [name for name in THINGS if name not in CORRECTED]
    _wait(
        lambda: all(_own(stage.tasks()[n])[-1]["model_version"] not in versions for n in rest),
        seconds=60,
    )
    took = time.monotonic() - began
    print(f"the masks of all others were there after {took:.0f} s")
    stage.tab.retrieve(stage.project)
    after = stage.mean_iou()
    stage.tab.open(stage.project, tasks["thing-9.png"]["id"])
    stage.tab.save("masks-2-after")
    return before, after


def test_corrections__make_the_masks_of_the_other_photos_better(
    corrected: tuple[float, float],
) -> None:
    before, after = corrected
    print(f"mean IoU {before:.2f} before, {after:.2f} after three corrections")
    assert after > before + 0.15


def test_page__shows_what_was_learned(stage: Stage, corrected: tuple[float, float]) -> None:
    _correct(stage, FOURTH)
    _wait(lambda: "Masks learned from 4 photos" in _page(stage), seconds=60)
    browser = stage.tab.page.context.browser
    assert browser
    page = browser.new_page(
        viewport={"width": 1000, "height": 600},
        http_credentials={"username": stage.backend.user, "password": stage.backend.password},
    )
    page.goto(stage.backend.url)
    page.screenshot(path=stage.tab.folder / "label-studio-masks-3-page.png")
    text, lines = page.inner_text("body"), page.locator("svg polyline").count()
    page.close()
    assert "Masks learned from 4 photos (polyp)" in text
    assert "foreground IoU" in text
    assert lines == 2  # without and with what was learned


def test_deleted_annotations__leave_no_trace(stage: Stage, corrected: tuple[float, float]) -> None:
    before, _ = corrected
    tasks = stage.tasks()
    for name in (*CORRECTED, FOURTH):
        for annotation in tasks[name]["annotations"]:
            answer = stage.server.http.delete(f"/api/annotations/{annotation['id']}/")
            assert answer.is_success
    _wait(lambda: abs(stage.mean_iou() - before) < 1e-6, seconds=60)
    _wait(lambda: "Masks learned" not in _page(stage), seconds=30)
