"""PASCAL VOC: palette PNGs of classes and objects, boxes as XML, lists of photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TextIO

from msgspec import structs
from pydantic import Field

from prelabel.data.dataset import Dataset, ExportContext
from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel.storage.files import replacing_files
from prelabel.storage.remote import file_in, is_below
from prelabel_exporters.common import (
    category_ids,
    class_name,
    free_file,
    note_box,
    split_of,
    without_class,
)
from prelabel_exporters.upright import put_image
from prelabel_exporters.voc.annotation import annotation
from prelabel_exporters.voc.boxes import find_boxes, read_boxes
from prelabel_exporters.voc.class_masks import find_class_masks, read_class_masks
from prelabel_exporters.voc.labels import write_labels
from prelabel_exporters.voc.layout import (
    ANNOTATIONS,
    CLASSES,
    DEVKIT,
    IMAGES,
    LISTS,
    MAX_CLASSES,
    OBJECTS,
    VOID,
    find_root,
)
from prelabel_exporters.voc.masks import write_mask
from prelabel_exporters.voc.painting import Painting, paint
from prelabel_exporters.voc.reader import read_voc


@dataclass(frozen=True)
class Voc:
    """PASCAL VOC: writes and reads the folders of its segmentation task; reads class masks.

    - A photo ``a/x.jpg`` is listed as ``a/x``. Its masks are ``SegmentationClass/a/x.png`` and
      ``SegmentationObject/a/x.png``, of the size of the EXIF-oriented photo, with VOC's palette. The
      ``filename`` in ``Annotations/a/x.xml`` is the photo's name, or its name in ``JPEGImages/`` if
      it is there. If ``a/x.png`` is a photo too, the later of the two keeps its ending:
      ``a/x.png.png``.
    - The class of a pixel is the class id of its region + 1, and 0 for background; classes with the
      same name have the value of the first. The object of a pixel is the number of its region among
      the visible ones, from 1. Where regions overlap, the one with the higher score is in front; of
      equal scores, the smaller one. Crowds and void are 255. Regions without a class, regions
      without a visible pixel, and those beyond 254 in a photo are left out and counted. Boxes
      include the pixels under the void border.
    - ``labels.txt`` has a line for each value: the value, a tab, and the name, in which white space
      becomes single spaces. ``labelmap.txt`` has the same names for CVAT and datumaro.
    - Files of an earlier export are replaced after all files are written; other files are kept.

    Class masks are read too: PNGs in ``masks/`` whose values ``classes.json`` names, as in
    ``{"1": "cat"}``, with 0 for background and 255 for void. Each class of a photo is one region.

    Writing raises UserError for more than 254 classes, for a region whose class the context does not
    name, and for a photo whose name leads out of the folder.

    Attributes:
        images: ``link`` or ``copy`` puts the photos into ``JPEGImages/``, ``none`` does not. Photos
            that are not JPEGs or are rotated by EXIF are converted to upright JPEGs and counted.
        void_border: width in pixels of a line of 255 along the borders of objects, half of it on
            either side; ≥ 0. VOC's own is 5; of an odd width, the middle pixel is on the right or
            lower side.
        val_share: share of the photos in ``val.txt``; in [0, 1]. The list of a photo depends only on
            its name and the seed, and does not change when photos are added.
        seed: seed of that choice.
        devkit: write everything to ``VOCdevkit/VOC2012/``, where torchvision looks for it.
    """

    images: Literal["none", "link", "copy"] = "none"
    void_border: Annotated[int, Field(ge=0)] = 0
    val_share: Annotated[float, Field(ge=0, le=1)] = 0.2
    seed: int = 0
    devkit: bool = False

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path:
        if len(context.classes) > MAX_CLASSES:
            raise UserError(
                f"VOC's masks hold at most {MAX_CLASSES} classes, found {len(context.classes)}: "
                "use fewer classes, or another format"
            )
        root = folder / DEVKIT if self.devkit else folder
        root.mkdir(parents=True, exist_ok=True)
        ids = category_ids(context)
        with replacing_files(root) as beside:
            for name in (CLASSES, OBJECTS, ANNOTATIONS, LISTS):
                (beside / name).mkdir(parents=True)
            with _lists(beside / LISTS) as lists:
                for prediction in predictions:
                    name = self._write_photo(prediction, beside, ids, context)
                    if len(name.splitlines()) != 1 or name != name.strip():
                        context.problems.note("names that cannot be in a list", repr(name))
                        continue
                    split = split_of(prediction.photo, self.val_share, self.seed)
                    for chosen in ("trainval", split):
                        lists[chosen].write(f"{name}\n")
            write_labels(beside, ids, context.problems)
        return root / CLASSES

    def recognizes(self, source: Path) -> bool:
        """A folder with VOC's masks in it or in its ``VOCdevkit/VOC*/``, class masks, or boxes."""
        finders = (find_root, find_class_masks, find_boxes)
        return source.is_dir() and any(find(source) for find in finders)

    def read(self, source: Path) -> Dataset:
        """The labels of such a folder."""
        if find_root(source) is None and (masks := find_class_masks(source)):
            return read_class_masks(masks)
        if find_root(source) is None and (annotations := find_boxes(source)):
            return read_boxes(annotations)
        return read_voc(source)

    def _write_photo(
        self, prediction: Prediction, beside: Path, ids: Mapping[str, int], context: ExportContext
    ) -> str:
        """Write the files of a photo; its name in the lists."""
        file = free_file(beside / CLASSES, prediction.photo)
        name = file.relative_to(beside / CLASSES).with_suffix("").as_posix()
        painting = self._paint(prediction, ids, context)
        write_mask(painting.classes, file)
        write_mask(painting.objects, beside / OBJECTS / f"{name}.png")
        if self._put_image(prediction, beside, name, context):
            prediction = structs.replace(prediction, photo=f"{name}.jpg")
        xml = beside / ANNOTATIONS / f"{name}.xml"
        xml.parent.mkdir(parents=True, exist_ok=True)
        names = [class_name(region, prediction, context) for region in painting.regions]
        xml.write_bytes(annotation(prediction, painting.regions, names))
        return name

    def _paint(
        self, prediction: Prediction, ids: Mapping[str, int], context: ExportContext
    ) -> Painting:
        regions = [
            r for r in prediction.regions if r.crowd or not without_class(r, prediction, context)
        ]
        for region in regions:
            note_box(region, prediction, context)
        values = [
            VOID if region.crowd else ids[class_name(region, prediction, context)]
            for region in regions
        ]
        return paint(
            prediction,
            regions,
            values,
            void_border=self.void_border,
            problems=context.problems,
        )

    def _put_image(
        self, prediction: Prediction, beside: Path, name: str, context: ExportContext
    ) -> bool:
        """Put the photo beside its labels, if that is asked for; whether it is there."""
        photo = file_in(context.photos, prediction.photo)
        is_own = is_below(photo, beside.parent)
        return self.images != "none" and put_image(
            photo,
            beside / IMAGES / f"{name}.jpg",
            size=(prediction.width, prediction.height),
            # A link to a file that this export replaces would become a link to itself.
            link=self.images == "link" and not is_own,
            problems=context.problems,
        )


@contextmanager
def _lists(folder: Path) -> Iterator[Mapping[str, TextIO]]:
    """The lists of photos by name, open for writing."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                (folder / f"{name}.txt").open(
                    "w", encoding="utf-8", errors="surrogateescape", newline="\n"
                )
            )
            for name in ("train", "val", "trainval")
        }
