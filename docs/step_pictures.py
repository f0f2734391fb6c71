"""Make the pictures of docs/how-it-works.md: each step on one photo, with a model of all photos.

    prelabel samples samples/
    python docs/step_pictures.py samples/photos motorcycle_left.png docs/images/steps \\
        --backbone stand-in --set levels.photos_per_group=10 --set levels.min_group=5

The second argument is the photo's name below the folder. With fewer than two groups, there is no
picture of the category level. Patches are drawn as squares, P(foreground) from black (0)
to white (1).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PilImage
from sklearn.decomposition import PCA

from prelabel import config, fit, predict
from prelabel.data.colors import class_color
from prelabel.data.images import read_image
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.steps.regions import upsample

WIDTH = 360
Rgb = NDArray[np.uint8]


def main(photos: Path, photo: str, out: Path, backbone: str, settings: list[str]) -> None:
    """Fit a model to the photos, and draw what each step makes of one."""
    model = fit(photos, config.load("default", settings), backbone=backbone)
    image = read_image(photos / photo)
    height, width = image.pixels.shape[:2]
    steps = PhotoSegmenter(model, model.config)
    [features] = steps.features([image])
    segmenter = steps.segmenter(features)
    levels = segmenter.apply_levels(features)
    combined = segmenter.combine(features, levels)
    refined = segmenter.refiner.refine(upsample(combined, height=height, width=width), image.pixels)
    [prediction] = predict(model, [photos / photo])

    regions = (image.pixels * 0.5 + 60).astype(np.uint8)
    for region in prediction.regions:
        mask = cv2.resize(region.mask.astype(np.uint8), (width, height)) > 0
        color = np.array(class_color(region.cluster))
        regions[mask] = (image.pixels[mask] * 0.5 + color * 0.5).astype(np.uint8)
    pictures = {
        "photo": image.pixels,
        "features": as_colors(features.patches),
        "attention": grey(features.attention / max(float(features.attention.max()), 1e-6)),
        **{level.name: grey(level.foreground) for level in levels},
        "combined": grey(combined),
        "refined": grey(refined),
        "regions": regions,
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, pixels in pictures.items():
        sharp = cv2.INTER_AREA if pixels.shape[1] > WIDTH else cv2.INTER_NEAREST
        scaled = cv2.resize(pixels, (WIDTH, round(WIDTH * height / width)), interpolation=sharp)
        PilImage.fromarray(scaled).save(out / f"{name}.jpg", quality=85)


def as_colors(patches: NDArray[np.float16]) -> Rgb:
    """The first three principal components of a photo's patches (h, w, dim) as red, green and blue."""
    height, width, dim = patches.shape
    parts = PCA(3, random_state=0).fit_transform(patches.reshape(-1, dim).astype(np.float32))
    low, high = np.percentile(parts, [2, 98], axis=0)
    scaled = np.clip((parts - low) / np.maximum(high - low, 1e-6), 0, 1)
    return (scaled * 255).astype(np.uint8).reshape(height, width, 3)


def grey(values: NDArray[np.floating]) -> Rgb:
    """Values in [0, 1] as grey."""
    return np.repeat((np.asarray(values, np.float32) * 255).astype(np.uint8)[..., None], 3, axis=2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("photo")
    parser.add_argument("out", type=Path)
    parser.add_argument("--backbone", default="")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    main(**vars(parser.parse_args()))
