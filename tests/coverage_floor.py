"""Fails if a module of ours is tested less than it should be: `coverage_floor.py COVERAGE_JSON`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

FLOOR = 85.0
"""Percent of a module's statements that the tests run."""
NEEDS = {"prelabel_plugins/refiners/dense_crf.py": "pydensecrf"}
"""Modules whose tests are skipped where a package is missing, which needs a compiler."""


def below_floor(report: Path) -> Iterator[str]:
    """A line for each module below the floor, in a report of `coverage json`."""
    for name, measured in sorted(json.loads(report.read_text("utf-8"))["files"].items()):
        percent = measured["summary"]["percent_covered"]
        if percent < FLOOR and not _cannot_be_tested_here(name):
            lines = ", ".join(map(str, measured["missing_lines"]))
            yield f"{name}: {percent:.1f} %, not run: {lines}"


def _cannot_be_tested_here(name: str) -> bool:
    package = next((needed for end, needed in NEEDS.items() if name.endswith(end)), None)
    return package is not None and find_spec(package) is None


if __name__ == "__main__":
    found = list(below_floor(Path(sys.argv[1])))
    print(*found, sep="\n")
    sys.exit(f"{len(found)} modules are below {FLOOR:.0f} %" if found else 0)
