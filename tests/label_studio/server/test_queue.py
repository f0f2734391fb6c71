"""The queue: order, nothing twice, nothing lost. A list of what was sent stands in for its process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import replace
from typing import NoReturn

import pytest

from prelabel.label_studio.api.photos import Sources
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.server import queue
from prelabel.label_studio.server.jobs import Job, JobKind, JobResult, Urgency, WorkerSettings
from prelabel.label_studio.server.queue import Entry, Queue
from support.jobs import job
from support.small_photos import tiny_config

AT_ONCE = 3
"""Jobs at work on a machine with one core."""


def name_of(job: Job) -> str:
    """Of the task."""
    return str(json.loads(job.data)["name"])


class FakeChild:
    """In place of a process. ``at_work``: the tasks of the jobs that it has, by job number;
    ``received``: the tasks of all jobs that it was sent."""

    def __init__(
        self, on_message: Callable[[JobResult], None], on_exit: Callable[[], None]
    ) -> None:
        self.on_message, self.on_exit = on_message, on_exit
        self.at_work: dict[int, str] = {}
        self.received: list[str] = []
        self.urgencies: list[Urgency] = []
        self.stopped = False
        self.broken = False

    def send(self, job: Job) -> None:
        task = name_of(job)
        self.at_work[job.number] = task
        self.received.append(task)
        self.urgencies.append(job.urgency)

    def stop(self, *, wait: float = 0.0) -> None:
        self.stopped = True

    def finish(self, task: str) -> None:
        number = next(n for n, t in self.at_work.items() if t == task)
        del self.at_work[number]
        self.on_message(JobResult(number, f"answer {task}".encode()))

    def fetching(self, task: str) -> None:
        number = next(n for n, t in self.at_work.items() if t == task)
        self.on_message(JobResult(number, b"[]", state="fetching"))

    def fetched(self, task: str) -> None:
        number = next(n for n, t in self.at_work.items() if t == task)
        del self.at_work[number]
        self.on_message(JobResult(number, b"[]", state="fetched"))

    def finish_next(self) -> None:
        self.finish(next(iter(self.at_work.values())))

    def die(self) -> None:
        self.at_work.clear()
        self.on_exit()


class Harness:
    """A queue whose processes are fakes. ``results``: task and result of every job that is done."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.children: list[FakeChild] = []
        self.results: list[tuple[str, JobResult]] = []
        self.problems: list[str] = []
        patch.setattr(queue, "Child", self._child)
        patch.setattr(queue, "cores", lambda: 1)
        patch.setattr(queue, "_PAUSE", 0.0)
        self.queue = Queue(
            WorkerSettings(tiny_config(), Sources(), ResultOptions()),
            on_result=lambda job, result: self.results.append((name_of(job), result)),
            on_problem=self.problems.append,
        )

    def _child(
        self,
        work: object,
        settings: object,
        *,
        name: str,
        on_message: Callable[[JobResult], None],
        on_exit: Callable[[], None],
    ) -> FakeChild:
        self.children.append(FakeChild(on_message, on_exit))
        return self.children[-1]

    @property
    def child(self) -> FakeChild:
        return self.children[-1]

    def put(
        self, task: str, urgency: Urgency = Urgency.BATCH, *, kind: JobKind = "predict"
    ) -> Entry:
        return self.queue.put(job(kind, data={"name": task}), urgency)

    def put_all(self, n: int) -> list[Entry]:
        return [self.put(str(number)) for number in range(n)]


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch) -> Harness:
    return Harness(monkeypatch)


def result_of(entry: Entry) -> JobResult:
    return entry.result.result(0)


def test_job_key__equal_for_equal_answers() -> None:
    first = job("predict", data={"a": 1, "b": [2]})
    assert first.key == replace(first, number=7, token="another").key
    others = [
        job("interactive", data={"a": 1, "b": [2]}),
        replace(first, task_id=first.task_id + 1),
        replace(first, data=b'{"a": 1}'),
        replace(first, context={"result": []}),
        replace(first, version="another-1"),
        replace(first, label_config=replace(first.label_config, score_threshold=0.5)),
    ]
    assert len({first.key, *(other.key for other in others)}) == 1 + len(others)


def test_put__the_most_urgent_first(harness: Harness) -> None:
    harness.put_all(AT_ONCE)
    for urgency in (Urgency.BACKGROUND, Urgency.BATCH, Urgency.OPENED):
        harness.put(urgency.name, urgency)
    assert harness.child.received == ["0", "1", "2"]
    assert harness.queue.sizes() == {
        "interactive": 0,
        "opened": 1,
        "batch": 1,
        "learn": 0,
        "background": 1,
        "fetching": 0,
        "at work": AT_ONCE,
    }
    for task in ("1", "0", "2"):
        harness.child.finish(task)
    assert harness.child.received[AT_ONCE:] == ["OPENED", "BATCH", "BACKGROUND"]


def test_put__one_job_learns_at_a_time_and_none_before_who_waits(harness: Harness) -> None:
    harness.put_all(AT_ONCE - 1)
    for n in range(3):
        harness.put(f"annotation {n}", Urgency.LEARN)
    harness.put("opened", Urgency.OPENED)
    assert harness.child.received == ["0", "1", "annotation 0"]
    harness.child.finish("0")
    assert harness.child.received[-1] == "opened"
    harness.child.finish("1")  # a place is free, but not for a second one that learns
    assert harness.child.received[-1] == "opened"
    harness.put("background", Urgency.BACKGROUND)
    assert harness.child.received[-1] == "background"
    harness.child.finish("annotation 0")
    assert harness.child.received[-1] == "annotation 1"


def test_put__jobs_that_learn_do_not_take_the_place_of_others(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_MOST", 4)
    monkeypatch.setattr(queue, "_MOST_LEARN", 2)
    harness.put_all(AT_ONCE)
    learning = [harness.put(f"annotation {n}", Urgency.LEARN) for n in range(3)]
    assert [entry.result.done() for entry in learning] == [False, False, True]
    assert "2 tasks wait to be learned from" in result_of(learning[-1]).problem
    assert not harness.put("opened", Urgency.OPENED).result.done()
    assert "4 tasks are waiting already" in result_of(harness.put("x", Urgency.OPENED)).problem


def test_put__data_in_memory_are_limited(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(job(data={"name": "0"}).data)
    monkeypatch.setattr(queue, "_MOST_BYTES", 5 * size)
    entries = harness.put_all(6)
    assert [entry.result.done() for entry in entries] == [False] * 5 + [True]
    assert "data are waiting already" in result_of(entries[-1]).problem
    harness.child.finish("0")
    assert not harness.put("7").result.done()


@pytest.mark.slow
def test_deprioritize__many_at_once(harness: Harness) -> None:
    entries = harness.put_all(10_000)
    began = time.process_time()
    for entry in entries:
        harness.queue.deprioritize(entry)
    assert time.process_time() - began < 1
    assert harness.queue.sizes()["background"] == 10_000 - AT_ONCE


def test_put__an_interactive_job_starts_at_once(harness: Harness) -> None:
    harness.put_all(AT_ONCE + 2)
    harness.put("click", Urgency.INTERACTIVE)
    assert harness.child.received == ["0", "1", "2", "click"]


def test_put__equal_jobs_are_done_once(harness: Harness) -> None:
    urgencies = (Urgency.BATCH, Urgency.OPENED, Urgency.BACKGROUND)
    entries = [harness.put("a", urgency) for urgency in urgencies]
    harness.child.finish("a")
    assert {result_of(entry).answer for entry in entries} == {b"answer a"}
    assert harness.child.received == ["a"]
    assert [task for task, _ in harness.results] == ["a"]
    harness.put("a")  # once it is done, it is a new one
    assert harness.child.received == ["a", "a"]


def test_put__a_waiting_job_becomes_more_urgent_and_less_again(harness: Harness) -> None:
    harness.put_all(AT_ONCE)
    harness.put("a", Urgency.BATCH)
    b = harness.put("b", Urgency.BATCH)
    harness.put("c", Urgency.BACKGROUND)
    harness.put("c", Urgency.OPENED)
    harness.queue.deprioritize(b)
    while harness.child.at_work:
        harness.child.finish_next()
    assert harness.child.received[AT_ONCE:] == ["c", "a", "b"]


def test_put__with_too_many_waiting_it_fails_unless_it_is_interactive(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_MOST", 2)
    harness.put_all(2)
    result = result_of(harness.put("c"))
    assert result.answer == b"[]"
    assert "2 tasks are waiting" in result.problem
    assert not harness.put("0").result.done()
    assert not harness.put("click", Urgency.INTERACTIVE).result.done()


def test_put__a_learn_job_that_is_at_work_is_done_again(harness: Harness) -> None:
    entry = harness.put("a", Urgency.BACKGROUND, kind="learn")
    assert harness.put("a", Urgency.BACKGROUND, kind="learn") is entry
    assert harness.child.received == ["a"]
    harness.child.finish("a")
    assert harness.child.received == ["a", "a"]
    assert not entry.result.done()
    harness.child.finish("a")
    assert entry.result.done()
    assert harness.child.received == ["a", "a"]
    assert harness.queue.sizes()["at work"] == 0


def test_entry__is_not_ready_until_it_is_done(harness: Harness) -> None:
    entry = harness.put("a")
    assert entry.answer == b"[]"
    harness.child.finish("a")
    assert entry.answer == b"answer a"


def test_death__jobs_at_work_are_done_again_first(harness: Harness) -> None:
    entries = harness.put_all(AT_ONCE + 1)
    harness.child.finish("1")
    harness.child.die()
    assert len(harness.children) == 2
    assert harness.queue.restarts == 1
    assert "died with 3 jobs at work" in harness.problems[0]
    while harness.child.at_work:
        harness.child.finish_next()
    assert [result_of(entry).answer for entry in entries] == [b"answer %d" % i for i in range(4)]
    assert sorted(harness.child.received) == ["0", "2", "3"]
    assert sorted(task for task, _ in harness.results) == ["0", "1", "2", "3"]


def test_death__only_a_job_at_work_at_two_deaths_fails(harness: Harness) -> None:
    def work() -> None:
        """Until nothing is left: the poison kills, whatever else is at work."""
        while harness.child.at_work:
            if "poison" in harness.child.at_work.values():
                harness.child.die()
            else:
                harness.child.finish_next()

    entries = {task: harness.put(task) for task in ("a", "poison", "b", "c", "d")}
    work()
    poison = result_of(entries.pop("poison"))
    assert poison.answer == b"[]"
    assert "see whether there is enough memory" in poison.problem
    assert [result_of(entry).problem for entry in entries.values()] == [""] * 4
    assert harness.queue.restarts == 2
    # Put once more, it takes no other along either.
    again = [harness.put(task) for task in ("e", "poison", "f")]
    work()
    assert [result_of(e).answer for e in again] == [b"answer e", b"[]", b"answer f"]


def test_problem__of_no_job_in_particular_is_reported(harness: Harness) -> None:
    harness.put("a")
    harness.child.on_message(JobResult(0, b"[]", problem="the disk is full"))
    assert harness.problems == ["the disk is full"]
    assert harness.results == []


def test_stop__wakes_those_who_wait_and_takes_no_more_jobs(harness: Harness) -> None:
    entries = harness.put_all(AT_ONCE + 1)
    waiting = threading.Thread(target=lambda: wait([e.result for e in entries], timeout=60))
    waiting.start()
    harness.queue.stop()
    waiting.join(5)
    assert not waiting.is_alive()
    assert harness.child.stopped
    late = harness.put("late")
    assert not wait([late.result], timeout=5).not_done
    assert late.answer == b"[]"
    harness.child.finish("0")  # its answer was under way: nobody minds
    harness.child.die()
    assert len(harness.children) == 1


# Photos


def test_jobs_that_wait_for_photos_hold_no_slot(harness: Harness) -> None:
    entries = harness.put_all(AT_ONCE + 2)
    assert harness.child.received == ["0", "1", "2"]
    for task in ("0", "1", "2"):
        harness.child.fetching(task)
    assert harness.child.received == ["0", "1", "2", "3", "4"]
    assert harness.queue.sizes()["fetching"] == 3
    assert harness.queue.sizes()["at work"] == 2
    harness.child.finish("3")
    harness.child.finish("1")  # whose photo cannot be fetched
    assert result_of(entries[1]).answer == b"answer 1"
    assert not entries[0].result.done()


def test_job_that_has_its_photos_comes_next(harness: Harness) -> None:
    harness.put_all(AT_ONCE + 3)
    harness.child.fetching("0")
    assert harness.child.received == ["0", "1", "2", "3"]
    harness.child.fetched("0")  # all slots are taken
    harness.child.finish("1")
    assert harness.child.received == ["0", "1", "2", "3", "0"]
    harness.child.finish("2")
    assert harness.child.received[-1] == "4"
    assert harness.queue.sizes()["fetching"] == 0


def test_job_that_waits_for_photos_becomes_more_urgent(harness: Harness) -> None:
    harness.put("a", Urgency.BATCH)
    harness.child.fetching("a")
    harness.put("a", Urgency.BATCH)
    assert harness.child.urgencies == [Urgency.BATCH]
    entry = harness.put("a", Urgency.OPENED)
    assert harness.child.urgencies == [Urgency.BATCH, Urgency.OPENED]
    harness.queue.deprioritize(entry)
    assert len(harness.child.urgencies) == 2


def test_death__jobs_that_waited_for_photos_are_not_its_cause(harness: Harness) -> None:
    for _ in range(3):
        entry = harness.put("a")
        harness.child.fetching("a")
        harness.child.die()
    assert entry.attempts == 0
    assert harness.child.received == ["a"]
    harness.child.finish("a")
    assert result_of(entry).answer == b"answer a"


def test_revive__starts_a_process_for_jobs_that_wait(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_process(*_: object, **__: object) -> NoReturn:
        raise OSError(12, "Cannot allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(queue, "Child", no_process)
        entry = harness.put("a")
        assert "cannot be started: [Errno 12]" in harness.problems[0]
    assert harness.queue.revive()
    harness.child.finish("a")
    assert result_of(entry).answer == b"answer a"
    assert not harness.queue.revive()


def test_revive__ends_a_process_that_hangs_or_is_broken(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = harness.put("a")
    assert not harness.queue.revive()
    with monkeypatch.context() as patch:
        patch.setattr(queue, "_LONGEST", -1.0)
        assert harness.queue.revive()
    assert harness.child.stopped
    harness.child.die()
    assert harness.queue.revive()  # tells of it once
    assert not harness.queue.revive()
    harness.child.broken = True
    assert harness.queue.revive()
    harness.child.die()
    assert "died over it twice" in result_of(entry).problem


def test_finish__a_result_that_cannot_be_noted_reaches_who_waits(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> NoReturn:
        raise ValueError("as planned")

    monkeypatch.setattr(harness.queue, "_on_result", fails)
    entry = harness.put("a")
    with pytest.raises(ValueError, match="as planned"):
        harness.child.finish("a")
    assert result_of(entry).answer == b"answer a"
