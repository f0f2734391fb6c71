"""The CSV files that benchmarks leave."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path


def write_csv(file: Path, fields: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Rows of these fields, in place of an earlier file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
