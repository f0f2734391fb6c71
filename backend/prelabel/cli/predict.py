"""The commands predict and merge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prelabel.cli import console, options
from prelabel.cli.options import example
from prelabel.errors import UserError

if TYPE_CHECKING:
    from prelabel.runs.shards import Shard
    from prelabel.strategies.protocols import Engine

app = typer.Typer()
ShardOption = Annotated[
    str,
    typer.Option(
        "--shard",
        metavar="K/N",
        help="Predict one of N shards of the photos, the K-th, into its own folder in --out: each "
        "can be predicted by another process or machine. prelabel merge puts them together.",
        show_default=False,
    ),
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="NAME",
        help="Predict all shards of the photos on an engine and merge them: local is this process, "
        "ray the machines of a cluster, others are plugins. Finished shards are not predicted again.",
        show_default=False,
    ),
]
ShardsOption = Annotated[
    int | None,
    typer.Option(
        "--shards",
        metavar="N",
        min=1,
        help="The number of shards for --engine. [default: by the number of photos]",
        show_default=False,
    ),
]
AddressOption = Annotated[
    str,
    typer.Option(
        "--address",
        metavar="HOST:PORT|auto",
        help="The cluster of --engine ray; left out, Ray is started on this machine alone.",
        show_default=False,
    ),
]
EngineSet = Annotated[
    list[str],
    typer.Option(
        "--set",
        default_factory=list,
        metavar="engine.NAME=VALUE",
        help="A setting of the engine, such as engine.gpus=1; may be repeated. prelabel plugins show "
        "ray lists them.",
        show_default=False,
    ),
]


@app.command(epilog=example("prelabel predict model new-photos --out new"))
def predict(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="The folder that fit or run wrote. Or its address in object storage.",
            show_default=False,
        ),
    ],
    photos: options.PhotosAnywhere,
    out: options.OutAnywhere,
    *,
    shard: ShardOption = "",
    engine: EngineOption = "",
    shards: ShardsOption = None,
    address: AddressOption = "",
    settings: EngineSet,
    strict: options.Strict = False,
) -> None:
    """Find the regions of photos with a fitted model.

    Writes predictions.jsonl. All shards by an engine, or each shard by a call of its own, give the same
    as one call without shards.
    """
    progress = console.progress()
    with console.stage(progress, "start"):
        part, made = _division(shard, engine, shards, address, settings)
        from prelabel.api import load_model
        from prelabel.runs.folder import check_output_folder
        from prelabel.runs.predictions import FILE
        from prelabel.runs.run import run_predict
        from prelabel.runs.sharded import SHARDS, run_predict_sharded
        from prelabel.runs.shards import run_predict_shard
        from prelabel.steps.photos import find_photos
        from prelabel.storage.marker import MARKER
        from prelabel.storage.remote import place, results

        to = place(out) / part.folder if part else place(out)
        if isinstance(to, Path):
            check_output_folder(to, command="predict")
        fitted = load_model(model)
        photo_set = find_photos(photos)
    needed = (MARKER, FILE) if part else (MARKER,)
    with results(to, needed, beside=SHARDS if made else "") as folder:
        if part:
            summary = run_predict_shard(fitted, photo_set, folder, part, progress)
        elif made:
            summary = run_predict_sharded(
                fitted,
                photo_set,
                folder,
                made,
                shards=to / SHARDS,
                count=shards or 0,
                progress=progress,
            )
        else:
            summary = run_predict(fitted, photo_set, folder, progress=progress)
        if not part:
            _name_new_photos(model, folder)
    console.end(summary, strict=strict, shown={folder: to})


@app.command(epilog=example("prelabel merge shards --model model --out new"))
def merge(
    shards: Annotated[
        str,
        typer.Argument(
            metavar="SHARDS",
            help="The folder that prelabel predict --shard wrote to. Or its address in object storage.",
            show_default=False,
        ),
    ],
    out: options.OutAnywhere,
    *,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="The folder of the run that predicted, whose names of a review its regions get.",
            show_default=False,
        ),
    ] = None,
    strict: options.Strict = False,
) -> None:
    """Merge shards of predictions into what one prelabel predict would have written.

    All shards must be there, finished, and of the same model.
    """
    from prelabel.runs.shards import SHARD_FILES
    from prelabel.runs.shards import merge as merge_shards
    from prelabel.storage.remote import fetched, place, results

    to = place(out)
    with fetched(place(shards), SHARD_FILES) as parts, results(to) as folder:
        summary = merge_shards(parts, folder, console.progress())
        if model:
            _name_new_photos(str(model), folder)
    console.end(summary, strict=strict, shown={folder: to})


def _division(
    shard: str, engine: str, shards: int | None, address: str, settings: list[str]
) -> tuple[Shard | None, Engine | None]:
    """The one shard to predict, or the engine for all; neither for one call without shards. Raises
    UserError for options that do not fit together."""
    from prelabel.overrides import parse_override
    from prelabel.runs.shards import Shard
    from prelabel.strategies import registry

    if shard and engine:
        raise UserError("--shard predicts one shard, --engine all of them: give one of the two")
    if not engine:
        for option, given in (("--shards", shards), ("--address", address), ("--set", settings)):
            if given:
                raise UserError(f"{option} is about an engine: give --engine local or --engine ray")
        return (Shard.parse(shard) if shard else None), None
    own: dict[str, object] = {"address": address} if address else {}
    for setting in settings:
        section, name, value = parse_override(setting, dict)
        if section != "engine":
            raise UserError(f"--set {setting!r}: expected a setting of the engine: engine.{name}")
        own[name] = value
    return None, registry.make("engine", engine, own)


def _name_new_photos(model: str, out: Path) -> None:
    """New photos get the names that were given on the review page of the model's run."""
    from prelabel.review.new_photos import name_new_photos
    from prelabel.storage.remote import is_url

    if is_url(model):  # without its review
        return
    if name_new_photos(Path(model), out):
        console.say(f"regions have the names of the review of {model!r}")
