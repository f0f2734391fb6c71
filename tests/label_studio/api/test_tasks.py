"""Tasks of a project: what of them matters, and their photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from builders import box, item, task
from prelabel.data.records import ImageFile
from prelabel.errors import UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Fetcher
from prelabel.label_studio.api.tasks import (
    Task,
    download,
    own_predictions,
    read_task,
    read_tasks,
    task_id,
    task_of,
)
from prelabel.label_studio.format.annotations import stamp_of
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.format.photos import TaskPhoto
from prelabel.storage.progress import RunLog
from support.hostile_photos import encoded
from support.http_server import Server, answer

PICTURE = encoded(Image.new("RGB", (2, 3)))

LABEL_CONFIG = parse_label_config(
    '<View><Image name="img" valueList="$image"/>'
    '<BrushLabels name="brush" toName="img"><Label value="cat"/></BrushLabels></View>'
)
OWN = "0123456789ab-3"


def test_read_task() -> None:
    mine = {"id": 5, "model_version": OWN}
    others: list[Any] = [{"id": 6, "model_version": "yolo"}, {"id": 7}, 8]
    given = task(
        3,
        data={"image": ["/a.png", "/b.png"]},
        annotation=[item(box(0, 0, 2, 2))],
        predictions=[mine, *others],
    )
    photos = (TaskPhoto(3, "image", 0, "/a.png"), TaskPhoto(3, "image", 1, "/b.png"))
    stamp = stamp_of(given["annotations"][0], LABEL_CONFIG)
    assert read_task(given, LABEL_CONFIG) == Task(3, photos, True, stamp, ((5, OWN),))
    assert read_task({"id": 4}, LABEL_CONFIG) == Task(4, ())
    # A skipped annotation teaches nothing, but the task counts as labelled.
    skipped = {"id": 4, "annotations": [{"id": 1, "result": [], "was_cancelled": True}]}
    assert read_task(skipped, LABEL_CONFIG) == Task(4, (), labelled=True)
    assert list(own_predictions({"id": 4, "predictions": None})) == []


@pytest.mark.parametrize("number", [None, "3", 2.5])
def test_task_id__a_whole_number(number: object) -> None:
    with pytest.raises(UserError, match=f"id {number!r}"):
        task_id({"id": number})


def test_read_tasks__all_pages(server: Server, client: Client) -> None:
    tasks = [{"id": n, "data": {"image": [f"/{n}.png"]}} for n in (1, 2)]
    server.route = lambda *_: answer({"tasks": tasks, "total": 2})
    log = RunLog()
    found = read_tasks(client, 7, 2, LABEL_CONFIG, log)
    assert [(t.id, [p.name for p in t.photos]) for t in found] == [
        (1, ["1/image/0"]),
        (2, ["2/image/0"]),
    ]


def test_download__a_task_without_all_of_its_photos_has_none(
    server: Server, client: Client, tmp_path: Path
) -> None:
    server.route = lambda _, path: answer({}, 404) if "gone" in path else (200, {}, PICTURE)
    tasks = [
        read_task(
            {"id": n, "data": {"image": [f"/data/upload/{name}.png" for name in names]}},
            LABEL_CONFIG,
        )
        for n, names in enumerate((["a", "b"], [], ["c", "gone"], ["d"]))
    ]
    failed: dict[int, str] = {}
    found = download(Fetcher(client, tmp_path), tasks, failed, RunLog())
    assert [photo.name for photo in found] == ["0/image/0", "0/image/1", "3/image/0"]
    assert all(isinstance(photo, ImageFile) and photo.file.read_bytes() for photo in found)
    assert failed.keys() == {1, 2}
    assert "no image in its data" in failed[1]
    assert [task_of(photo.name) for photo in found] == [0, 0, 3]
