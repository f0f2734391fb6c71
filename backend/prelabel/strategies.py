"""What each kind of strategy promises, and how a name becomes a strategy.

A strategy is a frozen dataclass whose fields are its settings. It is found by name through an
entry point group; the built-in ones come through the same door as anybody's.
Arrays that a strategy is given are not written to. Every strategy is deterministic for a seed.
Clusterers, foreground rules, consistencies and refiners are called from several threads at once;
backbones, embedders and exporters from one at a time.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pydantic
from numpy.typing import NDArray

from prelabel.data.records import LevelResult, PatchFeatures, Prediction
from prelabel.errors import UserError

Float = NDArray[np.float32]


@runtime_checkable
class Backbone(Protocol):
    """Photos to patch features.

    - ``patch``: side of a patch in pixels; ``dim``: length of a feature vector.
    - ``batch``: photos in one call; the caller always passes exactly this many (it pads), so that
      a photo's features do not depend on its neighbours.
    - ``identity()``: JSON-ready facts that decide the features (weights' hash, layer, precision …);
      features are cached under them, and a model's version depends on them. ``weights``, if there,
      is the weights' name for people and decides nothing.
    - ``settled()``: the same strategy with everything decided that was left open (which weights).
    - ``extract(images)``: images uint8 (batch, height, width, 3) RGB, height and width multiples of
      ``patch``; returns one PatchFeatures per image with grid (height / patch, width / patch),
      finite values, attention ≥ 0 with mean 1 (all 1 where the network says nothing).
    - May raise UserError when its weights cannot be had.
    """

    @property
    def patch(self) -> int: ...
    @property
    def dim(self) -> int: ...
    @property
    def batch(self) -> int: ...
    def settled(self) -> Backbone: ...
    def identity(self) -> Mapping[str, Any]: ...
    def extract(self, images: NDArray[np.uint8]) -> Sequence[PatchFeatures]: ...


@runtime_checkable
class Clusterer(Protocol):
    """Points to clusters.

    - ``fit(points, k, seed)``: points float32 (n, d), n ≥ 1, any scale; returns centroids float32
      (j, d) with 1 ≤ j ≤ min(k, n). Fewer than k when points coincide.
    - ``assign(points, centroids)``: int64 (n,), the nearest centroid of each point by the
      clusterer's own distance; each point's answer depends on that point alone.
    """

    def fit(self, points: Float, *, k: int, seed: int) -> Float: ...
    def assign(self, points: Float, centroids: Float) -> NDArray[np.int64]: ...


@runtime_checkable
class Foreground(Protocol):
    """Clusters to P(foreground).

    ``score(clusters, k, attention, border)``: clusters int64 (n,) in [0, k), attention float32 (n,)
    (CLS attention relative to the photo's mean), border bool (n,) (the patch touches its photo's
    frame); returns float32 (k,) in [0, 1]. A cluster without patches gets 0.5 or less.
    """

    def score(
        self,
        clusters: NDArray[np.int64],
        *,
        k: int,
        attention: Float,
        border: NDArray[np.bool_],
    ) -> Float: ...


@runtime_checkable
class Consistency(Protocol):
    """Levels to one answer: ``combine(levels)`` takes at least one LevelResult, coarse to fine, on
    one grid, and returns P(foreground) float32 (h, w) in [0, 1]."""

    def combine(self, levels: Sequence[LevelResult]) -> Float: ...


@runtime_checkable
class Refiner(Protocol):
    """Sharpens P(foreground) along the photo's edges: ``refine(foreground, image)`` takes float32
    (h, w) in [0, 1] and uint8 (h, w, 3) RGB of the same size and returns float32 (h, w) in [0, 1].
    """

    def refine(self, foreground: Float, image: NDArray[np.uint8]) -> Float: ...


@runtime_checkable
class Embedder(Protocol):
    """Regions to vectors.

    ``embed(image, masks, features, backbone)``: image uint8 (h, w, 3) RGB at working size, masks
    bool (n, h, w), n ≥ 1, each with at least one pixel, features of the whole photo; returns
    float32 (n, d), d the same for every photo. A region's vector does not depend on the others.
    """

    def embed(
        self,
        image: NDArray[np.uint8],
        masks: NDArray[np.bool_],
        *,
        features: PatchFeatures,
        backbone: Backbone,
    ) -> Float: ...


class Problems:
    """What could not be read or kept as it was: counted by kind, the first few with their place."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}

    def note(self, kind: str, place: str = "") -> None:
        """One more. ``kind``: what happened, as a plural ("polygons with holes, kept as RLE");
        ``place``: the file and the id or name in it."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if place and len(known := self.examples.setdefault(kind, [])) < 3:
            known.append(place)

    def lines(self) -> list[str]:
        """For people: one line for each kind."""
        return [
            f"{n} {kind}"
            + (f" ({'; '.join(self.examples[kind])})" if kind in self.examples else "")
            for kind, n in self.counts.items()
        ]


@dataclass(frozen=True, slots=True)
class ExportContext:
    """What an exporter may know beside the predictions.

    ``photos``: folder that the photos' names are relative to. ``classes``: names by class id.
    ``problems``: takes what the format could not keep.
    """

    photos: Path
    classes: tuple[str, ...]
    model_version: str
    problems: Problems = dataclasses.field(default_factory=Problems)


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled photos that were found somewhere.

    ``photos``: the folder that their names are relative to, None where nothing tells it.
    ``classes``: names by class id. ``stream``: the labels of one photo after the other, anew with
    each call; raises UserError where the source is damaged. ``problems``: what was left out or
    mended while streaming. ``model_version``: "" for what people made.
    """

    photos: Path | None
    classes: tuple[str, ...]
    stream: Callable[[], Iterator[Prediction]]
    problems: Problems = dataclasses.field(default_factory=Problems)
    model_version: str = ""


@runtime_checkable
class Exporter(Protocol):
    """Predictions to files: ``write(predictions, folder, context)`` streams over the predictions,
    writes into ``folder`` (it exists; files are written beside and then renamed) and returns the
    path to show to the user. It overwrites only what it writes itself."""

    def write(
        self, predictions: Iterable[Prediction], folder: Path, context: ExportContext
    ) -> Path: ...


@runtime_checkable
class Reader(Protocol):
    """What an exporter has as well if its format can be read.

    - ``recognizes(source)``: whether a file or folder is of this format, by a quick look; never
      raises.
    - ``read(source)``: its labels. Raises UserError, with the file, for what is damaged; what is
      wrong with one photo or label costs that one and is noted in the dataset's ``problems``.
    """

    def recognizes(self, source: Path) -> bool: ...
    def read(self, source: Path) -> Dataset: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of strategy: its section in the config, entry point group and Protocol."""

    section: str
    group: str
    protocol: type


KINDS: dict[str, Kind] = {
    kind.section: kind
    for kind in (
        Kind("backbone", "prelabel.backbones", Backbone),
        Kind("clusterer", "prelabel.clusterers", Clusterer),
        Kind("foreground", "prelabel.foregrounds", Foreground),
        Kind("consistency", "prelabel.consistency", Consistency),
        Kind("refiner", "prelabel.refiners", Refiner),
        Kind("embedder", "prelabel.embedders", Embedder),
        Kind("exporter", "prelabel.exporters", Exporter),
    )
}


_EXTRAS = {"pydensecrf": "dense-crf", "labelformat": "labelformat"}
"""Extras that bring a package which strategies of ours import."""


class ContractError(UserError):
    """A strategy broke the promise of its kind; the message names it and what it returned."""


def names(section: str) -> list[str]:
    """Names of the installed strategies of a kind, sorted, whether or not they import."""
    return sorted(_entry_points(section))


def load(section: str, name: str) -> type[Any]:
    """The strategy class of that name. UserError if unknown, not importable or no strategy."""
    points = _entry_points(section)
    if name not in points:
        raise UserError(f"no {section} is named {name!r}{nearest(name, points)}")
    point = points[name]
    try:
        strategy = point.load()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        extra = _EXTRAS.get(getattr(error, "name", None) or "")
        remedy = f": pip install 'prelabel[{extra}]'" if extra else ""
        raise UserError(f"{section} {name!r} cannot be imported ({reason}){remedy}") from error
    if not dataclasses.is_dataclass(strategy) or not isinstance(strategy, type):
        raise UserError(f"{section} {name!r} ({point.value}) is no dataclass")
    if not strategy.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise UserError(f"{section} {name!r} ({point.value}) is a dataclass but not frozen")
    missing = [m for m in _members(KINDS[section].protocol) if not hasattr(strategy, m)]
    if missing:
        raise UserError(f"{section} {name!r} ({point.value}) has no {', '.join(missing)}")
    return strategy


def make(section: str, name: str, settings: Mapping[str, Any]) -> Any:
    """The strategy with these settings; values are checked and converted to the fields' types."""
    strategy = load(section, name)
    known = [field.name for field in dataclasses.fields(strategy)]
    for setting in settings:
        if setting not in known:
            raise UserError(
                f"{section} {name!r} has no setting {setting!r}{nearest(setting, known)}"
            )
    try:
        return pydantic.TypeAdapter(strategy).validate_python(dict(settings))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        # As --set takes it: formats go by their names.
        own = name if section == "exporter" else section
        where = ".".join([own, *(str(part) for part in first["loc"])])
        raise UserError(f"{where} = {first['input']!r}: {first['msg']}") from error


def origin(section: str, name: str) -> str:
    """The distribution and version that a strategy comes from, for people and models."""
    dist = _entry_points(section)[name].dist
    return f"{dist.name} {dist.version}" if dist else "unknown"


def check_array(
    strategy: str, array: Any, shape: tuple[int | None, ...], *, probability: bool = False
) -> None:
    """Raise ContractError, naming the strategy, unless the array is of floats, finite, of that
    shape (None: any), and in [0, 1] if it is a probability."""
    _check_shape(strategy, array, shape)
    if array.dtype.kind != "f":
        raise ContractError(f"{strategy} returned {array.dtype}, wanted float32")
    if not np.isfinite(array).all():
        raise ContractError(f"{strategy} returned values that are not finite")
    if probability and array.size and not (array.min() >= -1e-6 and array.max() <= 1 + 1e-6):
        low, high = float(array.min()), float(array.max())
        raise ContractError(
            f"{strategy} returned values from {low:.3g} to {high:.3g}, wanted 0 to 1"
        )


def check_labels(strategy: str, array: Any, *, n: int, k: int) -> None:
    """Raise ContractError, naming the strategy, unless these are n whole numbers in [0, k)."""
    _check_shape(strategy, array, (n,))
    if array.dtype.kind != "i":
        raise ContractError(f"{strategy} returned {array.dtype}, wanted int64")
    if n and not (array.min() >= 0 and array.max() < k):
        raise ContractError(
            f"{strategy} returned values from {array.min()} to {array.max()}, wanted 0 to {k - 1}"
        )


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown word: the nearest known one, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if known else "; there are none"


def _check_shape(strategy: str, array: Any, shape: tuple[int | None, ...]) -> None:
    if not isinstance(array, np.ndarray):
        raise ContractError(f"{strategy} returned {type(array).__name__}, wanted an array")
    fits = len(array.shape) == len(shape)
    if not fits or any(w is not None and f != w for f, w in zip(array.shape, shape, strict=True)):
        wanted = tuple("any" if n is None else n for n in shape)
        raise ContractError(f"{strategy} returned shape {array.shape}, wanted {wanted}")


@cache
def _entry_points(section: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=KINDS[section].group)}


def _members(protocol: type) -> list[str]:
    return sorted(name for name in vars(protocol) if not name.startswith("_"))
