"""Jobs for the worker's process, and their results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Literal

import msgspec

from prelabel.config import Config
from prelabel.label_studio.api.photos import Sources
from prelabel.label_studio.format.label_config import LabelConfig
from prelabel.label_studio.predict.task_prediction import ResultOptions
from prelabel.storage.json import JsonObject

NOT_READY = b"[]"
"""The answer for a task that has failed or is not ready: Label Studio asks for it again."""

JobKind = Literal["predict", "interactive", "learn", "load", "names", "review", "decide"]
"""Predict a task; cut out the object of a click or box; learn names from a task's annotations; load
a project's model before somebody waits for it; say what is new in its names, as NamesFacts; read a
project's regions for its review, as ReviewFacts; make exemplars of what a review says."""


class Urgency(IntEnum):
    """Which job comes first; the smaller, the sooner."""

    INTERACTIVE = 0
    """A person has clicked or drawn a box."""
    OPENED = 1
    """A person has opened one task."""
    BATCH = 2
    """Predictions of several tasks are retrieved."""
    LEARN = 3
    """Names are learned from an annotation; one such job is at work at a time."""
    BACKGROUND = 4
    """Nobody waits."""


@dataclass(frozen=True)
class WorkerSettings:
    """What holds for all jobs. ``partial``: on annotated photos there may be more objects than were
    drawn, where a project has no setting of its own. ``sam``: one of osam's models, for clicks and
    boxes; "" for the fitted models' clusters."""

    config: Config
    sources: Sources
    result_options: ResultOptions
    partial: bool = False
    sam: str = ""


@dataclass(frozen=True)
class Job:
    """One task to work on.

    ``server``, ``token``: the Label Studio that its photos are fetched from; without a token, only
    photos from the cache and from other hosts are available. ``folder``: the project's. ``model``:
    the fit hash, "" without a model. ``revision``: of the names. ``version``: the model version of the
    answer. ``data``: the task's, JSON text as the server sent it; only predictions need it. ``context``: what
    a person has drawn, for an interactive job. ``number``, ``urgency``: given by the queue.
    """

    kind: JobKind
    server: str
    token: str = field(repr=False)
    folder: Path
    model: str
    revision: int
    version: str
    label_config: LabelConfig
    task_id: int
    data: bytes
    context: JsonObject | None = None
    number: int = 0
    urgency: Urgency = Urgency.BATCH

    @property
    def key(self) -> Hashable:
        """Equal for jobs that have the same answer."""
        digest = hashlib.blake2b(self.data, digest_size=16)
        digest.update(json.dumps(self.context, sort_keys=True, default=str).encode())
        facts = self.kind, self.folder, self.version, self.label_config, self.task_id
        return *facts, digest.digest()


class NamesFacts(msgspec.Struct, frozen=True):
    """What is new in a project's names. ``changed``: whether a region may have another name than with
    the live ones. ``unnamed``: classes with regions that have none, of as many ``classes``."""

    changed: bool = True
    unnamed: list[str] = []
    classes: int = 0


class ReviewFacts(msgspec.Struct, frozen=True):
    """How far the regions of a review are read: ``done`` of ``total`` tasks. ``ready``: all are, and lie
    below ``key`` in the project's folder."""

    key: str
    done: int
    total: int
    ready: bool = False


@dataclass(frozen=True)
class JobResult:
    """``number``: of the job; 0 for a ``problem`` that does not belong to a job. ``answer``: JSON
    text; NOT_READY and a ``problem`` where the task has failed. ``state``: "fetching" for a job that
    is set aside while its photos are fetched, "fetched" once it can be sent again."""

    number: int
    answer: bytes
    problem: str = ""
    state: Literal["done", "fetching", "fetched"] = "done"
