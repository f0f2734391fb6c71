"""Options that the commands for Label Studio share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Project = Annotated[int, typer.Option(metavar="N", help="The project's number.")]
Url = Annotated[str, typer.Option(envvar="LABEL_STUDIO_URL", help="Where Label Studio is.")]
TOKEN = (
    "An access token, personal or legacy, from Account & Settings. Better in the environment, where "
    "no list of processes shows it."
)
Token = Annotated[
    str,
    typer.Option(envvar="LABEL_STUDIO_API_KEY", help=TOKEN, show_default=False, show_envvar=True),
]
MinScore = Annotated[
    float, typer.Option(min=0, max=1, help="Leave out regions with a lower score.")
]
MaxRegions = Annotated[int, typer.Option(min=1, help="At most so many in a photo.")]
Gap = Annotated[
    int, typer.Option(min=0, help="Fragments of one class so many pixels apart are merged.")
]
Tolerance = Annotated[
    float, typer.Option(min=0, help="Pixels that a polygon may stray from the outline.")
]
AllowHost = Annotated[
    list[str],
    typer.Option(
        metavar="HOST",
        default_factory=list,
        help="Fetch photos from there as well; may be repeated.",
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
