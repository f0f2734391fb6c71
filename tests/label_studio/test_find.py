"""The like of an annotated object in a project, against a small Label Studio on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import builders
from prelabel.data.masks import Mask
from prelabel.errors import UserError
from prelabel.label_studio import bulk
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Fetcher
from prelabel.label_studio.bulk import Options, predict_project
from prelabel.label_studio.find import FoundTotals, find_in_project
from prelabel.label_studio.find_examples import read_example
from prelabel.label_studio.format.items import decode_item
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.format.photos import task_photos
from prelabel.label_studio.found_regions import remove_found
from prelabel.label_studio.project_folder import ProjectFolder
from support.command_line import cli
from support.faint_things import SIDE, faint_thing
from support.fake_label_studio import BRUSH, TOKEN, FakeLabelStudio, running
from support.label_studio_server import TOKEN as REAL_TOKEN
from support.label_studio_server import Server
from support.messages import assert_says
from support.small_photos import as_picture, tiny_config

N = 5


def _mask(item: Any) -> Mask:
    found = decode_item(item, height=SIDE, width=SIDE)
    assert found is not None
    return found


class Project:
    """A predicted project of photos with a faint thing each, which the model's masks miss."""

    def __init__(self, server: FakeLabelStudio, home: Path) -> None:
        self.server = server
        name, _ = server.project(0, BRUSH)
        self.id = int(name.partition(".")[0])
        self.things = [faint_thing(seed) for seed in range(N)]
        self.numbers = [
            server.task(self.id, image=server.upload(50 + i, thing.png))["id"]
            for i, thing in enumerate(self.things)
        ]
        self.home = home
        self.folder = ProjectFolder(home / str(self.id))

    def predict(self, **options: Any) -> str:
        with Client(self.server.url, TOKEN, attempts=1) as client:
            totals = predict_project(
                client,
                Fetcher(client, self.home / "photos"),
                self.id,
                self.folder,
                tiny_config("features.size=160"),
                Options(**options),
            )
        return totals.model_version

    def overlook(self) -> None:
        """Take out of the predictions what is looked for, as if the model had missed it."""
        for number, thing in zip(self.numbers, self.things, strict=True):
            for entry in self.entries(number):
                entry["result"] = [
                    item for item in entry["result"] if np.mean(thing.mask[_mask(item)]) < 0.3
                ]

    def find(self, like: int, **options: Any) -> FoundTotals:
        with Client(self.server.url, TOKEN, attempts=1) as client:
            fetcher = Fetcher(client, self.home / "photos")
            return find_in_project(client, fetcher, self.id, self.folder, like=like, **options)

    def annotate(self, number: int, label: str | None = "cat") -> None:
        thing = self.things[self.numbers.index(number)]
        self.server.annotate(number, [builders.item(thing.mask, label)])

    def entries(self, number: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.server.tasks[number]["predictions"]
        return found

    def results(self) -> dict[int, list[Any]]:
        return {n: [p["result"] for p in self.entries(n)] for n in self.numbers}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(bulk, "OPEN", 0.0)
    with running() as server:
        yield Project(server, tmp_path)


@pytest.mark.slow
def test_find_in_project__adds_what_predictions_lack(project: Project) -> None:
    first, second, drafted, *rest = project.numbers
    version = project.predict()
    project.overlook()
    before = project.results()
    project.annotate(first)
    project.annotate(second)
    project.server.tasks[drafted]["drafts"] = [{"id": 1, "result": []}]

    dry = project.find(first, dry_run=True)
    assert dry.best
    assert project.results() == before

    totals = project.find(first)
    assert totals.best == dry.best
    assert totals.best == sorted(totals.best, reverse=True)
    assert {label for _, _, label in totals.best} == {"cat"}
    assert (totals.searched, totals.begun, totals.unpredicted) == (len(rest), 2, 0)
    after = project.results()
    assert all(after[n] == before[n] for n in (first, second, drafted))
    for number in rest:
        (entry,) = project.entries(number)
        assert entry["model_version"] == version
        old, new = before[number][0], entry["result"]
        assert new[: len(old)] == old
        added = new[len(old) :]
        thing = project.things[project.numbers.index(number)].mask
        best = max((np.mean(m[thing]) * np.mean(thing[m]) for m in map(_mask, added)), default=0.0)
        assert best > 0.3
        assert all(item["value"]["brushlabels"] == ["cat"] for item in added)

    # Again: it is there already.
    again = project.find(first)
    assert (again.changed, again.best) == (0, [])
    assert again.known >= len(totals.best)
    assert project.results() == after

    # Gone with a later predict, as if it had never been there.
    with Client(project.server.url, TOKEN, attempts=1) as client:
        assert remove_found(client, project.folder) == totals.changed
        assert remove_found(client, project.folder) == 0
    assert project.results() == before
    assert project.find(first, most=1).changed == 1
    project.predict(replace_own=True)
    assert all(len(project.entries(n)) == 1 for n in rest)
    assert not (project.folder.path / "found.json").exists()


@pytest.mark.slow
def test_find_in_project__refuses_what_gives_no_example(project: Project) -> None:
    first, second, *_ = project.numbers
    with pytest.raises(UserError) as caught:
        project.find(first)
    assert_says(caught.value, "no fitted model")
    version = project.predict()
    for said in ("no region", "submit"):
        with pytest.raises(UserError) as caught:
            project.find(first)
        assert_says(caught.value, f"task {first}", said)
    project.annotate(first)
    with pytest.raises(UserError) as caught:
        project.find(first, region="gone")
    assert_says(caught.value, "'gone'")
    project.annotate(second, label=None)
    with pytest.raises(UserError) as caught:
        project.find(second)
    assert_says(caught.value, "no region with a label")
    with pytest.raises(UserError) as caught:
        project.find(999)
    assert_says(caught.value, "999")
    pixel = np.zeros((SIDE, SIDE), dtype=np.bool_)
    pixel[3, 3] = True
    project.server.annotate(first, [builders.item(pixel)])
    with pytest.raises(UserError) as caught:
        project.find(first)
    assert_says(caught.value, "teach nothing")
    # A prediction of another version is left alone, and the photo of a task may be gone.
    project.annotate(first)
    project.entries(second)[0]["model_version"] = "0123456789ab-7"
    project.server.tasks[second]["annotations"] = []
    totals = project.find(first, dry_run=True)
    assert totals.unpredicted == 1
    assert version not in {p["model_version"] for p in project.entries(second)}


@pytest.mark.slow
def test_find__the_command(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRELABEL_HOME", str(project.home / "home"))
    from prelabel.label_studio.project_home import open_folder

    with Client(project.server.url, TOKEN, attempts=1) as client:
        project.folder = open_folder(client.url, client.project(project.id).name)
    project.predict()
    project.overlook()
    project.annotate(project.numbers[0])
    where = ("--project", project.id, "--url", project.server.url)
    words = ("label-studio", "find", *where, "--like", project.numbers[0])
    result = cli(*words, "--most", 1, env={"LABEL_STUDIO_API_KEY": TOKEN})
    assert result.exit_code == 0, result.output
    assert_says(" ".join(result.stdout.split()), "found 1 regions added to 1 predictions", ": cat")


def test_read_example__one_region_of_several() -> None:
    config = parse_label_config(BRUSH)
    drawn = [
        builders.item(builders.box(0, 0, 3, 3), "cat", id="a"),
        builders.item(builders.box(5, 0, 3, 3), "cat", id="b"),
        builders.item(builders.box(0, 5, 3, 3), "dog", id="c"),
        builders.item(builders.box(6, 5, 2, 2), None, id="d"),
    ]
    task = builders.task(1, annotation=drawn)
    photos = task_photos(1, task["data"], config)
    image = as_picture(0)
    from dataclasses import replace

    image = replace(image, width=builders.WIDTH, height=builders.HEIGHT)
    whole = read_example(task, photos[0], photos, image, config)
    assert whole is not None
    assert [region.name for region in whole.regions] == ["cat", "cat", "dog"]
    assert (len(whole.unknown), whole.complete) == (1, True)
    one = read_example(task, photos[0], photos, image, config, region="a", partial=True)
    assert one is not None
    assert [region.name for region in one.regions] == ["cat", ""]
    assert (len(one.unknown), one.complete) == (2, False)
    assert read_example(task, photos[0], photos, image, config, region="x") is None
    assert read_example(builders.task(2), photos[0], photos, image, config) is None


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.timeout(600)
def test_find_in_project__on_a_real_server(label_studio: Server, tmp_path: Path) -> None:
    """It keeps what is added to a prediction, and what is taken out again."""
    number = label_studio.project(BRUSH)
    things = [faint_thing(seed) for seed in range(3)]
    label_studio.upload(number, [(f"{i}.png", thing.png) for i, thing in enumerate(things)])
    folder = ProjectFolder(tmp_path / str(number))
    client = Client(label_studio.url, REAL_TOKEN, attempts=2, wait=0.05)
    fetcher = Fetcher(client, tmp_path / "photos")
    config = tiny_config("features.size=160")
    predict_project(client, fetcher, number, folder, config, Options())
    first, *rest = sorted(task["id"] for task in label_studio.tasks(number))
    label_studio.annotate(first, [builders.item(things[0].mask)])
    for task in client.find_tasks(number, rest).values():
        (entry,) = task["predictions"]  # type: ignore[misc]
        client.change_prediction(entry["id"], {"result": []})  # type: ignore[has-type]
    totals = find_in_project(client, fetcher, number, folder, like=first)
    assert totals.changed == len(rest)
    stored = [t for t in label_studio.tasks(number) if t["id"] in rest]
    assert [len(t["predictions"]) for t in stored] == [1] * len(rest)
    assert sum(len(t["predictions"][0]["result"]) for t in stored) == len(totals.best)
    assert remove_found(client, folder) == len(rest)
    stored = [t for t in label_studio.tasks(number) if t["id"] in rest]
    assert all(t["predictions"][0]["result"] == [] for t in stored)
