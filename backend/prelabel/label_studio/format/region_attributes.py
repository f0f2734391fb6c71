"""What people say of one region beside its label: Choices, TextArea and the like, ``perRegion``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from prelabel.data.records import AttributeValue
from prelabel.label_studio.format.shapes import shape_of_item
from prelabel.storage.json import JsonObject
from prelabel.storage.text import whole_text

if TYPE_CHECKING:
    from prelabel.label_studio.format.items import ResultItem

ANSWERS = {
    "choices": "choices",
    "textarea": "text",
    "taxonomy": "taxonomy",
    "rating": "rating",
    "number": "number",
    "datetime": "datetime",
}
"""The key of an answer in the value of a result item, by the item's type."""

Attributes = dict[str, AttributeValue]


def region_attributes(items: Iterable[JsonObject]) -> dict[str, Attributes]:
    """The answers about each region, by its id and the answering tag's name. A list of one text is
    that text; the path of a taxonomy is joined by ``/``."""
    items = list(items)
    regions = {str(item.get("id")) for item in items if shape_of_item(item)}
    found: dict[str, Attributes] = {}
    for item in items:
        key, value = ANSWERS.get(str(item.get("type"))), item.get("value")
        number, name = str(item.get("id")), item.get("from_name")
        if key is None or number not in regions or not isinstance(value, Mapping):
            continue
        answer = _answer(value.get(key))
        if answer is not None and isinstance(name, str) and name:
            found.setdefault(number, {})[whole_text(name)] = answer
    return found


class Answers:
    """The tags that answers go to. ``tags``: the type of their items by name; if they are not given,
    one is added for each new name: ``number`` for numbers, else ``textarea``."""

    def __init__(self, tags: Mapping[str, str] | None = None) -> None:
        self.tags = dict(tags or {})
        self._is_open = tags is None

    def items(self, region: ResultItem, attributes: Attributes) -> Iterator[ResultItem]:
        """The answers about a region that there is a tag for, as result items."""
        for name, answer in attributes.items():
            if self._is_open:
                is_number = isinstance(answer, int | float)
                self.tags.setdefault(name, "number" if is_number else "textarea")
            value = _answer_value(self.tags.get(name, ""), answer)
            if value is not None:
                yield {**region, "type": self.tags[name], "from_name": name, "value": value}


def _answer_value(kind: str, answer: AttributeValue) -> dict[str, object] | None:
    """The value of a result item of this type; None where it cannot hold the answer."""
    if kind not in ANSWERS:
        return None
    texts = [str(one) for one in answer] if isinstance(answer, list) else [str(answer)]
    if kind in ("rating", "number"):
        try:
            number = float(texts[0])
        except ValueError:
            return None
        return {ANSWERS[kind]: int(number) if number.is_integer() else number}
    if kind == "datetime":
        return {ANSWERS[kind]: texts[0]}
    if kind == "taxonomy":
        return {ANSWERS[kind]: [text.split("/") for text in texts]}
    return {ANSWERS[kind]: texts}


def _answer(given: object) -> AttributeValue | None:
    """None for what is no answer."""
    if isinstance(given, bool) or given is None:
        return None
    if isinstance(given, str):
        return whole_text(given)
    if isinstance(given, int | float):
        return given
    if not isinstance(given, list):
        return None
    texts = [
        whole_text("/".join(map(str, one)) if isinstance(one, list) else str(one)) for one in given
    ]
    return texts[0] if len(texts) == 1 else texts or None
