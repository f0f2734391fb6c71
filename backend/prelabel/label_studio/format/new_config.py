"""The label config of a new project: a brush, and smart tools that ask the backend for an object."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

from prelabel.data.colors import distinct_colors, hex_color
from prelabel.errors import UserError
from prelabel.label_studio.format.labels import is_unnamed

_KEYS = "1234567890"
_ROW = "display: flex; flex-wrap: wrap; align-items: baseline; column-gap: 8px"
_CAPTIONS = {"brush": "V selects, a key names", "click": "Smart click", "box": "Smart box"}


def read_labels(text: str) -> list[str]:
    """Labels of a list with commas, such as ``cat,dog``. Raises UserError for a list that no project
    can have."""
    labels = [label.strip() for label in text.split(",")]
    example = "expected names with commas between them, as in --labels cat,dog"
    if not all(labels):
        raise UserError(f"--labels {text!r} has an empty name: {example}")
    for label in labels:
        if not label.isprintable():
            raise UserError(f"--labels: {label!r} has a character that cannot be shown: {example}")
        if is_unnamed(label):
            raise UserError(
                f"--labels: {label!r} is what a class without a name is called: choose another name"
            )
    doubled = next((label for label in labels if labels.count(label) > 1), None)
    if doubled:
        raise UserError(f"--labels has {doubled!r} twice: {example}")
    return labels


def new_label_config(labels: Sequence[str]) -> str:
    """The XML: masks with a brush, whose labels have clearly different colours and, the first ten of
    them, the number keys; a click or a box asks the backend for the object there."""
    colors = [hex_color(color) for color in distinct_colors(len(labels))]
    keys = [f' hotkey="{key}"' for key in _KEYS] + [""] * len(labels)
    plain = [
        f"<Label value={quoteattr(label)} background={quoteattr(color)}"
        for label, color in zip(labels, colors, strict=True)
    ]
    keyed = "".join(f"{label}{key}/>" for label, key in zip(plain, keys, strict=False))
    choices = "".join(f"{label}/>" for label in plain)
    smart = 'smart="true" smartOnly="true"'
    rows = [
        _row(
            "brush", f'<BrushLabels name="label" toName="image" smart="false">{keyed}</BrushLabels>'
        ),
        _row(
            "click",
            f'<KeyPointLabels name="click" toName="image" {smart}>{choices}</KeyPointLabels>',
        ),
        _row(
            "box", f'<RectangleLabels name="box" toName="image" {smart}>{choices}</RectangleLabels>'
        ),
    ]
    return "\n".join(
        ["<View>", *rows, '  <Image name="image" value="$image" zoom="true"/>', "</View>"]
    )


def _row(tool: str, tag: str) -> str:
    return f'  <View style="{_ROW}">\n    <Header size="6" value="{_CAPTIONS[tool]}"/>\n    {tag}\n  </View>'
