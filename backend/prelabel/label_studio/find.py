"""Finding the like of an annotated object in the other tasks of a project."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from prelabel.data.dataset import Problems
from prelabel.data.images import decode_image, read_image
from prelabel.data.masks import Rle
from prelabel.data.records import Image, Region
from prelabel.errors import PhotoError, UserError
from prelabel.finding import Finder, missed, prediction
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Fetcher
from prelabel.label_studio.api.tasks import Task, download, read_tasks, task_of
from prelabel.label_studio.find_examples import read_example
from prelabel.label_studio.format.annotations import result_items
from prelabel.label_studio.format.items import ResultItem
from prelabel.label_studio.format.label_config import LabelConfig, parse_label_config
from prelabel.label_studio.format.labels import shared_labels
from prelabel.label_studio.format.photos import TaskPhoto, photo_of_item, task_photos
from prelabel.label_studio.format.regions import read_items
from prelabel.label_studio.found_regions import add_found, is_begun, prediction_of
from prelabel.label_studio.predict.task_prediction import (
    NamedRegions,
    ResultOptions,
    build_task_prediction,
)
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.project_home import no_model
from prelabel.photo_segmenter import PhotoSegmenter
from prelabel.steps.exemplars import Likeliest
from prelabel.steps.patch_labels import LabelledPhoto
from prelabel.storage.json import JsonObject
from prelabel.storage.progress import Progress, RunLog

_PORTION = 100
"""Tasks whose predictions and photos are at hand at once."""


@dataclass
class FoundTotals:
    """What became of the tasks. ``best``: score, task and label of each region that was added, the best
    first. ``known``: regions that were found and that the predictions had. ``begun``: tasks that
    people have begun with; ``unpredicted``: those without a prediction of the live version. ``changed``:
    predictions that were added to. ``failed``: why, by task."""

    searched: int = 0
    known: int = 0
    begun: int = 0
    unpredicted: int = 0
    changed: int = 0
    best: list[tuple[float, int, str]] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Found:
    """A region that a prediction lacks. ``items``: as it is added, once for each kind of control."""

    score: float
    task: int
    label: str
    items: list[ResultItem]


def find_in_project(
    client: Client,
    fetcher: Fetcher,
    project_id: int,
    folder: ProjectFolder,
    *,
    like: int,
    region: str = "",
    most: int = 200,
    dry_run: bool = False,
    options: ResultOptions | None = None,
    progress: Progress | None = None,
) -> FoundTotals:
    """Search the tasks that nobody has begun with for the like of what is annotated on a task, and add
    what their predictions lack.

    ``like``: the task. ``region``: id of its only region that counts; "" for all. ``most``: regions that
    are added, the best ones. ``dry_run``: change nothing on the server. Raises UserError.
    """
    log = RunLog(progress)
    model = folder.newest_model()
    if model is None:
        raise no_model(client.url, project_id)
    project = client.project(project_id)
    label_config = parse_label_config(project.label_config)
    photos = PhotoSegmenter(model, model.config, keep_features=True)
    example = _examples(client, fetcher, folder, like, region, label_config, photos)
    finder = Finder(model, example, photos.known_features)
    version = folder.state.version
    tasks = read_tasks(client, project_id, project.task_number, label_config, log)
    totals = FoundTotals()
    waiting = []
    for task in tasks:
        if task.labelled or task.id == like:
            totals.begun += task.id != like
        elif all(own != version for _, own in task.own):
            totals.unpredicted += 1
        else:
            waiting.append(task)
    search = _Search(client, fetcher, finder, photos, label_config, options or ResultOptions())
    found: list[_Found] = []
    with log.stage("search", len(waiting)):
        for start in range(0, len(waiting), _PORTION):
            portion = waiting[start : start + _PORTION]
            found += search.tasks(project_id, portion, version, totals, log)
            found = sorted(found, key=lambda one: -one.score)[:most]
    totals.best = [(one.score, one.task, one.label) for one in found]
    by_task: dict[int, list[ResultItem]] = {}
    for one in found:
        by_task.setdefault(one.task, []).extend(one.items)
    if dry_run:
        totals.changed = len(by_task)
    elif by_task:
        totals.changed = add_found(client, folder, version, by_task, log)
    return totals


def _examples(
    client: Client,
    fetcher: Fetcher,
    folder: ProjectFolder,
    like: int,
    region: str,
    label_config: LabelConfig,
    photos: PhotoSegmenter,
) -> list[LabelledPhoto]:
    """What is annotated on the photos of a task. Raises UserError."""
    task = client.task(folder.project_id, like)
    found = []
    of_task = task_photos(like, task.get("data"), label_config)
    for photo in of_task:
        try:
            image = decode_image(fetcher.read(photo.uri, task_id=like))
        except PhotoError as error:
            raise UserError(f"task {like}: its photo {error}") from error
        known = read_example(
            task,
            photo,
            of_task,
            image,
            label_config,
            region=region,
            partial=bool(folder.state.partial),
        )
        if known is not None:
            photos.features([image])  # kept from now on
            found.append(known)
    if not found:
        what = f"no region {region!r} with a label" if region else "no region with a label"
        raise UserError(
            f"task {like} of project {folder.project_id} has {what} in a submitted annotation: submit "
            "one, or name another task with --like"
        )
    return found


@dataclass(frozen=True)
class _Search:
    """Searches tasks."""

    client: Client
    fetcher: Fetcher
    finder: Finder
    photos: PhotoSegmenter
    label_config: LabelConfig
    options: ResultOptions

    def tasks(
        self,
        project_id: int,
        portion: Sequence[Task],
        version: str,
        totals: FoundTotals,
        log: RunLog,
    ) -> Iterator[_Found]:
        """What the predictions of some tasks lack."""
        whole = self.client.find_tasks(project_id, [task.id for task in portion])
        free = [t for t in portion if t.id in whole and not is_begun(whole[t.id])]
        totals.begun += len(portion) - len(free)
        of_tasks = {photo.name: (photo, task) for task in free for photo in task.photos}
        for file in download(self.fetcher, free, totals.failed, RunLog()):
            photo, task = of_tasks[file.name]
            entry = prediction_of(whole[task.id], version)
            try:
                image = read_image(file.file)
            except PhotoError as error:
                totals.failed[task_of(file.name)] = str(error)
                continue
            [features] = self.photos.features([image])
            regions = [one.region for one in self.finder.find(image, features)]
            if entry is not None:
                own = self._own(entry, photo, task.photos, image)
                new = [r for r, is_new in zip(regions, missed(regions, own), strict=True) if is_new]
                totals.known += len(regions) - len(new)
                for region in new:
                    yield from self._as_items(region, photo, image, task.id)
        totals.searched += len(free)
        for _ in portion:
            log.advance()

    def _own(
        self, entry: JsonObject, photo: TaskPhoto, photos: Sequence[TaskPhoto], image: Image
    ) -> list[Rle]:
        """The masks that a prediction has on a photo."""
        items = [
            item
            for item in result_items(entry)
            if photo_of_item(item, photos, self.label_config) == photo
        ]
        drawing = read_items(
            items,
            (image.width, image.height),
            shared=shared_labels(items),
            place=photo.name,
            problems=Problems(),
            predicted=True,
        )
        return [drawn.rle for drawn in drawing.regions]

    def _as_items(
        self, region: Region, photo: TaskPhoto, image: Image, task: int
    ) -> Iterator[_Found]:
        label = self.finder.model.class_names[region.cluster]
        named = NamedRegions(
            photo,
            prediction(photo.name, image, [region], ""),
            [label],
            [True],
            [Likeliest()],
        )
        made = build_task_prediction([named], self.label_config, (label,), self.options)
        if made.result:
            yield _Found(region.score, task, label, made.result)
