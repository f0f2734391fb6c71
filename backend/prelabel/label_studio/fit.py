"""Fitting a model on a Label Studio project's photos."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from prelabel.config import Config
from prelabel.errors import UserError
from prelabel.label_studio.api.photos import Fetcher
from prelabel.label_studio.api.tasks import Task, download
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.model import FittedModel
from prelabel.pipeline import fit
from prelabel.steps.levels import unit
from prelabel.steps.photos import PhotoSet, draw_sample
from prelabel.storage.progress import RunLog

Float = NDArray[np.float32]


def project_config(config: Config, wanted: LabelConfig) -> Config:
    """The config with the project's labels, unless it names some itself: two classes for each."""
    if config.classes.labels or config.classes.count:
        return config
    classes = config.classes.model_copy(update={"labels": tuple(wanted.label_names)})
    return config.model_copy(update={"classes": classes})


def fit_tasks(
    fetcher: Fetcher, tasks: Sequence[Task], home: ProjectFolder, config: Config, log: RunLog
) -> FittedModel:
    """Fit on a seeded sample of the tasks' photos; the model is the project's newest then, with the
    ids of the old one's classes where they match. Raises UserError."""
    if not tasks:
        raise UserError("the project has no tasks: import photos first")
    sample = draw_sample(tasks, most=config.fit.photos, seed=config.fit.seed)
    failed: dict[int, str] = {}  # of those that are to be predicted, the reason is told then
    with log.stage("photos", len(sample)):
        photos = download(fetcher, sample, failed, log)
    if not photos:
        task, reason = next(iter(failed.items()))
        raise UserError(f"no photo of {len(sample)} tasks can be had; task {task}: {reason}")
    model = fit(PhotoSet(fetcher.folder, tuple(photos)), config, log=log)
    log.skipped.clear()
    old = home.newest_model()
    if old is not None:
        model = dataclasses.replace(model, classes=keep_ids(old.classes, model.classes))
    home.save_model(model, n_tasks=len(tasks))
    return model


def keep_ids(old: Float, new: Float) -> Float:
    """New class centroids float32 (n, dim) in an order in which those that match an old one, by the
    assignment that makes the cosines' sum largest, come in the old one's order, at its place where
    there are enough; the others take what places are left."""
    if not len(old) or not len(new) or old.shape[1:] != new.shape[1:]:
        return new
    places, chosen = linear_sum_assignment(-(unit(old) @ unit(new).T))
    order = np.full(len(new), -1)
    rest = [i for i in range(len(new)) if i not in set(chosen.tolist())]
    late: list[int] = []
    for place, i in zip(places.tolist(), chosen.tolist(), strict=True):
        if place < len(new):
            order[place] = i
        else:
            late.append(i)
    order[order < 0] = late + rest
    return np.ascontiguousarray(new[order])
