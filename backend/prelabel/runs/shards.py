"""Predictions in shards, each by a process of its own on any machine, and merged again."""

from __future__ import annotations

import hashlib
import heapq
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from prelabel.data.records import ImageFile, Prediction
from prelabel.errors import UserError
from prelabel.model import FittedModel
from prelabel.runs.facts import PhotoFacts, RunFacts
from prelabel.runs.folder import output_folder, write_facts
from prelabel.runs.predictions import FILE, read_predictions, write_predictions
from prelabel.runs.run import Summary, run_predict
from prelabel.runs.tally import Tally
from prelabel.steps.photos import PhotoSet
from prelabel.storage.files import LEFTOVERS
from prelabel.storage.json import decode
from prelabel.storage.marker import DONE, MARKER
from prelabel.storage.progress import Progress, RunLog

_log = logging.getLogger(__name__)
SHARD_FILES = (f"*/{MARKER}", f"*/{FILE}")
"""What is read of shards, as patterns of paths in the folder of all."""
MOST = 100_000
"""Shards of one prediction."""
_AT_ONCE = 256
"""Files that are read at once: the system allows a process to open some hundred."""
_FOLDER = re.compile(r"([0-9]{1,6})-of-([0-9]{1,6})")


@dataclass(frozen=True)
class Shard:
    """Number ``number``, from 1, of ``count``."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Of "3/20". Raises UserError."""
        first, _, second = text.partition("/")
        with suppress(ValueError):
            if 1 <= int(first) <= int(second) <= MOST:
                return cls(int(first), int(second))
        raise UserError(
            f"--shard {text!r}: expected a shard's number and how many there are, from 1/1 to "
            f"{MOST}/{MOST}, as in 3/20"
        )

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return f"{self.number}-of-{self.count}"

    def has(self, photo: ImageFile) -> bool:
        """Whether a photo belongs to it."""
        return _number(photo, self.count) == self.number


def _number(photo: ImageFile, count: int) -> int:
    """The shard of a photo. Its name decides, so that it stays where it is when others are added."""
    name = photo.name.encode("utf-8", errors="surrogateescape")
    digest = hashlib.blake2b(name, digest_size=8).digest()
    return int.from_bytes(digest, "big") % count + 1


def divide(photos: PhotoSet, count: int) -> list[tuple[Shard, PhotoSet]]:
    """All shards, each with its photos. Photos without a readable name are in no shard; the first one
    names them."""
    own: list[list[ImageFile]] = [[] for _ in range(count)]
    for photo in photos.photos:
        own[_number(photo, count) - 1].append(photo)
    rest = replace(photos, skipped=(), passed_over={})
    return [
        (Shard(i + 1, count), replace(rest if i else photos, photos=tuple(found)))
        for i, found in enumerate(own)
    ]


def run_predict_shard(
    model: FittedModel,
    photos: PhotoSet,
    folder: Path,
    shard: Shard,
    progress: Progress | None = None,
) -> Summary:
    """Predict those of the photos that are in a shard into its folder, as `run_predict` does.

    One that was finished with the same model, and has all these photos, is not predicted again; of
    one of another model a line is logged. Raises UserError and OSError.
    """
    _, own = divide(photos, shard.count)[shard.number - 1]
    warn_of_others([folder], model.version)
    return predict_shard(model, own, folder, progress=progress)


def predict_shard(
    model: FittedModel,
    photos: PhotoSet,
    folder: Path,
    *,
    progress: Progress | None = None,
    wait: float = 0.0,
) -> Summary:
    """Predict a shard's photos into its folder, unless that was done. It depends on nothing but its
    arguments, and doing it twice leaves the same. ``wait``: seconds for another process that is writing
    to the folder. Raises UserError and OSError."""
    if facts := _finished(folder, model.version, photos.photos):
        return Summary(facts, {"predictions": folder / FILE})
    return run_predict(model, photos, folder, progress=progress, wait=wait)


def warn_of_others(folders: Sequence[Path], model_version: str) -> None:
    """Log a line if some of the shards are finished ones of another model."""
    others = []
    for folder in folders:
        with suppress(UserError):
            if (found := _facts(folder).model_version) != model_version:
                others.append((folder, found))
    if others:
        folder, found = others[0]
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        _log.warning(
            "%s%s: predicted by another model (%s); predicted again with %s",
            folder,
            more,
            found,
            model_version,
        )


def counts(shards: Path) -> list[int]:
    """Into how many shards the predictions in a folder were divided; one number, if all belong
    together."""
    names = [place.name for place in shards.iterdir() if place.is_dir()] if shards.is_dir() else []
    return sorted({int(match[2]) for name in names if (match := _FOLDER.fullmatch(name))})


def merge(shards: Path, out: Path, progress: Progress | None = None) -> Summary:
    """Merge the shards in a folder into ``out``, which holds then what one `run_predict` would have
    left. Their seconds are added.

    Raises UserError if one is missing, was not finished or was predicted by another model.
    """
    found = _shards(shards)
    _same_model(found)  # before anything is written
    with output_folder(out, command="predict"):
        return merge_into(found, out, RunLog(progress))


def merge_into(folders: Sequence[Path], out: Path, log: RunLog) -> Summary:
    """Merge finished shards into ``out``, which `output_folder` has made ready. Raises UserError."""
    facts = _same_model(folders)
    tally = Tally()
    n_photos = sum(own.photos.predicted or 0 for own in facts)
    beside = LEFTOVERS.removesuffix("*")
    with log.stage("merge", n_photos), TemporaryDirectory(prefix=beside, dir=out) as own:
        files = _fewer([folder / FILE for folder in folders], Path(own))
        write_predictions(out / FILE, log.advancing(tally.watch(_together(files))))
    merged = _merged(facts, tally)
    write_facts(out, merged)
    return Summary(merged, {"predictions": out / FILE})


def _finished(folder: Path, model_version: str, photos: Sequence[ImageFile]) -> RunFacts | None:
    """The facts of a shard that is there already, with these photos and no others."""
    try:
        facts = _facts(folder)
        names = {prediction.photo for prediction in read_predictions(folder / FILE)}
    except UserError:
        return None
    names |= {skipped.photo for skipped in facts.photos.skipped}
    same = {photo.name for photo in photos} <= names and facts.photos.found == len(names)
    return facts if same and facts.model_version == model_version else None


def _facts(folder: Path) -> RunFacts:
    """The facts of a finished shard. Raises UserError."""
    try:
        facts = decode((folder / MARKER).read_bytes(), RunFacts)
    except (OSError, ValueError) as error:
        raise UserError(f"{str(folder)!r} is no finished shard ({error})") from error
    if facts.state != DONE or facts.command != "predict":
        raise UserError(f"{str(folder)!r} is no finished shard")
    return facts


def _shards(folder: Path) -> list[Path]:
    """The folders of all shards, in order. Raises UserError."""
    if not folder.is_dir():
        raise UserError(f"{str(folder)!r}: no such folder")
    known = counts(folder)
    if not known:
        raise UserError(
            f"{str(folder)!r} holds no shards: name the --out of `prelabel predict --shard 1/20`"
        )
    if len(known) > 1:
        raise UserError(
            f"{str(folder)!r} holds shards of {' and of '.join(map(str, known))}: remove those that "
            "are not wanted"
        )
    count = known[0]
    found = [folder / Shard(i + 1, count).folder for i in range(count)]
    missing = [i for i, place in enumerate(found, start=1) if not _is_done(place)]
    if missing:
        shown = ", ".join(map(str, missing[:10])) + (", …" if len(missing) > 10 else "")
        raise UserError(
            f"{str(folder)!r}: {len(missing)} of {count} shards are missing or not finished "
            f"({shown}): predict them first, as with --shard {missing[0]}/{count}"
        )
    return found


def _is_done(folder: Path) -> bool:
    with suppress(UserError):
        return bool(_facts(folder))
    return False


def _same_model(folders: Sequence[Path]) -> list[RunFacts]:
    """The facts of finished shards. Raises UserError for those of several models."""
    facts = [_facts(folder) for folder in folders]
    versions = Counter(own.model_version for own in facts)
    (common, _), *_ = versions.most_common()
    others = [f for f, own in zip(folders, facts, strict=True) if own.model_version != common]
    if others:
        shown = ", ".join(str(folder) for folder in others[:5])
        raise UserError(
            f"{len(others)} of {len(folders)} shards were predicted by another model than {common} "
            f"({shown}): predict them again with that one"
        )
    return facts


def _fewer(files: Sequence[Path], folder: Path) -> Sequence[Path]:
    """The same predictions in no more files than are read at once; new ones are in ``folder``."""
    level = 0
    while len(files) > _AT_ONCE:
        parts = [files[i : i + _AT_ONCE] for i in range(0, len(files), _AT_ONCE)]
        files = [folder / f"{level}-{i}.jsonl" for i in range(len(parts))]
        for part, file in zip(parts, files, strict=True):
            write_predictions(file, _together(part))
        level += 1
    return files


def _together(files: Sequence[Path]) -> Iterator[Prediction]:
    """The predictions of all files, in order of names; raises UserError where a photo comes twice."""
    last = None
    streams = [read_predictions(file) for file in files]
    for prediction in heapq.merge(*streams, key=lambda prediction: prediction.photo):
        if prediction.photo == last:
            raise UserError(
                f"{last!r} is in two shards: their photos were not the same; predict again"
            )
        last = prediction.photo
        yield prediction


def _merged(facts: Sequence[RunFacts], tally: Tally) -> RunFacts:
    first = facts[0]
    seconds: Counter[str] = Counter()
    for own in facts:
        seconds.update(own.seconds)
    skipped = sorted((s for own in facts for s in own.photos.skipped), key=lambda s: s.photo)
    return RunFacts(
        command="predict",
        state=DONE,
        prelabel=version("prelabel"),
        model_version=first.model_version,
        weights=first.weights,
        photos=PhotoFacts(
            folder=first.photos.folder,
            found=sum(own.photos.found for own in facts),
            fitted=first.photos.fitted,
            skipped=skipped,
            predicted=tally.photos,
            empty=tally.empty,
        ),
        classes=first.classes,
        class_names=first.class_names,
        strategies=first.strategies,
        config=first.config,
        warnings=list(dict.fromkeys(line for own in facts for line in own.warnings)),
        taught=first.taught,
        regions=tally.regions,
        classes_used=len(tally.used),
        parts_left_out=tally.dropped,
        seconds={name: round(spent, 3) for name, spent in seconds.items()},
        peak_memory_mb=max(own.peak_memory_mb for own in facts),
    )
