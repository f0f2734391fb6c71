"""The queue: order, nothing twice, nothing lost. Its process is played by a list of what was sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest

from prelabel.label_studio.api.photos import Sources
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.server import queue
from prelabel.label_studio.server.child_process import Child
from prelabel.label_studio.server.queue import BACKGROUND, BATCH, OPEN, POINT, Entry, Queue
from prelabel.label_studio.server.worker import Done, Job, WorkerSettings
from support.small_photos import tiny_config

AT_ONCE = 3
"""Jobs at work on a machine with one core."""


class Played:
    """In place of a process. ``sent``: the tasks of the jobs that it has, by job number."""

    pid = 1

    def __init__(self, *_: Any, heard: Callable[[Any], None], ended: Callable[[], None], **__: Any):
        self.heard, self.ended = heard, ended
        self.sent: dict[int, Any] = {}
        self.log: list[Any] = []
        self.stopped = False

    def send(self, job: Job) -> None:
        self.sent[job.number] = job.task["id"]
        self.log.append(job.task["id"])

    def stop(self, *, wait: float) -> None:
        self.stopped = True

    def finish(self, task: Any, **done: Any) -> None:
        number = next(n for n, t in self.sent.items() if t == task)
        del self.sent[number]
        self.heard(Done(number, f"answer {task}".encode(), **done))

    def die(self) -> None:
        self.sent.clear()
        self.ended()


class Office:
    """A queue whose processes are played."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.children: list[Played] = []
        self.told: list[tuple[Any, Done]] = []
        self.trouble: list[str] = []
        patch.setattr(queue, "Child", self._child)
        patch.setattr(queue, "cores", lambda: 1)
        patch.setattr(queue, "_PAUSE", 0.0)
        self.queue = Queue(
            WorkerSettings(tiny_config(), Sources(), ResultOptions()),
            told=lambda job, done: self.told.append((job.task["id"], done)),
            trouble=self.trouble.append,
        )

    def _child(self, *arguments: Any, **named: Any) -> Played:
        self.children.append(Played(*arguments, **named))
        return self.children[-1]

    @property
    def child(self) -> Played:
        return self.children[-1]

    def put(self, task: Any, urgency: int = BATCH, *, kind: Any = "predict") -> Entry:
        job = Job(0, kind, "", "", Path(), "", 0, "v", "", {"id": task})
        return self.queue.put(job, key=(kind, task), urgency=urgency)


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> Office:
    return Office(monkeypatch)


def test_put__the_most_urgent_first(office: Office) -> None:
    for task in range(AT_ONCE):
        office.put(task)
    office.put("background", BACKGROUND)
    office.put("batch", BATCH)
    office.put("open", OPEN)
    assert office.child.log == [0, 1, 2]
    assert office.queue.sizes() == {
        "point": 0,
        "open": 1,
        "batch": 1,
        "background": 1,
        "at work": AT_ONCE,
    }
    for task in (1, 0, 2):
        office.child.finish(task)
    assert office.child.log[3:] == ["open", "batch", "background"]


def test_put__who_points_waits_for_nobody(office: Office) -> None:
    for task in range(AT_ONCE + 2):
        office.put(task)
    office.put("point", POINT)
    assert office.child.log == [0, 1, 2, "point"]


def test_put__the_same_is_worked_on_once_and_answers_all(office: Office) -> None:
    entries = [office.put("a"), office.put("a", OPEN), office.put("a", BACKGROUND)]
    office.child.finish("a")
    assert {entry.answer.result(0).answer for entry in entries} == {b"answer a"}
    assert office.child.log == ["a"]
    assert office.told[0][0] == "a"
    office.put("a")  # once it is done, it is a new one
    assert office.child.log == ["a", "a"]


def test_put__one_that_waits_becomes_more_urgent_and_less_again(office: Office) -> None:
    for task in range(AT_ONCE):
        office.put(task)
    office.put("a", BATCH)
    b = office.put("b", BATCH)
    office.put("c", BACKGROUND)
    office.put("c", OPEN)
    office.queue.deprioritize(b)
    for task in range(AT_ONCE):
        office.child.finish(task)
    assert office.child.log[AT_ONCE:] == ["c", "a", "b"]


def test_put__with_too_many_waiting_one_fails_but_not_who_points(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "_MOST", 2)
    office.put("a")
    office.put("b")
    done = office.put("c").answer.result(0)
    assert (done.answer, done.problem) == (b"[]", "2 tasks are waiting already")
    assert not office.put("a").answer.done()
    assert not office.put("d", POINT).answer.done()


def test_learn__an_event_that_comes_while_it_is_at_work_is_not_lost(office: Office) -> None:
    entry = office.put("a", BACKGROUND, kind="learn")
    assert office.put("a", BACKGROUND, kind="learn") is entry
    assert office.child.log == ["a"]
    office.child.finish("a")
    assert office.child.log == ["a", "a"]
    assert not entry.answer.done()
    office.child.finish("a")
    assert entry.answer.done()
    assert office.child.log == ["a", "a"]
    assert office.queue.sizes()["at work"] == 0


def test_death__what_was_at_work_is_done_again_first(office: Office) -> None:
    entries = [office.put(task) for task in range(AT_ONCE + 1)]
    office.child.finish(1)
    office.child.die()
    assert len(office.children) == 2
    assert office.queue.restarts == 1
    assert "died with 3 jobs at work" in office.trouble[0]
    while office.child.sent:
        office.child.finish(next(iter(office.child.sent.values())))
    assert [e.answer.result(0).answer for e in entries] == [b"answer %d" % i for i in range(4)]
    assert sorted(office.child.log) == [0, 2, 3]
    assert sorted(task for task, _ in office.told) == [0, 1, 2, 3]


def test_death__the_job_that_kills_twice_is_given_up_and_no_other(office: Office) -> None:
    entries = {task: office.put(task) for task in ("a", "poison", "b", "c", "d")}

    def work() -> None:
        """Until nothing is left: the poison kills, whatever else is at work."""
        while office.child.sent:
            if "poison" in office.child.sent.values():
                office.child.die()
            else:
                office.child.finish(next(iter(office.child.sent.values())))

    work()
    poison = entries.pop("poison").answer.result(0)
    assert poison.answer == b"[]"
    assert "died over it twice: see whether there is enough memory" in poison.problem
    assert [e.answer.result(0).problem for e in entries.values()] == [""] * 4
    assert office.queue.restarts == 2
    # Asked for once more, it takes nobody along either.
    entries = {task: office.put(task) for task in ("e", "poison", "f")}
    work()
    assert [e.answer.result(0).answer for e in entries.values()] == [
        b"answer e",
        b"[]",
        b"answer f",
    ]


def test_trouble__of_no_job_in_particular_is_told(office: Office) -> None:
    office.put("a")
    office.child.heard(Done(0, b"[]", problem="the disk is full"))
    assert office.trouble == ["the disk is full"]
    assert office.told == []


def test_stop__wakes_who_waits_and_takes_no_more(office: Office) -> None:
    entries = [office.put(task) for task in range(AT_ONCE + 1)]
    waiting = threading.Thread(target=lambda: wait([e.answer for e in entries], timeout=60))
    waiting.start()
    office.queue.stop()
    waiting.join(5)
    assert not waiting.is_alive()
    assert office.child.stopped
    late = office.put("late")
    assert not wait([late.answer], timeout=5).not_done
    office.child.finish(0)  # its answer was under way: nobody minds
    office.child.die()
    assert len(office.children) == 1


# --- processes ---


def _echo(pipe: Any, pause: float) -> None:
    time.sleep(pause)
    while (message := pipe.recv()) is not None:
        pipe.send(len(message))


def _deaf(pipe: Any, _: Any) -> None:
    time.sleep(600)


@pytest.mark.slow
def test_child__send_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []
    ended = threading.Event()
    child = Child(_echo, 1.0, name="echo", heard=heard.append, ended=ended.set)
    began = time.monotonic()
    for n in range(4):
        child.send(b"x" * (3_000_000 + n))  # no pipe holds that
    assert time.monotonic() - began < 0.5
    child.stop(wait=30)
    assert ended.wait(10)
    assert heard == [3_000_000, 3_000_001, 3_000_002, 3_000_003]


@pytest.mark.slow
def test_child__one_that_does_not_listen_is_stopped() -> None:
    ended = threading.Event()
    child = Child(_deaf, None, name="deaf", heard=print, ended=ended.set)
    child.send(b"x" * 10_000_000)
    began = time.monotonic()
    child.stop(wait=0.5)
    assert ended.wait(10)
    assert time.monotonic() - began < 10
