"""Leading annotators: Label Studio gives those tasks first that would teach most, on request."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from prelabel.errors import PhotoError, UserError
from prelabel.instructive import PhotoFacts, photo_facts
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.leading import (
    UNCERTAINTY,
    add_leading_tab,
    set_sampling,
    set_score,
)
from prelabel.label_studio.api.photos import Fetcher
from prelabel.label_studio.api.tabs import remove_tab
from prelabel.label_studio.api.tasks import Task, download, own_predictions, read_tasks, task_of
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.led_tasks import LED, Leading, read_leading, write_leading
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.teaching import ProjectTeacher
from prelabel.label_studio.unnamed import unnamed_classes
from prelabel.model import FittedModel
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.steps.teaching_order import teaching_order
from prelabel.storage.json import JsonObject
from prelabel.storage.progress import Progress, RunLog


def lead(
    client: Client,
    fetcher: Fetcher,
    project_id: int,
    folder: ProjectFolder,
    *,
    keep_project_settings: bool = False,
    progress: Progress | None = None,
) -> list[int]:
    """Have Label Studio give the tasks first that would teach most; their numbers, in that order.

    Among the tasks without an annotation that have a prediction of the live version, the first 200 of
    `teaching_order` get a place: the prediction's score becomes -1 for the first and rises towards 0,
    below that of all others. A tab of the data manager sorts by it. If the project shows these
    predictions, its task sampling becomes uncertainty sampling, which gives the lowest score first;
    with a backend it would be random, and stays, as with ``keep_project_settings``. ``put_back``
    undoes all of it. Raises UserError.
    """
    log = RunLog(progress)
    model = folder.newest_model()
    if model is None:
        raise UserError(f"project {project_id} has no fitted model: predict it first")
    project = client.project(project_id)
    version = folder.state.version
    label_config = parse_label_config(project.label_config)
    tasks = read_tasks(client, project_id, project.task_number, label_config, log)
    numbers = {t.id: n for t in tasks if not t.labelled for n, v in t.own if v == version}
    described = [t for t in tasks if t.labelled or t.id in numbers]
    facts = _facts(fetcher, described, folder, model, log)
    unnamed = set(
        unnamed_classes(
            label_config, model.class_names, folder.names_at(model, folder.state.revision)
        )
    )
    led = _order(facts, model.class_names, unnamed, set(numbers))[:LED]
    if not led:
        raise UserError(
            f"project {project_id}: no task without an annotation has a prediction of {version}, "
            "so none can come first"
        )
    before = read_leading(folder.path)
    tab = before.tab or add_leading_tab(client, project_id)
    shows_own = project.model_version == version and project.sampling != UNCERTAINTY
    shows_own = shows_own and not keep_project_settings
    sampling = before.sampling
    if sampling is None and shows_own:
        sampling = project.sampling
    every = tuple(dict.fromkeys((*led, *before.tasks)))
    write_leading(folder.path, Leading(every, tab, sampling))  # first, so that all can be put back
    leading = Leading(tuple(led), tab, sampling)
    with log.stage("order", len(led)):
        for task, score in leading.scores.items():
            set_score(client, numbers[task], score)
            log.advance()
    _restore(client, project_id, sorted(set(before.tasks).difference(led)))
    if shows_own:
        set_sampling(client, project_id, UNCERTAINTY)
    write_leading(folder.path, leading)
    return led


def put_back(client: Client, project_id: int, folder: ProjectFolder) -> bool:
    """Undo what ``lead`` has changed: scores, task sampling unless somebody has changed it since, and
    the tab. Whether there was anything. Raises UserError."""
    before = read_leading(folder.path)
    if before == Leading():
        return False
    _restore(client, project_id, before.tasks)
    if before.sampling is not None and client.project(project_id).sampling == UNCERTAINTY:
        set_sampling(client, project_id, before.sampling)
    if before.tab is not None:
        remove_tab(client, before.tab)
    write_leading(folder.path, Leading())
    return True


def mean_score(prediction: JsonObject) -> float:
    """The mean of the scores of a prediction's regions, as it has it when it is made; 0 without one."""
    result = prediction.get("result")
    scores = {}
    for item in result if isinstance(result, list) else ():
        if isinstance(item, dict) and isinstance(item.get("score"), int | float):
            scores[str(item.get("id"))] = float(item["score"])
    return sum(scores.values()) / len(scores) if scores else 0.0


def _restore(client: Client, project_id: int, tasks: Sequence[int]) -> None:
    """Give predictions that had a place their own score again."""
    for task in client.find_tasks(project_id, tasks).values():
        own = {number for number, _ in own_predictions(task)}
        predictions = task.get("predictions")
        for entry in predictions if isinstance(predictions, list) else ():
            score = entry.get("score")
            if entry.get("id") in own and isinstance(score, int | float) and score < 0:
                set_score(client, entry["id"], mean_score(entry))


def _facts(
    fetcher: Fetcher,
    tasks: Sequence[Task],
    folder: ProjectFolder,
    model: FittedModel,
    log: RunLog,
) -> dict[int, list[PhotoFacts]]:
    """The facts of each task's photos; tasks with a photo that cannot be used have none."""
    if not tasks:
        return {}
    taught = ProjectTeacher(folder, model).taught(folder.state.revision, lambda _: None)
    photos = PhotoSegmenter(replace(model, taught=taught), model.config, keep_features=True)
    failed: dict[int, str] = {}
    found: dict[int, list[PhotoFacts]] = {}
    with log.stage("what photos teach", len(tasks)):
        for file in download(fetcher, tasks, failed, RunLog()):
            try:
                found.setdefault(task_of(file.name), []).append(photo_facts(file, photos))
            except PhotoError as error:
                failed[task_of(file.name)] = str(error)
            log.advance()
    return {task: facts for task, facts in found.items() if task not in failed}


def _order(
    facts: Mapping[int, Sequence[PhotoFacts]],
    class_names: Sequence[str],
    unnamed: Collection[str],
    waiting: Collection[int],
) -> list[int]:
    """The waiting ones of the tasks, those first that would teach most."""
    known = list(facts)
    if not known:
        return []
    order = teaching_order(
        np.stack([np.mean([f.descriptor for f in facts[t]], axis=0) for t in known]),
        classes=[
            {c for f in facts[t] for c in f.classes if class_names[c] in unnamed} for t in known
        ],
        doubt=np.array([np.mean([f.doubt for f in facts[t]]) for t in known], dtype=np.float32),
        taught=[i for i, t in enumerate(known) if t not in waiting],
    )
    return [known[i] for i in order]
