"""Predictions in label configs of every form, taken by a real Label Studio."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from builders import RING, box, prediction, region
from prelabel.data.dataset import Problems
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.errors import ServerFault
from prelabel.label_studio.format.dataset import TaskLabels
from prelabel.label_studio.format.items import encode_regions
from prelabel.label_studio.format.label_choice import LabelChoice
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.format.shapes import SHAPES, Shape
from support.label_studio_server import TOKEN, Server

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(600)]
LABELS = '<Label value="Red box " alias="red_1"/><Label value=" Blue disc"/>'
APART = f'<Labels name="what" toName="image">{LABELS}</Labels>'


def _xml(tags: str) -> str:
    return f'<View><Image name="image" value="$image"/>{tags}</View>'


def _task(server: Server, xml: str) -> tuple[int, int]:
    """A new project's number, and that of its task."""
    project = server.project(xml)
    file = io.BytesIO()
    Image.new("RGB", (10, 8)).save(file, "PNG")
    server.upload(project, [("a.png", file.getvalue())])
    (task,) = server.tasks(project)
    return project, int(task["id"])


@pytest.mark.parametrize("apart", [False, True], ids=["own", "apart"])
@pytest.mark.parametrize("shape", SHAPES, ids=[shape.kind for shape in SHAPES])
def test_label_studio_takes_and_gives_back(shape: Shape, apart: bool, label_studio: Server) -> None:
    if not shape.tag and not apart:
        pytest.skip(f"there is no {shape.bare_tag}Labels")
    own = f'<{shape.tag} name="tag" toName="image">{LABELS}</{shape.tag}>'
    bare = f'{APART}<{shape.bare_tag} name="tag" toName="image"/>'
    xml = _xml(bare if apart else own)
    project, task = _task(label_studio, xml)
    config = parse_label_config(xml)
    photo = prediction(
        "a.png", region(RING), region(box(0, 6, 9, 2), 1), region(box(8, 0, 2, 2), -1)
    )
    labels = {0: "Red box ", 1: " Blue disc"}
    items, _ = encode_regions(photo, labels, config.controls[0])
    with Client(label_studio.url, TOKEN) as client:
        sent = [{"task": task, "result": items, "score": 0.5, "model_version": "m-1"}]
        assert client.import_predictions(project, sent) == 1
        given = list(client.tasks(project))
    found = TaskLabels(
        lambda: iter(given),
        LabelChoice(),
        label_config=config,
        source="project",
        problems=Problems(),
    )
    assert found.classes == ("red_1", " Blue disc")
    (read,) = found.stream(lambda named: named.stated)
    assert sorted(r.cluster for r in read.regions) == [-1, 0, 1]
    if shape.keeps == "mask":
        assert np.array_equal(next(r.mask for r in read.regions if r.cluster == 0), RING)


def test_label_studio_refuses_a_label_that_it_does_not_have(label_studio: Server) -> None:
    xml = _xml(f'<BrushLabels name="tag" toName="image">{LABELS}</BrushLabels>')
    project, task = _task(label_studio, xml)
    plain = parse_label_config(xml.replace(' alias="red_1"', "")).controls[0]
    items, _ = encode_regions(prediction("a.png", region(RING)), {0: "Red box "}, plain)
    sent = [{"task": task, "result": items, "score": 0.5, "model_version": "m-1"}]
    with (
        Client(label_studio.url, TOKEN) as client,
        pytest.raises(ServerFault, match="has no label 'Red box ' in 'tag'"),
    ):
        client.import_predictions(project, sent)
