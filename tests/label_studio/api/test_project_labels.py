"""A project as labelled photos, asked of a small Label Studio on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders import box, item
from prelabel.data.dataset import Dataset
from prelabel.data.masks import Mask
from prelabel.errors import UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.dataset import project_dataset
from prelabel.label_studio.api.photos import Fetcher
from prelabel.label_studio.format.label_choice import LabelChoice
from support.fake_label_studio import TOKEN, FakeLabelStudio, png, running
from support.label_studio_exports import labels
from support.small_photos import scene

LABEL_XML = """<View><Image name="img" value="$image"/>
<BrushLabels name="brush" toName="img"><Label value="dog"/><Label value="cat"/></BrushLabels></View>"""
HEIGHT, WIDTH = scene(1).shape[:2]


@pytest.fixture
def fake() -> Iterator[FakeLabelStudio]:
    with running() as server:
        yield server


@pytest.fixture
def client(fake: FakeLabelStudio) -> Iterator[Client]:
    with Client(fake.url, TOKEN, timeout=5, attempts=1) as client:
        yield client


def square(side: int) -> Mask:
    return box(2, 2, side, side, photo=(HEIGHT, WIDTH))


def labelled(fake: FakeLabelStudio, label_xml: str = LABEL_XML) -> int:
    """A project of three tasks: annotated, predicted, and neither."""
    _, tasks = fake.project(3, label_xml)
    first, second, _ = (task["id"] for task in tasks)
    fake.annotate(first, [item(square(4), "cat")])
    result = [item(square(3), "dog", score=0.25)]
    fake.store([{"task": second, "model_version": "m-1", "result": result}])
    return len(fake.configs)


def sizes(dataset: Dataset) -> list[tuple[str, int, int, int]]:
    return [(p.photo, p.width, p.height, len(p.regions)) for p in dataset.stream()]


def test_project_dataset__annotations_and_predictions(
    fake: FakeLabelStudio, client: Client, tmp_path: Path
) -> None:
    project = labelled(fake)
    fetcher = Fetcher(client, tmp_path / "cache")
    with project_dataset(
        client, fetcher, project, choice=LabelChoice("both", untouched=True)
    ) as dataset:
        assert dataset.classes == ("dog", "cat")
        assert dataset.photos is None
        for _ in range(2):  # it can be streamed again
            assert labels(dataset) == [["cat"], ["dog"], []]
        assert sizes(dataset)[2] == ("data/upload/3.png", WIDTH, HEIGHT, 0)
    # The project's tasks were asked for once, and only the photo whose size no region says.
    assert fake.count("GET /api/tasks") == 1
    assert fake.count("GET /data/upload") == 1
    with project_dataset(
        client, fetcher, project, choice=LabelChoice("predictions", untouched=True)
    ) as dataset:
        assert dataset.model_version == "m-1"
        assert [r.score for p in dataset.stream() for r in p.regions] == [0.25]


def test_project_dataset__photos_that_nobody_has_annotated(
    fake: FakeLabelStudio, client: Client, tmp_path: Path
) -> None:
    project = labelled(fake)
    fetcher = Fetcher(client, tmp_path / "cache")
    into = tmp_path / "photos"
    choice = LabelChoice("annotations")
    with project_dataset(client, fetcher, project, choice=choice, photos=into) as dataset:
        assert labels(dataset) == [["cat"]]
        (line,) = dataset.problems.lines()
        assert line.startswith(
            "1 of 3 photos are annotated; the others are not taken (--with-untouched"
        )
    assert fake.count("GET /data/upload") == 1  # the others are not fetched either


def test_project_dataset__photos_into_a_folder(
    fake: FakeLabelStudio, client: Client, tmp_path: Path
) -> None:
    project, photos = labelled(fake), tmp_path / "photos"
    for _ in range(2):
        fetcher = Fetcher(client, tmp_path / "cache")
        with project_dataset(
            client,
            fetcher,
            project,
            choice=LabelChoice("annotations", untouched=True),
            photos=photos,
        ) as dataset:
            assert dataset.photos == photos
            assert len(sizes(dataset)) == 3
        found = sorted(file.name for file in (photos / "data/upload").iterdir())
        assert found == ["1.png", "2.png", "3.png"]
        assert (photos / "data/upload/1.png").read_bytes() == png(1)
    (photos / "data/upload/2.png").write_bytes(b"mine")
    with (
        pytest.raises(UserError, match=r"2\.png is there and is another photo"),
        project_dataset(
            client,
            fetcher,
            project,
            choice=LabelChoice("annotations", untouched=True),
            photos=photos,
        ),
    ):
        pass
    assert (photos / "data/upload/2.png").read_bytes() == b"mine"


def test_project_dataset__photos_that_cannot_be_had(
    fake: FakeLabelStudio, client: Client, tmp_path: Path
) -> None:
    project = labelled(fake)
    fake.photos.clear()
    fetcher = Fetcher(client, tmp_path / "cache")
    with project_dataset(
        client,
        fetcher,
        project,
        choice=LabelChoice("both", untouched=True),
        photos=tmp_path / "photos",
    ) as dataset:
        assert labels(dataset) == [["cat"], ["dog"]]
        assert dataset.problems.counts == {
            "photos that cannot be fetched, whose labels are kept": 2,
            "photos left out": 1,
            "of 3 photos are annotated or have a prediction; the others have no regions": 2,
            "tasks that nobody has annotated, taken from predictions": 1,
        }
        (place,) = dataset.problems.examples["photos left out"]
        assert place.startswith("project 1, task 3: data/upload/3.png ")


def test_project_dataset__a_label_config_that_this_tool_cannot_fill(
    fake: FakeLabelStudio, client: Client, tmp_path: Path
) -> None:
    apart = '<View><Image name="img" value="$image"/><Choices name="c" toName="img"/></View>'
    project = labelled(fake, apart)
    fetcher = Fetcher(client, tmp_path / "cache")
    with project_dataset(
        client, fetcher, project, choice=LabelChoice("annotations", untouched=True)
    ) as dataset:
        assert dataset.classes == ("cat",)
        assert labels(dataset) == [["cat"], [], []]
