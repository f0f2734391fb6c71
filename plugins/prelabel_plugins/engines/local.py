"""An engine: this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from prelabel.strategies.protocols import Job, Prepare, Result


@dataclass(frozen=True)
class Local:
    """One job after the other in this process, which uses all cores and the device of the settings."""

    def map(self, prepare: Prepare[Job, Result], jobs: Sequence[Job]) -> Iterator[Result]:
        """The results, in the order of the jobs."""
        if not jobs:
            return
        do = prepare()
        for job in jobs:
            yield do(job)
