"""predictions.jsonl: one Prediction a line, written and read as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prelabel.errors import UserError
from prelabel.records import Prediction
from prelabel.storage import replacing
from prelabel.typed_json import decode

FILE = "predictions.jsonl"


def write_predictions(file: Path, predictions: Iterable[Prediction]) -> None:
    """Write them as they come; ``file`` is replaced when the last one is written, not before."""
    with replacing(file) as beside, beside.open("w", encoding="ascii", newline="\n") as out:
        for prediction in predictions:
            out.write(json.dumps(_to_json(prediction), separators=(",", ":")) + "\n")


def read_predictions(file: Path) -> Iterator[Prediction]:
    """One prediction after the other. Raises UserError, with the line, for anything else."""
    if not file.is_file():
        raise UserError(f"{str(file)!r}: no such file; `prelabel run` or `predict` writes one")
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield decode(line, Prediction)
            except (ValueError, RecursionError) as error:
                raise UserError(
                    f"{file}, line {number}: no prediction ({type(error).__name__}: {error}); "
                    "predict again"
                ) from error


def _to_json(prediction: Prediction) -> dict[str, Any]:
    return {
        "photo": prediction.photo,
        "digest": prediction.digest,
        "width": prediction.width,
        "height": prediction.height,
        "foreground": prediction.foreground,
        "dropped": prediction.dropped,
        "model_version": prediction.model_version,
        "regions": [
            {
                "score": region.score,
                "cluster": region.cluster,
                "box": region.box,
                "area": region.area,
                "rle": region.rle,
                **({"crowd": True} if region.crowd else {}),
            }
            for region in prediction.regions
        ],
    }
