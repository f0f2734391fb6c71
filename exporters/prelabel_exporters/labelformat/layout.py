"""What Ultralytics expects beside the labels: data.yaml, lists of photos, and the photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

import yaml

from prelabel.data.dataset import ExportContext
from prelabel.data.records import Prediction
from prelabel.storage.remote import file_in, is_below
from prelabel_exporters.common import category_ids, inside_folder, split_of, text_file
from prelabel_exporters.upright import put_image

DATA, IMAGES, LABELS = "data.yaml", "images", "labels"
_AS_THEY_ARE = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Endings of photos that Ultralytics reads, oriented by EXIF; others become JPEGs."""


class Layout:
    """Writes all but the labels into a new folder, while the photos pass by.

    ``data.yaml`` has no ``path``: splits are then relative to its own folder, wherever a training is
    started.
    """

    def __init__(
        self,
        folder: Path,
        context: ExportContext,
        images: Literal["none", "link", "copy"],
        val_share: float,
        seed: int,
    ) -> None:
        self._folder = folder
        self._context = context
        self._images = images
        self._val_share = val_share
        self._seed = seed
        self._listed: dict[str, list[str]] = {"train": [], "val": []}
        self._taken: set[str] = set()

    def watch(self, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        """The same predictions; each photo is listed, and put into ``images/`` if that is asked."""
        for prediction in predictions:
            label_file = str(inside_folder(prediction.photo).with_suffix("")).casefold()
            if label_file not in self._taken:  # another one's photo has no labels
                self._taken.add(label_file)
                self._add(prediction)
            yield prediction

    def close(self) -> None:
        """Write ``data.yaml`` and the lists. Call it when the labels are written."""
        names = dict(enumerate(category_ids(self._context)))
        splits = {"train": IMAGES, "val": IMAGES}
        if self._val_share:
            splits = {split: self._write_list(split) for split in ("train", "val")}
        # An empty list cannot be trained with or measured on.
        for split, other in (("train", "val"), ("val", "train")):
            if self._val_share and not self._listed[split] and self._listed[other]:
                splits[split] = splits[other]
                kind = f"lists of photos without one, so that {split} is the same as {other}"
                self._context.problems.note(kind, splits[other])
        with text_file(self._folder / DATA) as out:
            facts = {**splits, "nc": len(names), "names": names}
            yaml.safe_dump(facts, out, sort_keys=False, allow_unicode=True)

    def _write_list(self, split: str) -> str:
        name = f"{split}.txt"
        file = self._folder / name
        with file.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as out:
            out.writelines(f"./{IMAGES}/{photo}\n" for photo in self._listed[split])
        return name

    def _add(self, prediction: Prediction) -> None:
        problems = self._context.problems
        name = PurePosixPath(prediction.photo)
        if self._images != "none":
            name = self._put(prediction)
        if IMAGES in name.parts[:-1]:
            # It replaces the last folder of this name by labels/, which is not where they are.
            kind = f"photos below a folder named {IMAGES}, whose labels Ultralytics does not find"
            problems.note(kind, prediction.photo)
        if len(str(name).splitlines()) != 1 or str(name) != str(name).strip():
            problems.note("names that cannot be in a list", repr(prediction.photo))
            return
        split = split_of(prediction.photo, self._val_share, self._seed)
        self._listed[split].append(str(name))

    def _put(self, prediction: Prediction) -> PurePosixPath:
        """Put a photo into ``images/``; its name there."""
        name = inside_folder(prediction.photo)
        photo = file_in(self._context.photos, str(name))
        is_own = is_below(photo, self._folder.parent)
        as_it_is = name.suffix.lower() in _AS_THEY_ARE
        target = name if as_it_is else name.with_suffix(".jpg")
        put_image(
            photo,
            self._folder / IMAGES / target,
            size=(prediction.width, prediction.height),
            link=self._images == "link" and not is_own,
            problems=self._context.problems,
            keeps_format=as_it_is,
        )
        return target
