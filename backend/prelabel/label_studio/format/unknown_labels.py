"""Why Label Studio refuses predictions: labels and tags that its label config does not have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.storage.json import JsonObject


def unknown_labels(items: Iterable[JsonObject], label_config: LabelConfig) -> list[str]:
    """What a label config does not have of result items, each once: ``label 'cat' in 'brush'`` or
    ``tag 'brush'``. Labels count as they are stored: the alias, where there is one."""
    known: dict[str, set[str] | None] = dict.fromkeys(
        (name for name, _ in label_config.attributes), None
    )
    for control in label_config.controls:
        known.setdefault(control.name, None)
        tag = control.name if control.labels_tag is None else control.labels_tag
        # A tag without labels has those of the task.
        labels = {label.stored for label in control.labels} or None
        if tag:
            known[tag] = labels
    found: dict[str, None] = {}
    for item in items:
        name, value = str(item.get("from_name")), item.get("value")
        labels = known.get(name)
        if name not in known:
            found[f"tag {name!r}"] = None
        elif labels is not None and isinstance(value, Mapping):
            given = value.get(str(item.get("type")))
            found |= dict.fromkeys(
                f"label {label!r} in {name!r}"
                for label in (given if isinstance(given, list) else ())
                if label not in labels
            )
    return list(found)
