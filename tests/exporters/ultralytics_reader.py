"""What Ultralytics reads of the data.yaml that is named, as JSON; run by a Python that has it, which
need not have prelabel."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def read(file: str, task: str) -> dict[str, Any]:
    """Their checker's splits, and their loader's labels by photo."""
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    data = check_det_dataset(file, autodownload=False)
    labels = {}
    for split in ("train", "val"):
        dataset = YOLODataset(img_path=data[split], data=data, task=task, augment=False)
        for label in dataset.labels:
            labels[Path(label["im_file"]).name] = {
                "classes": label["cls"].ravel().tolist(),
                "boxes": label["bboxes"].tolist(),
                "segments": [segment.tolist() for segment in label["segments"]],
            }
    names = {int(number): name for number, name in data["names"].items()}
    return {"train": data["train"], "val": data["val"], "names": names, "labels": labels}


if __name__ == "__main__":
    found = read(sys.argv[1], sys.argv[2])
    Path(sys.argv[3]).write_text(json.dumps(found), encoding="utf-8")
