"""Which of a project's labels are taken."""

from __future__ import annotations

from dataclasses import dataclass

from prelabel.label_studio.format.annotations import LabelSource

RELATIONS = "relations"
"""For ``merge_by``: regions that a relation links."""


@dataclass(frozen=True, slots=True)
class LabelChoice:
    """``what``: which labels count. ``untouched``: whether photos are there, without regions, for
    which nothing counts; those of an annotation without a region are in any case. ``merge_by``:
    which regions of one label are one object: those that ``relations`` link, those with one value of
    the attribute of this name, or "" for none."""

    what: LabelSource = "both"
    untouched: bool = False
    merge_by: str = RELATIONS
