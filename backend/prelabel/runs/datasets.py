"""Opening labels: of a run, predictions, or any format that an exporter reads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from prelabel.data.dataset import Dataset
from prelabel.errors import UserError
from prelabel.runs.facts import FolderFacts
from prelabel.runs.folder import check_finished, find_predictions
from prelabel.runs.formats import Settings
from prelabel.runs.predictions import FILE, read_predictions
from prelabel.runs.tally import Tally
from prelabel.storage.remote import place
from prelabel.strategies import registry
from prelabel.strategies.protocols import Reader


def open_dataset(
    source: str | Path,
    *,
    format: str = "",
    photos: str | Path | None = None,
    settings: Settings | None = None,
) -> Dataset:
    """Open labels that lie on disk: of a run, predictions, or any format that can be read.

    Args:
        source: the folder of a `prelabel run` or `prelabel predict`, a ``predictions.jsonl``, or a
            file or folder of a format (COCO's instances.json, a VOC folder, Label Studio tasks …).
        format: name of the format; left out, it is found by looking.
        photos: the folder that the photos' names are relative to, in place of what ``source`` says.
            Formats that do not state the photos' sizes look them up there.
        settings: settings of formats, by format and name.

    Returns:
        The photos' folder, the classes' names and a stream of one `Prediction` for each photo.

    Raises:
        UserError: there is no such source, its format is not known or cannot be read, or the folder
            is that of a run that was not finished. Damage inside it is raised while streaming.

    Example:
        >>> dataset = open_dataset("annotations/instances.json", photos="photos/")
        >>> areas = [r.area for labels in dataset.stream() for r in labels.regions]
        >>> dataset.problems.lines()  # what was left out or mended
        []
    """
    source = Path(source)
    if not source.exists():
        raise UserError(f"{str(source)!r}: no such file or folder")
    if not format and (source.suffix == Path(FILE).suffix or (source / FILE).is_file()):
        found = run_dataset(*find_predictions(source))
    else:
        check_finished(source)
        name = format or _recognized(source)
        own = dict((settings or {}).get(name, {}))
        fields = {field.name for field in dataclasses.fields(registry.load("exporter", name))}
        if photos is not None and "photos" in fields:
            own.setdefault("photos", str(photos))
        reader = registry.make("exporter", name, own)
        if not isinstance(reader, Reader):
            raise UserError(f"format {name!r} can be written but not read")
        found = reader.read(source)
    if photos is None:
        return found
    return dataclasses.replace(found, photos=place(photos))


def run_dataset(predictions: Path, facts: FolderFacts | None) -> Dataset:
    """The labels of a predictions file, with the facts of its run where they are known.

    Classes without names are numbered, for which the file is read once.
    """
    photos = place(facts.photos.folder) if facts and facts.photos else None
    if facts and facts.class_names:
        classes, version = tuple(facts.class_names), facts.model_version or ""
    else:
        tally = Tally.of(read_predictions(predictions))
        classes, version = tally.class_names, tally.model_version
    return Dataset(photos, classes, lambda: read_predictions(predictions), model_version=version)


def _recognized(source: Path) -> str:
    """The one format that a source has."""
    readers, broken = [], []
    for name in registry.names("exporter"):
        try:
            if hasattr(registry.load("exporter", name), "recognizes"):
                readers.append(name)
                if registry.make("exporter", name, {}).recognizes(source):
                    return name
        except Exception as error:  # a plugin's mistake costs that plugin
            broken.append(f"; {name} failed ({type(error).__name__}: {error})")
    raise UserError(
        f"{str(source)!r} is neither of a known format nor a result of prelabel "
        f"({', '.join(readers)}): say which it is with --from (--truth-from for ground truth, "
        f"--labels-from for labels that teach){''.join(broken)}"
    )
