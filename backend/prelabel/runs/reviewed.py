"""What a review has made of a run's predictions: beside them, so that nothing is overwritten."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from msgspec import structs

from prelabel.data.records import Prediction
from prelabel.runs.predictions import FILE, write_predictions
from prelabel.storage.files import replacing
from prelabel.storage.json import decode, encode

FOLDER = "review"
"""Of a run's folder."""
_NAMES = "names.json"
_CHUNK = 2**20


class Reviewed(msgspec.Struct):
    """``key``: of the run's predictions that were reviewed. ``file``: those with the review's names,
    in the review's folder. ``class_names``: of their classes."""

    key: str
    file: str
    class_names: list[str]
    model_version: str


def predictions_key(run: Path) -> str:
    """12 hex digits of a run's predictions as it has written them."""
    content = hashlib.blake2b(digest_size=6)
    with (run / FILE).open("rb") as file:
        while chunk := file.read(_CHUNK):
            content.update(chunk)
    return content.hexdigest()


def read_reviewed(run: Path) -> Reviewed | None:
    """What counts in place of a run's own predictions; None if they were not reviewed, or are others
    by now."""
    found = _read_names(run / FOLDER)
    return found if found and found.key == predictions_key(run) else None


def reviewed_file(run: Path, reviewed: Reviewed) -> Path:
    """The predictions that count."""
    return run / FOLDER / reviewed.file


def write_reviewed(
    run: Path,
    predictions: Iterable[Prediction],
    *,
    key: str,
    class_names: Iterable[str],
    model_version: str,
) -> Reviewed:
    """Have other predictions count in place of a run's own. ``class_names``: may be complete only when
    the last prediction was made. Raises UserError and OSError; what counted
    before then counts on."""
    folder = run / FOLDER
    before = _read_names(folder)
    file = f"predictions-{secrets.token_hex(4)}.jsonl"
    write_predictions(folder / file, predictions)
    found = Reviewed(key, file, list(class_names), model_version)
    with replacing(folder / _NAMES) as beside:
        beside.write_bytes(encode(found))
    kept = {found.file, before.file if before else ""}  # another process may be reading the latter
    for old in folder.glob("predictions-*.jsonl"):
        if old.name not in kept:
            old.unlink(missing_ok=True)
    return found


def with_classes(prediction: Prediction, classes: Sequence[int | None], version: str) -> Prediction:
    """The prediction with other classes; a region without one, None, is background and left out."""
    regions = tuple(
        structs.replace(region, cluster=number)
        for region, number in zip(prediction.regions, classes, strict=True)
        if number is not None
    )
    return structs.replace(prediction, regions=regions, model_version=version)


def _read_names(folder: Path) -> Reviewed | None:
    """What counts, for the predictions that it is about; None if there is nothing that can be read."""
    try:
        found = decode((folder / _NAMES).read_bytes(), Reviewed)
    except (OSError, ValueError):
        return None
    files = {file.name for file in folder.glob("predictions-*.jsonl")}
    return found if found.file in files else None
