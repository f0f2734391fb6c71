"""Functions of the public API that are not steps of the pipeline: load_model and export."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from prelabel.data.dataset import Dataset
from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel.model import MODEL_FILES, FittedModel
from prelabel.runs.export import export_dataset, export_predictions
from prelabel.runs.folder import model_folder
from prelabel.runs.formats import Settings
from prelabel.storage.remote import fetched, local_path, place

_log = logging.getLogger(__name__)


def load_model(folder: str | Path) -> FittedModel:
    """Read a fitted model.

    Args:
        folder: what `FittedModel.save` or `prelabel fit` wrote, or the folder of a `prelabel run`,
            which has its model inside; or the address of one in object storage.

    Returns:
        The model, ready for `predict`.

    Raises:
        UserError: there is no model, it is damaged, or another version of prelabel wrote it.

    Example:
        >>> model = load_model("result/")
        >>> predictions = list(predict(model, "new-photos/"))
    """
    with fetched(place(str(folder)), MODEL_FILES) as here:
        return FittedModel.load(model_folder(here))


def export(
    source: str | Path | Dataset | Iterable[Prediction],
    out: str | Path,
    format: str | Sequence[str] = "coco",
    *,
    model: FittedModel | None = None,
    photos: str | Path | None = None,
    settings: Settings | None = None,
) -> dict[str, Path]:
    """Write predictions or labels in other formats, each into a folder of its name in ``out``.

    What a format cannot hold, and what was wrong with the labels, is logged as a warning.

    Args:
        source: the folder of a `prelabel run` or `prelabel predict`, a ``predictions.jsonl``, what
            `open_dataset` returned, or predictions as `predict` yields them.
        out: the run's own folder, a new or an empty folder, or that of an earlier export.
        format: name of a format, or several; `prelabel plugins list` shows them.
        model: the model that made the predictions, which knows the names of the classes. Needed
            with predictions; a folder, a file and a Dataset know the names themselves.
        photos: the folder that the photos' names are relative to, in place of what ``source`` says.
        settings: settings of formats, by format and name.

    Returns:
        The file or folder that was written, by name of the format.

    Raises:
        UserError: there is no such format or setting, ``source`` cannot be read, or ``out`` holds
            something else.

    Example:
        >>> export("result/", "result/", format=["voc", "yolo-seg"])
        {'voc': PosixPath('result/voc'), 'yolo-seg': PosixPath('result/yolo-seg/data.yaml')}
        >>> export(predict(model, "photos/"), "out/", model=model, settings={"coco": {"polygons": True}})
        {'coco': PosixPath('out/coco/instances.json')}
    """
    formats = [format] if isinstance(format, str) else list(format)
    folder = place(photos) if photos is not None else None
    out = local_path(out, what="export")
    if isinstance(source, str | Path):
        read = local_path(source, what="export")
        exported = export_predictions(read, out, formats, settings=settings, photos=folder)
    else:
        dataset = source if isinstance(source, Dataset) else _dataset(source, model)
        if folder is not None:
            dataset = dataclasses.replace(dataset, photos=folder)
        exported = export_dataset(dataset, out, formats, settings=settings)
    for note in exported.notes:
        _log.warning(note)
    return exported.files


def _dataset(predictions: Iterable[Prediction], model: FittedModel | None) -> Dataset:
    if model is None:
        raise UserError(
            "predictions do not know the names of their classes: "
            "export(predictions, out, model=model)"
        )
    return Dataset(None, model.class_names, lambda: iter(predictions), model_version=model.version)
