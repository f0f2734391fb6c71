"""predictions.jsonl: one Prediction a line, written and read as a stream."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from prelabel.data.coco_rle import measure_rles
from prelabel.data.images import MAX_PIXELS
from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.storage.files import replacing
from prelabel.storage.json import decode, encode

FILE = "predictions.jsonl"
_MOST_CLASSES = 2**16
_LARGEST_SCORE = 1e9
"""Ours are in [0, 1], those from elsewhere may be logits."""
_DIGEST = re.compile(r"([0-9a-f]{32})?")
_LONGEST_LINE = 2**28
"""In bytes: hundreds of times what the largest photo full of regions takes."""
_LINES = 128
"""Lines whose masks are checked together, which takes half the time."""


def write_predictions(file: Path, predictions: Iterable[Prediction]) -> None:
    """Write a stream of predictions; ``file`` is replaced when the last one is written.

    Raises UserError for a prediction that contradicts itself.
    """
    with replacing(file) as beside, beside.open("wb") as out:
        for prediction in predictions:
            fault = _fault(prediction) or next(_mask_faults([prediction]))
            if fault:
                raise UserError(f"the labels of {prediction.photo!r} cannot be kept: {fault}")
            out.write(encode(prediction) + b"\n")


def read_predictions(file: Path) -> Iterator[Prediction]:
    """One prediction after the other. Raises UserError, with the line, for anything that is not a
    prediction or contradicts itself."""
    if not file.is_file():
        raise UserError(f"{str(file)!r}: no such file; `prelabel run` or `predict` writes one")
    with file.open("rb") as data:
        lines = iter(lambda: data.readline(_LONGEST_LINE), b"")
        numbered = enumerate(lines, start=1)
        while part := list(itertools.islice(numbered, _LINES)):
            predictions = [_decoded(line, f"{file}, line {number}") for number, line in part]
            for (number, _), fault in zip(part, _mask_faults(predictions), strict=True):
                if fault:
                    raise _refused(f"{file}, line {number}", fault)
            yield from predictions


def _decoded(line: bytes, place: str) -> Prediction:
    """The prediction on a line, all but its masks checked."""
    if len(line) == _LONGEST_LINE:
        raise _refused(place, f"it is longer than {_LONGEST_LINE:,} bytes")
    try:
        prediction = decode(line, Prediction)
    except (ValueError, RecursionError) as error:
        raise _refused(place, str(error)) from error
    if fault := _fault(prediction):
        raise _refused(place, fault)
    return prediction


def _refused(place: str, fault: str) -> UserError:
    return UserError(f"{place}: not a prediction ({fault}); predict again")


def _fault(prediction: Prediction) -> str:
    """What is wrong with a prediction beside its masks; "" if nothing is."""
    name = PurePosixPath(prediction.photo)
    if not name.name or name.is_absolute() or ".." in name.parts or "\0" in prediction.photo:
        return f"a photo named {prediction.photo!r}, expected a path below the folder of photos"
    size = [prediction.height, prediction.width]
    if min(size) < 1 or math.prod(size) > MAX_PIXELS:
        return f"a photo of {prediction.width} × {prediction.height} pixels"
    if not 0 <= prediction.dropped < 2**31:
        return f"{prediction.dropped} parts left out"
    if not _DIGEST.fullmatch(prediction.digest):
        return f"a digest {prediction.digest!r}, expected 32 hex digits"
    for region in prediction.regions:
        if region.rle["size"] != size:
            found = region.rle["size"]
            return f"a mask of size {found}, expected {size}, the photo's height and width"
        if not -1 <= region.cluster < _MOST_CLASSES:
            return f"a cluster {region.cluster}, expected -1 to {_MOST_CLASSES - 1}"
        if not abs(region.score) <= _LARGEST_SCORE:
            return f"a score of {region.score:g}, expected at most {_LARGEST_SCORE:g}"
    return ""


def _mask_faults(predictions: Sequence[Prediction]) -> Iterator[str]:
    """What is wrong with the masks of each prediction; "" if nothing is."""
    totals, areas, boxes = measure_rles([r.rle for p in predictions for r in p.regions])
    measured = zip(totals.tolist(), areas.tolist(), map(tuple, boxes.tolist()), strict=True)
    for prediction in predictions:
        faults = [
            _mask_fault(region, prediction.height * prediction.width, *own)
            for region, own in zip(prediction.regions, measured, strict=False)
        ]
        yield next(filter(None, faults), "")


def _mask_fault(region: Region, pixels: int, total: int, area: int, box: tuple[int, ...]) -> str:
    """``pixels``: of the photo; the rest as measured from the mask."""
    if total < 0:
        return "a mask whose counts are not an RLE"
    if total != pixels:  # pycocotools hangs on some with too few
        return f"a mask that holds {total} pixels, expected {pixels}, those of the photo"
    if region.is_box and box[2] * box[3] != area:
        return "a box alone whose mask is not the box"
    if region.area != area or region.box != box:
        return (
            f"a mask with area {region.area} and box {list(region.box)}, "
            f"expected {area} and {list(box)} as in its RLE"
        )
    return ""
