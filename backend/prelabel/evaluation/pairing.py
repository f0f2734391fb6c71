"""Predictions and ground truth, photo by photo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from msgspec import structs

from prelabel.data.dataset import Dataset, Problems
from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.storage.text import composed

_NAMED = 20
"""Photos on one side only that an evaluation names."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One photo. ``truth``: its regions are the objects. ``void``: crowds, and other regions of the
    ground truth that count neither as right nor as wrong."""

    prediction: Prediction
    truth: Prediction
    void: tuple[Region, ...]


@dataclass(frozen=True, slots=True)
class Pairing:
    """``pairs``: photos on both sides, in the order of the predictions. ``only_predicted``,
    ``only_true``: how many are on one side only, and the first few names of each.
    ``matched_by``: what of the name they were matched by."""

    pairs: list[Pair]
    only_predicted: tuple[int, list[str]]
    only_true: tuple[int, list[str]]
    matched_by: str


def pair(predictions: Dataset, truth: Dataset, problems: Problems) -> Pairing:
    """Match photos by name, and those that are left by the name without its ending, which VOC does
    not keep. If none is matched, by the name without folders, which VOC and Label Studio may lose.

    What cannot be compared is left out and noted in ``problems``: a photo that comes twice, one of
    another size, crowds among the predictions. Raises UserError if no photo is left.
    """
    found = _by_name(predictions.stream(), "predictions", problems)
    true = _by_name(truth.stream(), "ground truth", problems)
    matched, matched_by = _matched(found, true)
    pairs = []
    for name in found:
        if name in matched:
            made = _pair(found[name], true[matched[name]], problems)
            pairs += [made] if made else []
    only_predicted = [name for name in found if name not in matched]
    taken = set(matched.values())
    only_true = [name for name in true if name not in taken]
    if not pairs:
        raise UserError(
            f"the ground truth has none of the {len(found)} predicted photos: predicted is "
            f"{_first(found)}, in the ground truth is {_first(true)}; names have to be the same, "
            "or the same without folders or ending, each once"
            if not matched
            else f"no photo can be compared: {'; '.join(problems.lines())}"
        )
    return Pairing(
        pairs,
        (len(only_predicted), only_predicted[:_NAMED]),
        (len(only_true), only_true[:_NAMED]),
        matched_by,
    )


def _by_name(stream: Iterable[Prediction], side: str, problems: Problems) -> dict[str, Prediction]:
    photos: dict[str, Prediction] = {}
    for labels in stream:
        if labels.photo in photos:
            problems.note(f"photos twice in the {side}, the first one taken", labels.photo)
        else:
            photos[labels.photo] = labels
    return photos


_Key = Callable[[str], object]
_WAYS: tuple[tuple[str, tuple[_Key, ...]], ...] = (
    (
        "the whole name",
        (PurePosixPath, lambda name: PurePosixPath(name).parent / PurePosixPath(name).stem),
    ),
    ("the name without folders", (lambda name: PurePosixPath(name).name,)),
    ("the name without folders and ending", (lambda name: PurePosixPath(name).stem,)),
)
"""Ways to match names, of which one is taken; each is keys that are tried in turn."""


def _matched(found: Collection[str], true: Collection[str]) -> tuple[dict[str, str], str]:
    """The true name of each predicted one that has one, and how they were matched."""
    if set(found) == set(true):
        return {name: name for name in found}, _WAYS[0][0]
    for way, keys in _WAYS:
        matched: dict[str, str] = {}
        by_stem = 0
        for key in keys:
            left = _unique(key, [name for name in found if name not in matched])
            right = _unique(key, list(set(true) - set(matched.values())))
            both = {name: right[k] for k, name in left.items() if k in right}
            by_stem = len(both) if matched else 0
            matched |= both
        if matched:
            return matched, f"{way}, {by_stem} of them without its ending" if by_stem else way
    return {}, _WAYS[0][0]


def _unique(key: _Key, names: Sequence[str]) -> dict[object, str]:
    """Names by key, without keys that two photos share."""
    keyed = [(key(composed(name)), name) for name in names]
    counts = Counter(k for k, _ in keyed)
    return {k: name for k, name in keyed if counts[k] == 1}


def _pair(prediction: Prediction, truth: Prediction, problems: Problems) -> Pair | None:
    if (prediction.height, prediction.width) != (truth.height, truth.width):
        problems.note(
            "photos of another size in the ground truth than in the predictions, left out",
            f"{truth.photo}: {truth.width} × {truth.height} there, "
            f"{prediction.width} × {prediction.height} here, so not the same photo or not oriented "
            "in the same way",
        )
        return None
    size = [truth.height, truth.width]
    if _are_plain(prediction.regions, size, -1) and _are_plain(truth.regions, size, 0):
        return Pair(prediction, truth, ())
    found = _usable(prediction, "predictions", problems)
    true = _usable(truth, "ground truth", problems)
    void = tuple(region for region in true if region.crowd or region.cluster < 0)
    for _ in range(sum(not region.crowd for region in void)):
        problems.note("objects without a class in the ground truth, taken as void", truth.photo)
    if any(region.crowd for region in found):
        problems.note("photos with crowds among the predictions, which are left out", truth.photo)
        found = tuple(region for region in found if not region.crowd)
    if void:
        true = tuple(r for r in true if not r.crowd and r.cluster >= 0)
        void = tuple(structs.replace(r, crowd=True) for r in void)
    return Pair(_with(prediction, found), _with(truth, true), void)


def _are_plain(regions: Iterable[Region], size: list[int], least_cluster: int) -> bool:
    """Whether all regions can be compared as they are."""
    for r in regions:
        if r.area <= 0 or r.crowd or r.cluster < least_cluster or r.rle["size"] != size:
            return False
    return True


def _usable(labels: Prediction, side: str, problems: Problems) -> tuple[Region, ...]:
    """Regions with pixels, in masks of the photo's size."""
    size = [labels.height, labels.width]
    fits = [region.area > 0 and list(region.rle["size"]) == size for region in labels.regions]
    for region, fit in zip(labels.regions, fits, strict=True):
        if not region.area:
            problems.note(f"empty masks in the {side}, left out", labels.photo)
        elif not fit:
            problems.note(
                f"masks of another size than their photo in the {side}, left out", labels.photo
            )
    return tuple(region for region, fit in zip(labels.regions, fits, strict=True) if fit)


def _with(labels: Prediction, regions: tuple[Region, ...]) -> Prediction:
    same = len(regions) == len(labels.regions)
    return labels if same else structs.replace(labels, regions=regions)


def _first(names: Iterable[str]) -> str:
    return repr(next(iter(names), "nothing"))
