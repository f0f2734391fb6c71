"""Options that several commands share, and the Config made from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prelabel.errors import UserError

if TYPE_CHECKING:
    from prelabel.config import Config
    from prelabel.runs.facts import RecipeFacts
    from prelabel.steps.photos import PhotoSet
    from prelabel.storage.progress import Progress

Photos = Annotated[
    Path,
    typer.Argument(
        metavar="PHOTOS",
        help="A folder (with its sub-folders), one photo, a COCO file (.json), or a list of paths, "
        "one a line (.txt).",
        show_default=False,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="DIR",
        help="The folder for the results: a new or an empty one, or that of an earlier call of the "
        "same command, whose results are replaced.",
        show_default=False,
    ),
]
_ADDRESS = " Or an address of object storage, such as s3://bucket/folder."
PhotosAnywhere = Annotated[
    str,
    typer.Argument(
        metavar="PHOTOS",
        help="A folder (with its sub-folders), one photo, a COCO file (.json), or a list of paths, "
        f"one a line (.txt).{_ADDRESS}",
        show_default=False,
    ),
]
OutAnywhere = Annotated[
    str,
    typer.Option(
        "--out",
        metavar="DIR",
        help="The folder for the results: a new or an empty one, or that of an earlier call of the "
        f"same command, whose results are replaced.{_ADDRESS}",
        show_default=False,
    ),
]
Recipe = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help="A named set of settings (see prelabel recipes list) or a TOML file.",
    ),
]
RecipeOrAuto = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE|auto",
        help="A named set of settings (see prelabel recipes list) or a TOML file; auto looks at the "
        "photos and chooses.",
    ),
]
Set = Annotated[
    list[str],
    typer.Option(
        "--set",
        default_factory=list,
        metavar="SECTION.NAME=VALUE",
        help="Change one setting; may be repeated. prelabel recipes show NAME --all lists them. "
        "The section of a format's settings is its name, as in label-studio.url_prefix=URL.",
        show_default=False,
    ),
]
Backbone = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help="The network that describes the photos: a timm model's name, a file of weights, "
        "stand-in, or a backbone plugin such as color-texture. Default: DINO from the hub, or the "
        "stand-in if the hub cannot be reached.",
        show_default=False,
    ),
]
Labels = Annotated[
    str,
    typer.Option(
        metavar="FILE|A,B,…",
        help="Labels of some of the photos, as a file or folder of a format that can be read: they "
        "teach where objects are and what they are called. Or the names that annotators will use, "
        "separated by commas: the number of classes is twice the number of names.",
        show_default=False,
    ),
]
LabelsFrom = Annotated[
    str,
    typer.Option(
        "--labels-from",
        metavar="FORMAT",
        help="The format of --labels, where it cannot be seen.",
        show_default=False,
    ),
]
Partial = Annotated[
    bool,
    typer.Option(
        "--partial",
        help="What --labels does not label on a photo is unknown, not background.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(help="Seed of all random choices. [default: 0]", show_default=False),
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 if photos were skipped.")]
_FORMATS = "Export format: coco, voc, label-studio or an exporter plugin; may be repeated."
NamedFormats = Annotated[
    list[str], typer.Option("--format", metavar="NAME", help=_FORMATS, show_default=False)
]
Formats = Annotated[
    list[str],
    typer.Option(
        "--format",
        default_factory=lambda: ["coco"],
        metavar="NAME",
        help=f"{_FORMATS} [default: coco]",
        show_default=False,
    ),
]


def example(line: str) -> str:
    """An epilog whose lines are not joined."""
    return f"\b\nExample:\n  {line}"


def chosen_config(
    recipe: str,
    *,
    backbone: str = "",
    labels: Sequence[str] = (),
    seed: int | None = None,
    settings: Sequence[str] = (),
) -> Config:
    """The recipe changed by the options, ``--set`` last. Raises UserError.

    ``labels``: the names that annotators will use. A model's name is checked last,
    since timm takes seconds to load.
    """
    from prelabel import config
    from prelabel.overrides import toml

    overrides = given_settings(backbone=backbone, labels=labels, seed=seed, settings=settings)
    chosen = config.load(recipe, overrides)
    if f"backbone.model={toml(backbone)}" in overrides:
        from prelabel.weights.models import check_model

        check_model(backbone)
    return chosen


def given_settings(
    *,
    backbone: str = "",
    labels: Sequence[str] = (),
    seed: int | None = None,
    settings: Sequence[str] = (),
) -> list[str]:
    """The options as ``section.name=value``, ``--set`` last. Raises UserError."""
    from prelabel.overrides import backbone_settings, toml

    overrides = backbone_settings(backbone) if backbone else []
    if labels:
        overrides.append(f"classes.labels={toml(list(labels))}")
    if seed is not None:
        overrides.append(f"fit.seed={seed}")
    return [*overrides, *settings]


def before_photos(
    recipe: str, *, backbone: str, labels: Sequence[str], seed: int | None, settings: Sequence[str]
) -> tuple[Config, list[str]]:
    """The config as far as it is known before photos are looked at, that of ``default`` for ``auto``, and
    the options as ``section.name=value``. Raises UserError."""
    from prelabel.config import AUTO

    known = "default" if recipe == AUTO else recipe
    config = chosen_config(known, backbone=backbone, labels=labels, seed=seed, settings=settings)
    return config, given_settings(backbone=backbone, labels=labels, seed=seed, settings=settings)


def by_photos(
    recipe: str, config: Config, photos: PhotoSet, given: Sequence[str], progress: Progress
) -> tuple[Config, RecipeFacts | None]:
    """The config, or for ``auto``, that of the recipe that suits the photos, which is told at once.
    ``config``, ``given``: of `before_photos`. Raises UserError."""
    from prelabel.config import AUTO

    if recipe != AUTO:
        return config, None
    from prelabel.cli import console
    from prelabel.recipe_choice import choose_recipe
    from prelabel.runs.facts import RecipeFacts
    from prelabel.storage.progress import Prefixed, RunLog

    choice = choose_recipe(photos, given, log=RunLog(Prefixed(progress, "recipe")))
    facts = RecipeFacts(choice.name, choice.reason)
    console.say(f"recipe {facts.line}")
    return choice.config, facts


def exporter_settings(
    formats: Sequence[str], settings: Sequence[str]
) -> tuple[dict[str, dict[str, object]], list[str]]:
    """``--set`` divided into each format's settings and all others. Raises UserError."""
    from prelabel import config
    from prelabel.overrides import parse_override
    from prelabel.strategies import registry

    exporters: dict[str, dict[str, object]] = {}
    others = []
    for setting in settings:
        section = setting.partition("=")[0].partition(".")[0].strip()
        if section not in registry.names("exporter"):
            others.append(setting)
        elif section not in formats:
            raise UserError(f"--set {setting!r}: expected --format {section} with it")
        else:
            _, name, value = parse_override(setting, config.known_settings)
            exporters.setdefault(section, {})[name] = value
    return exporters, others
