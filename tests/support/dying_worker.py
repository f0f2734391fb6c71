"""A prediction of shards during which a worker process is killed, once."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from prelabel.data.records import Prediction
from prelabel.runs import run
from prelabel.runs.predictions import write_predictions
from prelabel.runs.sharded import PredictShards
from prelabel.runs.shards import Shard
from prelabel.steps.photos import PhotoSet


@dataclass(frozen=True)
class DiesOnce:
    """As ``prepare``, but the process that is the first to write a second prediction of the shard
    ``number`` is killed then. ``mark``: a file that says so to the next one."""

    prepare: PredictShards
    number: int
    mark: Path

    def __call__(self) -> Callable[[tuple[Shard, PhotoSet]], int]:
        work = self.prepare()

        def do(job: tuple[Shard, PhotoSet]) -> int:
            dies = job[0].number == self.number and not self.mark.exists()
            run.write_predictions = self._killing if dies else write_predictions  # type: ignore[attr-defined]
            return work(job)

        return do

    def _killing(self, file: Path, predictions: Iterable[Prediction]) -> None:
        def killed(predictions: Iterable[Prediction]) -> Iterable[Prediction]:
            yield from itertools.islice(predictions, 1)
            self.mark.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)

        write_predictions(file, killed(predictions))
