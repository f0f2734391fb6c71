"""Names of a review for photos that its run did not have, predicted with the run's model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from prelabel.data.dataset import Problems
from prelabel.data.records import Prediction
from prelabel.review.carried_names import CarriedNames, last_reviewed
from prelabel.review.region_vectors import RegionVectors
from prelabel.review.source import Name
from prelabel.runs.facts import RunFacts
from prelabel.runs.folder import locked
from prelabel.runs.predictions import FILE, read_predictions
from prelabel.runs.reviewed import FOLDER, predictions_key, with_classes, write_reviewed
from prelabel.storage.json import decode
from prelabel.storage.marker import MARKER
from prelabel.storage.remote import place


def name_new_photos(run: Path, predicted: Path) -> bool:
    """Have the names of a run's review count in a folder that `prelabel predict` has just written with
    the run's model. Returns whether there is a review. Raises UserError and OSError."""
    reviewed = last_reviewed(run / FOLDER, key="")
    if reviewed is None or not (run / "model").is_dir():
        return False
    facts = decode((predicted / MARKER).read_bytes(), RunFacts)
    vectors = RegionVectors(run / "model", place(facts.photos.folder), Problems())
    carried = CarriedNames(reviewed, vectors.model, vectors.origin)
    classes: dict[str, int] = {}
    version = f"{facts.model_version.rpartition('-')[0]}-{reviewed.snapshot.edits}"

    def named() -> Iterator[Prediction]:
        for prediction in read_predictions(predicted / FILE):
            names = carried.of(prediction, vectors.of(prediction))
            numbers = [
                _number(name, region.cluster, facts.class_names, classes)
                for name, region in zip(names, prediction.regions, strict=True)
            ]
            yield with_classes(prediction, numbers, version)

    with locked(predicted):
        write_reviewed(
            predicted,
            named(),
            key=predictions_key(predicted),
            class_names=classes,
            model_version=version,
        )
    return True


def _number(
    name: Name, cluster: int, class_names: Sequence[str], classes: dict[str, int]
) -> int | None:
    """The number of a region's class, a new one for a new name; None for background."""
    if name is None:
        return None
    if not name and not 0 <= cluster < len(class_names):
        return -1
    return classes.setdefault(name or class_names[cluster], len(classes))
