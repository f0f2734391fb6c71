"""Threads that go on for as long as the backend does: none of them ends without a word."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

_EVERY = 1.0
"""Seconds between two looks at what should be alive."""
_PAUSE = 0.2
"""Seconds before a thread that has failed begins again."""
_RECENT = 60.0
"""Seconds for which a restart is told."""

log = logging.getLogger(__name__)


@dataclass
class _Kept:
    work: Callable[[], None]
    thread: threading.Thread
    done: bool = False


class Supervisor:
    """Starts threads, and starts them again when they fail; has other parts looked after as well.

    ``on_problem``: called with a text for each failure. Several threads may use it at once.
    """

    def __init__(self, on_problem: Callable[[str], None]) -> None:
        self._on_problem = on_problem
        self._kept: dict[str, _Kept] = {}
        self._checks: dict[str, Callable[[], bool]] = {}
        self._restarted: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self.keep("watch", self._watch)

    def keep(self, name: str, work: Callable[[], None]) -> None:
        """Run ``work`` in a thread until it returns; if it raises, it begins again."""
        with self._lock:
            self._start(name, work)

    def look_after(self, name: str, check: Callable[[], bool]) -> None:
        """Call ``check`` every second: it restarts what is dead, and says whether anything was."""
        self._checks[name] = check

    def once(self, name: str, work: Callable[[], None]) -> None:
        """Run ``work`` in a thread; a failure is reported."""

        def run() -> None:
            try:
                work()
            except BaseException as error:
                self._report(name, error)

        # Not in a pool: a server that does not answer must not keep this process from ending.
        threading.Thread(target=run, name=name, daemon=True).start()

    def wait(self, seconds: float) -> bool:
        """Wait, in a thread of ``once``; whether the backend is being stopped."""
        return self._stopping.wait(seconds)

    def dead(self) -> list[str]:
        """The parts that are dead now, which are started again, and those that were in the last
        minute."""
        with self._lock:
            for name, kept in self._kept.items():
                if not kept.done and not kept.thread.is_alive() and not self._stopping.is_set():
                    self._restarted[name] = time.monotonic()
                    self._start(name, kept.work)
            since = time.monotonic() - _RECENT
            return sorted(name for name, at in self._restarted.items() if at > since)

    def stop(self) -> None:
        """No thread is started again. The work of each is ended by its owner."""
        self._stopping.set()

    def _start(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=self._run, args=(name, work), name=name, daemon=True)
        self._kept[name] = _Kept(work, thread)
        thread.start()

    def _run(self, name: str, work: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                work()
                self._kept[name].done = True
                return
            except BaseException as error:  # whatever it is, the thread goes on
                self._restarted[name] = time.monotonic()
                self._report(name, error)
                self._stopping.wait(_PAUSE)

    def _watch(self) -> None:
        while not self._stopping.wait(_EVERY):
            self.dead()
            for name, check in list(self._checks.items()):
                if check():
                    self._restarted[name] = time.monotonic()

    def _report(self, name: str, error: BaseException) -> None:
        log.error("%s", name, exc_info=error)
        self._on_problem(f"a fault of the backend in {name} ({type(error).__name__}): see its log")
