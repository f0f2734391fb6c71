"""Several settings on the same photos: a run of each, and one page that shows how they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from prelabel.config import Config
from prelabel.report.comparison import Column, Totals, write_comparison
from prelabel.runs.facts import FolderFacts, RunFacts
from prelabel.runs.folder import output_folder, write_facts
from prelabel.runs.predictions import FILE, read_predictions
from prelabel.runs.run import run
from prelabel.steps.photos import PhotoSet
from prelabel.storage.marker import DONE
from prelabel.storage.progress import Prefixed, Progress, Silent


@dataclass(frozen=True)
class Compared:
    """What was compared. ``runs``: the facts and totals of each settings, by their name. ``page``: what
    to look at."""

    runs: dict[str, tuple[RunFacts, Totals]]
    page: Path


def compare(
    photos: PhotoSet, out: Path, settings: Mapping[str, Config], progress: Progress | None = None
) -> Compared:
    """Run each of several settings, by name, on the photos, and write one page of them.

    Leaves in ``out`` a folder of a run for each, "1", "2", …, and index.html. What two settings share
    is computed once. Raises UserError and OSError.
    """
    with output_folder(out, command="compare"):
        columns, facts = [], {}
        for number, (name, config) in enumerate(settings.items(), start=1):
            prefix = f"{number} of {len(settings)}"
            own = Prefixed(progress or Silent(), prefix)
            folder = out / str(number)
            facts[name] = run(photos, folder, config, formats=(), progress=own).facts
            columns.append(Column(name, folder.name, facts[name], read_predictions(folder / FILE)))
        page = out / "index.html"
        totals = write_comparison(page, columns)
        write_facts(out, FolderFacts("compare", DONE))
    runs = {name: (facts[name], own) for name, own in zip(facts, totals, strict=True)}
    return Compared(runs, page)
