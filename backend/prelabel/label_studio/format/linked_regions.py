"""Several drawn regions of one object, made one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pycocotools import mask as coco_mask

from prelabel.data.dataset import Problems
from prelabel.data.masks import Rle
from prelabel.label_studio.format.label_choice import RELATIONS
from prelabel.label_studio.format.regions import DrawnRegion
from prelabel.label_studio.format.shapes import FINENESS
from prelabel.storage.json import JsonObject


def relations(items: Iterable[JsonObject]) -> list[tuple[str, str]]:
    """The ids of the regions that each relation links."""
    return [
        (str(item.get("from_id")), str(item.get("to_id")))
        for item in items
        if item.get("type") == "relation"
    ]


def merge_linked(
    regions: Sequence[DrawnRegion],
    links: Sequence[tuple[str, str]],
    merge_by: str,
    *,
    place: str,
    problems: Problems,
) -> list[DrawnRegion]:
    """Regions with one label that belong to one object, made one with the union of the masks and
    the first one's attributes.

    ``links``: what ``relations`` gives. ``merge_by``: as in ``LabelChoice``. ``place``: for what goes to ``problems``.
    """
    groups = list(range(len(regions)))
    for a, b in _pairs(regions, links, merge_by):
        if regions[a].label == regions[b].label:
            groups = [groups[a] if group == groups[b] else group for group in groups]
        else:
            what = "regions that belong together, but not merged since their labels differ"
            problems.note(what, f"{place}, regions {regions[a].id!r} and {regions[b].id!r}")
    if links and merge_by != RELATIONS:
        problems.note("relations between regions, not kept", place, times=len(links))
    members: dict[int, list[DrawnRegion]] = {}
    for group, region in zip(groups, regions, strict=True):
        members.setdefault(group, []).append(region)
    found = []
    for parts in members.values():
        found.append(_union(parts) if len(parts) > 1 else parts[0])
        if len(parts) > 1:
            reason = "a relation" if merge_by == RELATIONS else f"the same {merge_by}"
            what = f"regions merged into others by {reason}"
            problems.note(what, f"{place}, region {parts[0].id!r}", times=len(parts) - 1)
    return found


def _pairs(
    regions: Sequence[DrawnRegion], links: Sequence[tuple[str, str]], merge_by: str
) -> Iterable[tuple[int, int]]:
    """The indices of regions that belong to one object."""
    if merge_by == RELATIONS:
        index = {region.id: i for i, region in enumerate(regions)}
        return [(index[a], index[b]) for a, b in links if a in index and b in index]
    first: dict[tuple[str, str], int] = {}
    pairs = []
    for i, region in enumerate(regions):
        answer = region.attributes.get(merge_by) if merge_by else None
        if answer is not None:
            pairs.append((first.setdefault((region.label, str(answer)), i), i))
    return pairs


def _union(parts: Sequence[DrawnRegion]) -> DrawnRegion:
    together = coco_mask.merge([part.rle for part in parts])
    size, counts = together["size"], together["counts"]
    rle: Rle = {"size": [int(n) for n in size], "counts": counts.decode("ascii")}
    kind = max((part.kind for part in parts), key=FINENESS.__getitem__)
    scores = [part.score for part in parts if part.score is not None]
    return replace(parts[0], kind=kind, rle=rle, score=max(scores, default=None))
