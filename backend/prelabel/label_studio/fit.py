"""Fitting a model on a Label Studio project's photos, and learning names from its annotations."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from prelabel.config import Config
from prelabel.errors import UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Fetcher, Sources, open_fetcher
from prelabel.label_studio.api.tasks import Task, download, read_task, read_tasks
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.learn import learn_tasks
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.shared_fit import fit_once, usable_model
from prelabel.model import FittedModel
from prelabel.pipeline import fit
from prelabel.steps.photos import PhotoSet, draw_sample
from prelabel.storage.json import JsonObject
from prelabel.storage.progress import RunLog
from prelabel.strategies.checks import similarity
from prelabel.strategies.protocols import Clusterer

Float = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class FitRequest:
    """A fit of a project's model.

    ``folder``: the project's. ``tasks``: as the server sent them, or None for all of the project's.
    ``fits``: how many fits had been saved when it was requested; if there are more when it begins,
    the newest model is taken instead. ``partial``: as for ``ProjectFolder.memory``. ``most``: the largest number of tasks, drawn with the seed; 0 for all.
    """

    folder: Path
    server: str
    token: str = field(repr=False)
    project_id: int
    label_config: LabelConfig
    config: Config
    sources: Sources
    result_options: ResultOptions
    fits: int
    partial: bool = False
    tasks: tuple[JsonObject, ...] | None = None
    most: int = 0


def fit_project(request: FitRequest, log: RunLog) -> None:
    """Fit a project and learn names from its annotations. If another process is fitting it, its model
    is taken. Raises UserError."""
    folder = ProjectFolder(request.folder)
    with Client(request.server, request.token) as client:
        fetcher = open_fetcher(client, request.sources, server=request.server)
        tasks = _tasks(request, client, log)
        config = project_config(request.config, request.label_config)
        model = fit_once(
            folder,
            request.fits,
            lambda own_log: fit_tasks(fetcher, tasks, folder, config, own_log),
            log,
        )
        learn_tasks(
            client,
            fetcher,
            tasks,
            folder,
            model,
            request.label_config,
            request.result_options,
            log,
            partial=request.partial,
        )


def _tasks(request: FitRequest, client: Client, log: RunLog) -> list[Task]:
    if request.tasks is None:
        n_tasks = client.project(request.project_id).task_number
        tasks = read_tasks(client, request.project_id, n_tasks, request.label_config, log)
    else:
        tasks = [read_task(task, request.label_config) for task in request.tasks]
    if request.most:
        tasks = draw_sample(tasks, most=request.most, seed=request.config.fit.seed)
    return tasks


def project_config(config: Config, label_config: LabelConfig) -> Config:
    """The config with the project's labels, which make two classes each, unless it has its own."""
    if config.classes.labels or config.classes.count:
        return config
    classes = config.classes.model_copy(update={"labels": tuple(label_config.label_names)})
    return config.model_copy(update={"classes": classes})


def fit_tasks(
    fetcher: Fetcher, tasks: Sequence[Task], folder: ProjectFolder, config: Config, log: RunLog
) -> FittedModel:
    """Fit on a seeded sample of the tasks' photos, or on all; the model is the project's newest
    then, with the ids of the old one's classes where they match. Raises UserError."""
    if not tasks:
        raise UserError("the project has no tasks: import photos first")
    most = config.fit.photos or len(tasks)
    sample = draw_sample(tasks, most=most, seed=config.fit.seed)
    failed: dict[int, str] = {}  # reported when the task is predicted
    with log.stage("photos", len(sample)):
        photos = download(fetcher, sample, failed, log)
    if not photos:
        task, reason = next(iter(failed.items()))
        raise UserError(f"no photo of {len(sample)} tasks can be fetched; task {task}: {reason}")
    model = fit(PhotoSet(fetcher.folder, tuple(photos)), config, log=log)
    log.skipped.clear()
    old = usable_model(folder)
    if old is not None:
        model = dataclasses.replace(
            model, classes=keep_ids(old.classes, model.classes, model.config.strategy("clusterer"))
        )
    folder.save_model(model, n_tasks=len(tasks))
    return model


def keep_ids(old: Float, new: Float, clusterer: Clusterer) -> Float:
    """New class centroids float32 (n, dim), reordered so that classes keep their ids.

    New and old centroids are matched one to one, so that the sum of their similarities, by the
    clusterer's own measure, is largest. A new
    one takes the place of the old one that it matches if there are as many places; the others, in
    their own order, take the places that are left.
    """
    if not len(old) or not len(new) or old.shape[1:] != new.shape[1:]:
        return new
    similar = np.stack([similarity(clusterer, old, one) for one in new], axis=1)
    places, chosen = linear_sum_assignment(-similar)
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
