"""predictions.jsonl: one Prediction a line, written and read as a stream."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from prelabel.data.coco_rle import rle_facts
from prelabel.data.images import MAX_PIXELS
from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel.storage.files import replacing
from prelabel.storage.json import decode, encode

FILE = "predictions.jsonl"
_SUM, _DIGITS = b'{"crc32":"', 8
_BODY = len(_SUM) + _DIGITS + len('",')
_MOST_CLASSES = 2**16
_BUFFER = 2**16
"""Bytes that are read together; lines are often longer than Python's own 8 KiB."""


def write_predictions(file: Path, predictions: Iterable[Prediction]) -> None:
    """Write them as they come; ``file`` is replaced when the last one is written, not before.

    A line starts with the CRC-32 of what follows, by which reading knows that it was written here,
    after its check, and that no byte was changed since. Raises UserError for a prediction that
    contradicts itself.
    """
    with replacing(file) as beside, beside.open("wb") as out:
        for prediction in predictions:
            fault = _fault(prediction)
            if fault:
                raise UserError(f"the labels of {prediction.photo!r} cannot be kept: {fault}")
            body = encode(prediction)[1:]
            out.write(b'%s%08x",%s\n' % (_SUM, zlib.crc32(body), body))


def read_predictions(file: Path) -> Iterator[Prediction]:
    """One prediction after the other. A line without its checksum, or with another one, was edited
    or damaged: it is taken if it is sound, whatever it says. Raises UserError, with the line, for
    anything else."""
    if not file.is_file():
        raise UserError(f"{str(file)!r}: no such file; `prelabel run` or `predict` writes one")
    with file.open("rb", buffering=_BUFFER) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                prediction = decode(line, Prediction)
                fault = "" if _is_as_written(line) else _fault(prediction)
            except (ValueError, RecursionError) as error:
                fault = f"{type(error).__name__}: {error}"
            if fault:
                raise UserError(f"{file}, line {number}: no prediction ({fault}); predict again")
            yield prediction


def _is_as_written(line: bytes) -> bool:
    body = memoryview(line)[_BODY : -1 if line.endswith(b"\n") else None]
    return line[:_BODY] == b'%s%08x",' % (_SUM, zlib.crc32(body))


def _fault(prediction: Prediction) -> str:
    """What is wrong with a prediction, in a few words; "" if nothing is."""
    name = PurePosixPath(prediction.photo)
    if not name.name or name.is_absolute() or ".." in name.parts or "\0" in prediction.photo:
        return f"a photo named {prediction.photo!r}: a path below the folder of photos is wanted"
    size = [prediction.height, prediction.width]
    if min(size) < 1 or math.prod(size) > MAX_PIXELS:
        return f"a photo of {prediction.width} × {prediction.height} pixels"
    if not math.isfinite(prediction.foreground):
        return f"a share of foreground of {prediction.foreground}"
    for region in prediction.regions:
        if region.rle["size"] != size:
            found = region.rle["size"]
            return f"a mask of size {found!r}, wanted {size}, the photo's height and width"
        if not -1 <= region.cluster < _MOST_CLASSES:
            return f"a cluster {region.cluster}: from -1 to {_MOST_CLASSES - 1} are wanted"
        if not math.isfinite(region.score):
            return f"a score of {region.score}"
    # pycocotools never ends on some masks that hold too few pixels.
    facts = rle_facts([region.rle for region in prediction.regions])
    rows = zip(facts.totals.tolist(), facts.areas.tolist(), facts.boxes.tolist(), strict=True)
    for region, (total, area, box) in zip(prediction.regions, rows, strict=True):
        if total != math.prod(size):
            held = f"holds {total} pixels" if total >= 0 else "is no RLE"
            return f"a mask of {size[0]} × {size[1]} pixels {held}"
        if (region.area, *region.box) != (area, *box):
            return (
                f"a mask of {area} pixels in {box} is said to have {region.area} "
                f"in {list(region.box)}"
            )
    return ""
