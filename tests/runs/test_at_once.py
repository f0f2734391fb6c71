"""Two commands at once that write to one folder: one of them does, the other says who it is."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from builders import RING, prediction, region
from prelabel.data.dataset import Dataset
from prelabel.runs.export import convert, export_dataset, export_predictions
from prelabel.runs.facts import FolderFacts, PhotoFolder
from prelabel.runs.folder import locked, write_facts
from prelabel.runs.predictions import FILE, write_predictions
from prelabel.storage.locks import InUseError
from support.command_line import COMMAND, FORMATS, LIGHT, write_discs


@pytest.mark.slow
def test_two_runs__one_is_whole_and_the_other_refused(tmp_path: Path) -> None:
    photos, out = write_discs(tmp_path / "photos", 12), tmp_path / "out"
    command = [*COMMAND, "run", str(photos), "--out", str(out), *LIGHT, *FORMATS]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) in ([0, 2], [0, 0]), said  # [0, 0]: one was done before the other started
    if 2 in codes:
        first, second = both[codes.index(0)], said[codes.index(2)]
        assert f"in use by process {first.pid} on " in second
    assert len(list((out / "voc" / "SegmentationClass").glob("*.png"))) == 12
    assert not list(out.rglob(".tmp-*"))


@pytest.mark.parametrize("own_folder", [True, False])
def test_export__into_a_folder_in_use(tmp_path: Path, own_folder: bool) -> None:
    run = tmp_path / "run"
    write_facts(run, FolderFacts("run", "done", photos=PhotoFolder(str(tmp_path))))
    write_predictions(run / FILE, [prediction("a.jpg", region(RING))])
    out = run if own_folder else tmp_path / "out"
    with locked(out), pytest.raises(InUseError):
        export_predictions(run, out, ["coco"])
    assert not (out / "coco").exists()
    export_predictions(run, out, ["coco"])


@pytest.mark.parametrize(
    "write",
    [
        lambda dataset, out: convert(dataset, out, "coco"),
        lambda dataset, out: export_dataset(dataset, out, ["coco"]),
    ],
    ids=["convert", "export"],
)
def test_datasets__into_a_folder_in_use(
    write: Callable[[Dataset, Path], object], tmp_path: Path
) -> None:
    labels = prediction("a.jpg", region(RING))
    dataset = Dataset(tmp_path, ("cat",), lambda: iter([labels]))
    out = tmp_path / "out"
    with locked(out), pytest.raises(InUseError):
        write(dataset, out)
    write(dataset, out)
