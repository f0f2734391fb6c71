"""Each object as a picture of its own: python cut_out_objects.py PHOTOS OUT.

OUT gets a folder for each class, with PNGs that are transparent around the object.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from prelabel import fit, predict


def main() -> None:
    """Fit on the photos, and cut the regions out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="a folder, with its sub-folders")
    parser.add_argument("out", type=Path, help="a folder for the results")
    parser.add_argument("--backbone", default="", help="such as color-texture; default: DINO")
    parser.add_argument("--least", type=float, default=0.2, help="the lowest score that counts")
    arguments = parser.parse_args()

    model = fit(arguments.photos, backbone=arguments.backbone)
    n = 0
    for prediction in predict(model, arguments.photos):
        # Masks are of the photo turned upright, as its EXIF says.
        photo = ImageOps.exif_transpose(Image.open(arguments.photos / prediction.photo))
        pixels = np.asarray(photo.convert("RGB"))
        for number, region in enumerate(prediction.regions):
            if region.score < arguments.least:
                continue
            left, top, width, height = region.box
            window = slice(top, top + height), slice(left, left + width)
            opacity = region.mask[window].astype(np.uint8) * 255
            folder = arguments.out / model.class_names[region.cluster]
            folder.mkdir(parents=True, exist_ok=True)
            name = prediction.photo.replace("/", "_")
            cut_out = Image.fromarray(np.dstack([pixels[window], opacity]))
            cut_out.save(folder / f"{name}-{number}.png")
            n += 1
    print(f"{n} objects in {arguments.out}")


if __name__ == "__main__":
    main()
