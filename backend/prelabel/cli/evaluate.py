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
    from prelabel.evaluation import Evaluation
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
            "all]",
            show_default=False,
        ),
    ],
    fast: Annotated[
        bool,
        typer.Option("--fast", help="COCOeval's figures with hotcoco: the same, sooner."),
    ] = False,
    max_regions: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many regions of a photo count in COCOeval's figures, the best scores first. "
            "[default: all; COCO's own figures take 100]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where evaluation.json and a page with the worst and best photos go. [default: "
            "evaluation, in the folder of the run, or here for other predictions]",
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

    Prints what the predictions are worth in three lines, then each figure with how it is computed,
    and writes a page. Masks of classes alone are compared over pixels only.
    """
    progress = console.progress()
    with console.stage(progress, "start"):
        from prelabel import evaluation
        from prelabel.runs.datasets import open_dataset
        from prelabel.runs.folder import check_output_folder

        costs = evaluation.load_costs(config, settings)
        out = out or _default_folder(predictions)
        check_output_folder(out, command="evaluate")
    done = [
        evaluation.evaluate(
            # COCO's results name no photos: those of the ground truth are meant.
            open_dataset(
                source,
                format=source_format,
                photos=photos,
                settings={"coco": {"instances": str(ground_truth)}},
            ),
            open_dataset(ground_truth, format=truth_format, photos=photos),
            classes=classes.value,
            only=[group.value for group in only] or evaluation.GROUPS,
            fast=fast,
            max_regions=max_regions,
            costs=costs,
            progress=progress,
        )
        for source in predictions
    ]
    # Written first: whoever reads the output may stop reading, as head does.
    files = _write(out, predictions, ground_truth, done, progress)
    print(evaluation.format_table(*(one.figures for one in done)))
    for file in files:
        print(f"written to {one_line(file)}")


def _default_folder(predictions: Sequence[Path]) -> Path:
    """``evaluation``, in the folder of the only run or predict, else in the current folder."""
    from prelabel.runs.folder import EVALUATION
    from prelabel.storage.marker import MARKER, read_marker

    marker = read_marker(predictions[0] / MARKER) if len(predictions) == 1 else None
    is_run = marker is not None and marker.command in ("run", "predict", "find")
    return predictions[0] / EVALUATION if is_run else Path(EVALUATION)


def _write(
    out: Path,
    predictions: Sequence[Path],
    ground_truth: Path,
    done: Sequence[Evaluation],
    progress: Progress,
) -> list[Path]:
    """Fill the folder ``out``: a page for each set of predictions, then JSON; returns these files."""
    from prelabel.evaluation import write_json
    from prelabel.evaluation.page import write_page
    from prelabel.runs.facts import FolderFacts
    from prelabel.runs.folder import output_folder, write_facts
    from prelabel.storage.marker import DONE

    with output_folder(out, command="evaluate"):
        _remove_pages(out)
        files = []
        with console.stage(progress, "page"):
            for number, (source, one) in enumerate(zip(predictions, done, strict=True), start=1):
                folder = out if len(done) == 1 else out / f"set-{number}"
                page = write_page(folder, one, predictions=source, ground_truth=ground_truth)
                files.append(page)
        figures = [one.figures for one in done]
        files.append(write_json(out / "evaluation.json", predictions, figures))
        write_facts(out, FolderFacts("evaluate", DONE))
    return files


def _remove_pages(out: Path) -> None:
    """Remove the pages of an earlier evaluation, which show other figures."""
    (out / "index.html").unlink(missing_ok=True)
    pages = (f for f in out.glob("set-*") if f.name[4:].isdigit() and (f / "index.html").is_file())
    for folder in (out / "thumbs", *pages):
        shutil.rmtree(folder, ignore_errors=True)
