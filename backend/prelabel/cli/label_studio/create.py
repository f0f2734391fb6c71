"""prelabel label-studio create: a new project of photos, ready to work on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prelabel import extras
from prelabel.cli import console
from prelabel.cli import label_studio_options as ls_options
from prelabel.cli.options import example
from prelabel.errors import UserError
from prelabel.storage.text import one_line, table

if TYPE_CHECKING:
    from prelabel.label_studio.api.storages import StoragePlace
    from prelabel.label_studio.create import Backend, Created, NewProject

app = typer.Typer()
_SHOWN = 5
"""Photos left out that the summary names."""


@app.command(epilog=example("prelabel label-studio create photos/ --labels cat,dog"))
def create(
    photos: Annotated[
        Path | None,
        typer.Argument(
            metavar="PHOTOS",
            help="A folder (with its sub-folders), one photo, a COCO file (.json), or a list of "
            "paths, one a line (.txt). Not needed with a bucket.",
            show_default=False,
        ),
    ] = None,
    *,
    labels: Annotated[
        str,
        typer.Option(metavar="NAME,NAME", help="What objects are called.", show_default=False),
    ],
    title: Annotated[
        str,
        typer.Option(help="The project's title. Default: the folder's name.", show_default=False),
    ] = "",
    url: ls_options.Url = ls_options.LOCAL,
    token: ls_options.Token,
    storage: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="upload; or local, if Label Studio shows that folder from its own disk, or "
            "local:PATH, as Label Studio calls it; or s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, "
            "azure-blob://CONTAINER/PREFIX. What lets Label Studio into a bucket is taken from "
            "AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, AZURE_BLOB_ACCOUNT_KEY and the like.",
        ),
    ] = "upload",
    backend: Annotated[
        str,
        typer.Option(
            metavar="URL",
            help="Connect prelabel serve, at the address that Label Studio reaches it by; its user "
            "and password are those of PRELABEL_BASIC_AUTH.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Make a Label Studio project of photos: labels, tabs, instructions, and the backend.

    A project that has the title already is not touched. After an interruption, the same command
    continues where it stopped.
    """
    progress = console.progress()
    with console.stage(progress, "start"), extras.required("label-studio"):
        from prelabel.label_studio.api.client import Client
        from prelabel.label_studio.create import NewProject, create_project
        from prelabel.label_studio.format.new_config import read_labels
        from prelabel.steps.photos import find_photos
        from prelabel.storage.progress import RunLog

        names = read_labels(labels)
        place = _place(storage, photos)
        found = find_photos(photos) if photos and not place else None
    new = NewProject(
        title=title or _title(photos, storage),
        labels=names,
        photos=found.photos if found else (),
        place=place,
        backend=_backend(backend) if backend else None,
    )
    for note in found.notes() if found else ():
        console.say(note)
    with Client(url, token) as client:
        made = create_project(client, new, RunLog(progress))
        print(table(_rows(new, made, client.url)))


def _place(storage: str, photos: Path | None) -> StoragePlace | None:
    """Where photos stay; None for those that are uploaded. Raises UserError."""
    from prelabel.label_studio.api.storages import cloud_place, local_place

    kind, _, path = storage.partition(":")
    if storage in ("upload", "local") and photos is None:
        raise UserError(
            f"no photos were named: expected a folder, as in prelabel label-studio create photos/ "
            f"--labels cat,dog --storage {storage}"
        )
    if storage == "upload":
        return None
    if storage == "local":
        folder = Path(str(photos)).expanduser()
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder, which --storage local expects")
        return local_place(str(folder.resolve()))
    if kind == "local" and path:
        return local_place(path)
    return cloud_place(storage)


def _title(photos: Path | None, storage: str) -> str:
    if photos is None:
        return storage.rstrip("/").rpartition("/")[2]
    return photos.expanduser().resolve().name


def _backend(url: str) -> Backend:
    from prelabel.label_studio.create import Backend

    user, _, password = os.environ.get("PRELABEL_BASIC_AUTH", "").partition(":")
    return Backend(url, user, password)


def _rows(new: NewProject, made: Created, url: str) -> list[tuple[str, str]]:
    rows = [("project", f"{made.id}, {new.title}"), ("tasks", str(made.tasks))]
    if made.left_out:
        rows.append(("left out", f"{len(made.left_out)} photos"))
    rows += [("", one_line(f"{name}: {reason}")) for name, reason in made.left_out[:_SHOWN]]
    rows.append(("open", f"{url}/projects/{made.id}/data"))
    rows.append(("masks", f"prelabel label-studio predict --project {made.id} --url {url}"))
    review = f"prelabel label-studio review --project {made.id} --url {url}"
    rows.append(("names", new.backend.review_page(made.id) if new.backend else review))
    return rows
