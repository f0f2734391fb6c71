"""The command order."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.command_line import cli, refused, write_discs, write_labels
from support.messages import assert_says

FEW = (
    *("--backbone", "color-texture", "--recipe", "fast"),
    *("--set", "features.size=112", "--set", "refiner.name=none"),
)


@pytest.mark.slow
def test_order__names_each_photo_without_labels_once(tmp_path: Path) -> None:
    photos = write_discs(tmp_path / "photos", 6)
    assert cli("fit", photos, "--out", tmp_path / "model", *FEW).exit_code == 0
    names = sorted(file.name for file in photos.iterdir())
    first = cli("order", tmp_path / "model", photos)
    assert first.exit_code == 0, first.output
    assert sorted(first.stdout.splitlines()) == names
    assert cli("order", tmp_path / "model", photos).stdout == first.stdout
    labels = write_labels(photos, tmp_path / "labels", 2)
    rest = cli("order", tmp_path / "model", photos, "--labels", labels)
    assert rest.exit_code == 0, rest.output
    assert len(rest.stdout.splitlines()) == 4
    assert set(rest.stdout.splitlines()) < set(names)
    (photos / "broken.png").write_bytes(b"no photo")
    broken = cli("order", tmp_path / "model", photos)
    assert broken.exit_code == 0
    assert broken.stdout == first.stdout
    assert "broken.png" in broken.stderr


def test_order__refuses_wrong_use(tmp_path: Path) -> None:
    photos = write_discs(tmp_path / "photos", 1)
    line = refused("order", tmp_path, photos)
    assert_says(line, "model")
