"""The floor that `make test` holds every module's coverage to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import coverage_floor


def _report(file: Path, **percent: float) -> Path:
    measured = {
        f"{name}.py": {"summary": {"percent_covered": share}, "missing_lines": [3, 14]}
        for name, share in percent.items()
    }
    file.write_text(json.dumps({"files": measured}), "utf-8")
    return file


def test_below_floor__names_modules_and_their_lines(tmp_path: Path) -> None:
    file = _report(tmp_path / "c.json", well=85.0, badly=84.9)
    (line,) = coverage_floor.below_floor(file)
    assert line.startswith("badly.py: 84.9 %")
    assert line.endswith("3, 14")


@pytest.mark.parametrize(("package", "expected"), [("pytest", 1), ("no_such_package", 0)])
def test_below_floor__leaves_out_what_cannot_be_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, expected: int
) -> None:
    monkeypatch.setattr(coverage_floor, "NEEDS", {"special.py": package})
    file = _report(tmp_path / "c.json", special=10.0)
    assert len(list(coverage_floor.below_floor(file))) == expected
