"""Label Studio's labeling interface: which tags can hold masks, and which labels they have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from prelabel.errors import UserError
from prelabel.label_studio.format.labels import is_unnamed
from prelabel.label_studio.format.shapes import SHAPES, Kind

PromptKind = Literal["keypoint", "rectangle"]

_KINDS: dict[str, Kind] = {shape.tag.lower(): shape.kind for shape in SHAPES}
_PROMPTS: dict[str, PromptKind] = {"keypointlabels": "keypoint", "rectanglelabels": "rectangle"}
_EXPECTED = (
    f"expected {', '.join(shape.tag for shape in SHAPES[:-1])} or {SHAPES[-1].tag} for an Image, like "
    '<View><Image name="image" value="$image"/><BrushLabels name="label" toName="image">'
    '<Label value="Dog"/></BrushLabels></View>'
)


@dataclass(frozen=True, slots=True)
class Label:
    """One choice of a control. ``color``: its ``background`` as written, None if it has none.

    ``predicted_values``: the clusters' names that it stands for, as written but stripped.
    """

    value: str
    color: str | None = None
    predicted_values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Control:
    """A tag that holds regions of one image.

    ``name``, ``to_name``: a result's ``from_name`` and ``to_name``. ``image_key``: the key of the
    task's data that holds the photo's address, or a list of them if ``is_list`` is true.
    """

    kind: Kind
    name: str
    to_name: str
    image_key: str
    labels: tuple[Label, ...]
    is_list: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Its labels but for those of classes that nobody has named."""
        return tuple(label.value for label in self.labels if not is_unnamed(label.value))

    def accepts(self, label: str) -> bool:
        """Whether a region may have this label: any, if the control has none of its own, since they
        come from the task then."""
        return not self.labels or any(label == own.value for own in self.labels)

    def label_for(self, cluster_name: str) -> str | None:
        """The label of a cluster: the first whose ``predicted_values`` have its name (in any
        case), else one whose value is its name, else None.
        """
        name = cluster_name.strip().casefold()
        for label in self.labels:
            if name in (value.casefold() for value in label.predicted_values):
                return label.value
        return next((label.value for label in self.labels if label.value == cluster_name), None)


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

    ``controls``: one for each tag and image; at least one. ``interactive``: the smart tags.
    ``score_threshold``: the largest ``model_score_threshold`` of the controls, in [0, 1].
    """

    controls: tuple[Control, ...]
    interactive: tuple[Prompt, ...] = ()
    score_threshold: float = 0.0

    @property
    def label_names(self) -> tuple[str, ...]:
        """The controls' labels, each once, but for those of classes that nobody has named."""
        return tuple(dict.fromkeys(name for c in self.controls for name in c.names))


def parse_label_config(xml: str) -> LabelConfig:
    """Read a labeling interface. Tags and attributes count in any case, as in Label Studio.

    A RectangleLabels with ``smart="true"`` is a prompt; it is a control as well only if there is
    no other. Tags for something other than an Image (a Video, say) are passed over.

    Raises UserError for what is not XML, has a DOCTYPE, has no usable tag, names in ``toName`` a tag
    that is not there, or has an Image or ``model_score_threshold`` that cannot be used.
    """
    elements = list(_root(xml).iter())
    names = {attributes["name"] for e in elements if "name" in (attributes := _attributes(e))}
    images = {
        attributes["name"]: attributes
        for e in elements
        if _tag(e) == "image" and "name" in (attributes := _attributes(e))
    }
    controls: list[tuple[Control, float]] = []
    smart_controls: list[tuple[Control, float]] = []
    prompts: list[Prompt] = []
    for element in elements:
        tag, attributes = _tag(element), _attributes(element)
        if tag not in _KINDS and tag not in _PROMPTS:
            continue
        smart = attributes.get("smart", "").lower() == "true" and tag in _PROMPTS
        name, labels = _name(element, attributes), _labels(element)
        for to_name in _images_of(element, attributes, names, images):
            key, is_list = _image_key(images[to_name])
            if smart:
                prompts.append(Prompt(_PROMPTS[tag], name, to_name, key, labels, is_list))
            if tag in _KINDS:
                control = Control(_KINDS[tag], name, to_name, key, labels, is_list)
                threshold = _threshold(element, attributes)
                (smart_controls if smart else controls).append((control, threshold))
    usable = controls or smart_controls
    if not usable:
        found = ", ".join(dict.fromkeys(element.tag for element in elements))
        raise UserError(f"label config: no tag that can hold masks, found {found}; {_EXPECTED}")
    return LabelConfig(
        controls=tuple(control for control, _ in usable),
        interactive=tuple(prompts),
        score_threshold=max(threshold for _, threshold in usable),
    )


class _NoDoctype(ElementTree.TreeBuilder):
    """Entities need a DOCTYPE; without one nothing can be expanded or fetched."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise UserError(f"label config: found a DOCTYPE ({name}), which is not read; remove it")


def _root(xml: str) -> ElementTree.Element:
    parser = ElementTree.XMLParser(target=_NoDoctype())
    try:
        return ElementTree.fromstring(xml, parser=parser)
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(f"label config: not well-formed XML ({error}); {_EXPECTED}") from error


def _tag(element: ElementTree.Element) -> str:
    return element.tag.lower()


def _attributes(element: ElementTree.Element) -> dict[str, str]:
    return {name.lower(): value.strip() for name, value in element.attrib.items()}


def _name(element: ElementTree.Element, attributes: Mapping[str, str]) -> str:
    if not attributes.get("name"):
        raise UserError(f"label config: {element.tag} has no name; {_EXPECTED}")
    return attributes["name"]


def _labels(element: ElementTree.Element) -> tuple[Label, ...]:
    found = (_attributes(e) for e in element.iter() if _tag(e) == "label")
    return tuple(
        Label(
            value=attributes["value"],
            color=attributes.get("background") or None,
            predicted_values=tuple(_split(attributes.get("predicted_values", ""))),
        )
        for attributes in found
        if attributes.get("value")
    )


def _images_of(
    element: ElementTree.Element,
    attributes: Mapping[str, str],
    names: set[str],
    images: Mapping[str, object],
) -> Sequence[str]:
    """The names of the Image tags that a control is for."""
    to_names = list(_split(attributes.get("toname", "")))
    missing = [name for name in to_names if name not in names]
    if missing or not to_names:
        raise UserError(
            f'label config: {element.tag} has toName="{attributes.get("toname", "")}", but the '
            f"Image tags are named {', '.join(images) or '(there are none)'}; {_EXPECTED}"
        )
    return [name for name in to_names if name in images]


def _image_key(attributes: Mapping[str, str]) -> tuple[str, bool]:
    """The key of the task's data that an Image shows, and whether it is a list of photos."""
    value = attributes.get("valuelist") or attributes.get("value", "")
    if not value.startswith("$") or len(value) == 1:
        raise UserError(
            f'label config: Image "{attributes["name"]}" has value="{value}", expected a key of the '
            'task\'s data behind a $, like value="$image"'
        )
    return value[1:], bool(attributes.get("valuelist"))


def _threshold(element: ElementTree.Element, attributes: Mapping[str, str]) -> float:
    text = attributes.get("model_score_threshold", "0")
    try:
        threshold = float(text)
    except ValueError:
        threshold = -1.0
    if not 0 <= threshold <= 1:
        raise UserError(
            f'label config: {element.tag} has model_score_threshold="{text}", expected a number '
            'from 0 to 1, like model_score_threshold="0.5"'
        )
    return threshold


def _split(text: str) -> Iterator[str]:
    return (part for part in map(str.strip, text.split(",")) if part)
