"""A project as a dataset: its server may fail in the middle, and its photos may be gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from builders import HEIGHT, RING, WIDTH
from prelabel.data.brush import encode_brush
from prelabel.errors import PhotoError
from prelabel.label_studio.api.dataset import project_dataset
from prelabel.label_studio.api.errors import ServerFault
from prelabel.label_studio.api.project_requests import ProjectInfo
from prelabel.label_studio.format.label_choice import LabelChoice
from prelabel.runs.export import export_dataset


class _Client:
    """Gives tasks, then fails if it should."""

    def __init__(self, tasks: list[dict[str, Any]], *, fails: bool = False) -> None:
        self.given = tasks
        self.fails = fails

    def project(self, project_id: int) -> ProjectInfo:
        return ProjectInfo(project_id, label_config="<View/>", task_number=len(self.given))

    def tasks(self, _: int) -> Iterator[dict[str, Any]]:
        yield from self.given
        if self.fails:
            raise ServerFault("gave 1 of 2 tasks")


class _Fetcher:
    """Has one photo."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.asked: list[str] = []

    def fetch(self, uri: str, *, task_id: int | None = None) -> Path:
        self.asked.append(uri)
        if "gone" in uri:
            raise PhotoError("cannot be fetched (404)")
        return self.file


def _project(client: _Client, fetcher: _Fetcher, **more: Any) -> Any:
    choice = LabelChoice("annotations", untouched=True)
    return project_dataset(client, fetcher, 3, choice=choice, **more)  # type: ignore[arg-type]


def _tasks() -> list[dict[str, Any]]:
    value = {"format": "rle", "rle": encode_brush(RING), "brushlabels": ["cat"]}
    item = {"id": "r", "type": "brushlabels", "from_name": "l", "to_name": "i", "value": value}
    sized = item | {"original_width": WIDTH, "original_height": HEIGHT}
    annotation = {"id": 1, "result": [sized]}
    return [
        {"id": 1, "data": {"image": "/data/upload/3/drawn.jpg"}, "annotations": [annotation]},
        {"id": 2, "data": {"image": "/data/upload/3/nothing.jpg"}},
        {"id": 3, "data": {"image": "/data/upload/3/gone.jpg"}},
        {"id": 4, "data": {"image": "/data/upload/3/gone2.jpg"}, "annotations": [annotation]},
    ]


def test_project__photos_are_fetched_only_for_their_size(tmp_path: Path) -> None:
    Image.new("RGB", (5, 4)).save(tmp_path / "x.png")
    fetcher = _Fetcher(tmp_path / "x.png")
    with _project(_Client(_tasks()), fetcher) as dataset:
        found = list(dataset.stream())
        assert fetcher.asked == ["/data/upload/3/nothing.jpg", "/data/upload/3/gone.jpg"]
        assert [(p.photo, p.width, p.height, len(p.regions)) for p in found] == [
            ("drawn.jpg", 10, 8, 1),
            ("nothing.jpg", 5, 4, 0),
            ("gone2.jpg", 10, 8, 1),
        ]
        assert dataset.problems.lines() == [
            "1 photos left out (project 3, task 3: gone.jpg cannot be fetched (404))",
            "2 of 4 photos are annotated; the others have no regions",
        ]


def test_project__all_photos_into_a_folder(tmp_path: Path) -> None:
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "x.png")
    fetcher = _Fetcher(tmp_path / "x.png")
    with _project(_Client(_tasks()), fetcher, photos=tmp_path / "into") as dataset:
        assert [p.photo for p in dataset.stream()] == ["drawn.jpg", "nothing.jpg", "gone2.jpg"]
        assert dataset.photos == tmp_path / "into"
        assert ({file.name for file in (tmp_path / "into").iterdir()}) == {
            "drawn.jpg",
            "nothing.jpg",
        }
        assert dataset.problems.counts == {
            "photos left out": 1,
            "photos that cannot be fetched, whose labels are kept": 1,
            "of 4 photos are annotated; the others have no regions": 2,
        }


def test_project__a_fault_in_the_middle_writes_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(ServerFault, match="gave 1 of 2 tasks"),
        _project(_Client(_tasks(), fails=True), _Fetcher(tmp_path)) as dataset,
    ):
        export_dataset(dataset, tmp_path / "out", ["coco"])
    assert not (tmp_path / "out").exists()
