"""Options that the commands for Label Studio share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from prelabel.label_studio.api.photos import Sources

LOCAL = "http://127.0.0.1:8080"
"""Where Label Studio listens by default."""

Project = Annotated[int, typer.Option(metavar="N", help="The project's number.")]
Url = Annotated[str, typer.Option(envvar="LABEL_STUDIO_URL", help="The address of Label Studio.")]
TOKEN = (
    "An access token, personal or legacy, from Account & Settings. It is safer in the environment, "
    "as other users can see a command's options."
)
Token = Annotated[
    str,
    typer.Option(envvar="LABEL_STUDIO_API_KEY", help=TOKEN, show_default=False, show_envvar=True),
]
MinScore = Annotated[
    float, typer.Option(min=0, max=1, help="Leave out regions with a lower score.")
]
MaxRegions = Annotated[int, typer.Option(min=1, help="The largest number of regions in a photo.")]
Gap = Annotated[
    int,
    typer.Option(min=0, help="Merge regions of one class that are at most this many pixels apart."),
]
Tolerance = Annotated[
    float, typer.Option(min=0, help="How far a polygon may be from the outline, in pixels.")
]
Unnamed = Literal["add", "first", "leave"]
UNNAMED = (
    "What regions of classes without a name get: labels 'object 1', 'object 2', …, added to the "
    "project's label config until the classes are named; the likeliest label of the project, noted "
    "as a guess; or none, and are almost invisible."
)
Partial = Annotated[
    bool | None,
    typer.Option(
        "--partial/--complete",
        help="Whether annotated photos of this project may show more objects than were drawn, so that "
        "the rest of them is not learned as background; kept for the project. Default: as it was, at "
        "first complete.",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing on the server.")]
MaxPoints = Annotated[
    int,
    typer.Option(
        min=0,
        help="The most corners of a polygon (4 or more), so that it can be edited; 0: any number.",
    ),
]
AllowHost = Annotated[
    list[str],
    typer.Option(
        metavar="HOST",
        default_factory=list,
        help="Allow photos to be fetched from this host too, NAME or NAME:PORT; may be repeated.",
        show_default=False,
    ),
]
LocalFiles = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Label Studio's document root for local files, if it is on this machine.",
        show_default=False,
    ),
]
MaxPhotoMb = Annotated[int, typer.Option(min=1, help="The largest photo that is fetched, in MB.")]
PhotoTimeout = Annotated[
    int, typer.Option(min=1, help="Seconds that fetching one photo may take in all.")
]
PhotoCacheGb = Annotated[
    float,
    typer.Option(min=0, help="Fetched photos that are kept, in GB; those used last stay longest."),
]


def sources(
    hosts: Sequence[str], local_files: Path | None, *, mb: int, seconds: int, cache_gb: float
) -> Sources:
    """Where photos come from, of the options above."""
    from prelabel.label_studio.api.photos import Sources

    return Sources(
        tuple(hosts),
        local_files,
        max_bytes=mb * 1_000_000,
        seconds=seconds,
        cache_bytes=int(cache_gb * 1e9),
    )
