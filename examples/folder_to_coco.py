"""Masks and classes of a folder of photos, as COCO: python folder_to_coco.py PHOTOS OUT."""

from __future__ import annotations

import argparse
from collections import Counter

from prelabel import export, fit, predict


def main() -> None:
    """Fit on the photos, predict them, and write OUT/coco/instances.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", help="a folder, with its sub-folders")
    parser.add_argument("out", help="a folder for the results")
    parser.add_argument("--backbone", default="", help="such as color-texture; default: DINO")
    arguments = parser.parse_args()

    model = fit(arguments.photos, backbone=arguments.backbone)
    predictions = list(predict(model, arguments.photos))
    written = export(
        predictions, arguments.out, format="coco", model=model, photos=arguments.photos
    )

    counts = Counter(model.class_names[r.cluster] for p in predictions for r in p.regions)
    for name, n in counts.most_common():
        print(f"{n:5} {name}")
    print(written["coco"])


if __name__ == "__main__":
    main()
