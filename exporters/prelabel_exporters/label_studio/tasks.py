"""Predictions as Label Studio's tasks; LabelStudio's docstring says what is in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import quote

from msgspec import structs

from prelabel.data.dataset import ExportContext
from prelabel.data.records import Prediction
from prelabel.label_studio.format.data_paths import data_with
from prelabel.label_studio.format.items import Losses, PredictionJson, ResultItem
from prelabel.label_studio.format.label_config import Control
from prelabel.label_studio.format.region_attributes import Answers
from prelabel.label_studio.format.routing import (
    Route,
    choose_route,
    control_groups,
    encode_routed,
)
from prelabel.label_studio.format.shapes import SHAPE_OF
from prelabel.label_studio.format.simplified import Outline
from prelabel.storage.remote import file_in
from prelabel_exporters.common import class_name, note_box


class TaskMaker:
    """Makes tasks for one label config's controls. ``prefix``: of the photos' addresses; None for their
    own, in object storage, as Label Studio takes them."""

    def __init__(
        self,
        prefix: str | None,
        controls: Sequence[Control],
        outline: Outline,
        answers: Answers,
        context: ExportContext,
    ) -> None:
        self._prefix = prefix
        self._controls = controls
        self._outline = outline
        self._answers = answers
        self._context = context
        self._losses = Losses()

    def task(self, prediction: Prediction) -> dict[str, object]:
        """A task with one prediction. What is lost is noted."""
        address = self._context.addresses.get(prediction.photo) or self._address(prediction.photo)
        meta: dict[str, object] = {"width": prediction.width, "height": prediction.height}
        if _is_unicode(prediction.photo):
            meta["photo"] = prediction.photo
        first = self._controls[0]
        return {
            "data": data_with(first.image_key, address, listed=first.is_list),
            "meta": meta,
            "predictions": [self._prediction(prediction)],
        }

    def _address(self, photo: str) -> str:
        if self._prefix is None:
            return str(file_in(self._context.photos, photo))
        return self._prefix + quoted(photo)

    def note_outlines(self) -> None:
        """Note how many outlines were simplified, and what that costs."""
        n = self._losses.simplified
        if n:
            iou = 1 - self._losses.iou_lost / n
            self._context.problems.note(
                f"outlines simplified, at a mean IoU of {iou:.3f} with the exact ones", times=n
            )

    def _prediction(self, prediction: Prediction) -> PredictionJson:
        photo, problems = prediction.photo, self._context.problems
        regions = tuple(region for region in prediction.regions if not region.crowd)
        crowds = len(prediction.regions) - len(regions)
        if crowds:
            what = "crowds left out, which Label Studio does not have"
            problems.note(what, photo, times=crowds)
        if all(control.kind != "rectangle" for control in self._controls):
            for region in regions:
                note_box(region, prediction, self._context)
        kept = structs.replace(prediction, regions=regions)
        items: list[ResultItem] = []
        groups = control_groups(self._controls, self._controls[0].image_key)
        for number, group in enumerate(groups):
            for control, found, losses in encode_routed(
                kept,
                self._routes(kept, group),
                group,
                tolerance=self._outline.tolerance,
                max_points=self._outline.max_points,
                item_index=0 if self._controls[0].is_list else None,
                answers=self._answers,
            ):
                items += found
                if number == 0:  # another group has the same regions once more
                    self._note_losses(photo, control, found, losses)
        return {"model_version": prediction.model_version, "score": kept.score, "result": items}

    def _routes(self, prediction: Prediction, controls: Sequence[Control]) -> dict[int, Route]:
        """Where each class goes. One with a name is its own label in a control without labels."""
        routes: dict[int, Route] = {}
        for region in prediction.regions:
            name = "" if region.cluster == -1 else class_name(region, prediction, self._context)
            labels = [(c.label_for(name) if c.labels else c.stored(name)) or None for c in controls]
            routes.setdefault(region.cluster, choose_route(controls, labels, note=name))
        return routes

    def _note_losses(
        self, photo: str, control: Control, items: Sequence[ResultItem], losses: Losses
    ) -> None:
        self._losses += losses
        keeps = SHAPE_OF[control.kind].keeps
        n_regions = len({item["id"] for item in items})
        counts = {
            "holes filled, since polygons have none": losses.holes,
            "regions without a pixel, left out": losses.empty,
            "regions without a label": losses.unnamed,
            "attributes that no tag can hold, left out": losses.answers,
            f"regions of which only the {keeps} is kept": 0
            if keeps in ("mask", "outline")
            else n_regions,
        }
        for what, n in counts.items():
            if n:
                self._context.problems.note(what, photo, times=n)


def quoted(name: str) -> str:
    """Percent-encoded for a URL, ``/`` kept.

    Names that are not UTF-8 go byte by byte; web servers find those, Label Studio (1.23) does not.
    """
    return quote(os.fsencode(name))


def _is_unicode(name: str) -> bool:
    return name == name.encode("utf-8", "replace").decode()
