"""What the page is answered, as JSON holds it."""

from __future__ import annotations

import msgspec

from prelabel.review.applier import Applying
from prelabel.review.figures import Progress
from prelabel.review.pushing import Pushed


class LabelAnswer(msgspec.Struct):
    """A name to choose from."""

    name: str
    color: str


class ClassAnswer(msgspec.Struct):
    """A class. ``score``: the mean of its regions."""

    id: int
    name: str
    background: bool
    count: int
    score: float
    color: str


class MapAnswer(msgspec.Struct):
    """Whether the map can be had."""

    ready: bool


class StateAnswer(msgspec.Struct):
    """All that may change; classes largest first. ``problems``: lines for people."""

    version: int
    title: str
    labels: list[LabelAnswer]
    classes: list[ClassAnswer]
    progress: Progress
    undo: list[str]
    applying: Applying
    push: Pushed | None
    map: MapAnswer
    problems: list[str]


class RegionAnswer(msgspec.Struct):
    """A region in its class. ``closeness``: the cosine to the class's middle."""

    id: int
    photo: int
    name: str
    score: float
    area: int
    closeness: float


class RegionsAnswer(msgspec.Struct):
    """Some regions of a class, which has ``total``."""

    total: int
    regions: list[RegionAnswer]


class OutlineAnswer(msgspec.Struct):
    """A region on its photo. ``path``: of SVG, in the photo's pixels, even-odd; ``class_``: its id."""

    id: int
    class_: int = msgspec.field(name="class")
    name: str
    background: bool
    color: str
    path: str
    score: float


class PhotoAnswer(msgspec.Struct):
    """The photo of region ``id`` with all its regions. ``photo``: its number."""

    id: int
    photo: int
    name: str
    width: int
    height: int
    regions: list[OutlineAnswer]


class EditAnswer(msgspec.Struct, omit_defaults=True):
    """After an edit. ``class_``: the one that it has made, the first one of several."""

    version: int
    class_: int | None = msgspec.field(name="class", default=None)


class ErrorAnswer(msgspec.Struct):
    """Why something was not done, on one line."""

    error: str


class EmptyAnswer(msgspec.Struct):
    """That something was done."""
