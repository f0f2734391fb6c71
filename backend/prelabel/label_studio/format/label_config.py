"""Label Studio's labeling interface: which tags can hold masks, and which labels they have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from prelabel.errors import UserError
from prelabel.label_studio.format.config_tags import EXPECTED, Tag, read_tags
from prelabel.label_studio.format.data_paths import path_of
from prelabel.label_studio.format.labels import is_unnamed
from prelabel.label_studio.format.shapes import SHAPES, Kind

PromptKind = Literal["keypoint", "rectangle"]

_KINDS: dict[str, Kind] = {s.tag.lower(): s.kind for s in SHAPES if s.tag}
_BARE_KINDS: dict[str, Kind] = {s.bare_tag.lower(): s.kind for s in SHAPES}
_PROMPTS: dict[str, PromptKind] = {
    "keypoint": "keypoint",
    "keypointlabels": "keypoint",
    "rectangle": "rectangle",
    "rectanglelabels": "rectangle",
}


@dataclass(frozen=True, slots=True)
class Label:
    """One choice of a control. ``value``, ``alias``: as written, spaces included. ``color``: its
    ``background`` as written, None if it has none. ``category``: its number in COCO, if it has one.

    ``predicted_values``: the clusters' names that it stands for, as written but stripped.
    """

    value: str
    color: str | None = None
    predicted_values: tuple[str, ...] = ()
    alias: str = ""
    category: int | None = None

    @property
    def stored(self) -> str:
        """What regions with this label have: the alias, where there is one."""
        return self.alias or self.value


@dataclass(frozen=True, slots=True)
class Control:
    """A tag that holds regions of one image.

    ``name``, ``to_name``: a result's ``from_name`` and ``to_name``. ``image_key``: where the task's
    data hold the photo's address, as ``data_paths`` reads it, or a list of them if ``is_list`` is
    true. ``labels_tag``: the Labels tag that its labels stand in; "" if regions cannot have one,
    None if they are its own. ``skip``: its ``model_skip``, None if that is not written.
    """

    kind: Kind
    name: str
    to_name: str
    image_key: str
    labels: tuple[Label, ...]
    is_list: bool = False
    labels_tag: str | None = None
    skip: bool | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Its labels as they are stored, but for those of classes that nobody has named."""
        return tuple(label.stored for label in self.labels if not is_unnamed(label.stored))

    def accepts(self, label: str) -> bool:
        """Whether a region may have this label (alias or value): any, if the labels come from the
        task."""
        return self.stored(label) is not None

    def stored(self, label: str) -> str | None:
        """What a region with this label (alias or value) has; None if it may not have it."""
        if self.labels_tag == "":
            return None
        return _stored(label, self.labels) or (None if self.labels else label)

    def label_for(self, cluster_name: str) -> str | None:
        """The label of a cluster, as it is stored: the first whose ``predicted_values`` have its
        name (in any case), else one whose alias or value is its name, else None.
        """
        name = cluster_name.strip().casefold()
        for label in self.labels:
            if name in (value.casefold() for value in label.predicted_values):
                return label.stored
        return _stored(cluster_name, self.labels)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A tag with ``smart="true"``: what a person draws with it asks for a mask."""

    kind: PromptKind
    name: str
    to_name: str
    image_key: str
    labels: tuple[Label, ...]
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """A labeling interface as far as it is used here, in the order in which it is written.

    ``controls``: one for each tag, image, and Labels tag; at least one. ``interactive``: the smart
    tags. ``score_threshold``: the largest ``model_score_threshold`` of the controls, in [0, 1].
    ``attributes``: the tags with ``perRegion="true"`` that say more about a region: name, and the
    type of their results.
    """

    controls: tuple[Control, ...]
    interactive: tuple[Prompt, ...] = ()
    score_threshold: float = 0.0
    attributes: tuple[tuple[str, str], ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The controls' labels as they are stored, each once, but for those of classes that nobody
        has named."""
        return tuple(dict.fromkeys(name for c in self.controls for name in c.names))

    @property
    def categories(self) -> dict[str, int]:
        """The labels' numbers in COCO, as far as they have some, by label."""
        labels = (label for c in self.controls for label in c.labels)
        return {one.stored: one.category for one in labels if one.category is not None}

    def stored(self, label: str) -> str:
        """A label as it is stored, from its alias or value; one that nothing has is itself."""
        return _stored(label, [one for c in self.controls for one in c.labels]) or label


def parse_label_config(xml: str) -> LabelConfig:
    """Read a labeling interface. Tags and attributes count in any case, as in Label Studio.

    A Brush, Polygon or other tag without labels of its own has those of the Labels tags for the
    same image, one control for each. A rectangle with ``smart="true"`` is a prompt; it is a control
    as well only if there is no other. Tags for something other than an Image (a Video, say) are
    passed over.

    Raises UserError for what is not XML, has a DOCTYPE, has no usable tag, names in ``toName`` a tag
    that is not there, or has an Image or ``model_score_threshold`` that cannot be used.
    """
    tags = _Tags(read_tags(xml))
    controls: list[tuple[Control, float]] = []
    smart_controls: list[tuple[Control, float]] = []
    prompts: list[Prompt] = []
    for tag in tags.all:
        if tag.name not in _KINDS and tag.name not in _BARE_KINDS and tag.name not in _PROMPTS:
            continue
        smart = tag.flag("smart") is True and tag.name in _PROMPTS
        for to_name in tags.images_of(tag):
            for control in tags.controls(tag, to_name):
                chosen = smart_controls if smart else controls
                chosen.append((control, _threshold(tag)))
            if smart:
                prompts.append(tags.prompt(tag, to_name))
    usable = [one for one in controls or smart_controls if one[0].skip is not True]
    if not usable:
        found = ", ".join(dict.fromkeys(tag.written for tag in tags.all))
        skipped = ' (without model_skip="true")' if controls or smart_controls else ""
        raise UserError(
            f"label config: no tag that can hold masks{skipped}, found {found}; {EXPECTED}"
        )
    return LabelConfig(
        controls=tuple(control for control, _ in controls or smart_controls),
        interactive=tuple(prompts),
        score_threshold=max(threshold for _, threshold in usable),
        attributes=tuple(
            (tag.get("name"), tag.name) for tag in tags.all if tag.flag("perregion") is True
        ),
    )


def parse_leniently(xml: str) -> LabelConfig | None:
    """The label config; None for one that cannot be used, as one with Choices alone: labels are read
    without it."""
    try:
        return parse_label_config(xml)
    except UserError:
        return None


class _Tags:
    """A config's tags. ``images``: those that are images, by name."""

    def __init__(self, tags: list[Tag]) -> None:
        self.all = tags
        self.images = {tag.get("name"): tag for tag in tags if tag.name == "image"}
        self._names = {tag.get("name") for tag in tags if tag.get("name")}
        self._labels = [tag for tag in tags if tag.name == "labels" and tag.get("name")]

    def images_of(self, tag: Tag) -> list[str]:
        """The names of the Image tags that a tag is for. Raises UserError."""
        tag.required_name()
        to_names = tag.list("toname")
        if not to_names or any(name not in self._names for name in to_names):
            images = ", ".join(self.images) or "(there are none)"
            raise UserError(
                f'label config: {tag.written} has toName="{tag.get("toname")}", but the Image tags '
                f"are named {images}; {EXPECTED}"
            )
        return [name for name in to_names if name in self.images]

    def controls(self, tag: Tag, to_name: str) -> list[Control]:
        """A tag as controls for an image; none for a tag that draws no area."""
        kind = _KINDS.get(tag.name) or _BARE_KINDS.get(tag.name)
        if kind is None:
            return []
        sources: list[tuple[str | None, tuple[Label, ...]]] = [(None, _labels(tag))]
        if tag.name in _BARE_KINDS:
            sources = [(own.get("name"), _labels(own)) for own in self._labels_for(to_name)]
        key, is_list = _image_key(self.images[to_name])
        skip = tag.flag("model_skip")
        return [
            Control(kind, tag.get("name"), to_name, key, labels, is_list, source, skip)
            for source, labels in sources or [("", ())]
        ]

    def prompt(self, tag: Tag, to_name: str) -> Prompt:
        """A smart tag for an image."""
        key, is_list = _image_key(self.images[to_name])
        sources = [tag] if tag.name.endswith("labels") else self._labels_for(to_name)
        labels = tuple(label for source in sources for label in _labels(source))
        return Prompt(_PROMPTS[tag.name], tag.get("name"), to_name, key, labels, is_list)

    def _labels_for(self, to_name: str) -> list[Tag]:
        return [tag for tag in self._labels if to_name in tag.list("toname")]


def _labels(tag: Tag) -> tuple[Label, ...]:
    return tuple(
        Label(
            value=found.get("value"),
            color=found.get("background") or None,
            predicted_values=found.list("predicted_values"),
            alias=found.get("alias"),
            category=int(category) if (category := found.get("category")).isdecimal() else None,
        )
        for found in tag.inside()
        if found.name == "label" and (found.get("value") or found.get("alias"))
    )


def _stored(label: str, known: Iterable[Label]) -> str | None:
    """The label that has this alias, else the first that has this value, as it is stored."""
    found = None
    for one in known:
        if one.stored == label:
            return label
        if found is None and one.value == label:
            found = one.stored
    return found


def _image_key(image: Tag) -> tuple[str, bool]:
    """Where the task's data hold what an Image shows, and whether it is a list of photos."""
    value = image.get("valuelist") or image.get("value").strip()
    path = path_of(value)
    if not path:
        raise UserError(
            f'label config: Image "{image.get("name")}" has value="{value}", expected a key of the '
            'task\'s data behind a $, like value="$image"'
        )
    return path, bool(image.get("valuelist"))


def _threshold(tag: Tag) -> float:
    text = tag.get("model_score_threshold") or "0"
    try:
        threshold = float(text)
    except ValueError:
        threshold = -1.0
    if not 0 <= threshold <= 1:
        raise UserError(
            f'label config: {tag.written} has model_score_threshold="{text}", expected a number '
            'from 0 to 1, like model_score_threshold="0.5"'
        )
    return threshold
