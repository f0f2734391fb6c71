"""Photos, and a finished run over them, for the tests of commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.command_line import FORMATS, LIGHT, Finished, cli, write_discs


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with 4 photos."""
    return write_discs(tmp_path / "photos", 4)


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished run over 4 photos and a broken one; tests do not write to its folders."""
    folder = tmp_path_factory.mktemp("done")
    photos = write_discs(folder / "photos", 4)
    (photos / "broken.jpg").write_bytes(b"no picture")
    result = cli("run", photos, "--out", folder / "out", *LIGHT, *FORMATS)
    assert result.exit_code == 0, result.output
    return Finished(photos, folder / "out", result)
