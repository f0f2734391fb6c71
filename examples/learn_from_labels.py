"""What labels of some photos teach about the others: python learn_from_labels.py PHOTOS LABELS.

LABELS is COCO, VOC, a Label Studio export or any other format that prelabel reads.
"""

from __future__ import annotations

import argparse
from collections import Counter

from prelabel import fit, open_dataset, predict


def main() -> None:
    """Fit with the labels, and count what is found under their names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", help="a folder, with its sub-folders")
    parser.add_argument("labels", help="labels of some of them")
    parser.add_argument("--backbone", default="", help="such as color-texture; default: DINO")
    arguments = parser.parse_args()

    labels = open_dataset(arguments.labels, photos=arguments.photos)
    model = fit(arguments.photos, backbone=arguments.backbone, labels=labels)
    if model.taught:
        facts = model.taught.facts
        print(f"{facts.photos} labelled photos; the labels decide by {facts.weight:.0%}")
    for problem in labels.problems.lines():
        print(problem)

    # The classes of the labels come first, then those that were found without a name.
    counts: Counter[str] = Counter()
    for prediction in predict(model, arguments.photos):
        counts.update(model.class_names[region.cluster] for region in prediction.regions)
    for name, n in counts.most_common():
        print(f"{n:5} {name}")


if __name__ == "__main__":
    main()
