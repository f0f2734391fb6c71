"""evaluate: predictions against ground truth."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prelabel.cli import console
from prelabel.cli.options import example
from prelabel.storage.text import one_line

if TYPE_CHECKING:
    from prelabel.evaluation import Evaluation, Figures
    from prelabel.storage.progress import Progress

app = typer.Typer()


class Classes(StrEnum):
    """How clusters get classes."""

    matched = "matched"
    by_name = "by-name"


class Group(StrEnum):
    """Figures that are computed together."""

    pixels = "pixels"
    coco = "coco"
    objects = "objects"


@app.command(epilog=example("prelabel evaluate out ground_truth.json --out evaluation"))
def evaluate(
    predictions: Annotated[
        list[Path],
        typer.Argument(
            metavar="PREDICTIONS…",
            help="The folder of a run or predict, or labels in a format that can be read. Several "
            "(of several seeds) give mean ± standard deviation.",
            show_default=False,
        ),
    ],
    ground_truth: Annotated[
        Path,
        typer.Argument(
            metavar="GROUND_TRUTH",
            help="What is true, in any of these forms: the last one named.",
            show_default=False,
        ),
    ],
    *,
    classes: Annotated[
        Classes,
        typer.Option(
            help="How clusters get classes: one cluster for each class by Hungarian matching on "
            "IoU, or those of the same name."
        ),
    ] = Classes.matched,
    only: Annotated[
        list[Group],
        typer.Option(
            default_factory=list,
            help="Figures over pixels, COCOeval's, or annotators' work; may be repeated. [default: "
            "all] The page needs all.",
            show_default=False,
        ),
    ],
    fast: Annotated[
        bool,
        typer.Option("--fast", help="COCOeval's figures with hotcoco: the same, sooner."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where evaluation.json and a page with the worst and best photos go. Left out, "
            "only evaluation.json is written, into the folder of a run.",
            show_default=False,
        ),
    ] = None,
    photos: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The folder that the photos' names are relative to, for the page; a run knows its "
            "own. Labels of COCO that do not fit the photo there are left out.",
            show_default=False,
        ),
    ] = None,
    source_format: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="FORMAT",
            help="The predictions' format, where it cannot be seen.",
            show_default=False,
        ),
    ] = "",
    truth_format: Annotated[
        str,
        typer.Option(
            "--truth-from",
            metavar="FORMAT",
            help="The ground truth's format, where it cannot be seen.",
            show_default=False,
        ),
    ] = "",
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="TOML with the cost model's seconds in a section [costs].",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str],
        typer.Option(
            "--set",
            default_factory=list,
            metavar="costs.NAME=SECONDS",
            help="Change one cost: draw, touch_up, keep, delete, relabel or photo; may be repeated.",
            show_default=False,
        ),
    ],
) -> None:
    """Measure predictions against ground truth.

    Prints each figure with how it is computed.
    """
    progress = console.progress()
    with console.stage(progress, "start"):
        from prelabel import evaluation
        from prelabel.runs.datasets import open_dataset
        from prelabel.runs.folder import EVALUATION, check_output_folder
        from prelabel.storage.marker import is_prelabel_folder

        costs = evaluation.load_costs(config, settings)
        if out is not None:
            check_output_folder(out, command="evaluate")
    done = [
        evaluation.evaluate(
            open_dataset(source, format=source_format, photos=photos),
            open_dataset(ground_truth, format=truth_format, photos=photos),
            classes=classes.value,
            only=[group.value for group in only] or evaluation.GROUPS,
            fast=fast,
            costs=costs,
            progress=progress,
        )
        for source in predictions
    ]
    figures = [one.figures for one in done]
    print(evaluation.format_table(*figures))
    if out is not None:
        pages = [] if only else done
        _write(out, predictions, ground_truth, figures, pages, progress)
    elif len(predictions) == 1 and is_prelabel_folder(predictions[0]):
        file = predictions[0] / EVALUATION
        _say_written(evaluation.write_json(file, predictions, figures))


def _write(
    out: Path,
    predictions: Sequence[Path],
    ground_truth: Path,
    figures: Sequence[Figures],
    pages: Sequence[Evaluation],
    progress: Progress,
) -> None:
    """Fill the folder ``out``: JSON, and a page for each of ``pages``."""
    from prelabel.evaluation import write_json
    from prelabel.evaluation.page import write_page
    from prelabel.runs.facts import FolderFacts
    from prelabel.runs.folder import EVALUATION, output_folder, write_facts
    from prelabel.storage.marker import DONE

    with output_folder(out, command="evaluate"):
        _remove_pages(out)
        files = []
        if pages:
            with console.stage(progress, "page"):
                for number, (source, one) in enumerate(
                    zip(predictions, pages, strict=True), start=1
                ):
                    folder = out if len(pages) == 1 else out / f"set-{number}"
                    page = write_page(folder, one, predictions=source, ground_truth=ground_truth)
                    files.append(page)
        for file in (*files, write_json(out / EVALUATION, predictions, figures)):
            _say_written(file)
        write_facts(out, FolderFacts("evaluate", DONE))


def _remove_pages(out: Path) -> None:
    """Remove the pages of an earlier evaluation, which show other figures."""
    (out / "index.html").unlink(missing_ok=True)
    pages = (f for f in out.glob("set-*") if f.name[4:].isdigit() and (f / "index.html").is_file())
    for folder in (out / "thumbs", *pages):
        shutil.rmtree(folder, ignore_errors=True)


def _say_written(file: Path) -> None:
    print(f"written to {one_line(file)}")
