"""The process that does the heavy work of the backend: predictions, prompts and learning."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Literal

import msgspec

from prelabel.data.images import be_frugal
from prelabel.errors import PhotoError, UserError
from prelabel.label_studio.api.client import Client
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.format.photos import NO_IMAGE, find_photo
from prelabel.label_studio.learn import learn_task
from prelabel.label_studio.predict import prompts
from prelabel.label_studio.predict.task_prediction import build_task_prediction, name_regions
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.label_studio.server.downloads import Downloads
from prelabel.label_studio.server.job_photos import JobPhotos, photos_of
from prelabel.label_studio.server.jobs import NOT_READY, Job, JobResult, NamesFacts, WorkerSettings
from prelabel.label_studio.server.loaded_models import LoadedModels
from prelabel.label_studio.server.review_jobs import ReviewJobs
from prelabel.label_studio.unnamed import unnamed_classes
from prelabel.model_code import code_now
from prelabel.storage.threads import cores, one_blas_thread

_FLUSH_EVERY = 5.0
"""Seconds of work that a killed process loses at most."""
_LOOK_EVERY = 2.0
"""Seconds in which a thread that has ended is noticed."""
_LABEL_CONFIGS = 16
"""Label configs that jobs share."""
_THREAD = "prelabel"
"""What the names of the process' own threads begin with."""
_REPORT_EVERY = 300.0
"""Seconds between two reports of a problem with the cache."""

log = logging.getLogger(__name__)


def work(pipe: Connection, settings: WorkerSettings) -> None:
    """Do jobs until the pipe ends, or a thread does; jobs that are at work then are dropped. A job
    whose photos are not at hand is set aside until they are fetched, and sent again then. Interactive
    jobs have a thread of their own."""
    be_frugal()
    logging.basicConfig(format="prelabel worker: %(message)s", level=logging.WARNING)
    sending = threading.Lock()
    stopped, failed = threading.Event(), threading.Event()

    def send(result: JobResult) -> None:
        with sending, suppress(OSError):  # the parent is gone: recv sees it too
            pipe.send(result)

    worker = _Worker(settings, lambda text: send(JobResult(0, NOT_READY, problem=text)))

    def fetched(job: Job, problem: str) -> None:
        state: Literal["done", "fetched"] = "done" if problem else "fetched"
        send(JobResult(job.number, NOT_READY, problem, state))

    downloads = Downloads(worker.photos.fetch, fetched, thread=f"{_THREAD} download")

    def run(job: Job) -> None:
        try:
            place = "" if downloads.take(job) else worker.place_of_missing(job)
            if place:
                send(JobResult(job.number, NOT_READY, state="fetching"))
                downloads.add(job, place)
            else:
                send(worker.do(job))
        except BaseException:  # its answer is lost
            failed.set()
            raise

    flush = threading.Thread(
        target=worker.flush_until, args=[stopped], name=f"{_THREAD} flush", daemon=True
    )
    flush.start()
    pool = ThreadPoolExecutor(max(2, cores()), f"{_THREAD} job")
    interactive = ThreadPoolExecutor(1, f"{_THREAD} interactive job")
    others = set(threading.enumerate()) - {flush}
    own: set[threading.Thread] = set()
    with one_blas_thread(), suppress(EOFError, OSError):
        while True:
            new = set(threading.enumerate()) - others
            own |= {thread for thread in new if thread.name.startswith(_THREAD)}
            if failed.is_set() or not all(thread.is_alive() for thread in own):
                log.error("a thread has failed: the process is started again")
                break
            if not pipe.poll(_LOOK_EVERY):
                continue
            job: Job | None = pipe.recv()
            if job is None:
                break
            job = replace(job, label_config=worker.shared(job.label_config))
            if downloads.hurry(job):
                continue
            (interactive if job.kind == "interactive" else pool).submit(run, job)
    stopped.set()
    downloads.stop()
    worker.flush()


class _Worker:
    """Does jobs, from several threads; keeps what they share. ``report``: called with the text of a
    problem that belongs to no job."""

    def __init__(self, settings: WorkerSettings, report: Callable[[str], None]) -> None:
        self._settings = settings
        self._report = report
        self._models = LoadedModels(settings.config, report, sam=settings.sam)
        self.photos = JobPhotos(settings.sources)
        self._label_configs: OrderedDict[LabelConfig, LabelConfig] = OrderedDict()
        self._reviews = ReviewJobs(self._models, self.photos, settings.result_options)
        code_now(settings.config)  # as it is at the start, which this process runs

    def shared(self, label_config: LabelConfig) -> LabelConfig:
        """An equal one that other jobs have: each comes with its own, and thousands may wait here."""
        found = self._label_configs.setdefault(label_config, label_config)
        self._label_configs.move_to_end(found)
        while len(self._label_configs) > _LABEL_CONFIGS:
            self._label_configs.popitem(last=False)
        return found

    def do(self, job: Job) -> JobResult:
        """The result of a job. A problem of one task is reported, and costs that task."""
        try:
            return JobResult(job.number, self._answer(job))
        except (PhotoError, UserError, OSError) as error:
            problem = str(error)
        except BaseException as error:  # one task must not end the process
            log.exception("task %s", job.task_id)
            problem = f"{type(error).__name__}: {error}"
        return JobResult(job.number, NOT_READY, problem=problem)

    def place_of_missing(self, job: Job) -> str:
        """Where the photos are that a job must wait for; "" if it need not. What is wrong with them is
        found when the job is done."""
        try:
            return self.photos.place(job) if self.photos.are_missing(job) else ""
        except BaseException:
            return ""

    def flush(self) -> str:
        """Write what was found to the cache; the problem if that cannot be done, else ""."""
        try:
            for predictor in self._models.all():
                predictor.flush()
        except OSError as error:
            return (
                f"results cannot be cached ({error}) and are computed again when needed: "
                "make room, or set PRELABEL_CACHE to another folder"
            )
        return ""

    def flush_until(self, stopped: threading.Event) -> None:
        """Write what was found to the cache now and then; what hinders that is reported now and
        then."""
        quiet_until = 0.0
        while not stopped.wait(_FLUSH_EVERY):
            problem = self.flush()
            if problem and time.monotonic() >= quiet_until:
                quiet_until = time.monotonic() + _REPORT_EVERY
                self._report(problem)

    def _answer(self, job: Job) -> bytes:
        match job.kind:
            case "predict":
                return self._predict(job)
            case "interactive":
                return self._answer_prompt(job)
            case "learn":
                self._learn(job)
            case "load":
                self._models.taught(job)
            case "names":
                return self._compare_names(job)
            case "review":
                return self._reviews.read(job)
            case "decide":
                return self._reviews.decide(job)
        return NOT_READY

    def _predict(self, job: Job) -> bytes:
        photos = photos_of(job)
        predictor = self._models.taught(job)
        names = self._models.names(job)
        named = []
        for photo in photos:
            with self.photos.reading(job, photo) as data:
                prediction, segment = predictor.predict(photo.name, data, version=job.version)
            named.append(
                name_regions(
                    photo, prediction, segment.embeddings, names, predictor.taught, segment.shares
                )
            )
        class_names = predictor.model.class_names if predictor.model else ()
        answer = build_task_prediction(
            named, job.label_config, class_names, self._settings.result_options
        )
        return json.dumps(answer.to_json(job.version), allow_nan=False).encode()

    def _answer_prompt(self, job: Job) -> bytes:
        photos = photos_of(job)
        request = prompts.read_request(job.context or {}, job.label_config)
        photo = find_photo(photos, request.key, request.item_index)
        if photo is None:
            raise PhotoError(NO_IMAGE)
        predictor = self._models.ready(job)
        region = predictor.object_mask(self.photos.read(job, photo), request.prompts)
        facts = {
            "result": prompts.build_result(request, region, photo),
            "score": region.score if region else 0.0,
            "model_version": job.version,
        }
        return json.dumps(facts, allow_nan=False).encode()

    def _learn(self, job: Job) -> None:
        folder = ProjectFolder(job.folder)
        with Client(job.server, job.token) as client:
            task = client.task(folder.project_id, job.task_id)
        predictor = self._models.untaught(job)
        memory = folder.memory(predictor.vectors_origin, partial=self._settings.partial)
        lessons = learn_task(
            task,
            job.label_config,
            memory,
            predictor,
            self._settings.result_options,
            lambda photo: self.photos.read(job, photo),
            shown=self._models.taught(job),
        )
        memory.names.learn(lessons)

    def _compare_names(self, job: Job) -> bytes:
        """What a job's revision teaches, beside that of the revision in its context."""
        predictor, names = self._models.taught(job), self._models.names(job)
        if predictor.model is None or names is None:
            return NOT_READY
        live = replace(job, revision=int(str((job.context or {}).get("revision", 0))))
        before = self._models.taught(live).taught
        same = names.same_as(self._models.names(live) or names) and (
            before.same_as(predictor.taught) if before else predictor.taught is None
        )
        unnamed = unnamed_classes(job.label_config, predictor.model.class_names, names)
        return msgspec.json.encode(NamesFacts(not same, unnamed, len(predictor.model.class_names)))
