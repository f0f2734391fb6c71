"""A project made in a real Label Studio: what is in it, and what happens when something is in the way."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from prelabel.label_studio.api.client import Client
from prelabel.label_studio.format.label_config import parse_label_config
from support.command_line import cli
from support.fake_label_studio import png
from support.label_studio_server import TOKEN, Server
from support.messages import assert_says

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(600)]
LABELS = "Katze & Hund,person,Größe"


@pytest.fixture
def server(label_studio: Server) -> Server:
    return label_studio


def _photos(folder: Path) -> Path:
    """Five: two with one name, one with a long one, one that Label Studio does not take."""
    for number, name in enumerate(["1.png", "a/1.png", "ä b.png", f"{'long' * 30}.png"]):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(number))
    (folder / "scan.ppm").write_bytes(b"P6 1 1 255 abc")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return _photos(tmp_path / "photos")


def _access(**more: str) -> Mapping[str, str]:
    return {**os.environ, "LABEL_STUDIO_API_KEY": TOKEN, **more}


def _create(server: Server, *words: object, **environment: str) -> Result:
    place = ("--url", server.url)
    return cli(
        *("label-studio", "create", *map(str, words), "--labels", LABELS, *place),
        env=_access(**environment),
    )


def _refused(result: Result) -> str:
    """The one line of a user's mistake."""
    assert result.exit_code == 2, result.output
    [line] = [line for line in result.stderr.splitlines() if line.startswith("prelabel")]
    return line


def _project(server: Server, title: str) -> dict[str, Any]:
    [found] = server.json("GET", "/api/projects/", params={"title": title})["results"]
    return dict(server.json("GET", f"/api/projects/{found['id']}/"))


def test_create__what_a_newcomer_needs_is_there(server: Server, photos: Path) -> None:
    result = _create(server, photos, "--title", "first")
    assert result.exit_code == 0, result.output
    assert all(part in result.stdout for part in ("tasks     4", "scan.ppm", "/data"))
    project = _project(server, "first")
    assert parse_label_config(project["label_config"]).label_names == tuple(LABELS.split(","))
    assert "Press V" in project["expert_instruction"]
    assert project["show_instruction"]
    tasks = server.tasks(project["id"])
    assert len(tasks) == 4

    tabs = server.json("GET", "/api/dm/views/", params={"project": project["id"]})
    assert [tab["data"]["title"] for tab in tabs] == ["All photos", *LABELS.split(",")]
    hidden = tabs[0]["data"]["hiddenColumns"]["explore"]
    assert not {"tasks:predictions_score", "tasks:predictions_model_versions"} & set(hidden)
    for task, label in zip(tasks, LABELS.split(","), strict=False):
        item = {
            "from_name": "label",
            "to_name": "image",
            "type": "brushlabels",
            "original_width": 4,
            "original_height": 4,
            "value": {"format": "rle", "rle": [0], "brushlabels": [label]},
        }
        prediction = {"task": task["id"], "result": [item], "model_version": "by hand"}
        server.json("POST", "/api/predictions/", json=prediction)
    found = [
        [t["id"] for t in server.json("GET", "/api/tasks", params={"view": tab["id"]})["tasks"]]
        for tab in tabs
    ]
    assert [sorted(found[0]), *found[1:]] == [
        [t["id"] for t in tasks],
        *([t["id"]] for t in tasks[:3]),
    ]


def test_create__another_project_of_that_title_is_not_touched(server: Server, photos: Path) -> None:
    made = server.json("POST", "/api/projects/", json={"title": "theirs"})
    message = _refused(_create(server, photos, "--title", "theirs"))
    assert_says(message, "project 'theirs' already", "not touched", "--title")
    after = _project(server, "theirs")
    assert after["task_number"] == 0
    assert after["label_config"] == made["label_config"]


def test_create__goes_on_after_an_interruption(
    server: Server, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = Client.upload
    monkeypatch.setattr("prelabel.label_studio.upload._AT_ONCE", 2)

    def cut_off(client: Client, project: int, files: list[tuple[str, bytes]]) -> None:
        upload(client, project, files)  # the photos are there, and the command is not told
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Client, "upload", cut_off)
        assert _create(server, photos, "--title", "cut off").exit_code == 130
    begun = _project(server, "cut off")
    assert (begun["task_number"], "Run the same command again" in begun["description"]) == (2, True)
    other = cli(
        *("label-studio", "create", str(photos), "--labels", "cat", "--title", "cut off"),
        *("--url", server.url),
        env=_access(),
    )
    assert_says(_refused(other), "has other labels", "same --labels")
    message = _refused(
        _create(server, photos, "--title", "cut off", "--backend", "http://x.invalid")
    )
    assert_says(message, "cannot connect the backend http://x.invalid", "run the same command")
    assert _create(server, photos, "--title", "cut off").exit_code == 0
    names = [task["data"]["image"].rpartition("/")[2][9:] for task in server.tasks(begun["id"])]
    assert len(names) == 4
    assert names.count("1.png") == 2
    tabs = server.json("GET", "/api/dm/views/", params={"project": begun["id"]})
    assert len(tabs) == 4
    assert_says(_refused(_create(server, photos, "--title", "cut off")), "already")


def test_create__local_files_stay_where_they_are(server: Server) -> None:
    folder = _photos(server.files / "shown")
    result = _create(server, folder, "--storage", "local")
    assert result.exit_code == 0, result.output
    addresses = [t["data"]["image"] for t in server.tasks(_project(server, "shown")["id"])]
    assert len(addresses) == 4
    assert all("/data/local-files/?d=shown/" in address for address in addresses)


def test_create__a_bucket_that_cannot_be_read(server: Server) -> None:
    message = _refused(
        _create(
            *(server, "--storage", "s3://bucket/cats", "--title", "bucket"),
            AWS_ENDPOINT_URL_S3="http://127.0.0.1:1",
            AWS_ACCESS_KEY_ID="who",
            AWS_SECRET_ACCESS_KEY="very-secret-key",
        )
    )
    assert_says(message, "cannot use the storage s3 bucket/cats")
    assert "very-secret-key" not in message


def test_create__refused_in_one_line(server: Server, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_says(_refused(_create(server, tmp_path / "empty")), "empty")
    (tmp_path / "of none").mkdir()
    (tmp_path / "of none" / "scan.ppm").write_bytes(b"P6 1 1 255 abc")
    assert_says(_refused(_create(server, tmp_path / "of none")), "no photo", ".jpg")
    assert_says(_refused(_create(server, photos, "--title", "ab")), "2 characters", "--title")
    assert_says(_refused(_create(server)), "no photos were named")
    assert_says(_refused(_create(server, "--storage", "ftp://x", "--title", "tape")), "s3://")
    wrong = _create(server, photos, "--title", "token", LABEL_STUDIO_API_KEY="1" * 40)
    assert_says(_refused(wrong), "token")
