"""Labels of classes that nobody has named yet, in a project's label config on the server."""

from __future__ import annotations

from collections.abc import Sequence

from prelabel.label_studio.api.client import Client
from prelabel.label_studio.format.label_config import LabelConfig, parse_label_config
from prelabel.label_studio.format.labels import is_unnamed
from prelabel.label_studio.format.unnamed_labels import add_labels, has_labels, remove_labels
from prelabel.steps.exemplars import Names


def unnamed_classes(
    label_config: LabelConfig, class_names: Sequence[str], names: Names
) -> list[str]:
    """The classes, as ``object 3``, of which a region may have no name: neither people nor the label
    config's ``predicted_values`` have named them, or a region of them was deleted."""
    given = {
        name.casefold()
        for control in label_config.controls
        for label in control.labels
        for name in label.predicted_values
    }
    return [
        name
        for number, name in enumerate(class_names)
        if names.may_be_unnamed(number) and (names.knows(number) or name.casefold() not in given)
    ]


def add_unnamed_labels(client: Client, project_id: int, class_names: Sequence[str]) -> str:
    """Add labels for these classes to a project's label config, where it lacks them; the XML that is
    in force then. Raises UserError."""
    xml = client.project(project_id).label_config
    added = add_labels(xml, class_names)
    if added != xml:
        client.set_label_config(project_id, added)
    return added


def remove_unnamed_labels(client: Client, project_id: int) -> str:
    """Take such labels out of a project's label config, but for those that annotations or drafts
    have; these, for people, "" for none. Raises UserError."""
    xml = client.project(project_id).label_config
    if not has_labels(xml):
        return ""
    used = client.used_labels(project_id)
    removed = remove_labels(xml, keep=used)
    if removed != xml:
        client.set_label_config(project_id, removed)
    known = dict.fromkeys(
        label.value for c in parse_label_config(removed).controls for label in c.labels
    )
    return ", ".join(label for label in known if is_unnamed(label) and label in used)
