"""Which control of a label config a region goes to, and under which label."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec import structs

from prelabel.data.records import Prediction
from prelabel.label_studio.format.items import Losses, ResultItem, encode_regions
from prelabel.label_studio.format.label_config import Control
from prelabel.label_studio.format.labels import guess_note, is_unnamed
from prelabel.label_studio.format.region_attributes import Answers
from prelabel.label_studio.format.shapes import FINENESS


@dataclass(frozen=True, slots=True)
class Route:
    """Where the regions of a cluster go. ``label``: theirs in the control, None if it has none for
    them. ``named``: whether that is their name, and not ``object 3`` or a guess. ``note``: what
    people see in their details; "" for nothing."""

    control: Control
    label: str | None
    note: str = ""
    named: bool = True


def control_groups(controls: Sequence[Control], image_key: str) -> list[list[Control]]:
    """The controls for the photos at a path of the task's data, in groups that each get all of the
    regions, every region once: first those of which the config says nothing else, the finest
    shapes first; then those with ``model_skip="false"``, those of a shape together. Those with
    ``model_skip="true"`` are in none."""
    own = [control for control in controls if control.image_key == image_key]
    own.sort(key=lambda control: (control.labels_tag == "", FINENESS[control.kind]))
    groups = [[control for control in own if control.skip is None]]
    more = [control for control in own if control.skip is False]
    kinds = dict.fromkeys(control.kind for control in more)
    groups += ([control for control in more if control.kind == kind] for kind in kinds)
    return [group for group in groups if group]


def choose_route(
    controls: Sequence[Control], labels: Sequence[str | None], note: str = ""
) -> Route:
    """Among a group's controls: the first that has a label for a cluster; the first of all,
    without a label and with the note, if none has. ``labels``: the cluster's in each control."""
    for control, label in zip(controls, labels, strict=True):
        if label is not None:
            return Route(control, label, named=not is_unnamed(label))
    return Route(controls[0], None, note, named=False)


def unnamed_route(
    controls: Sequence[Control], class_name: str, guesses: Iterable[str | None]
) -> Route:
    """Where a region without a name goes so that it is seen: Label Studio (1.23) draws regions
    without a label all but transparent.

    It gets the label of its class, such as ``object 3``, if a control has it; else the first of
    ``guesses`` that one has, else the first label, with a note that it is a guess. Without a label
    only if no control has one.
    """
    own: dict[str, Control] = {}
    for control in controls:
        for name in control.names:
            own.setdefault(name, control)
    for control in controls:
        if is_unnamed(class_name) and control.labels and control.accepts(class_name):
            return Route(control, control.stored(class_name), named=False)
    guess = next((label for label in guesses if label in own), next(iter(own), None))
    if guess is None:
        return Route(controls[0], None, class_name, named=False)
    return Route(own[guess], guess, guess_note(class_name, guess), named=False)


def finest_control(controls: Sequence[Control], label: str) -> Control:
    """Among controls of several kinds: the finest one that has the label; the finest of all, if
    none has."""
    return min(controls, key=lambda c: (not c.accepts(label), c.labels_tag == "", FINENESS[c.kind]))


def encode_routed(
    prediction: Prediction,
    routes: Mapping[int, Route],
    controls: Sequence[Control],
    *,
    tolerance: float,
    max_points: int,
    item_index: int | None,
    answers: Answers | None = None,
) -> Iterator[tuple[Control, list[ResultItem], Losses]]:
    """For one control after the other: the result items of the regions that go to it, and what was
    lost. ``routes``: by cluster, of every region. The others are as for
    ``encode_regions``, which may raise UserError."""
    labels = {cluster: route.label for cluster, route in routes.items()}
    notes = {cluster: route.note for cluster, route in routes.items()}
    for control in controls:
        regions = tuple(r for r in prediction.regions if routes[r.cluster].control is control)
        items, losses = encode_regions(
            structs.replace(prediction, regions=regions),
            labels,
            control,
            tolerance=tolerance,
            max_points=max_points,
            item_index=item_index,
            notes=notes,
            answers=answers,
        )
        yield control, items, losses
