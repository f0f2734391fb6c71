"""prelabel label-studio names: what the classes of a project are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from prelabel import extras
from prelabel.cli import label_studio_options as ls_options
from prelabel.cli.options import example
from prelabel.errors import UserError
from prelabel.storage.text import table

if TYPE_CHECKING:
    from prelabel.label_studio.names.exemplars import ExemplarFile
    from prelabel.model import FittedModel

app = typer.Typer()


@app.command(epilog=example("prelabel label-studio names --project 1 --set 3=cat"))
def names(
    project: ls_options.Project,
    *,
    url: ls_options.Url = ls_options.LOCAL,
    changes: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="NUMBER=NAME",
            default_factory=list,
            help="Name a class; without NAME, the class is left unnamed. May be repeated.",
            show_default=False,
        ),
    ],
    renames: Annotated[
        list[str],
        typer.Option(
            "--rename",
            metavar="OLD=NEW",
            default_factory=list,
            help="Give everything named OLD the name NEW; may be repeated.",
            show_default=False,
        ),
    ],
) -> None:
    """Show and change the names of a project's classes.

    Names are learned from what annotators submit: see prelabel label-studio predict and
    prelabel serve.
    """
    with extras.required("label-studio"):
        from prelabel.label_studio.names.exemplars import ExemplarFile
        from prelabel.label_studio.project_home import no_model, open_folder

    home = open_folder(url, str(project))
    model = home.newest_model()
    if model is None:
        raise no_model(url, project)
    exemplars = ExemplarFile(home.names)
    _name_classes(exemplars, changes, model)
    _rename(exemplars, renames)
    rows = _rows(exemplars, model)
    if changes or renames:
        rows.append(("", "new names are used from the next predictions on"))
    print(table(rows))


def _name_classes(exemplars: ExemplarFile, changes: Sequence[str], model: FittedModel) -> None:
    """``--set``. Raises UserError."""
    for change in changes:
        number, equals, name = change.partition("=")
        if not (equals and number.strip().isdecimal()):
            raise UserError(f"--set {change!r}: expected NUMBER=NAME, as in --set 3=cat")
        if not 1 <= int(number) <= len(model.classes):
            raise UserError(f"--set {change!r}: expected a number from 1 to {len(model.classes)}")
        exemplars.name_class(
            int(number) - 1,
            name.strip(),
            centroids=model.classes,
            clusterer=model.config.strategy("clusterer"),
            origin=model.classes_origin,
        )


def _rename(exemplars: ExemplarFile, renames: Sequence[str]) -> None:
    """``--rename``. Raises UserError."""
    for rename in renames:
        old, _, new = rename.partition("=")
        if not exemplars.rename(old.strip(), new.strip()):
            raise UserError(f"--rename {rename!r}: no class or region is named {old.strip()!r}")


def _rows(exemplars: ExemplarFile, model: FittedModel) -> list[tuple[str, str]]:
    """Each class with its names, and how many exemplars have each."""
    from prelabel.steps.exemplars import Names

    known = Names(
        exemplars.exemplars,
        model.classes,
        clusterer=model.config.strategy("clusterer"),
        origin=model.vectors_origin,
    )
    return [
        (name, ", ".join(f"{label or 'none'} ({n})" for label, n in own.items()) or "not named yet")
        for name, own in zip(model.class_names, known.table(len(model.classes)), strict=True)
    ]
