"""A Label Studio project as the source of a review: names count as annotators' names do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from prelabel.data.images import decode_image
from prelabel.data.records import Image
from prelabel.errors import PhotoError, UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Fetcher
from prelabel.label_studio.api.tasks import Task, read_tasks
from prelabel.label_studio.format.label_config import LabelConfig, parse_label_config
from prelabel.label_studio.format.photos import TaskPhoto, photo_name, task_photos
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.names.region_names import name_by_both
from prelabel.label_studio.names.reviewed import (
    NOTHING,
    UNNAMED,
    ReviewedRegions,
    review_key,
    reviewed_exemplars,
)
from prelabel.label_studio.predict.predictor import Predictor
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.model import FittedModel
from prelabel.review.index import RegionIndex
from prelabel.review.source import Decisions, Name, ReviewPhoto
from prelabel.steps.exemplars import Names
from prelabel.storage.files import replacing
from prelabel.storage.json import decode, encode
from prelabel.storage.progress import RunLog

FOLDER = "review"
_DECISIONS = "decisions.npz"


class _Names(msgspec.Struct):
    """The names of classes, by id."""

    names: dict[int, Name]


@dataclass(frozen=True)
class ReviewedProject:
    """What is reviewed of a project: its regions as one model finds them, with what annotations teach."""

    folder: ProjectFolder
    label_config: LabelConfig
    predictor: Predictor
    names: Names
    options: ResultOptions

    def photos(
        self, tasks: Sequence[Task], read: Callable[[TaskPhoto], bytes], log: RunLog
    ) -> Iterator[ReviewPhoto]:
        """The photos of tasks, with the regions that annotators see. One that cannot be used is left
        out."""
        for task in tasks:
            for photo in task.photos:
                try:
                    yield self._photo(photo, read(photo))
                except PhotoError as error:
                    log.skip(photo.name, str(error))
            log.advance()

    def _photo(self, photo: TaskPhoto, data: bytes) -> ReviewPhoto:
        prediction, segment = self.predictor.predict(photo.name, data, version="")
        least = max(self.options.min_score, self.label_config.score_threshold)
        shown = [i for i, region in enumerate(prediction.regions) if region.score >= least]
        regions = [prediction.regions[i] for i in shown]
        vectors = segment.embeddings[shown]
        clusters = [region.cluster for region in regions]
        names: list[Name] = []
        if regions:
            shares = segment.shares[shown]
            found = name_by_both(self.names, self.predictor.taught, vectors, clusters, shares)
            nothing = self.names.is_nothing(vectors, clusters)
            names = [
                None if none else name or "" for (name, _), none in zip(found, nothing, strict=True)
            ]
        return ReviewPhoto(
            id=f"{photo.name}\t{'' if photo.uri.startswith('data:') else photo.uri}",
            name=photo_name(photo.uri, photo.task),
            width=prediction.width,
            height=prediction.height,
            regions=regions,
            vectors=vectors,
            names=names,
        )


class PhotoReader:
    """Reads the photos of a review, by the id that they have there."""

    def __init__(
        self, client: Client, fetcher: Fetcher, project_id: int, label_config: LabelConfig
    ) -> None:
        self._client = client
        self._fetcher = fetcher
        self._project_id = project_id
        self._label_config = label_config

    def __call__(self, photo: str) -> bytes:
        """A photo's bytes. Raises PhotoError and UserError."""
        name, _, uri = photo.partition("\t")
        number = int(name.partition("/")[0])
        if not uri:
            data = self._client.task(self._project_id, number).get("data")
            found = task_photos(number, data, self._label_config)
            uri = next((own.uri for own in found if own.name == name), "")
        return self._fetcher.read(uri, task_id=number)


def content_key(folder: ProjectFolder, n_tasks: int) -> str:
    """Changes when the regions of a project may be others: with the model, the number of its tasks, and
    what annotations teach; not with names."""
    state = folder.state
    stamps = sorted(
        f"{photo} {known.stamp}"
        for photo, known in ExemplarFile(folder.names).photos.items()
        if known.labels
    )
    facts = "\n".join((state.version.rpartition("-")[0], str(n_tasks), *stamps))
    return hashlib.blake2b(facts.encode(), digest_size=8).hexdigest()


def write_decisions(place: Path, decisions: Decisions) -> None:
    """Write down what a review says, for whoever makes exemplars of it. Raises OSError."""
    names = encode(_Names(dict(decisions.names)))
    with replacing(place / _DECISIONS) as beside, beside.open("wb") as file:
        np.savez(file, class_of=decisions.class_of, names=np.frombuffer(names, dtype=np.uint8))


def decide(folder: ProjectFolder, model: FittedModel, place: Path, labels: LabelConfig) -> bool:
    """Make exemplars of what a review says, which lies in ``place``; whether any name has changed.

    Raises UserError for names that no label of the project has; all others count then."""
    index = RegionIndex(place / "index")
    with np.load(place / _DECISIONS, allow_pickle=False) as saved:
        class_of = saved["class_of"]
        now = decode(saved["names"].tobytes(), _Names).names
    used = set(np.unique(class_of).tolist())
    wanted = {now.get(number, "") for number in used}
    foreign = sorted(n for n in wanted if n and not any(c.accepts(n) for c in labels.controls))
    names = sorted(name for name in wanted if name and name not in foreign)
    number_of: dict[Name, int] = {name: number for number, name in enumerate(names)}
    number_of |= {None: NOTHING, "": UNNAMED} | dict.fromkeys(foreign, UNNAMED)
    before = {n: index.start_names.get(n, "") for n in np.unique(index.start).tolist()}
    for name in before.values():
        if name not in number_of:
            number_of[name] = len(number_of)
    kinds = _mapped(class_of, {n: number_of[now.get(n, "")] for n in used})
    touched = kinds != _mapped(index.start, {n: number_of[name] for n, name in before.items()})
    exemplars = ExemplarFile(folder.names)
    own = review_key(place.name)
    found = reviewed_exemplars(
        ReviewedRegions(place.name, names, kinds, touched, index.vectors),
        [e for e in exemplars.exemplars if e.photo != own],
        model.classes,
        clusterer=model.config.strategy("clusterer"),
        origin=model.vectors_origin,
    )
    changed = exemplars.review(own, found)
    if foreign:
        raise UserError(
            f"the project has no label {', '.join(map(repr, foreign))}: add it in Label Studio, "
            "Settings, Labeling Interface, or choose another name"
        )
    return changed


def _mapped(classes: NDArray[np.int32], of: Mapping[int, int]) -> NDArray[np.int32]:
    """The kind of each region by that of its class."""
    table = np.full(max(of, default=0) + 1, UNNAMED, dtype=np.int32)
    for number, kind in of.items():
        table[number] = kind
    return table[classes]


@dataclass(frozen=True)
class ProjectSource:
    """A project as a review's source.

    ``key``: as of ``content_key``. ``place``: where the review keeps what it needs. ``find_regions``,
    ``decide_now``, ``bring_up_to_date``: how this process has the heavy work done. ``read``: a photo's
    bytes, by its id.
    """

    title: str
    key: str
    place: Path
    label_config: LabelConfig
    read: Callable[[str], bytes]
    find_regions: Callable[[], Iterator[ReviewPhoto]]
    decide_now: Callable[[Path], None]
    bring_up_to_date: Callable[[Callable[[int, int], None]], str]

    def labels(self) -> Mapping[str, str]:
        """The labels of the project, with their colours."""
        return {
            label.stored: label.color or ""
            for control in self.label_config.controls
            for label in control.labels
            if label.stored in control.names
        }

    def regions(self) -> Iterator[ReviewPhoto]:
        """All photos of the project."""
        return self.find_regions()

    def image(self, photo: str) -> Image:
        """A photo. Raises PhotoError."""
        try:
            return decode_image(self.read(photo))
        except UserError as error:
            raise PhotoError(f"cannot be fetched ({error})") from error

    def apply(self, decisions: Decisions) -> None:
        """Have names count. Raises UserError or OSError."""
        place = self.place / self.key
        write_decisions(place, decisions)
        self.decide_now(place)

    def push(self, progress: Callable[[int, int], None]) -> str:
        """Bring the project's predictions up to date. Raises UserError or OSError."""
        return self.bring_up_to_date(progress)


def project_tasks(client: Client, project_id: int, log: RunLog) -> tuple[LabelConfig, list[Task]]:
    """A project's label config and tasks, as they are now. Raises UserError."""
    project = client.project(project_id)
    label_config = parse_label_config(project.label_config)
    return label_config, read_tasks(client, project_id, project.task_number, label_config, log)
