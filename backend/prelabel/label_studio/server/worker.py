"""The process that does the heavy work of the backend: predicts, points, learns."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from prelabel.config import Config
from prelabel.data import images
from prelabel.errors import PhotoError, UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.api.photos import Fetcher, Sources, open_fetcher
from prelabel.label_studio.format import label_config
from prelabel.label_studio.format.photos import NO_IMAGE, TaskPhoto, task_photos
from prelabel.label_studio.learn import learn_task
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.names.table import Names
from prelabel.label_studio.predict import prompts, task_prediction
from prelabel.label_studio.predict.predictor import Predictor
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.model import FittedModel
from prelabel.storage.threads import cores, one_blas_thread

_MODELS = 4
"""Fitted models that stay loaded; the weights are there once."""
_KEEP_EVERY = 5.0
"""Seconds of work that a killed process loses at most."""
_TELL_EVERY = 300.0
"""Seconds between two complaints about the cache."""
_NO_JOB = 0
Kind = Literal["predict", "point", "learn", "warm"]


@dataclass(frozen=True)
class WorkerSettings:
    """What the worker needs to know once."""

    config: Config
    sources: Sources
    shape: ResultOptions


@dataclass(frozen=True)
class Job:
    """One task to work on.

    ``server``, ``token``: the Label Studio that its photos are fetched from; without a token only
    photos that are here already or lie elsewhere can be had. ``home``: the project's folder.
    ``model``: the fit hash, "" without one. ``revision``: of the names. ``version``: what the answer
    is signed with. ``task``: as the server sent it; a learn job needs its ``id`` alone.
    ``context``: what a person has drawn, for a point job.
    """

    number: int
    kind: Kind
    server: str
    token: str
    home: Path
    model: str
    revision: int
    version: str
    label_config: str
    task: Mapping[str, Any]
    context: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Done:
    """``number``: of the job; 0 for a ``problem`` that is none's. ``answer``: JSON text; b"[]" and
    a ``problem`` where the task has failed."""

    number: int
    answer: bytes
    problem: str = ""


def work(pipe: Connection, desk: WorkerSettings) -> None:
    """Take jobs until the pipe ends; what is at work then is left. Photos are fetched while others
    are worked on; a person who waits with the mouse in hand has a thread of their own."""
    logging.basicConfig(format="prelabel worker: %(message)s", level=logging.WARNING)
    worker = _Worker(desk)
    sending = threading.Lock()
    keeping = threading.Event()

    def tell(done: Done) -> None:
        with sending, suppress(OSError):  # nobody there: recv sees it too
            pipe.send(done)

    def keep() -> None:
        quiet_until = 0.0
        while not keeping.wait(_KEEP_EVERY):
            problem = worker.flush()
            if problem and time.monotonic() >= quiet_until:
                quiet_until = time.monotonic() + _TELL_EVERY
                tell(Done(_NO_JOB, b"[]", problem=problem))

    def run(job: Job) -> None:
        tell(worker.do(job))

    threading.Thread(target=keep, name="keep", daemon=True).start()
    pool, pointing = ThreadPoolExecutor(max(2, cores())), ThreadPoolExecutor(1)
    with one_blas_thread():
        while True:
            try:
                job = pipe.recv()
            except (EOFError, OSError):
                break
            if job is None:
                break
            (pointing if job.kind == "point" else pool).submit(run, job)
    keeping.set()
    worker.flush()


class _Worker:
    """Does jobs, from several threads; keeps what they share."""

    def __init__(self, desk: WorkerSettings) -> None:
        self._desk = desk
        self._lock = threading.Lock()
        self._predictors: OrderedDict[Path, Predictor] = OrderedDict()
        self._names: dict[tuple[Path, int, str], Names] = {}
        self._fetchers: dict[tuple[str, str], Fetcher] = {}

    def do(self, job: Job) -> Done:
        """The answer to a job. Whatever goes wrong with one task is told, and costs that task."""
        try:
            match job.kind:
                case "predict":
                    return self._predict(job)
                case "point":
                    return self._point(job)
                case "learn":
                    return self._learn(job)
                case "warm":
                    self._predictor(job)
                    return Done(job.number, b"[]")
        except (PhotoError, UserError, OSError) as error:
            return Done(job.number, b"[]", problem=str(error))
        except Exception as error:  # one task must not end the process
            logging.getLogger(__name__).exception("task %s", job.task.get("id"))
            return Done(job.number, b"[]", problem=f"{type(error).__name__}: {error}")

    def flush(self) -> str:
        """Keep what was found; what is wrong if that cannot be, else ""."""
        with self._lock:
            predictors = list(self._predictors.values())
        try:
            for predictor in predictors:
                predictor.flush()
        except OSError as error:
            return (
                f"what was found cannot be kept ({error}) and is found again when it is asked for: "
                "make room, or set PRELABEL_CACHE to another folder"
            )
        return ""

    def _predict(self, job: Job) -> Done:
        wanted = _parsed(job.label_config)
        task_id, photos = _photos(job)
        predictor = self._predictor(job)
        names, n_classes = self._names_for(job, predictor)
        named = []
        for photo in photos:
            data = self._read(job, photo, task_id)
            prediction, vectors = predictor.predict(photo.name, data, version=job.version)
            named.append(task_prediction.name_regions(photo, prediction, vectors, names, n_classes))
        class_names = predictor.model.class_names if predictor.model else ()
        answer = task_prediction.build_task_prediction(named, wanted, class_names, self._desk.shape)
        return Done(job.number, json.dumps(answer.to_json(job.version), allow_nan=False).encode())

    def _point(self, job: Job) -> Done:
        wanted = _parsed(job.label_config)
        task_id, photos = _photos(job)
        request = prompts.read_request(job.context or {}, wanted)
        photo = next((p for p in photos if (p.key, p.index) == (request.key, request.index)), None)
        if photo is None:
            raise PhotoError(NO_IMAGE)
        predictor = self._predictor(job)
        region = predictor.object_mask(self._read(job, photo, task_id), request.prompts)
        result = prompts.build_result(request, region, photo)
        text = {"result": result, "score": region.score if region else 0.0}
        answer = json.dumps({**text, "model_version": job.version}, allow_nan=False).encode()
        return Done(job.number, answer)

    def _learn(self, job: Job) -> Done:
        with Client(job.server, job.token) as client:
            task = client.task(int(job.task["id"]))
        if str(task.get("project", job.home.name)) != job.home.name:
            raise UserError("is of another project: nothing is learned from it")
        names = ExemplarFile(ProjectFolder(job.home).names)
        wanted = _parsed(job.label_config)
        predictor = self._predictor(job)
        found = learn_task(
            task,
            wanted,
            names,
            predictor,
            self._desk.shape,
            lambda photo: self._read(job, photo, int(job.task["id"])),
        )
        names.learn_all(found)
        return Done(job.number, b"[]")

    def _predictor(self, job: Job) -> Predictor:
        """The loaded model of a job."""
        key = ProjectFolder(job.home).model_folder(job.model) if job.model else Path()
        with self._lock:
            if key not in self._predictors:
                model = FittedModel.load(key) if job.model else None
                self._predictors[key] = Predictor(model, self._desk.config)
            self._predictors.move_to_end(key)
            while len(self._predictors) > _MODELS:
                with suppress(OSError):  # a full disk costs the cache, not the answer
                    self._predictors.popitem(last=False)[1].flush()
            return self._predictors[key]

    def _names_for(self, job: Job, predictor: Predictor) -> tuple[Names | None, int]:
        model = predictor.model
        if model is None:
            return None, 0
        key = (job.home, job.revision, job.model)
        with self._lock:
            if key not in self._names:
                for old in [k for k in self._names if k[0] == job.home][:-1]:
                    del self._names[old]
                exemplars = ExemplarFile(ProjectFolder(job.home).names_file(job.revision)).exemplars
                clusterer = model.config.strategy("clusterer")
                self._names[key] = Names(exemplars, model.classes, clusterer=clusterer)
            return self._names[key], len(model.classes)

    def _read(self, job: Job, photo: TaskPhoto, task_id: int) -> bytes:
        fetcher = self._fetcher(job.server, job.token)
        return images.read_bytes(fetcher.fetch(photo.uri, task_id=task_id))

    def _fetcher(self, server: str, token: str) -> Fetcher:
        with self._lock:
            if (server, token) not in self._fetchers:
                client = Client(server, token) if server and token else None
                self._fetchers[server, token] = open_fetcher(
                    client, self._desk.sources, server=server
                )
            return self._fetchers[server, token]


def _photos(job: Job) -> tuple[int, list[TaskPhoto]]:
    task_id = int(job.task["id"])
    photos = task_photos(task_id, job.task.get("data") or {}, _parsed(job.label_config))
    if not photos:
        raise PhotoError(NO_IMAGE)
    return task_id, photos


@lru_cache(64)
def _parsed(text: str) -> label_config.LabelConfig:
    return label_config.parse_label_config(text)
