"""Slots of downloads: slow places hold up no other, and people who wait come first."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from prelabel.errors import PhotoError
from prelabel.label_studio.api import photos as photos_module
from prelabel.label_studio.api.photos import Sources
from prelabel.label_studio.server import downloads as module
from prelabel.label_studio.server.downloads import Downloads
from prelabel.label_studio.server.job_photos import OWN, JobPhotos, photos_of
from prelabel.label_studio.server.jobs import Job, JobKind, Urgency
from support.fake_label_studio import BRUSH, png, wait_for
from support.jobs import job


class Places:
    """``begun`` and ``done``: numbers of jobs, in order. A job ends when its number is in
    ``released``, or is less than ``quick``."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.done: list[tuple[int, str]] = []
        self.most_at_once = 0
        self._at_work = 0
        self._released: set[int] = set()
        self._quick = 0
        self._over = False
        self._changed = threading.Condition()
        self.downloads = Downloads(self._fetch, self._on_done, thread="download")

    def _fetch(self, job: Job) -> None:
        with self._changed:
            self.begun.append(job.number)
            self._at_work += 1
            self.most_at_once = max(self.most_at_once, self._at_work)
            self._changed.wait_for(
                lambda: self._over or job.number < self._quick or job.number in self._released, 30
            )
            self._at_work -= 1
        if job.task_id == 404:
            raise PhotoError("is not there")
        if job.task_id == 500:
            raise RuntimeError("unforeseen")

    def _on_done(self, job: Job, problem: str) -> None:
        self.done.append((job.number, problem))

    def release(self, *numbers: int, quick: int = 0) -> None:
        with self._changed:
            self._released |= set(numbers)
            self._quick = max(self._quick, quick)
            self._changed.notify_all()

    def add(
        self, number: int, place: str, urgency: Urgency = Urgency.BATCH, *, task: int = 1
    ) -> Job:
        made = replace(job("predict", task_id=task, number=number), urgency=urgency)
        self.downloads.add(made, place)
        return made

    @contextmanager
    def ended(self) -> Iterator[None]:
        try:
            yield
        finally:
            self.downloads.stop()
            with self._changed:
                self._over = True
                self._changed.notify_all()


@pytest.fixture
def places() -> Iterator[Places]:
    found = Places()
    with found.ended():
        yield found


def test_slow_place_holds_up_no_other(places: Places) -> None:
    for number in range(1, 101):
        places.add(number, "http://slow")
    places.add(200, "http://other")
    places.add(300, OWN)
    wait_for(lambda: {200, 300} <= set(places.begun))
    assert len(places.begun) == module._OF_ONE_PLACE + 2
    places.release(200, 300)
    wait_for(lambda: len(places.done) == 2)
    assert sorted(places.done) == [(200, ""), (300, "")]


def test_many_slow_places_leave_slots_for_label_studios_own(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AHEAD", 1000)
    for number in range(1, 101):
        places.add(number, f"http://slow{number}")
    wait_for(lambda: len(places.begun) == module._OF_OTHERS)
    places.add(200, OWN)
    wait_for(lambda: 200 in places.begun)
    places.release(quick=1000)
    wait_for(lambda: len(places.done) == 101)
    assert places.most_at_once <= module._OF_OTHERS + module._OF_ONE_PLACE


def test_most_urgent_first(places: Places) -> None:
    for number in range(1, module._OF_ONE_PLACE + 1):
        places.add(number, "http://a")
    places.add(10, "http://a", Urgency.BACKGROUND)
    batch = places.add(11, "http://a", Urgency.BATCH)
    places.add(12, "http://a", Urgency.OPENED)
    places.add(13, "http://a", Urgency.INTERACTIVE)
    hurried = places.add(14, "http://a", Urgency.BACKGROUND)
    assert places.downloads.hurry(replace(hurried, urgency=Urgency.INTERACTIVE))
    assert not places.downloads.hurry(replace(hurried, number=99))
    for number in range(1, module._OF_ONE_PLACE + 1):  # one after another
        places.release(number)
        wait_for(lambda: len(places.done) == len(places.begun) - module._OF_ONE_PLACE)
    places.release(quick=20)
    wait_for(lambda: len(places.begun) == 9)
    assert places.begun[module._OF_ONE_PLACE :] == [13, 14, 12, 11, 10]
    wait_for(lambda: len(places.done) == 9)
    assert not places.downloads.hurry(batch)


def test_failure_is_told_and_frees_the_slot(places: Places) -> None:
    places.release(quick=100)
    for number in range(1, 20):
        places.add(number, "http://a", task=404 if number % 2 else 500)
    wait_for(lambda: len(places.done) == 19)
    assert {problem for _, problem in places.done} == {"is not there", "RuntimeError: unforeseen"}


def test_fetched_ahead__no_more_than_is_taken(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AHEAD", 5)
    monkeypatch.setattr(module, "_OF_ONE_PLACE", 1)
    places.release(quick=1000)
    jobs = [places.add(number, "http://a") for number in range(1, 21)]
    wait_for(lambda: len(places.done) == 5)
    places.add(50, "http://b", Urgency.OPENED)  # somebody waits
    wait_for(lambda: len(places.done) == 6)
    assert places.downloads.take(jobs[0])
    assert not places.downloads.take(jobs[0])
    assert not places.downloads.take(jobs[19])
    assert places.downloads.take(replace(jobs[0], number=50))
    wait_for(lambda: len(places.done) == 7)
    assert [number for number, _ in places.done] == [1, 2, 3, 4, 5, 50, 6]


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("/data/upload/1/a.jpg", OWN),
        ("http://label.studio/data/upload/1/a.jpg", OWN),
        ("data:image/png;base64,AAAA", OWN),
        ("http://photos.example.com:8080/a.jpg", "http://photos.example.com:8080"),
        ("s3://bucket/a.jpg", "s3://bucket"),
    ],
)
def test_place(uri: str, place: str) -> None:
    task = job("predict", server="http://label.studio", data={"image": uri})
    assert JobPhotos(Sources()).place(task) == place


@pytest.mark.parametrize(("kind", "place"), [("learn", "learned"), ("load", OWN), ("names", OWN)])
def test_place__of_jobs_without_a_task(kind: JobKind, place: str) -> None:
    assert JobPhotos(Sources()).place(job(kind)) == place


def test_photos_of__too_many_hold_up_others() -> None:
    xml = BRUSH.replace('value="$image"', 'valueList="$images"')
    pages = job("predict", label_xml=xml, data={"images": ["/data/upload/1/a.jpg"] * 201})
    with pytest.raises(PhotoError, match=r"has 201 photos: .*at most 200"):
        photos_of(pages)
    assert len(photos_of(replace(pages, kind="interactive"))) == 201


def test_reading__large_photos_one_by_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path))
    monkeypatch.setattr(photos_module, "_OPEN_BYTES", 1)
    photos, data = JobPhotos(Sources()), base64.b64encode(png(1)).decode()
    task = job("predict", data={"image": f"data:image/png;base64,{data}"})
    [photo] = photos_of(task)
    reading = threading.Lock()

    def read(_: int) -> None:
        with photos.reading(task, photo) as found:
            assert found == png(1)
            assert reading.acquire(blocking=False)
            time.sleep(0.01)
            reading.release()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(read, range(16)))
