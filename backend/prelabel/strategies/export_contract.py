"""Checks an exporter: writing into a folder, writing again, and being interrupted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from prelabel.data.dataset import ExportContext
from prelabel.data.records import Prediction
from prelabel.storage.text import error_line
from prelabel.strategies.harness import Harness, prediction
from prelabel.strategies.protocols import Exporter


def check_exporter(harness: Harness[Exporter]) -> None:
    """The contract of exporters."""
    context = ExportContext(photos=Path("photos"), classes=("one", "two"), model_version="0-0")
    first, second = (prediction(number, n_regions=n) for number, n in enumerate((2, 0)))
    cases: dict[str, list[Prediction]] = {
        "no predictions": [],
        "a photo without regions": [second],
        "two photos": [first, second],
    }
    for case, predictions in cases.items():
        written = []
        for _ in range(2):
            with TemporaryDirectory() as name:
                folder = Path(name)
                _export_twice(harness, case, predictions, folder, context)
                written.append(_files(folder))
                _break_off(harness, case, first, folder, context)
        same = written[0] == written[1]
        harness.expect(same, "write", case, "two calls wrote different files, expected equal ones")


def _export_twice(
    harness: Harness[Exporter],
    case: str,
    predictions: Sequence[Prediction],
    folder: Path,
    context: ExportContext,
) -> None:
    (folder / "notes.txt").write_bytes(b"somebody's")
    before: dict[str, bytes] = {}
    for time in ("", " over an earlier export"):
        try:
            path = harness.strategy.write(iter(predictions), folder, context)
        except Exception as error:
            harness.note("write", case, f"raised {error_line(error)}{time}")
            return
        fits = isinstance(path, Path) and path.exists() and path.is_relative_to(folder)
        found = f"returned {path!r}, expected a Path in the folder that exists"
        harness.expect(fits, "write", case, found)
        after = _files(folder)
        kept = after.get("notes.txt") == b"somebody's"
        harness.expect(kept, "write", case, "changed a file that it did not write")
        same = not before or after == before
        harness.expect(same, "write", case, "wrote something else over an earlier export")
        before = after


def _break_off(
    harness: Harness[Exporter],
    case: str,
    prediction: Prediction,
    folder: Path,
    context: ExportContext,
) -> None:
    """An interrupted export must leave the old files as they were."""

    def breaks_off() -> Iterator[Prediction]:
        yield prediction
        raise _BrokenOffError

    before, found = _files(folder), "raised nothing"
    try:
        harness.strategy.write(breaks_off(), folder, context)
    except _BrokenOffError:
        found = ""
    except Exception as error:
        found = f"raised {error_line(error)}"
    harness.expect(not found, "write", case, f"{found} when the predictions broke off")
    after = _files(folder)
    changed = [name for name in before if after.get(name) != before[name]]
    found = f"changed {', '.join(changed)} although the predictions broke off"
    harness.expect(not changed, "write", case, found)


def _files(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class _BrokenOffError(Exception):
    """Predictions that stop coming."""
