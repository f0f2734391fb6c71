"""What is annotated on a task, as examples whose like is looked for."""

from __future__ import annotations

from collections.abc import Sequence

from prelabel.data.records import Image
from prelabel.label_studio.format.annotations import newest_annotation
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.format.photos import TaskPhoto
from prelabel.label_studio.names.lessons import read_drawing
from prelabel.steps.patch_labels import BOX_WEIGHT, LabelledPhoto, LabelledRegion
from prelabel.storage.json import JsonObject


def read_example(
    task: JsonObject,
    photo: TaskPhoto,
    photos: Sequence[TaskPhoto],
    image: Image,
    label_config: LabelConfig,
    *,
    region: str = "",
    partial: bool = False,
) -> LabelledPhoto | None:
    """The labelled regions on one of a task's photos; None if there is none.

    ``region``: id of the only one that is an example; others of its label are then unknown, and those of
    other labels background. ``partial``: whether what is not drawn is unknown; else it is background.
    """
    annotation = newest_annotation(task)
    if annotation is None:
        return None
    drawing = read_drawing(annotation, photo, photos, (image.width, image.height), label_config)
    labelled = [drawn for drawn in drawing.regions if drawn.label]
    chosen = [drawn for drawn in labelled if region in ("", drawn.id)]
    if not chosen:
        return None
    labels = {drawn.label for drawn in chosen}
    others = [drawn for drawn in labelled if drawn not in chosen]
    return LabelledPhoto(
        digest=image.digest,
        regions=(
            *(
                LabelledRegion(
                    drawn.rle, drawn.label, BOX_WEIGHT if drawn.kind == "rectangle" else 1.0
                )
                for drawn in chosen
            ),
            *(LabelledRegion(drawn.rle, "") for drawn in others if drawn.label not in labels),
        ),
        unknown=tuple(
            drawn.rle
            for drawn in drawing.regions
            if not drawn.label or (drawn in others and drawn.label in labels)
        ),
        complete=not (partial or drawing.unreadable),
    )
