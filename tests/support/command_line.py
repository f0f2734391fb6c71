"""The command line in this process or in one of its own, and photos for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from typer.testing import CliRunner, Result

from builders import prediction, region
from prelabel.cli.main import app
from prelabel.data.dataset import Dataset

LIGHT = ("--backbone", "color-texture", "--recipe", "fast", "--set", "features.size=112")
"""Options under which a photo takes milliseconds."""
FORMATS = ("--format", "coco", "--format", "voc", "--format", "label-studio")
COMMAND = (sys.executable, "-m", "prelabel")


class Finished(NamedTuple):
    """A finished run: the folder of its photos, its own folder, and what it printed."""

    photos: Path
    out: Path
    result: Result


def cli(*arguments: object, env: Mapping[str, str] | None = None) -> Result:
    """The command line in this process; an unexpected error is raised, not kept."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], prog_name="prelabel", env=env)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def refused(*arguments: object, env: Mapping[str, str] | None = None) -> str:
    """The one line that it prints on standard error for a user's mistake."""
    result = cli(*arguments, env=env)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("prelabel")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def cli_apart(
    environment: Mapping[str, str], *arguments: str | Path
) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], env=dict(environment), capture_output=True, text=True
    )


def write_discs(folder: Path, n: int) -> Path:
    """A new folder with photos of 96 × 64 pixels: a bright disc on a dark, grainy ground."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :96]
    for i in range(n):
        pixels = rng.integers(30, 60, (64, 96, 3))
        disc = (x - rng.integers(30, 66)) ** 2 + (y - 32) ** 2 < 18**2
        pixels[disc] = ((230, 60, 40), (60, 80, 230))[i % 2]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"photo {i}.png")
    return folder


def disc_labels(photos: Path, names: Iterable[str], shown: Sequence[str] = ()) -> Dataset:
    """The true labels of photos of `write_discs`: a red or a blue disc each. ``names``: of the files.
    ``shown``: the photos' names in the labels, if they are others."""
    predictions = []
    names = list(names)
    for name, file in zip(shown or names, names, strict=True):
        pixels = np.asarray(Image.open(photos / file)).astype(int)
        mask = np.asarray(np.abs(pixels - 45).max(axis=2) > 60)
        cluster = int(pixels[mask][:, 2].mean() > pixels[mask][:, 0].mean())
        predictions.append(prediction(name, region(mask, cluster), version=""))
    return Dataset(photos, ("red", "blue"), lambda: iter(predictions))


def write_labels(photos: Path, out: Path, n: int, format: str = "coco") -> Path:
    """The true labels of the first ``n`` photos of `write_discs`, in a file or folder of a format."""
    from prelabel import export

    labels = disc_labels(photos, [f"photo {i}.png" for i in range(n)])
    return export(labels, out, format=format)[format]


def contents(out: Path) -> dict[str, bytes]:
    """All files of a run by name, except those that hold times."""
    files = {f.relative_to(out).as_posix(): f.read_bytes() for f in out.rglob("*") if f.is_file()}
    return {
        name: data for name, data in files.items() if name not in ("run.json", "report/index.html")
    }
