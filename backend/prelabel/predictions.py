"""predictions.jsonl: one Prediction a line, written and read as a stream."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from prelabel.errors import UserError
from prelabel.records import Prediction
from prelabel.rle_facts import pixels_held
from prelabel.storage import replacing
from prelabel.typed_json import decode

FILE = "predictions.jsonl"
_AT_ONCE = 256
"""Predictions that are read and looked at together: that is quicker."""


def write_predictions(file: Path, predictions: Iterable[Prediction]) -> None:
    """Write them as they come; ``file`` is replaced when the last one is written, not before."""
    with replacing(file) as beside, beside.open("w", encoding="ascii", newline="\n") as out:
        for prediction in predictions:
            out.write(json.dumps(_to_json(prediction), separators=(",", ":")) + "\n")


def read_predictions(file: Path) -> Iterator[Prediction]:
    """One prediction after the other. Raises UserError, with the line, for anything else, and for
    masks that hold another number of pixels than they say: pycocotools never ends on some."""
    if not file.is_file():
        raise UserError(f"{str(file)!r}: no such file; `prelabel run` or `predict` writes one")
    with file.open("rb") as lines:
        numbered = enumerate(lines, start=1)
        while some := list(itertools.islice(numbered, _AT_ONCE)):
            found = {number: _from_json(file, number, line) for number, line in some}
            _check_masks(file, found)
            yield from found.values()


def _from_json(file: Path, number: int, line: bytes) -> Prediction:
    try:
        prediction = decode(line, Prediction)
        for region in prediction.regions:
            height, width = region.rle["size"]
            if type(height) is not int or type(width) is not int or min(height, width) < 1:
                raise ValueError(f"a mask of {height!r} × {width!r} pixels")
            region.rle["counts"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{file}, line {number}: no prediction ({type(error).__name__}: {error}); predict again"
        ) from error
    return prediction


def _check_masks(file: Path, found: Mapping[int, Prediction]) -> None:
    rles = [(number, region.rle) for number, p in found.items() for region in p.regions]
    totals = pixels_held([rle for _, rle in rles]).tolist()
    for (number, rle), total in zip(rles, totals, strict=True):
        height, width = rle["size"]
        if total != height * width:
            held = f"holds {total} pixels" if total >= 0 else "is no RLE"
            raise UserError(
                f"{file}, line {number}: no prediction (a mask of {height} × {width} pixels {held}); "
                "predict again"
            )


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
