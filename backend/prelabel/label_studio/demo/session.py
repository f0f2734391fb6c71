"""The demo from its start to its end: two servers, a project, predictions and exports of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from prelabel.config import Config
from prelabel.data.records import ImageFile
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.dataset import project_dataset
from prelabel.label_studio.api.photos import Fetcher, Sources, open_fetcher
from prelabel.label_studio.api.versions import choose_version
from prelabel.label_studio.bulk import Options, Totals, predict_project
from prelabel.label_studio.create import (
    Backend,
    NewProject,
    connect,
    create_project,
    describe,
    find_finished,
)
from prelabel.label_studio.demo import demo
from prelabel.label_studio.demo.local_server import Login
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.project_home import open_folder
from prelabel.runs.export import export_dataset
from prelabel.samples import write_samples
from prelabel.steps.photos import find_photos
from prelabel.storage.progress import Progress, RunLog

TITLE = "prelabel samples"


@dataclass(frozen=True)
class Demo:
    """A running demo. ``page``: the address of the project's tasks. ``review``: that of the page on
    which its classes are named. ``exports``: what was written, by format."""

    page: str
    review: str
    login: Login
    backend: Backend
    totals: Totals
    exports: Mapping[str, Path]


@contextmanager
def running_demo(
    command: Path, folder: Path, config: Config, *, backbone: str, progress: Progress
) -> Iterator[Demo]:
    """Label Studio and the backend with a project of sample photos, predicted and exported; both
    are stopped at the end.

    ``command``: the label-studio program. ``folder``: keeps everything from start to start.
    ``backbone``: as for ``prelabel serve``, "" for its default. Raises UserError.
    """
    samples = write_samples(folder / "samples")
    photos = find_photos(samples.photos).photos
    data = (folder / "label-studio").resolve()
    log = RunLog(progress)
    with ExitStack() as running:
        with log.stage("Label Studio", 1):
            server = running.enter_context(demo.label_studio(command.resolve(), data))
            log.advance()
        with log.stage("backend", 1):
            arguments = ["--unnamed", "add", *(["--backbone", backbone] if backbone else [])]
            backend = running.enter_context(demo.backend(server, data, arguments, port=9090))
            log.advance()
        client = running.enter_context(Client(server.url, server.login.token))
        project = _project(client, photos, list(samples.n_objects), backend, log)
        fetcher = open_fetcher(client, Sources())
        project_folder = open_folder(server.url, client.project(project).name)
        totals = predict_project(
            client,
            fetcher,
            project,
            project_folder,
            config,
            Options(result_options=ResultOptions(unnamed="add")),
            progress=progress,
        )
        # Label Studio fills the column with scores only while a version is shown, not a backend.
        choose_version(client, project, totals.model_version)
        yield Demo(
            page=f"{server.url}/projects/{project}/data",
            review=backend.review_page(project),
            login=server.login,
            backend=backend,
            totals=totals,
            exports=_export(client, fetcher, project, folder / "export", progress),
        )


def _project(
    client: Client,
    photos: Sequence[ImageFile],
    labels: Sequence[str],
    backend: Backend,
    log: RunLog,
) -> int:
    """The demo's project, connected to the backend: that of an earlier start, or a new one."""
    found = find_finished(client, TITLE)
    if found is None:
        return create_project(client, NewProject(TITLE, labels, photos, backend=backend), log).id
    connect(client, found, backend)
    describe(client, found, backend)
    return found


def _export(
    client: Client, fetcher: Fetcher, project: int, folder: Path, progress: Progress
) -> Mapping[str, Path]:
    """The project in other formats: a task's annotation where it has one, else its prediction."""
    with project_dataset(client, fetcher, project, progress=progress) as dataset:
        return export_dataset(dataset, folder, ["coco", "voc"], progress=progress).files
