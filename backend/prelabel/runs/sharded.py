"""A prediction in shards on an engine, which may be many machines, and their merge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from prelabel.data.records import ImageFile
from prelabel.errors import UserError
from prelabel.model import FittedModel
from prelabel.runs.folder import output_folder
from prelabel.runs.predictions import FILE
from prelabel.runs.run import Summary, load_weights
from prelabel.runs.shards import (
    MOST,
    SHARD_FILES,
    Shard,
    counts,
    divide,
    merge_into,
    predict_shard,
    warn_of_others,
)
from prelabel.steps.photos import PhotoSet
from prelabel.storage.marker import MARKER
from prelabel.storage.progress import Progress, RunLog
from prelabel.storage.remote import Place, fetched, results
from prelabel.strategies.protocols import Engine

SHARDS = "shards"
"""The folder with the shards, in that of the prediction."""
_PHOTOS = 256
"""In a shard, until there are very many: what a machine that dies may lose."""
_FEWEST, _MOST = 16, 65_536
"""Shards, if nothing is said about their number."""
_WAIT = 120.0
"""Seconds for a process that still writes to a shard: that of a command that was just killed."""


def run_predict_sharded(
    model: FittedModel,
    photos: PhotoSet,
    out: Path,
    engine: Engine,
    *,
    shards: Place | None = None,
    count: int = 0,
    progress: Progress | None = None,
) -> Summary:
    """Predict all shards of the photos on an engine, and merge them into ``out``, which holds then
    what `run_predict` would have left.

    Shards that are there and finished, of the same model and photos, are not predicted again. All
    machines see the photos and the shards under the same paths or addresses. ``shards``: the folder for
    them; left out, one in ``out``. ``count``: of shards; 0 for as many as there are, else by the number
    of photos. Raises UserError and OSError.
    """
    log = RunLog(progress)
    shards = (shards or out / SHARDS).absolute()
    with output_folder(out, command="predict"):
        with fetched(shards, [f"*/{MARKER}"]) as known:
            count = _count(count, known, len(photos.photos))
            warn_of_others(
                [known / Shard(i + 1, count).folder for i in range(count)], model.version
            )
        jobs = divide(_absolute(photos), count)
        with log.stage("shards", count):
            for _ in engine.map(PredictShards(model, shards), jobs):
                log.advance()
        with fetched(shards, SHARD_FILES) as done:
            return merge_into([done / shard.folder for shard, _ in jobs], out, log)


@dataclass(frozen=True)
class PredictShards:
    """What each worker prepares: the weights, once. ``shards``: the folder with all of them."""

    model: FittedModel
    shards: Place

    def __call__(self) -> Callable[[tuple[Shard, PhotoSet]], int]:
        """The function that predicts a shard. Raises UserError if the weights cannot be loaded."""
        load_weights(self.model.config, RunLog())
        return self._predict

    def _predict(self, job: tuple[Shard, PhotoSet]) -> int:
        shard, photos = job
        with results(self.shards / shard.folder, (MARKER, FILE)) as folder:
            predict_shard(self.model, photos, folder, wait=_WAIT)
        return shard.number


def _count(asked: int, shards: Path, n_photos: int) -> int:
    """As many shards as are asked for or there; else a power of two, which stays when a few photos are
    added."""
    if asked:
        if not 1 <= asked <= MOST:
            raise UserError(f"--shards {asked}: expected 1 to {MOST}")
        return asked
    match counts(shards):
        case [found]:
            return found
        case []:
            return usual_count(n_photos)
        case several:
            raise UserError(
                f"{str(shards)!r} holds shards of {' and of '.join(map(str, several))}: "
                "say which by --shards"
            )


def usual_count(n_photos: int) -> int:
    """How many shards so many photos are divided into if nothing is said, a power of two."""
    needed = max(1, -(-n_photos // _PHOTOS))
    return min(max(_FEWEST, 1 << (needed - 1).bit_length()), _MOST)


def _absolute(photos: PhotoSet) -> PhotoSet:
    """The same photos, for processes that have another working folder."""
    found = tuple(ImageFile(photo.name, photo.file.absolute()) for photo in photos.photos)
    return replace(photos, root=photos.root.absolute(), photos=found)
