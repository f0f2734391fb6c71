"""Answers to /predict: predictions of tasks, and objects that a person clicks or draws a box around."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import wait

from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.server.fit_scheduler import FitScheduler
from prelabel.label_studio.server.jobs import NOT_READY, Urgency
from prelabel.label_studio.server.metrics import Metrics
from prelabel.label_studio.server.projects import Project
from prelabel.label_studio.server.queue import Entry, Queue
from prelabel.label_studio.server.refresh import Refresher
from prelabel.label_studio.server.requests import TaskRequest
from prelabel.storage.json import JsonObject

_PROMPT_TIMEOUT = 30.0
"""Seconds that a person may wait for a prompt's answer, when the photo was never seen; for that of
all tasks of a request."""
_NO_OBJECT = b'{"result": [], "score": 0.0}'


class Predictions:
    """Makes a job for each task and waits for its answer. May be used by several threads at once.

    ``timeout``: seconds after which a request is answered with what is ready.
    """

    def __init__(
        self,
        queue: Queue,
        fits: FitScheduler,
        refresher: Refresher,
        metrics: Metrics,
        *,
        timeout: float,
    ) -> None:
        self._queue = queue
        self._fits = fits
        self._refresher = refresher
        self._metrics = metrics
        self.timeout = timeout

    def predict(
        self, project: Project, tasks: list[TaskRequest], label_config: LabelConfig
    ) -> list[bytes]:
        """A prediction of each task as JSON; NOT_READY for one that has failed, or is finished in
        the background for the next request. ``tasks`` is emptied: they may be large."""
        until = time.monotonic() + self.timeout
        if not project.state.model:
            if not self._fits.first_fit(project, tasks, label_config, until=until):
                self._metrics.not_ready.inc(len(tasks))
                return [NOT_READY] * len(tasks)
            label_config = self._refresher.labelled(project, label_config)
        state = project.state
        urgency = Urgency.OPENED if len(tasks) == 1 else Urgency.BATCH
        entries = [
            self._queue.put(
                project.job("predict", state, label_config, task_id=task.id, data=task.data),
                urgency,
            )
            for task in tasks
        ]
        numbers = [task.id for task in tasks]
        tasks.clear()
        answers = self._wait(entries, until - time.monotonic())
        self._metrics.not_ready.inc(sum(not entry.result.done() for entry in entries))
        done = [n for n, answer in zip(numbers, answers, strict=True) if answer != NOT_READY]
        self._refresher.look_soon(project, done)
        return answers

    def answer_prompts(
        self,
        project: Project,
        tasks: list[TaskRequest],
        label_config: LabelConfig,
        context: JsonObject,
    ) -> list[bytes]:
        """The object of a click or box in each task as JSON, without a region if there is none:
        this answer is drawn, and not kept."""
        found = []
        until = time.monotonic() + _PROMPT_TIMEOUT
        for task in tasks:
            job = project.job(
                "interactive",
                project.state,
                label_config,
                task_id=task.id,
                data=task.data,
                context=context,
            )
            entry = self._queue.put(job, Urgency.INTERACTIVE)
            (answer,) = self._wait([entry], until - time.monotonic())
            found.append(_NO_OBJECT if answer == NOT_READY else answer)
        return found

    def _wait(self, entries: Sequence[Entry], seconds: float) -> list[bytes]:
        """The answers that are ready in time; the jobs that are not get the lowest urgency."""
        wait([entry.result for entry in entries], timeout=max(0.0, seconds))
        for entry in entries:
            if not entry.result.done():
                self._queue.deprioritize(entry)
        return [entry.answer for entry in entries]
