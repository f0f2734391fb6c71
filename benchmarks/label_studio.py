"""How the backend and the bulk command do beside a real Label Studio, all on this machine.

    python benchmarks/label_studio.py DATA --label-studio PROGRAM [--part front …] [--photos 1000]
        [--tasks-of "fitted, backend" …] [--runtime torch]

DATA holds real photos, in folders ``*/images``; where more are needed than there are, they come
again with a few pixels less at the border, so that no cache knows them. Each part starts with an
empty cache and no model. With ``--photos N``, half of N are fitted, 3 N / 10 are retrieved, and
N / 10 make a small fitted project (at least 60); a benchmark of less than 1 000 is for trying.

- ``front``: GET /health and POST /setup, 10 times a second each and on a connection of its own as
  Label Studio does it, from the start to the end of a fit of N / 2 photos, beside four /predict
  requests of 20 tasks: as one of the four is answered, the next 20 photos are sent.
- ``tasks``: 3 N / 10 photos that nobody has seen, retrieved at once, again and again until each has
  a prediction of the version that /setup gives; of a fitted project and of one that never was, from
  the backend itself and through Label Studio's "retrieve predictions". ``--tasks-of`` chooses.
- ``prompts``: clicks, 30 of each kind: on a photo of the fit (``fitted``), on one that was predicted
  but is in memory no more (``predicted``), and once more on that (``seen``); while nothing else runs
  and while a request of 3 N / 10 new tasks is worked on.
- ``bulk``: `prelabel label-studio predict` on N photos, from the start of the command to its end;
  in another project, killed with -9 when half of the predictions are there, and run again.

Writes benchmarks/results/label_studio.csv; rows of what was not measured stay as they are.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from csv_file import write_csv
from real_label_studio import Backend, Bench, Project, Task, click

from prelabel import config
from prelabel.label_studio.demo import demo
from prelabel.weights.devices import best_device, computes_bfloat16
from prelabel.weights.models import STAND_IN

RESULTS = Path(__file__).parent / "results" / "label_studio.csv"
AT_ONCE, IN_ONE, CLICKS, FORGET = 4, 20, 30, 40
"""Predicts at a time, tasks in each; clicks of a kind; photos that push others out of memory."""
TASKS_OF = (
    "fitted, backend", "fitted, label studio", "never fitted, backend", "never fitted, label studio",
)  # fmt: skip
"""The cases of ``tasks``: whether the project has a model, and who is asked."""
HEALTH_SECONDS, CLICK_SECONDS, REQUEST_SECONDS = 0.250, 1.0, 100.0
"""At most, of /health and /setup, of a click, both at the 99th percentile, and of one request, when
Label Studio gives up."""
FIELDS = (
    "part", "case", "figure", "value", "expected", "photos", "weights", "recipe", "runtime", "size",
    "precision", "cores",
)  # fmt: skip


def main() -> int:
    """Measure, print and write the CSV; 0 if every bar is reached."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--label-studio", type=Path, required=True, metavar="PROGRAM")
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--tasks-of", nargs="+", choices=TASKS_OF, default=list(TASKS_OF))
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--weights", default=STAND_IN)
    parser.add_argument("--runtime", choices=("torch", "openvino"), default="torch")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers are stopped then too
    chosen = config.load("default", [f"backbone.weights={arguments.weights}"])
    bfloat16 = computes_bfloat16(best_device())
    labels = {
        "photos": arguments.photos,
        "weights": arguments.weights,
        "recipe": "default",
        "runtime": arguments.runtime,
        "size": chosen.features.size,
        "precision": "bfloat16" if bfloat16 else "float32",
        "cores": len(os.sched_getaffinity(0)),
    }
    measured = tuple(dict.fromkeys(arguments.part or PARTS))
    rows: dict[str, list[Row]] = {part: [] for part in measured}
    folder = Path(tempfile.mkdtemp(prefix="prelabel-bench-"))  # with the logs, if something fails
    bench = Bench(folder, arguments)
    bench.tasks_of = tuple(arguments.tasks_of)
    with demo.label_studio(arguments.label_studio.absolute(), folder / "server") as server:
        bench.server = server
        for part in measured:
            for row in PARTS[part](bench):
                rows[part].append(row)
                print(f"{part}, {row}", flush=True)
            write(arguments.out, part, rows[part], labels)
    shutil.rmtree(folder)
    print(f"written to {arguments.out}")
    return int(any(row.missed for own in rows.values() for row in own))


@dataclass(frozen=True)
class Row:
    """A figure. ``most``: what it may be at most, or ``exactly`` what it must be."""

    case: str
    figure: str
    value: float
    most: float | None = None
    exactly: float | None = None

    @property
    def expected(self) -> str:
        if self.most is not None:
            return f"< {self.most:g}"
        return "" if self.exactly is None else f"= {self.exactly:g}"

    @property
    def missed(self) -> bool:
        if self.most is not None:
            return self.value >= self.most
        return self.exactly is not None and self.value != self.exactly

    def __str__(self) -> str:
        missed = ": MISSED" if self.missed else ""
        expected = f" (expected {self.expected}{missed})" if self.expected else ""
        return f"{self.case}: {self.figure} {self.value:g}{expected}"


def front(bench: Bench) -> Iterator[Row]:
    """How soon /health and /setup answer while a fit and predicts run."""
    with bench.backend() as backend:
        busy = bench.project(backend, bench.small)
        backend.fit(busy)
        new = bench.upload(busy, bench.n_photos)  # more than are done in that time
        at_once = min(IN_ONE, len(new) // (2 * AT_ONCE))
        portions = iter([new[start : start + at_once] for start in range(0, len(new), at_once)])
        fitted = bench.project(backend, bench.half)
        unfitted = backend.setup(fitted)  # begins the fit of a project that has none
        over, ended = threading.Event(), threading.Event()
        seconds: dict[str, list[float]] = {"/health": [], "/setup": []}
        failed: Counter[str] = Counter()
        bodies: list[bytes] = []  # read afterwards: reading them would delay the requests

        def predicts() -> None:
            for some in portions:
                bodies.append(backend.predict(busy, some))
                if over.is_set():
                    break
            over.set()  # with three predicts, nothing more is measured

        def ask(path: str, project: Project) -> None:
            started = time.perf_counter()
            try:
                if path == "/health":
                    backend.ask("GET", path)
                elif backend.setup(project) != unfitted and project is fitted:
                    ended.set()
                    over.set()
            except (OSError, RuntimeError):
                failed[path] += 1
            seconds[path].append(time.perf_counter() - started)

        began = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as predicting, ThreadPoolExecutor(64) as asking:
            busy_ones = [predicting.submit(predicts) for _ in range(AT_ONCE)]
            due, projects = began, itertools.cycle((busy, fitted))
            while not over.is_set():
                asking.submit(ask, "/health", busy)
                asking.submit(ask, "/setup", next(projects))
                due += 0.1
                time.sleep(max(0.0, due - time.monotonic()))
            lasted = time.monotonic() - began
        for one in busy_ones:
            one.result()  # raises what went wrong there
        answered = Counter(bool(a) for body in bodies for a in json.loads(body)["results"])
        for path, own in seconds.items():
            yield Row(path, "samples", len(own))
            yield Row(path, "failed", failed[path], exactly=0)
            yield from quantiles(path, own, most=HEALTH_SECONDS)
        yield Row("meanwhile", "seconds", round(lasted, 1))
        yield Row("meanwhile", "until the end of the fit", int(ended.is_set()))
        yield Row("meanwhile", "tasks answered", answered[True])
        yield Row("meanwhile", "tasks not ready", answered[False])


def tasks(bench: Bench) -> Iterator[Row]:
    """How long it takes until many new tasks have predictions."""
    for case in bench.tasks_of:
        fitted, direct = case.startswith("fitted"), case.endswith("backend")
        with bench.backend() as backend:
            project = bench.project(backend, bench.small if fitted else 0)
            if fitted:
                backend.fit(project)
            new = bench.upload(project, bench.many)
            way = backend.answer if direct else bench.retrieve
            most = REQUEST_SECONDS if direct else None  # else with what Label Studio does itself
            ready = 0 if fitted else None  # else a model is fitted first
            yield from retrieved(case, backend, project, new, way, most=most, ready=ready)


def retrieved(
    case: str,
    backend: Backend,
    project: Project,
    new: Sequence[Task],
    way: Callable[[Project, Sequence[Task]], None],
    *,
    most: float | None,
    ready: float | None,
) -> Iterator[Row]:
    """Ask for all tasks, then for those that have no prediction of the live version."""
    began = time.monotonic()
    left, requests = list(new), []
    while left and time.monotonic() - began < 1800:
        backend.setup(project)
        started = time.monotonic()
        way(project, left)
        requests.append(time.monotonic() - started)
        if len(requests) == 1:
            first = dict(project.found)
        version = backend.setup(project)
        left = [task for task in new if project.found.get(task["id"]) != version]
    alone = sum(version.startswith("image-level") for version in first.values())
    yield Row(case, "longest request, seconds", round(max(requests), 1), most=most)
    yield Row(case, "first request, seconds", round(requests[0], 1))
    yield Row(case, "first request, tasks answered", len(first))
    yield Row(case, "first request, of these without a fitted model", alone)
    yield Row(case, "first request, tasks not ready", len(new) - len(first), exactly=ready)
    yield Row(case, "requests until all are there", len(requests))
    yield Row(case, "all there, seconds", round(time.monotonic() - began, 1))
    yield Row(case, "tasks without a prediction", len(left), exactly=0)


def prompts(bench: Bench) -> Iterator[Row]:
    """How soon a click is answered."""
    with bench.backend() as backend:
        project = bench.project(backend, max(bench.small, 2 * CLICKS))
        fitted = list(project.tasks)
        backend.fit(project)
        predicted = bench.upload(project, 2 * CLICKS)
        backend.answer_all(project, predicted)
        backend.answer_all(project, bench.upload(project, FORGET))
        new = bench.upload(project, bench.many)
        for case in ("alone", "beside a predict"):
            seconds: dict[str, list[float]] = {"fitted": [], "predicted": [], "seen": []}
            objects = 0
            predicting = threading.Thread(target=backend.predict, args=(project, new))
            if case != "alone":
                predicting.start()
                time.sleep(2)
            for _ in range(CLICKS):
                ours, theirs = fitted.pop(), predicted.pop()
                for kind, task, place in (
                    ("fitted", ours, (50, 50)),
                    ("predicted", theirs, (50, 50)),
                    ("seen", theirs, (40, 60)),
                ):
                    started = time.perf_counter()
                    answer = backend.predict(project, [task], click(*place))
                    seconds[kind].append(time.perf_counter() - started)
                    objects += bool(json.loads(answer)["results"][0]["result"])
            if case != "alone":
                yield Row(case, "still at work after the last", predicting.is_alive())
                predicting.join()
            for kind, own in seconds.items():
                yield from quantiles(f"{kind}, {case}", own, most=CLICK_SECONDS)
            yield Row(case, "clicks that found an object", objects)


def bulk(bench: Bench) -> Iterator[Row]:
    """The command on a whole project, at one go and killed half way."""
    for case in ("one go", "killed"):
        project = bench.project(None, bench.n_photos)
        with bench.empty_folders():
            if case == "killed":
                seconds, _, code = bench.command(project, until=bench.n_photos // 2)
                yield Row(case, "exit code", code, exactly=-9)
                yield Row(case, "seconds until then", round(seconds, 1))
                yield Row(case, "predictions then", len(bench.versions(project)))
            seconds, peak, code = bench.command(project)
        yield Row(case, "seconds", round(seconds, 1))
        if case == "one go":
            yield Row(case, "photos a second", round(bench.n_photos / seconds, 2))
        yield Row(case, "peak memory, MB", round(peak))
        yield Row(case, "exit code at the end", code, exactly=0)
        own = Counter(task for task, _ in bench.versions(project))
        yield Row(case, "tasks with a prediction", len(own), exactly=bench.n_photos)
        yield Row(case, "predictions", sum(own.values()), exactly=bench.n_photos)


PARTS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "front": front, "tasks": tasks, "prompts": prompts, "bulk": bulk,
}  # fmt: skip


def quantiles(case: str, seconds: Sequence[float], *, most: float) -> Iterator[Row]:
    """Median, 99th percentile, which has a bar, and maximum."""
    yield Row(case, "median seconds", float(np.median(seconds)))
    yield Row(case, "p99 seconds", float(np.percentile(seconds, 99)), most=most)
    yield Row(case, "maximum seconds", max(seconds))


def write(file: Path, part: str, rows: Sequence[Row], labels: Mapping[str, Any]) -> None:
    """The CSV with the rows of this part's cases in place of their earlier ones by this runtime."""
    cases = {row.case for row in rows}
    kept: list[dict[str, Any]] = []
    if file.exists():
        with file.open(newline="", encoding="utf-8") as earlier:
            kept = [
                row
                for row in csv.DictReader(earlier)
                if row["part"] != part
                or row["case"] not in cases
                or row["runtime"] != labels["runtime"]
            ]
    new = [
        {
            **labels,
            "part": part,
            "case": row.case,
            "figure": row.figure,
            "value": round(row.value, 4),
            "expected": row.expected,
        }
        for row in rows
    ]
    write_csv(file, FIELDS, sorted([*kept, *new], key=lambda row: [*PARTS].index(str(row["part"]))))


if __name__ == "__main__":
    sys.exit(main())
