"""The review of a project without the backend: everything is done in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from prelabel.config import load
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Fetcher, Sources, open_fetcher
from prelabel.label_studio.bulk import Options, predict_project
from prelabel.label_studio.format.label_config import parse_label_config
from prelabel.label_studio.format.unnamed_labels import has_labels
from prelabel.label_studio.predict.predictor import Predictor
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.project_home import no_model, open_folder
from prelabel.label_studio.review_source import (
    FOLDER,
    PhotoReader,
    ProjectSource,
    ReviewedProject,
    content_key,
    decide,
    project_tasks,
)
from prelabel.label_studio.teaching import ProjectTeacher
from prelabel.review.source import ReviewPhoto
from prelabel.storage.progress import Progress, RunLog


def project_source(
    client: Client,
    project_id: int,
    sources: Sources,
    *,
    progress: Progress | None = None,
    report: Callable[[str], None],
) -> ProjectSource:
    """A project as a review's source. ``report``: takes lines for people. Raises UserError if it has no
    fitted model."""
    project = client.project(project_id)
    folder = open_folder(client.url, project.name)
    model = folder.newest_model()
    if model is None:
        raise no_model(client.url, project_id)
    state = folder.go_live(load(), now=True)
    label_config, tasks = project_tasks(client, project_id, RunLog(progress))
    fetcher = open_fetcher(client, sources)

    def regions() -> Iterator[ReviewPhoto]:
        taught = ProjectTeacher(folder, model).taught(state.revision, report)
        predictor = Predictor(model, model.config)
        if taught and taught.learned:
            predictor = predictor.taught_with(taught)
        names = folder.names_at(model, state.revision)
        reviewed = ReviewedProject(folder, label_config, predictor, names, ResultOptions())
        log = RunLog(progress)
        with log.stage("regions", len(tasks)):
            yield from reviewed.photos(
                tasks, lambda photo: fetcher.read(photo.uri, task_id=photo.task), log
            )
        predictor.flush()
        for photo, reason in log.skipped.items():
            report(f"{photo}: {reason}; skipped")

    def decide_now(place: Path) -> None:
        xml = client.project(project_id).label_config
        decide(folder, model, place, parse_label_config(xml))

    return ProjectSource(
        title=project.title or f"project {project_id}",
        key=content_key(folder, len(tasks)),
        place=folder.path / FOLDER,
        label_config=label_config,
        read=PhotoReader(client, fetcher, project_id, label_config),
        find_regions=regions,
        decide_now=decide_now,
        bring_up_to_date=lambda done: _push(client, fetcher, project_id, folder, done),
    )


def _push(
    client: Client,
    fetcher: Fetcher,
    project_id: int,
    folder: ProjectFolder,
    done: Callable[[int, int], None],
) -> str:
    """Predict the tasks that have no annotation anew; what they had is replaced. Raises UserError."""
    unnamed = has_labels(client.project(project_id).label_config)
    totals = predict_project(
        client,
        fetcher,
        project_id,
        folder,
        load(),
        replace(
            Options(replace_own=True),
            result_options=ResultOptions(unnamed="add" if unnamed else "first"),
        ),
        progress=_Reported(done),
    )
    failed = f", {len(totals.failed)} could not be predicted" if totals.failed else ""
    return f"{totals.imported} tasks have new predictions{failed}"


class _Reported:
    """Progress of the predictions, as two numbers."""

    def __init__(self, report: Callable[[int, int], None]) -> None:
        self._report = report
        self._done = self._total = 0
        self._counts = False

    def start(self, stage: str, total: int) -> None:
        self._counts = stage == "predictions"
        if self._counts:
            self._done, self._total = 0, total

    def advance(self) -> None:
        if self._counts:
            self._done += 1
            self._report(self._done, self._total)

    def stop(self) -> None:
        self._counts = False
