"""Make README's picture from a run over the sample photos (`make demo`).

    python docs/pictures.py demo/samples/photos demo/run docs/images/before-after.jpg

Above each photo as it came, below what the run made of it: regions in the colour of their class.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from prelabel.data.colors import class_color
from prelabel.data.masks import decode_rle
from prelabel.data.records import Prediction
from prelabel.runs.predictions import read_predictions

COLUMNS, HEIGHT, GAP = 6, 190, 6


def main(photos: Path, run: Path, out: Path) -> None:
    """Write the picture: the predictions with the best score, one for each photo's first word."""
    best = sorted(read_predictions(run / "predictions.jsonl"), key=lambda p: -p.score)
    chosen: dict[str, Prediction] = {}
    for prediction in best:
        chosen.setdefault(Path(prediction.photo).stem.split("_")[0].split("-")[0], prediction)
    columns = []
    for prediction in list(chosen.values())[:COLUMNS]:
        pixels = np.asarray(Image.open(photos / prediction.photo).convert("RGB"))
        pair = [scaled(pixels), scaled(painted(pixels, prediction))]
        space = np.full((GAP, pair[0].shape[1], 3), 255, np.uint8)
        columns += [np.concatenate([pair[0], space, pair[1]])]
        columns += [np.full((columns[-1].shape[0], GAP, 3), 255, np.uint8)]
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(columns[:-1], axis=1)).save(out, quality=88)


def painted(pixels: NDArray[np.uint8], prediction: Prediction) -> NDArray[np.uint8]:
    """The photo with its regions tinted and outlined."""
    result = (pixels * 0.55 + 40).astype(np.uint8)
    for region in prediction.regions:
        mask, color = decode_rle(region.rle), class_color(region.cluster)
        result[mask] = (pixels[mask] * 0.6 + np.array(color) * 0.4).astype(np.uint8)
        lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(result, lines, -1, (255, 255, 255), max(1, pixels.shape[0] // 160))
    return result


def scaled(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """At the common height."""
    width = round(pixels.shape[1] * HEIGHT / pixels.shape[0])
    return np.asarray(cv2.resize(pixels, (width, HEIGHT), interpolation=cv2.INTER_AREA))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("photos", "run", "out"):
        parser.add_argument(name, type=Path)
    main(**vars(parser.parse_args()))
