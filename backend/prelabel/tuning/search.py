"""The search: greedy, one group of settings after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prelabel.config import Config, load
from prelabel.data.dataset import Dataset
from prelabel.errors import UserError
from prelabel.steps.photos import PhotoSet
from prelabel.storage.progress import Prefixed, Progress
from prelabel.tuning.candidates import Candidate, candidates, group_names, most
from prelabel.tuning.leave_out import LeaveOut, Score

_LEAST_GAIN = 0.005
"""Of foreground IoU, and as a share of an annotator's work, below which settings are alike."""


@dataclass(frozen=True)
class Row:
    """A candidate that was measured. ``score``: None if it could not be, for the ``reason``.
    ``is_taken``: whether it was better than the best one before it."""

    name: str
    score: Score | None
    reason: str = ""
    is_taken: bool = False


@dataclass(frozen=True)
class Tuning:
    """What was found. ``rows``: of the candidates in order; the first is the default. ``best``: the
    row of the settings that were chosen, ``config``. ``n_photos``: that were left out in turn."""

    rows: tuple[Row, ...]
    best: Row
    config: Config
    n_photos: int


def tune(photos: PhotoSet, labels: Dataset, settings: Sequence[str], progress: Progress) -> Tuning:
    """Choose settings by leaving labelled photos out.

    The recipe is chosen first, then each further setting with those before it, so that at most
    `candidates.most` are measured. One is taken if its foreground IoU is higher on the same photos
    by more than the standard error of the difference, and no less time is saved. A separator cuts
    the same foreground otherwise: it is taken if it spares work by more than that error, and the
    IoU is not lower by as much.

    Args:
        photos: all photos, of which some have labels.
        labels: complete labels of at least `leave_out.LEAST` of them.
        settings: ``section.name=value`` that stay as they are.
        progress: takes the stages of each candidate.

    Raises:
        UserError: there are too few labels, or the default settings cannot be used.
    """
    leave_out = LeaveOut(photos, labels)
    total = most(settings)
    config = load("default", settings)
    name = "recipe default"
    score = leave_out.measure(config, Prefixed(progress, f"1 of {total}, {name}"))
    best = Row(name, score)
    rows = [best]
    for group in group_names(settings):
        found, found_config = best, config
        for candidate in candidates(group, config, settings):
            label = f"{len(rows) + 1} of {total}, {candidate.name}"
            row = _measured(candidate, leave_out, Prefixed(progress, label))
            if candidate.config and _is_better(row, found, cuts=group.startswith("separator.")):
                row = Row(row.name, row.score, is_taken=True)
                found, found_config = row, candidate.config
            rows.append(row)
        best, config = found, found_config
    return Tuning(tuple(rows), best, config, leave_out.n_photos)


def _measured(candidate: Candidate, leave_out: LeaveOut, progress: Progress) -> Row:
    if candidate.config is None:
        return Row(candidate.name, None, candidate.reason)
    try:
        return Row(candidate.name, leave_out.measure(candidate.config, progress))
    except UserError as error:  # such as an extra that is found to be missing on use
        return Row(candidate.name, None, str(error))


def _is_better(row: Row, best: Row, *, cuts: bool = False) -> bool:
    """Whether it is better by more than the spread over photos. ``cuts``: the foreground is alike but
    for what is too small to be a region, and is cut into other regions."""
    if row.score is None or best.score is None:
        return False
    gain, error = row.score.gain_over(best.score)
    if cuts and (spared := row.score.spared_over(best.score)):
        work = sum(best.score.seconds.values()) / len(best.score.seconds)
        is_as_good = gain >= -max(error, _LEAST_GAIN)
        return is_as_good and spared[0] > max(spared[1], _LEAST_GAIN * work)
    saved, saved_now = best.score.time_saved, row.score.time_saved
    loses_time = saved is not None and saved_now is not None and saved_now < saved
    return gain > max(error, _LEAST_GAIN) and not loses_time
