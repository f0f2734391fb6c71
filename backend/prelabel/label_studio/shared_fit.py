"""One fit of a project at a time, whoever asks: the second follows the first and takes its model."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import msgspec

from prelabel.errors import UserError
from prelabel.label_studio.project_folder import ProjectFolder
from prelabel.model import FittedModel
from prelabel.storage.files import replacing
from prelabel.storage.json import decode, encode
from prelabel.storage.locks import InUseError, exclusive, holder
from prelabel.storage.progress import Progress, RunLog

_REPORT = "fit.json"
_LOOK_EVERY = 0.3
"""Seconds between two looks at another process' progress, and between two reports of ours."""


class _Report(msgspec.Struct, frozen=True):
    """How far the fit of a process is."""

    pid: int
    stage: str
    total: int
    done: int


def fit_once(
    folder: ProjectFolder, fits: int, make: Callable[[RunLog], FittedModel], log: RunLog
) -> FittedModel:
    """A project's model, fitted now, or by another process that is at it already.

    The lock is the kernel's: it ends with the process that fits, so that one that was killed, or a
    machine that was restarted, holds up nobody.

    Args:
        folder: the project's.
        fits: how many fits of it had been saved when this one was requested, as its state says. If
            there are more once nobody else is fitting, the newest model is taken: it may well be equal
            to the one before.
        make: fits, with its progress in the log that it is given, and saves the model as the newest.
        log: takes the progress, also that of another process, which is named.

    Raises:
        UserError: whatever ``make`` raises.
    """
    with _taking_turns(folder.path, log):
        model = usable_model(folder)
        if model is not None and folder.state.fits != fits:
            return model
        file = folder.path / _REPORT
        try:
            return make(RunLog(_Reporting(log.progress, file)))
        finally:
            file.unlink(missing_ok=True)


def usable_model(folder: ProjectFolder) -> FittedModel | None:
    """The model that was fitted last. A damaged one counts as none: it is fitted anew."""
    try:
        return folder.newest_model()
    except UserError:
        return None


@contextmanager
def _taking_turns(folder: Path, log: RunLog) -> Iterator[None]:
    """Hold the lock on fits; until it is free, show the progress of the process that has it."""
    lock = folder / "fit.lock"
    followed = _Followed(log.progress)
    with ExitStack() as turn:
        while True:
            try:
                turn.enter_context(exclusive(lock, "the fit of this project"))
                break
            except InUseError:
                who = holder(lock)
                if who:
                    followed.show(_report_of(who.pid, folder / _REPORT))
                time.sleep(_LOOK_EVERY)
        followed.end()
        yield


def _report_of(pid: int, file: Path) -> _Report:
    """What a process says; what another one has left, which was killed, is not taken for it."""
    with suppress(OSError, ValueError):
        found = decode(file.read_bytes(), _Report)
        if found.pid == pid:
            return found
    return _Report(pid, "fit", 0, 0)


class _Followed:
    """Another process' progress, shown as if it were this one's."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._shown: _Report | None = None

    def show(self, report: _Report) -> None:
        shown = self._shown
        if shown is None or (shown.pid, shown.stage) != (report.pid, report.stage):
            self.end()
            self._progress.start(f"{report.stage} (by process {report.pid})", report.total)
            shown = msgspec.structs.replace(report, done=0)
        for _ in range(report.done - shown.done):
            self._progress.advance()
        self._shown = report

    def end(self) -> None:
        if self._shown:
            self._progress.stop()
        self._shown = None


class _Reporting:
    """Progress that other processes can follow too."""

    def __init__(self, progress: Progress, file: Path) -> None:
        self._progress = progress
        self._file = file
        self._report = _Report(os.getpid(), "", 0, 0)
        self._written_at = 0.0

    def start(self, stage: str, total: int) -> None:
        self._progress.start(stage, total)
        self._report = _Report(os.getpid(), stage, total, 0)
        self._write()

    def advance(self) -> None:
        self._progress.advance()
        self._report = msgspec.structs.replace(self._report, done=self._report.done + 1)
        if time.monotonic() - self._written_at > _LOOK_EVERY:
            self._write()

    def stop(self) -> None:
        self._progress.stop()

    def _write(self) -> None:
        self._written_at = time.monotonic()
        with suppress(OSError), replacing(self._file, sync=False) as beside:  # it is only shown
            beside.write_bytes(encode(self._report))
