"""What the worker's process does, here in a thread, with photos of a server on loopback."""

from __future__ import annotations

import errno
import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import pytest
from numpy.typing import NDArray

import builders
from prelabel.data.masks import Mask
from prelabel.label_studio.api.photos import Sources
from prelabel.label_studio.format.items import decode_item
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.server import job_photos
from prelabel.label_studio.server import worker as worker_module
from prelabel.label_studio.server.jobs import Job, JobKind, JobResult, Urgency, WorkerSettings
from prelabel.label_studio.server.queue import Queue
from prelabel.label_studio.server.worker import work
from prelabel.model import FittedModel
from prelabel.pipeline import fit
from prelabel.storage import shards
from prelabel.teacher import Teacher
from support.fake_label_studio import BRUSH, TOKEN, FakeLabelStudio, Task, wait_for
from support.hostile_server import hostile_server
from support.jobs import job
from support.small_photos import tiny_config, write_scenes
from support.threads import fail, named, untraced

IMAGE = '<Image name="image" value="$image"/>'
LABELS = '<Label value="cat" predicted_values="object 1"/><Label value="dog"/>'
KINDS = ("Brush", "Bitmask", "Polygon", "Rectangle")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> FittedModel:
    photos = tmp_path_factory.mktemp("photos")
    write_scenes(photos, 8)
    return fit(photos, tiny_config())


class Options(TypedDict, total=False):
    """What of a job differs: ``xml`` is its label config."""

    kind: JobKind
    xml: str
    version: str
    revision: int
    context: Mapping[str, object]


class Worker:
    """A running worker and its answers. ``problems``: those that belong to no job."""

    def __init__(
        self,
        pipe: Connection,
        server: FakeLabelStudio,
        folder: ProjectFolder,
        model: str,
        thread: threading.Thread,
    ) -> None:
        self.pipe, self.server, self.folder, self.model = pipe, server, folder, model
        self.thread = thread
        self.problems: list[str] = []
        self.set_aside: list[int] = []
        self._sent: list[Job] = []

    def send(self, task: Task, **options: Unpack[Options]) -> None:
        self._sent.append(
            job(
                options.get("kind", "predict"),
                label_xml=options.get("xml", BRUSH),
                server=self.server.url,
                token=TOKEN,
                folder=self.folder.path,
                model=self.model,
                revision=options.get("revision", 0),
                version=options.get("version", f"{self.model}-0"),
                task_id=task["id"],
                data=task.get("data"),
                context=options.get("context"),
                number=len(self._sent) + 1,
            )
        )
        self.pipe.send(self._sent[-1])

    def receive(self) -> JobResult:
        """The next result; jobs whose photos were fetched meanwhile are sent again, as the queue
        does."""
        while True:
            assert self.pipe.poll(60)
            result: JobResult = self.pipe.recv()
            if not result.number:
                self.problems.append(result.problem)
            elif result.state == "fetching":
                self.set_aside.append(result.number)
            elif result.state == "fetched":
                self.pipe.send(self._sent[result.number - 1])
            else:
                return result

    def do(self, task: Task, **options: Unpack[Options]) -> JobResult:
        self.send(task, **options)
        return self.receive()

    def items(self, task: Task, **options: Unpack[Options]) -> list[dict[str, Any]]:
        result = self.do(task, **options)
        assert result.problem == ""
        found: list[dict[str, Any]] = json.loads(result.answer)["result"]
        return found


@contextmanager
def running_worker(
    folder: ProjectFolder, server: FakeLabelStudio, model: str, *, sam: str = ""
) -> Iterator[Worker]:
    ours, theirs = multiprocessing.Pipe()
    worker_settings = WorkerSettings(tiny_config(), Sources(), ResultOptions(), sam=sam)
    thread = threading.Thread(target=work, args=(theirs, worker_settings), daemon=True)
    thread.start()
    try:
        yield Worker(ours, server, folder, model, thread)
    finally:
        ours.close()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def worker(
    tmp_path: Path, model: FittedModel, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Worker]:
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    folder = ProjectFolder(tmp_path / "1")
    folder.save_model(model, n_tasks=8)
    with running_worker(folder, server, model.fit_hash) as found:
        yield found


def with_regions(server: FakeLabelStudio, *, project: int = 1) -> Task:
    return server.task(project, image=server.upload(1))


def control(kind: str, name: str, labels: str = LABELS, to: str = "image") -> str:
    return f'<{kind}Labels name="{name}" toName="{to}">{labels}</{kind}Labels>'


def test_predict__is_signed_and_scored(worker: Worker, server: FakeLabelStudio) -> None:
    done = worker.do(with_regions(server))
    answer = json.loads(done.answer)
    assert answer["model_version"] == f"{worker.model}-0"
    assert answer["result"]
    assert answer["score"] == pytest.approx(np.mean([item["score"] for item in answer["result"]]))


def test_predict__a_broken_photo_costs_that_task_and_says_why(
    worker: Worker, server: FakeLabelStudio
) -> None:
    broken = server.task(1, image=server.upload(901, server.photos[server.upload(9)][:200]))
    gone = server.task(1, image="/data/upload/never.png")
    for task, reason in (
        (broken, "cannot be decoded"),
        (gone, "there is no such file"),
        (server.task(1, text="hello"), "has no image in its data"),
        (server.task(1, image=5), "has no image in its data"),
        ({"id": 5, "data": None}, "has no image in its data"),
    ):
        done = worker.do(task)
        assert done.answer == b"[]"
        assert reason in done.problem
        assert TOKEN not in done.problem
    assert worker.items(with_regions(server))


def test_predict__two_images_have_results_each(worker: Worker, server: FakeLabelStudio) -> None:
    xml = (
        f'<View>{IMAGE}<Image name="side" value="$side"/>'
        f"{control('Brush', 'a')}{control('Brush', 'b', to='side')}</View>"
    )
    items = worker.items(server.task(1, image=server.upload(1), side=server.upload(2)), xml=xml)
    assert {(i["from_name"], i["to_name"]) for i in items} == {("a", "image"), ("b", "side")}
    one_tag = control("Brush", "a", to="image,side")
    both = f'<View>{IMAGE}<Image name="side" value="$side"/>{one_tag}</View>'
    again = worker.items(server.task(1, image=server.upload(1), side=server.upload(2)), xml=both)
    assert {(i["from_name"], i["to_name"]) for i in again} == {("a", "image"), ("a", "side")}
    assert [i["value"]["rle"] for i in again] == [i["value"]["rle"] for i in items]
    # One photo of two is enough for a task.
    one = worker.items(server.task(1, image=server.upload(1)), xml=xml)
    assert {i["to_name"] for i in one} == {"image"}


def test_predict__a_list_of_images(worker: Worker, server: FakeLabelStudio) -> None:
    xml = f"<View>{IMAGE.replace('value', 'valueList')}{control('Brush', 'a')}</View>"
    uris = [server.upload(n) for n in (1, 2, 1)]
    items = worker.items(server.task(1, image=uris), xml=xml)
    assert {item["item_index"] for item in items} == {0, 1, 2}
    assert len({item["id"] for item in items}) == len(items)
    first, third = ([i["value"] for i in items if i["item_index"] == n] for n in (0, 2))
    assert first == third


def mask_of(item: Mapping[str, Any]) -> Mask:
    """Of an item of a photo of 96 × 64."""
    mask = decode_item(item, height=64, width=96)
    assert mask is not None
    return mask


def test_predict__several_controls(worker: Worker, server: FakeLabelStudio) -> None:
    xml = f"<View>{IMAGE}{''.join(control(kind, kind) for kind in KINDS)}</View>"
    finest = worker.items(with_regions(server), xml=xml)
    assert {item["from_name"] for item in finest} == {"Brush"}
    items = worker.items(
        with_regions(server), xml=xml.replace(" toName", ' model_skip="false" toName')
    )
    assert {item["from_name"] for item in items} == set(KINDS)
    assert all(item["type"] == f"{item['from_name'].lower()}labels" for item in items)
    assert len({item["id"] for item in items}) == len(items)
    masks = {
        item["from_name"]: mask_of(item)
        for item in reversed(items)  # the best of each
    }
    assert np.array_equal(masks["Brush"], masks["Bitmask"])
    columns = np.flatnonzero(np.any(masks["Brush"], axis=0))
    assert np.flatnonzero(np.any(masks["Rectangle"], axis=0)).tolist() == list(
        range(columns[0], columns[-1] + 1)
    )


def test_predict__two_controls_share_the_regions_by_label(
    worker: Worker, server: FakeLabelStudio, model: FittedModel
) -> None:
    """Every class has a label, in one control or the other."""
    n = len(model.classes)
    first, second = (
        "".join(
            f'<Label value="{part}{i}" predicted_values="object {i}"/>'
            for i in range(1, n + 1)
            if i % 2 == odd
        )
        for part, odd in (("odd", 1), ("even", 0))
    )
    xml = f"<View>{IMAGE}{control('Brush', 'a', first)}{control('Brush', 'b', second)}</View>"
    items = [i for seed in range(1, 9) for i in worker.items(server.task(1), xml=xml) if seed]
    by_control = {
        name: {
            i["value"]["brushlabels"][0].rstrip("0123456789")
            for i in items
            if i["from_name"] == name
        }
        for name in ("a", "b")
    }
    assert by_control == {"a": {"odd"}, "b": {"even"}}


def test_predict__the_config_has_changed_since_the_fit(
    worker: Worker, server: FakeLabelStudio, model: FittedModel
) -> None:
    task = with_regions(server)
    names = "".join(
        f'<Label value="n{i}" predicted_values="object {i + 1}"/>'
        for i in range(len(model.classes))
    )
    before = worker.items(task, xml=f"<View>{IMAGE}{control('Brush', 'a', names)}</View>")
    assert all(len(item["value"]["brushlabels"]) == 1 for item in before)
    # The labels are gone: the regions stay, and have the only one that there is.
    yak = control("Brush", "a", '<Label value="yak"/>')
    after = worker.items(task, xml=f"<View>{IMAGE}{yak}</View>")
    assert [item["value"]["brushlabels"] for item in after] == [["yak"] for _ in before]
    # Another kind of tag with another name, for another key.
    other = f"<View>{IMAGE.replace('$image', '$photo')}{control('Rectangle', 'r', names)}</View>"
    boxes = worker.items({**task, "data": {"photo": task["data"]["image"]}}, xml=other)
    assert [i["value"]["rectanglelabels"] for i in boxes] == [
        i["value"]["brushlabels"] for i in before
    ]


def test_predict__without_a_model_regions_have_no_class_and_are_kept(
    worker: Worker, server: FakeLabelStudio
) -> None:
    worker.model = ""
    task = with_regions(server)
    first = worker.items(task, version="image-level-0123456789ab-0")
    assert first
    assert [item["meta"]["text"] for item in first] == [["cat is a guess"] for _ in first]
    worker.pipe.send(None)  # an orderly end: what was found is kept
    wait_for(lambda: list((worker.folder.path.parent / "cache/segments").glob("image-level-*/*")))


def test_predict__answers_come_though_the_disk_is_full(
    worker: Worker, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Path, write: object) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr(shards, "write_again_if_removed", full)
    monkeypatch.setattr(worker_module, "_FLUSH_EVERY", 0.1)
    with running_worker(worker.folder, server, worker.model) as other:
        tasks = [server.task(1) for _ in range(shards.SHARD + 8)]
        assert [other.do(task).problem for task in tasks] == [""] * len(tasks)
        for _ in range(50):
            if other.problems:
                break
            other.do(tasks[0])
        assert "No space left" in other.problems[0]
        assert "make room, or set PRELABEL_CACHE" in other.problems[0]
        assert len(other.problems) == 1  # reported once, not every time


def test_learn__a_task_of_another_project_teaches_nothing(
    worker: Worker, server: FakeLabelStudio
) -> None:
    own, other = with_regions(server), with_regions(server, project=2)
    for task in (own, other):
        items = worker.items(task)
        for item in items:
            item["value"]["brushlabels"] = ["dog"]
        server.annotate(task["id"], [{**i, "origin": "prediction"} for i in items])
    assert worker.do({"id": own["id"]}, kind="learn").problem == ""
    done = worker.do({"id": other["id"]}, kind="learn")
    assert "has no task" in done.problem
    learned = ExemplarFile(worker.folder.names).exemplars
    assert {e.photo for e in learned} == {f"{own['id']}/image"}
    assert {e.name for e in learned} == {"dog"}


def test_learn__what_other_code_has_embedded_is_embedded_again(
    worker: Worker, server: FakeLabelStudio
) -> None:
    task = with_regions(server)
    items = [{**item, "origin": "prediction"} for item in worker.items(task)]
    for item in items:
        item["value"]["brushlabels"] = ["dog"]
    server.annotate(task["id"], items)
    assert worker.do({"id": task["id"]}, kind="learn").problem == ""
    names = ExemplarFile(worker.folder.names)
    names.rename("dog", "wolf")
    learned = names.exemplars
    assert learned
    assert all(e.origin for e in learned)
    photo = learned[0].photo
    old = [replace(e, embedding=np.zeros(3, dtype=np.float32), origin="") for e in learned]
    names.learn({photo: replace(names.of_photo(photo), exemplars=tuple(old))})

    assert worker.do({"id": task["id"]}, kind="learn").problem == ""
    again = ExemplarFile(worker.folder.names)
    assert [(e.name, e.counts_as, e.rle) for e in again.exemplars] == [
        ("dog", "wolf", e.rle) for e in learned
    ]
    for new, first in zip(again.exemplars, learned, strict=True):
        assert new.origin == first.origin
        np.testing.assert_allclose(new.embedding, first.embedding, atol=0.05)
    assert worker.do({"id": task["id"]}, kind="learn").problem == ""
    assert ExemplarFile(again.file).revision == again.revision  # now there is nothing to do


def drawn(worker: Worker, server: FakeLabelStudio, task: Task, mask: Mask) -> int:
    """Submit a dog of this mask, learn from it, and have it live: the revision."""
    server.annotate(task["id"], [builders.item(mask, "dog", from_name="label", to_name="image")])
    assert worker.do({"id": task["id"]}, kind="learn").problem == ""
    return worker.folder.go_live(tiny_config(), now=True).revision


SMART_BOX = """<RectangleLabels name="box" toName="image" smart="true">
<Label value="dog"/></RectangleLabels>"""


def test_learn__changes_the_masks_of_other_photos_and_of_boxes(
    worker: Worker, server: FakeLabelStudio
) -> None:
    """What is found without annotations is ground, and all the rest is a dog."""
    task = with_regions(server)
    before = worker.items(task)
    rest = ~np.any([mask_of(one) for one in before], axis=0)
    box = {"x": 0, "y": 0, "width": 100, "height": 100, "rectanglelabels": ["dog"]}
    tag = {"type": "rectanglelabels", "from_name": "box", "to_name": "image", "value": box}
    context = {"result": [tag]}

    def boxed(revision: int = 0) -> Mask:
        xml = BRUSH.replace("</View>", f"{SMART_BOX}</View>")
        [item] = worker.items(task, kind="interactive", xml=xml, context=context, revision=revision)
        return mask_of(item)

    assert builders.iou(boxed(), rest) < 0.5
    revision = 0
    for _ in range(3):
        revision = drawn(worker, server, with_regions(server), rest)
    after = worker.items(task, revision=revision, version=f"{worker.model}-{revision}")
    assert [i["value"]["rle"] for i in after] != [i["value"]["rle"] for i in before]
    assert {i["value"]["brushlabels"][0] for i in after} == {"dog"}
    assert worker.items(task) == before  # the revision before is live still
    assert builders.iou(boxed(revision=revision), rest) > 0.75


def test_predict__a_learner_that_fails_costs_no_prediction(
    worker: Worker, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise np.linalg.LinAlgError("singular matrix")

    monkeypatch.setattr(Teacher, "teach", fail)
    task = with_regions(server)
    before = worker.items(task)
    revision = drawn(worker, server, with_regions(server), np.ones((64, 96), dtype=np.bool_))
    after = worker.items(task, revision=revision)
    assert [i["value"]["rle"] for i in after] == [i["value"]["rle"] for i in before]
    worker.items(with_regions(server), revision=revision)
    [problem] = worker.problems
    assert "project 1: masks are found without what annotations teach" in problem
    assert "singular matrix" in problem


def test_interactive__answers_where_the_click_is(worker: Worker, server: FakeLabelStudio) -> None:
    task = with_regions(server)
    item = worker.items(task)[0]
    mask = mask_of(item)
    rows, columns = np.nonzero(mask)
    middle = len(rows) // 2
    y, x = int(rows[middle]), int(columns[middle])
    value = {"x": 100 * (x + 0.5) / 96, "y": 100 * (y + 0.5) / 64, "keypointlabels": ["dog"]}
    click = {"type": "keypointlabels", "from_name": "click", "to_name": "image", "value": value}
    (found,) = worker.items(task, kind="interactive", context={"result": [click]})
    assert found["value"]["brushlabels"] == ["dog"]
    inside = mask_of(found)
    assert inside is not None
    assert inside[y, x]
    assert "no prompt" in worker.do(task, kind="interactive", context={"result": []}).problem


def test_interactive__is_answered_by_sam_if_the_backend_was_started_so(
    tmp_path: Path, model: FittedModel, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = np.zeros((64, 96), dtype=np.bool_)
    drawn[10:30, 20:50] = True
    asked: list[str] = []

    def sam_mask(name: str, *_: object, **prompts: object) -> NDArray[np.bool_]:
        asked.append(name)
        return drawn

    monkeypatch.setattr("prelabel.interactive.mask.sam_mask", sam_mask)
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    folder = ProjectFolder(tmp_path / "1")
    folder.save_model(model, n_tasks=8)
    value = {"x": 30, "y": 30, "keypointlabels": ["dog"]}
    click = {"type": "keypointlabels", "from_name": "click", "to_name": "image", "value": value}
    with running_worker(folder, server, model.fit_hash, sam="sam2:tiny") as worker:
        context = {"result": [click]}
        (found,) = worker.items(with_regions(server), kind="interactive", context=context)
    mask = mask_of(found)
    assert mask is not None
    assert (mask == drawn).all()
    assert asked == ["sam2:tiny"]


def test_work__ends_with_its_pipe_though_a_photo_is_still_awaited(
    worker: Worker, server: FakeLabelStudio
) -> None:
    task = with_regions(server)
    server.held = task["data"]["image"]
    try:
        with running_worker(
            worker.folder, server, worker.model
        ) as other:  # it is awaited for 10 seconds
            other.send(task)
            wait_for(lambda: server.count(server.held))
    finally:
        server.held = ""


# Photos that are slow


@pytest.mark.slow
def test_slow_host_holds_up_no_other_photo(
    tmp_path: Path, model: FittedModel, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path / "cache"))
    folder = ProjectFolder(tmp_path / "1")
    folder.save_model(model, n_tasks=8)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    with hostile_server(head, bytes(100_000), pause=1.0) as port:
        sources = Sources((f"127.0.0.1:{port}",), seconds=6)
        slow = [
            server.task(1, image=f"http://127.0.0.1:{port}/{number}.jpg") for number in range(20)
        ]
        with queue_of(sources) as (queue, job_of):
            held = [queue.put(job_of(task, folder, server, model), Urgency.BATCH) for task in slow]
            wait_for(lambda: queue.sizes()["fetching"] == 20)
            started = time.monotonic()
            entry = queue.put(job_of(with_regions(server), folder, server, model), Urgency.OPENED)
            assert json.loads(entry.result.result(30).answer)["result"]
            assert time.monotonic() - started < 3
            assert not any(other.answer != b"[]" for other in held)
            first = held[0].result.result(20)
            assert "not done after 6 seconds" in first.problem


JobOf = Callable[[Task, ProjectFolder, FakeLabelStudio, FittedModel], Job]


@contextmanager
def queue_of(sources: Sources) -> Iterator[tuple[Queue, JobOf]]:
    """A queue with a real process that has begun."""
    queue = Queue(
        WorkerSettings(tiny_config(), sources, ResultOptions()),
        on_result=lambda job, result: None,
        on_problem=lambda problem: None,
    )

    def job_of(
        task: Task, folder: ProjectFolder, server: FakeLabelStudio, model: FittedModel
    ) -> Job:
        return job(
            "predict",
            label_xml=BRUSH,
            server=server.url,
            token=TOKEN,
            folder=folder.path,
            model=model.fit_hash,
            version=f"{model.fit_hash}-0",
            task_id=task["id"],
            data=task["data"],
        )

    try:
        yield queue, job_of
    finally:
        queue.stop()


def test_photo_that_is_at_hand_is_not_waited_for(worker: Worker, server: FakeLabelStudio) -> None:
    task = with_regions(server)
    worker.do(task)
    assert worker.set_aside == [1]
    worker.do(task)
    assert worker.set_aside == [1]


def test_photo_that_cannot_be_fetched_is_a_problem(worker: Worker, server: FakeLabelStudio) -> None:
    result = worker.do(server.task(1, image="/data/upload/gone.jpg"))
    assert (result.answer, result.state) == (b"[]", "done")
    assert "no such file" in result.problem


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("name", ["flush", "job", "interactive job"])
def test_work__ends_when_one_of_its_threads_has_failed(
    name: str, worker: Worker, server: FakeLabelStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is started again then."""
    monkeypatch.setattr(worker_module, "_LOOK_EVERY", 0.05)
    monkeypatch.setattr(worker_module, "_FLUSH_EVERY", 0.05)
    with untraced(), running_worker(worker.folder, server, worker.model) as other:
        for kind in ("predict", "interactive"):
            other.do(with_regions(server), kind=kind)
        for thread in named(f"prelabel {name}"):
            fail(thread)
        for _ in range(40):
            if not other.thread.is_alive():
                break
            other.send(with_regions(server), kind="interactive")
            other.send(with_regions(server))
            other.thread.join(0.1)
            while other.pipe.poll():
                other.pipe.recv()
        assert not other.thread.is_alive()


@pytest.mark.parametrize("error", [SystemExit, MemoryError, RecursionError])
def test_do__whatever_a_job_raises_is_its_problem(
    error: type[BaseException],
    worker: Worker,
    server: FakeLabelStudio,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> None:
        raise error("as planned")

    with monkeypatch.context() as patch:
        patch.setattr(job_photos, "task_photos", fails)
        assert error.__name__ in worker.do(with_regions(server)).problem
    assert worker.do(with_regions(server)).problem == ""


def test_predict__a_task_that_is_nested_deeply_costs_that_task(
    worker: Worker, server: FakeLabelStudio
) -> None:
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    found = worker.do(server.task(1, image=server.upload(1), more=deep))
    assert found.answer == b"[]"
    assert "nested" in found.problem
    assert worker.do(with_regions(server)).problem == ""
