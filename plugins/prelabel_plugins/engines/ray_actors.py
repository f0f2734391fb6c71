"""An engine: actors of Ray Core, on this machine or on a cluster."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from prelabel.errors import UserError
from prelabel.extras import required
from prelabel.storage.threads import cores
from prelabel.strategies.protocols import Job, Prepare, Result

_REACHED = 10.0
"""Seconds in which a cluster's address must answer."""


@dataclass(frozen=True)
class RayActors:
    """Actors that hold the weights and do one job at a time, on this machine or a cluster.

    What a process or a machine was doing when it died is done again by another one.

    Ray's own defaults restart and retry nothing (``max_restarts``, ``max_task_retries``), so both are
    asked for here.

    Attributes:
        address: of a cluster, as ``ray.init`` takes it: ``auto`` for the one that this machine is
            part of, or ``HOST:PORT``; ``local`` starts Ray on this machine alone and ends it
            afterwards.
        workers: actors, 1 to 100 000; 0 for as many as there is room for.
        cpus: cores that an actor takes, above 0. Its network has as many threads.
        gpus: GPUs that an actor takes; a part of 1 shares one. 0 uses none.
        restarts: how often an actor that died is started again; -1 for always.
        retries: how often a job is done again whose actor died meanwhile; -1 for always.
        store_mb: memory for what Ray hands around, in MB, at least 80, with address ``local``. Jobs
            and results are small.
    """

    address: str = "local"
    workers: Annotated[int, Field(ge=0, le=100_000)] = 0
    cpus: Annotated[float, Field(gt=0)] = 1.0
    gpus: Annotated[float, Field(ge=0)] = 0.0
    restarts: Annotated[int, Field(ge=-1)] = 4
    retries: Annotated[int, Field(ge=-1)] = 4
    store_mb: Annotated[int, Field(ge=80)] = 100

    def map(self, prepare: Prepare[Job, Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """The results, as they are done."""
        if not jobs:
            return
        with self._connected() as ray:
            count = min(self.workers or self._room(ray), len(jobs))
            options = {
                "num_cpus": self.cpus,
                "num_gpus": self.gpus,
                "max_restarts": self.restarts,
                "max_task_retries": self.retries,
            }
            made = ray.remote(**options)(_Worker)
            yield from _results(ray, [made.remote() for _ in range(count)], prepare, jobs)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """Ray, connected. Only what was started here is ended here."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anybody
        with required("ray"):
            import ray
        if ray.is_initialized():
            yield ray
            return
        # Photos that are left out are named in the shards' files; Ray would repeat all other output.
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        own: dict[str, Any] = {
            "num_cpus": cores(),
            "object_store_memory": self.store_mb * 2**20,
            "include_dashboard": False,
        }
        try:
            if ":" in self.address:  # Ray would try for minutes
                host, _, port = self.address.rpartition(":")
                socket.create_connection((host.rpartition("/")[2], int(port)), _REACHED).close()
            ray.init(self.address, **quiet, **(own if self.address == "local" else {}))
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(
                f"Ray cannot be reached at {self.address!r} ({reason[:300]}): start it by ray start, "
                "or leave out --address to use this machine alone"
            ) from error
        try:
            yield ray
        finally:
            ray.shutdown()

    def _room(self, ray: Any) -> int:
        """How many actors all machines have room for. Raises UserError if it is none."""
        room = 0
        for node in ray.nodes():
            if node["Alive"]:
                has = node["Resources"]
                by_cpu = int(has.get("CPU", 0) // self.cpus)
                by_gpu = int(has.get("GPU", 0) / self.gpus) if self.gpus else by_cpu
                room += min(by_cpu, by_gpu)
        if not room:
            raise UserError(
                f"no machine of Ray's has the {self.cpus:g} cores and {self.gpus:g} GPUs of a worker: "
                "set engine.cpus and engine.gpus lower, or add machines"
            )
        return room


class _Worker:
    """The actor.

    It prepares with its first call, so that an error in that is a job's error, and that a restarted one
    does too.
    """

    def __init__(self) -> None:
        self._do: Callable[[Any], Any] | None = None

    def ready(self, prepare: Prepare[Any, Any]) -> None:
        """Prepare."""
        self._do = self._do or prepare()

    def do(self, prepare: Prepare[Any, Any], job: Any) -> Any:
        """Do a job."""
        self.ready(prepare)
        assert self._do is not None
        return self._do(job)


def _results(
    ray: Any, workers: Sequence[Any], prepare: Prepare[Any, Any], jobs: Sequence[Any]
) -> Iterator[Any]:
    """The results of all jobs.

    Only a worker that has a place and is prepared gets one, so that none waits for a machine that never
    comes; a worker that is lost for good gives its job back.
    """
    prepare = ray.put(prepare)  # lies on this machine, and is sent to each other one once
    waiting = deque(jobs)
    busy = {worker.ready.remote(prepare): (worker, False, None) for worker in workers}
    idle: list[Any] = []
    left = len(waiting)
    while left:
        (done, *_), _ = ray.wait(list(busy), num_returns=1)
        worker, has_job, job = busy.pop(done)
        try:
            result = ray.get(done)
        except ray.exceptions.RayTaskError as error:
            raise _known(error) from error
        except ray.exceptions.RayError as error:
            if has_job:
                waiting.appendleft(job)
            if not busy and not idle:
                raise UserError(
                    f"all of Ray's workers died ({type(error).__name__}), {left} jobs are left: give a "
                    "worker more memory or cores (engine.cpus); finished work is kept: run the same "
                    "command again"
                ) from error
            worker = None
        if worker is not None:
            idle.append(worker)
            if has_job:
                left -= 1
        while idle and waiting:
            free, job = idle.pop(), waiting.popleft()
            busy[free.do.remote(prepare, job)] = (free, True, job)
        if worker is not None and has_job:
            yield result


def _known(error: Any) -> Exception:
    """What a job raised; a UserError if its machine lacks what was sent to it."""
    cause: Exception = error.cause
    if missing := re.search(r"No module named '([\w.]+)'", str(cause)):
        return UserError(
            f"a machine of Ray's has no module {missing[1]!r}: install there what is installed here, "
            "the same versions of prelabel and its plugins"
        )
    return cause
