"""Photos that stay where they are: folders and buckets that Label Studio makes tasks of."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import msgspec

from prelabel.errors import UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.connection import LONG
from prelabel.label_studio.api.errors import ServerFault
from prelabel.storage.json import JsonObject

PHOTOS = r"(?i).*\.(jpe?g|png|gif|bmp|webp|avif)$"
"""Names of photos that browsers show."""
_TITLE = "photos (prelabel)"
_KINDS = {"s3": "s3", "gs": "gcs", "azure-blob": "azure"}
"""Label Studio's name of a storage, by the scheme of an address."""
_LOOK_EVERY = 1.0
_SYNC = 3600.0
"""Seconds that Label Studio may take for making the tasks."""


@dataclass(frozen=True)
class StoragePlace:
    """Where photos are. ``kind``: as Label Studio calls it. ``where``: the fields that tell one place
    from another; ``secrets``: those that let Label Studio in, which are never shown."""

    kind: str
    where: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.kind} {'/'.join(part for part in self.where.values() if part)}"


class _Storage(msgspec.Struct, frozen=True):
    id: int
    title: str | None = None
    status: str = ""
    traceback: str | None = None
    last_sync_count: int | None = None


def local_place(path: str) -> StoragePlace:
    """A folder, by its path on the machine that Label Studio runs on."""
    return StoragePlace("localfiles", {"path": path}, {})


def cloud_place(address: str, environment: Mapping[str, str] = os.environ) -> StoragePlace:
    """A bucket and a prefix in it, as ``s3://bucket/photos``, ``gs://…`` or ``azure-blob://container/…``.
    What lets Label Studio in is taken from the usual environment variables; without them, Label Studio
    uses its own. Raises UserError."""
    place = urlsplit(address)
    kind = _KINDS.get(place.scheme)
    if kind is None or not place.netloc or "@" in place.netloc:
        raise UserError(
            f"--storage {address!r}: expected upload, local, local:PATH, s3://BUCKET/PREFIX, "
            "gs://BUCKET/PREFIX or azure-blob://CONTAINER/PREFIX"
        )
    bucket = "container" if kind == "azure" else "bucket"
    where = {bucket: place.netloc, "prefix": place.path.strip("/")}
    names = {
        "s3": {
            "aws_access_key_id": "AWS_ACCESS_KEY_ID",
            "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
            "aws_session_token": "AWS_SESSION_TOKEN",
            "region_name": "AWS_DEFAULT_REGION",
            "s3_endpoint": "AWS_ENDPOINT_URL_S3",
        },
        "gcs": {"google_project_id": "GOOGLE_CLOUD_PROJECT"},
        "azure": {
            "account_name": "AZURE_BLOB_ACCOUNT_NAME",
            "account_key": "AZURE_BLOB_ACCOUNT_KEY",
        },
    }[kind]
    secrets = {field: environment[name] for field, name in names.items() if environment.get(name)}
    if kind == "gcs" and (file := environment.get("GOOGLE_APPLICATION_CREDENTIALS")):
        try:
            secrets["google_application_credentials"] = Path(file).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise UserError(f"GOOGLE_APPLICATION_CREDENTIALS: {file} cannot be read") from error
    return StoragePlace(kind, where, secrets)


def link_storage(client: Client, project_id: int, place: StoragePlace) -> int:
    """Have Label Studio make a task of each photo there that has none yet; its number of the storage.
    Raises UserError if it cannot read the place."""
    path = f"/api/storages/{place.kind}"
    found = client.ask_list("GET", f"{path}/?{urlencode({'project': project_id})}")
    own = [
        one
        for one in found
        if isinstance(one, dict)
        and all((one.get(field) or "") == value for field, value in place.where.items())
    ]
    facts: JsonObject = {
        "project": project_id,
        "title": _TITLE,
        "use_blob_urls": True,
        "regex_filter": PHOTOS,
        "recursive_scan": True,
        **place.where,
        **place.secrets,
    }
    try:
        storage = own[0] if own else client.ask("POST", f"{path}/", body=facts, repeatable=False)
    except ServerFault as fault:
        raise UserError(
            f"{client.url} cannot use the storage {place} ({fault.reason}): see whether the place is "
            "right and what lets Label Studio in; then run the same command again"
        ) from None
    except UserError as error:
        raise UserError(_without(str(error), place)) from None
    number = client.convert(storage, _Storage).id
    synced = client.ask(
        "POST", f"{path}/{number}/sync", repeatable=False, timeout=LONG * client.timeout
    )
    _wait(client, f"{path}/{number}", client.convert(synced, _Storage))
    return number


def _wait(client: Client, path: str, storage: _Storage) -> None:
    """Until the tasks are made, which some Label Studios do in the background. Raises UserError."""
    until = time.monotonic() + _SYNC
    while storage.status in ("queued", "in_progress") and time.monotonic() < until:
        time.sleep(_LOOK_EVERY)
        storage = client.convert(client.ask("GET", path), _Storage)
    if storage.status != "completed":
        reason = (storage.traceback or "").strip().splitlines()[-1:] or [storage.status]
        raise UserError(
            f"{client.url} cannot read the photos there ({reason[0][:200]}): see Settings, Cloud "
            "Storage in the project, then run the same command again"
        )


def _without(text: str, place: StoragePlace) -> str:
    for secret in place.secrets.values():
        text = text.replace(secret, "…")
    return text
