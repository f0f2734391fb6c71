"""Sample photos with ground truth, to try prelabel on without having any data.

They are made from the photos inside the wheels of scikit-image and scikit-learn; nothing is
downloaded.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from prelabel.data.masks import Mask, encode_rle, rle_area, rle_box
from prelabel.errors import UserError
from prelabel.samples.composition import compose
from prelabel.samples.credits import readme
from prelabel.samples.scenes import SCENES
from prelabel.samples.sources import Rgb, drawn_masks, outlines, source_bytes
from prelabel.storage.files import is_clutter, replacing

CLASSES = ("cat", "person", "cup", "flower", "motorcycle")
"""Their category ids are 1 to 5."""

_GROUND_TRUTH = "ground_truth.json"
_MARKER = ".prelabel-samples.json"
"""Holds the SHA-256 of every file as it was written, by name: what differs is the user's."""
_QUALITY = 92


@dataclass(frozen=True)
class SamplesSummary:
    """What ``write_samples`` has written."""

    photos: Path
    """Folder of the photos."""
    ground_truth: Path
    """COCO instances; ``file_name`` is relative to ``photos``."""
    n_photos: int
    n_empty: int
    """Photos in which there is no object."""
    n_objects: dict[str, int]
    """By class."""


def write_samples(folder: Path) -> SamplesSummary:
    """Write ``photos/``, ``ground_truth.json`` (COCO instances) and ``README.txt`` to a folder.

    The same bytes every time, on one machine. A sample set from earlier is replaced.

    Raises ``UserError`` if the folder holds anything else, even a changed file of a sample set
    (nothing is written then), or if scikit-image is not installed.
    """
    files, summary = _build(folder)
    for name in _check(folder, files):
        (folder / name).unlink()
    for name, data in files.items():
        with replacing(folder / name) as beside:
            beside.write_bytes(data)
    # Last, so that what an interrupted run has written counts by its bytes alone.
    with replacing(folder / _MARKER) as beside:
        beside.write_bytes(_json({name: _digest(data) for name, data in files.items()}))
    return summary


def _build(folder: Path) -> tuple[dict[str, bytes], SamplesSummary]:
    """All files by name relative to ``folder``, but for the marker."""
    photos: dict[str, tuple[bytes, list[tuple[str, Mask]]]] = {}
    for file, outline in outlines().items():
        masks = [(outline.label, mask) for mask in drawn_masks(outline)]
        photos[file] = source_bytes(file), masks
    real = sorted(photos)
    for scene in SCENES:
        drawn = compose(scene)
        photos[f"{scene.name}.jpg"] = _jpeg(drawn.photo), drawn.objects

    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for name, (data, objects) in sorted(photos.items()):
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
        images.append({"id": len(images) + 1, "file_name": name, "width": width, "height": height})
        for label, mask in objects:
            common: dict[str, object] = {"id": len(annotations) + 1, "image_id": len(images)}
            annotations.append(common | _annotation(label, mask))
    coco = {
        "info": {"description": "prelabel's sample photos"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)],
    }
    files = {f"photos/{name}": data for name, (data, _) in sorted(photos.items())}
    files[_GROUND_TRUTH] = _json(coco)
    files["README.txt"] = readme(real).encode()
    counts = Counter(label for _, objects in photos.values() for label, _ in objects)
    summary = SamplesSummary(
        photos=folder / "photos",
        ground_truth=folder / _GROUND_TRUTH,
        n_photos=len(photos),
        n_empty=sum(not objects for _, objects in photos.values()),
        n_objects={name: counts[name] for name in CLASSES},
    )
    return files, summary


def _annotation(label: str, mask: Mask) -> dict[str, object]:
    rle = encode_rle(mask)
    return {
        "category_id": CLASSES.index(label) + 1,
        "segmentation": rle,
        "area": rle_area(rle),
        "bbox": list(rle_box(rle)),
        "iscrowd": 0,
    }


def _check(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """Names of files of an earlier, other sample set. ``UserError`` if anything is the user's."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; name a new or an empty folder for the samples")
    written = _written(folder)
    present = list(_present(folder))
    users = []
    for name in present:
        known = {written.get(name), _digest(files[name]) if name in files else None} - {None}
        file = folder / name
        if not known or not file.is_file() or _digest(file.read_bytes()) not in known:
            users.append(name)
    if users:
        some = ", ".join(users[:3]) + (", …" if len(users) > 3 else "")
        raise UserError(
            f"{folder}: holds {some}, which {'is' if len(users) == 1 else 'are'} not as prelabel "
            "writes samples; nothing was written. Name a new or an empty folder, or move that away"
        )
    return [name for name in present if name not in files]


def _present(folder: Path) -> Iterator[str]:
    """Names of what is in the folder and in its ``photos``; other folders are not looked into."""
    for parent in (folder, folder / "photos"):
        for path in sorted(parent.iterdir()) if parent.is_dir() else ():
            name = path.relative_to(folder).as_posix()
            is_photos = name == "photos" and path.is_dir()
            if not (is_clutter(path.name) or is_photos or name == _MARKER):
                yield name


def _written(folder: Path) -> dict[str, str]:
    try:
        marker = json.loads((folder / _MARKER).read_bytes())
    except (OSError, ValueError):
        return {}
    return marker if isinstance(marker, dict) else {}


def _jpeg(pixels: Rgb) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=False) + "\n").encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
