"""Storages of Label Studio: what it is sent, and what people are told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prelabel.errors import UserError
from prelabel.label_studio.api import storages
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.storages import StoragePlace, cloud_place, link_storage, local_place
from support.http_server import Answer, Server, answer
from support.messages import assert_says

KEYS = {"AWS_ACCESS_KEY_ID": "who", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_DEFAULT_REGION": "eu"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storages, "_LOOK_EVERY", 0.01)


def test_cloud_place__of_each_kind(tmp_path: Path) -> None:
    s3 = cloud_place("s3://bucket/a/b/", KEYS)
    assert (s3.kind, dict(s3.where)) == ("s3", {"bucket": "bucket", "prefix": "a/b"})
    assert s3.secrets["aws_secret_access_key"] == "hush"
    assert "hush" not in f"{s3} {s3!r}"
    (tmp_path / "key.json").write_text("{}")
    found = {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json")}
    gcs = cloud_place("gs://bucket", found)
    assert (gcs.kind, gcs.secrets["google_application_credentials"]) == ("gcs", "{}")
    azure = cloud_place("azure-blob://box/a", {"AZURE_BLOB_ACCOUNT_KEY": "k"})
    assert (azure.kind, dict(azure.where)) == ("azure", {"container": "box", "prefix": "a"})
    with pytest.raises(UserError, match="cannot be read"):
        cloud_place("gs://bucket", {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "gone")})
    for wrong in ("ftp://bucket", "s3:///photos", "photos"):
        with pytest.raises(UserError, match="expected upload, local"):
            cloud_place(wrong, {})


def test_link_storage__is_made_synced_and_waited_for(server: Server, client: Client) -> None:
    states = ["queued", "in_progress", "completed"]

    def route(method: str, path: str) -> Answer:
        if method == "GET" and "?" in path:
            return answer([{"id": 3, "bucket": "bucket", "prefix": "other"}])
        if path.endswith("/sync"):
            return answer({"id": 4, "status": states.pop(0)})
        return answer({"id": 4, "status": states.pop(0) if method == "GET" else "initialized"})

    server.route = route
    assert link_storage(client, 7, cloud_place("s3://bucket/cats", KEYS)) == 4
    asked = [(method, path) for method, path, _ in server.asked]
    assert asked == [
        ("GET", "/api/storages/s3/?project=7"),
        ("POST", "/api/storages/s3/"),
        ("POST", "/api/storages/s3/4/sync"),
        ("GET", "/api/storages/s3/4"),
        ("GET", "/api/storages/s3/4"),
    ]
    sent = json.loads(server.bodies[1])
    assert (sent["bucket"], sent["prefix"], sent["region_name"]) == ("bucket", "cats", "eu")
    assert sent["use_blob_urls"]
    assert sent["recursive_scan"]


def test_link_storage__that_is_there_is_synced_again(server: Server, client: Client) -> None:
    def route(method: str, path: str) -> Answer:
        known = [{"id": 3, "path": "/photos"}]
        return answer(known if method == "GET" else {"id": 3, "status": "completed"})

    server.route = route
    assert link_storage(client, 7, local_place("/photos")) == 3
    assert [path for _, path, _ in server.asked][1:] == ["/api/storages/localfiles/3/sync"]


@pytest.mark.parametrize(
    ("place", "made", "synced", "says"),
    [
        (cloud_place("s3://b/c", KEYS), answer({}, 500), None, "cannot use the storage s3 b/c"),
        (cloud_place("s3://b/c", KEYS), answer(["no key hush"], 400), None, "no key …"),
        (
            local_place("/photos"),
            answer({"id": 4}),
            answer({"id": 4, "status": "failed", "traceback": "Trace\nNo such folder\n"}),
            "cannot read the photos there (No such folder)",
        ),
    ],
)
def test_link_storage__says_what_is_wrong(
    server: Server,
    client: Client,
    place: StoragePlace,
    made: Answer,
    synced: Answer | None,
    says: str,
) -> None:
    def route(method: str, path: str) -> Answer:
        if method == "GET":
            return answer([])
        return synced if synced and path.endswith("/sync") else made

    server.route = route
    with pytest.raises(UserError) as error:
        link_storage(client, 7, place)
    assert_says(error.value, says)
    assert "hush" not in str(error.value)
