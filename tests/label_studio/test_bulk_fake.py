"""A whole project at once, against a small Label Studio on loopback."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import builders
from prelabel.cli.label_studio.predict import totals_rows
from prelabel.errors import UserError
from prelabel.label_studio import bulk, prediction_writer
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.errors import ServerFault
from prelabel.label_studio.api.photos import Fetcher
from prelabel.label_studio.bulk import Options, Totals, predict_project
from prelabel.label_studio.fit import fit_tasks
from prelabel.label_studio.format.items import decode_item
from prelabel.label_studio.format.labels import is_unnamed
from prelabel.label_studio.format.unnamed_labels import has_labels
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.model import FittedModel
from support.faint_things import SIDE, faint_thing
from support.fake_label_studio import BRUSH, TOKEN, FakeLabelStudio, running
from support.small_photos import tiny_config

N = 4


@pytest.fixture
def server() -> Iterator[FakeLabelStudio]:
    with running() as found:
        yield found


class Project:
    """A project with N photos, and its folder on this machine."""

    def __init__(self, server: FakeLabelStudio, folder: Path, xml: str = BRUSH) -> None:
        self.server = server
        name, tasks = server.project(N, xml)
        self.id = int(name.partition(".")[0])
        self.numbers = [task["id"] for task in tasks]
        self.folder = folder

    def predict(self, *overrides: str, options: Options | None = None) -> Totals:
        with Client(self.server.url, TOKEN, attempts=1) as client:
            return predict_project(
                client,
                Fetcher(client, self.folder / "photos"),
                self.id,
                ProjectFolder(self.folder / str(self.id)),
                tiny_config(*overrides),
                options or Options(),
            )

    def predictions(self) -> list[list[Any]]:
        """Of each task."""
        return [self.server.tasks[number]["predictions"] for number in self.numbers]

    def versions(self) -> list[list[str]]:
        return [[p["model_version"] for p in own] for own in self.predictions()]


@pytest.fixture
def project(server: FakeLabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    return Project(server, tmp_path)


def test_predict_project__every_task_once(project: Project, server: FakeLabelStudio) -> None:
    server.annotate(project.numbers[0], [])
    broken = server.task(project.id, image=server.upload(900, b"broken"))["id"]
    without = server.task(project.id, text="no image")["id"]
    totals = project.predict()
    assert (totals.tasks, totals.labelled, totals.imported) == (N + 2, 1, N - 1)
    assert totals.failed.keys() == {broken, without}
    assert project.versions() == [[], *[[totals.model_version]] * (N - 1)]
    stored = [p for own in project.predictions() for p in own]
    assert sum(len(p["result"]) for p in stored) == totals.regions > 0
    again = project.predict()
    assert (again.current, again.imported, again.model_version) == (
        N - 1,
        0,
        totals.model_version,
    )
    assert project.predictions()[1:] == [[p] for p in stored]


def test_predict_project__tasks_with_near_identical_photos_are_told(
    project: Project, server: FakeLabelStudio
) -> None:
    first = project.numbers[1]
    copy = server.task(project.id, image=server.tasks[first]["data"]["image"])["id"]
    totals = project.predict()
    assert totals.near_identical == [[first, copy]]
    assert totals.imported == N + 1
    rows = dict(totals_rows(totals, dry_run=False))
    assert rows["alike"] == "2 tasks have photos near-identical to others', in 1 group"
    assert rows[""] == f"tasks {first}, {copy}"
    assert project.predict().near_identical == []  # nothing is predicted


def test_predict_project__a_dry_run_changes_nothing(
    project: Project, server: FakeLabelStudio
) -> None:
    totals = project.predict(options=Options(dry_run=True))
    assert totals.imported == N
    assert project.versions() == [[]] * N
    assert server.count("POST|DELETE") == 0


def test_predict_project__labelled_tasks_if_asked_for(
    project: Project, server: FakeLabelStudio
) -> None:
    server.annotate(project.numbers[0], [])
    totals = project.predict(options=Options(labelled=True))
    assert (totals.labelled, totals.imported) == (0, N)


def test_predict_project__earlier_predictions_stay_or_are_replaced(
    project: Project, server: FakeLabelStudio
) -> None:
    other = {"id": 1, "model_version": "yolo 8", "result": []}
    server.tasks[project.numbers[0]]["predictions"].append(other)
    old = project.predict()
    kept = project.predict("levels.dataset_k=[4]", options=Options(refit=True))
    assert kept.model_version != old.model_version
    assert (kept.earlier, kept.imported) == (N, 0)
    new = project.predict(options=Options(replace_own=True))
    assert (new.imported, new.removed) == (N, N)
    assert new.model_version == kept.model_version
    assert project.versions() == [["yolo 8", new.model_version], *[[new.model_version]] * (N - 1)]


def test_predict_project__earlier_predictions_stay_for_those_who_have_a_task_open(
    project: Project, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "OPEN", 3.0)
    old = project.predict()
    waited: list[list[str]] = []

    def wait(seconds: float) -> None:
        waited.append(project.versions()[0])
        assert server.next_predictions(project.numbers[0]) == [new.model_version]

    monkeypatch.setattr(time, "sleep", wait)
    new = project.predict("levels.dataset_k=[4]", options=Options(refit=True))
    assert waited == []  # they stay anyway
    assert project.predict(options=Options(replace_own=True)).removed == N
    assert waited == [[old.model_version, new.model_version]] * 3
    assert project.predict(options=Options(replace_own=True)).removed == 0
    assert len(waited) == 3


def test_predict_project__removes_what_a_killed_call_has_not(
    project: Project, server: FakeLabelStudio
) -> None:
    totals = project.predict()
    left = {"id": 2, "model_version": "0123456789ab-0", "result": []}
    server.tasks[project.numbers[0]]["predictions"].append(left)
    assert project.predict().removed == 0  # only if it is asked for
    assert project.predict(options=Options(replace_own=True)).removed == 1
    assert project.versions() == [[totals.model_version]] * N


@pytest.mark.parametrize("limit", ["_BATCH", "_BATCH_NUMBERS"])
def test_predict_project__goes_on_after_a_fault(
    limit: str, project: Project, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small batches: of one prediction each."""
    monkeypatch.setattr(prediction_writer, limit, 1)
    imported = Client.import_predictions

    def fail_after_two(client: Client, project_id: int, predictions: Any) -> int:
        if server.count("POST") == 2:
            server.failing = "import/predictions"
        return imported(client, project_id, predictions)

    with monkeypatch.context() as patch:
        patch.setattr(Client, "import_predictions", fail_after_two)
        with pytest.raises(ServerFault, match="answered 500"):
            project.predict()
    assert sum(len(own) for own in project.predictions()) == 2
    server.failing = ""
    totals = project.predict()
    assert (totals.current, totals.imported) == (2, N - 2)
    assert project.versions() == [[totals.model_version]] * N


def test_predict_project__names_are_learned_from_annotations(
    server: FakeLabelStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    project = Project(server, tmp_path, BRUSH.replace(' predicted_values="object 1"', ""))
    twins = [server.task(project.id, image=server.upload(1))["id"] for _ in range(2)]
    first = project.predict()
    assert first.losses.unnamed == first.regions > 0
    (predicted,) = server.tasks[twins[0]]["predictions"]
    items = [{**item, "origin": "prediction"} for item in predicted["result"]]
    for item in items:
        item["value"] = {**item["value"], "brushlabels": ["dog"]}
    server.annotate(twins[0], items)
    second = project.predict(options=Options(replace_own=True))
    assert second.learned_from == 1
    assert second.model_version == first.model_version.replace("-0", "-1")
    (twin,) = server.tasks[twins[1]]["predictions"]
    assert [item["value"]["brushlabels"] for item in twin["result"]] == [["dog"]] * len(items)


@pytest.mark.slow
def test_predict_project__annotations_teach_masks_and_the_totals_say_so(
    project: Project, server: FakeLabelStudio
) -> None:
    things = [faint_thing(number) for number in range(8)]
    tasks = [
        server.task(project.id, image=server.upload(500 + number, thing.png))["id"]
        for number, thing in enumerate(things)
    ]

    def mean_iou() -> float:
        """Of the newest predictions of photos without an annotation."""
        found = []
        for task, thing in list(zip(tasks, things, strict=True))[3:]:
            mask = np.zeros_like(thing.mask)
            for one in server.tasks[task]["predictions"][-1]["result"]:
                own = decode_item(one, height=SIDE, width=SIDE)
                assert own is not None
                mask |= own
            found.append((mask & thing.mask).sum() / (mask | thing.mask).sum())
        return float(np.mean(found))

    first = project.predict("features.size=224")
    assert first.learning == ""
    before = mean_iou()
    for task, thing in list(zip(tasks, things, strict=True))[:3]:
        server.annotate(
            task, [builders.item(thing.mask, "dog", from_name="label", to_name="image")]
        )
    second = project.predict("features.size=224", options=Options(replace_own=True))
    assert second.learned_from == 3
    assert second.learning.startswith(
        "3 photos (dog); on annotated photos left out, foreground IoU"
    )
    assert mean_iou() > before + 0.1
    # That they are partial changes what they teach, and stays.
    third = project.predict("features.size=224", options=Options(replace_own=True, partial=True))
    assert third.learned_from == 3
    assert third.model_version != second.model_version
    fourth = project.predict("features.size=224", options=Options(replace_own=True))
    assert (fourth.learned_from, fourth.model_version) == (0, third.model_version)


def test_predict_project__without_tasks_says_what_to_do(
    server: FakeLabelStudio, tmp_path: Path
) -> None:
    project = Project(server, tmp_path)
    for number in project.numbers:
        del server.tasks[number]
    with pytest.raises(UserError, match="import photos first"):
        project.predict()


def test_predict_project__no_photo_can_be_had(server: FakeLabelStudio, tmp_path: Path) -> None:
    project = Project(server, tmp_path)
    server.photos.clear()
    with pytest.raises(UserError, match=f"no photo of {N} tasks.*no such file"):
        project.predict()


def test_predict_project__two_at_once_fit_once_and_give_one_prediction_each(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits = []

    def counted(*arguments: Any, **more: Any) -> FittedModel:
        fits.append(threading.get_ident())
        return fit_tasks(*arguments, **more)

    monkeypatch.setattr(bulk, "fit_tasks", counted)
    monkeypatch.setattr(prediction_writer, "_BATCH", 1)  # so that they meet
    with project.server.holding("/data/upload"), ThreadPoolExecutor(2) as pool:
        both = [pool.submit(project.predict) for _ in range(2)]
        project.server.await_requests("/data/upload")
        project.server.held = ""
        one, other = (call.result() for call in both)
    assert len(fits) == 1
    assert one.model_version == other.model_version
    assert one.imported + other.imported == N
    assert one.current + other.current == N
    assert project.versions() == [[one.model_version]] * N


def test_predict_project__a_damaged_model_is_fitted_anew_if_asked_for(project: Project) -> None:
    first = project.predict()
    folder = ProjectFolder(project.folder / str(project.id))
    (folder.model_folder(folder.state.newest) / "model.json").write_text("{")
    with pytest.raises(UserError, match="fit again"):
        project.predict()
    again = project.predict(options=Options(refit=True))
    assert (again.model_version, again.current) == (first.model_version, N)


def test_predict_project__a_task_that_is_deleted_meanwhile_costs_that_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = project.numbers.pop()
    write = prediction_writer.PredictionWriter.write

    def deleted(*arguments: Any, **more: Any) -> prediction_writer.Written:
        del project.server.tasks[gone]
        return write(*arguments, **more)

    monkeypatch.setattr(prediction_writer.PredictionWriter, "write", deleted)
    totals = project.predict()
    assert totals.failed == {gone: "was deleted meanwhile"}
    assert project.versions() == [[totals.model_version]] * (N - 1)


@pytest.mark.parametrize(
    "image",
    ["/", "/projects/1/data", "/user/login/", "/api/tasks/1/", "/data/upload/1/of-others.png"],
)
def test_predict_project__an_address_that_is_no_photo_costs_that_task(
    project: Project, image: str
) -> None:
    project.server.logins = r"^/(?!api/|data/upload/\d+\.png)"
    bad = project.server.task(project.id, image=image)["id"]
    totals = project.predict()
    assert totals.failed.keys() == {bad}
    assert totals.imported == N
    assert project.versions() == [[totals.model_version]] * N


def test_predict_project__labels_of_unnamed_classes_come_and_go(
    project: Project, server: FakeLabelStudio
) -> None:
    xml = server.configs[project.id].replace(' predicted_values="object 1"', "")
    server.configs[project.id] = xml
    adding = Options(replace_own=True, result_options=ResultOptions(unnamed="add"))
    project.predict(options=replace(adding, dry_run=True))
    assert server.configs[project.id] == xml
    totals = project.predict(options=adding)
    assert has_labels(server.configs[project.id])
    stored = [item for own in project.predictions() for p in own for item in p["result"]]
    labels = [label for item in stored for label in item["value"]["brushlabels"]]
    assert len(labels) == totals.losses.unnamed == totals.regions > 0
    assert all(map(is_unnamed, labels))
    # All classes get a name; what annotations still have stays in the label config.
    folder = ProjectFolder(project.folder / str(project.id))
    model = folder.newest_model()
    assert model is not None
    names = ExemplarFile(folder.names)
    for number in range(len(model.classes)):
        names.name_class(
            number, "dog", centroids=model.classes, clusterer=model.config.strategy("clusterer")
        )
    server.used = {"label": {"object 1": 2, "dog": 1}}
    totals = project.predict(options=adding)
    assert totals.labels_kept == "object 1"
    assert totals.losses.unnamed == 0
    server.used = {}
    assert project.predict(options=adding).labels_kept == ""
    assert server.configs[project.id] == xml
