"""Label Studio gives those tasks first that teach most."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from prelabel.errors import UserError
from prelabel.label_studio import bulk, leading
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.leading import TAB, UNCERTAINTY, set_score
from prelabel.label_studio.api.photos import Fetcher
from prelabel.label_studio.bulk import Options
from prelabel.label_studio.leading import lead, mean_score, put_back
from prelabel.label_studio.led_tasks import read_leading
from prelabel.label_studio.project_folder import ProjectFolder
from support.label_studio_server import TOKEN, Server
from support.messages import assert_says
from support.small_photos import scene, tiny_config

BRUSH = """<View><Image name="image" value="$image"/>
<BrushLabels name="label" toName="image">
<Label value="cat"/><Label value="dog"/></BrushLabels></View>"""
N = 5
server = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(600)]


def test_mean_score__counts_each_region_once() -> None:
    items: list[Mapping[str, object]] = [
        {"id": "a", "score": 0.5},
        {"id": "b", "score": 0.25},
        {"id": "a", "score": 0.5},  # the same region's label
        {"id": "c"},
        {"id": "d", "score": None},
    ]
    assert mean_score({"result": items}) == 0.375
    assert mean_score({"result": []}) == mean_score({}) == 0


class _Project:
    """A predicted project on a real server."""

    def __init__(self, label_studio: Server, folder: Path) -> None:
        self.server = label_studio
        self.id = label_studio.project(BRUSH)
        files = []
        for i in range(N):
            file = io.BytesIO()
            Image.fromarray(scene(i)).save(file, "PNG")
            files.append((f"{i}.png", file.getvalue()))
        label_studio.upload(self.id, files)
        self.folder = ProjectFolder(folder / str(self.id))
        self.client = Client(label_studio.url, TOKEN, attempts=2, wait=0.05)
        self.fetcher = Fetcher(self.client, folder / "photos")
        bulk.predict_project(
            self.client, self.fetcher, self.id, self.folder, tiny_config(), Options()
        )

    def lead(self, **options: Any) -> list[int]:
        return lead(self.client, self.fetcher, self.id, self.folder, **options)

    def put_back(self) -> bool:
        return put_back(self.client, self.id, self.folder)

    def scores(self) -> dict[int, float]:
        tasks = self.server.tasks(self.id)
        return {t["id"]: p["score"] for t in tasks for p in t["predictions"]}

    def settings(self) -> tuple[str, list[str]]:
        """The task sampling, and the titles of the tabs of this tool."""
        tabs = self.server.json("GET", "/api/dm/views/", params={"project": self.id})
        titles = [tab["data"].get("title") for tab in tabs]
        return self.client.project(self.id).sampling, [t for t in titles if t == TAB]

    def tab_order(self) -> list[int]:
        """The tasks as the tab shows them."""
        tab = read_leading(self.folder.path).tab
        answer = self.server.json("GET", "/api/tasks", params={"project": self.id, "view": tab})
        return [task["id"] for task in answer["tasks"]]

    def next_task(self) -> int:
        return int(self.server.json("GET", f"/api/projects/{self.id}/next")["id"])


@pytest.fixture
def project(label_studio: Server, tmp_path: Path) -> _Project:
    return _Project(label_studio, tmp_path)


class TestServer:
    pytestmark = server

    def test_annotators_get_the_tasks_in_the_order(self, project: _Project) -> None:
        before, sampling = project.scores(), project.settings()[0]
        led = project.lead()
        assert sorted(led) == sorted(before)
        assert project.settings() == (UNCERTAINTY, [TAB])
        assert project.tab_order() == led
        # The stream, as an annotator who submits one task after the other sees it.
        seen: list[int] = []
        for _ in led[:3]:
            seen.append(project.next_task())
            project.server.annotate(seen[-1], [])
        assert seen == led[:3]
        assert project.tab_order() == led[3:]
        # Again, after corrections: only the rest has a place, and there is still one tab.
        assert sorted(project.lead()) == sorted(led[3:])
        scores = project.scores()
        assert {t for t, score in scores.items() if score < 0} == set(led[3:])
        assert [scores[t] for t in led[:3]] == pytest.approx([before[t] for t in led[:3]])
        assert project.settings() == (UNCERTAINTY, [TAB])
        assert project.put_back()
        assert project.scores() == pytest.approx(before)
        assert project.settings() == (sampling, [])
        assert not project.put_back()

    def test_settings_that_people_made_stay(self, project: _Project) -> None:
        path = f"/api/projects/{project.id}/"
        project.server.json("PATCH", path, json={"sampling": "Uniform sampling"})
        led = project.lead(keep_project_settings=True)
        assert project.settings() == ("Uniform sampling", [TAB])
        assert project.tab_order() == led
        project.lead()
        assert project.settings()[0] == UNCERTAINTY
        # Somebody chooses another one meanwhile.
        project.server.json("PATCH", path, json={"sampling": "Sequential sampling"})
        assert project.put_back()
        assert project.settings() == ("Sequential sampling", [])

    def test_an_interruption_can_be_put_back(
        self, project: _Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before, settings = project.scores(), project.settings()
        changed: list[int] = []

        def fails(client: Client, prediction: int, score: float) -> None:
            if len(changed) == 2:
                raise KeyboardInterrupt
            changed.append(prediction)
            set_score(client, prediction, score)

        with monkeypatch.context() as patch:
            patch.setattr(leading, "set_score", fails)
            with pytest.raises(KeyboardInterrupt):
                project.lead()
        assert project.scores() != pytest.approx(before)
        assert project.put_back()
        assert project.scores() == pytest.approx(before)
        assert project.settings() == settings

    def test_without_a_prediction_nothing_is_changed(
        self, label_studio: Server, project: _Project
    ) -> None:
        for task in project.scores():
            label_studio.annotate(task, [])
        settings = project.settings()
        with pytest.raises(UserError) as caught:
            project.lead()
        assert_says(caught.value, "no task without an annotation")
        assert project.settings() == settings
