"""Checks that an engine does all jobs, each with what was prepared, and passes errors on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prelabel.errors import UserError
from prelabel.storage.text import error_line
from prelabel.strategies.harness import Harness
from prelabel.strategies.protocols import Engine

_REFUSED = -1
"""The job that cannot be done."""


def check_engine(harness: Harness[Engine]) -> None:
    """The contract of engines."""
    jobs = list(range(12))
    for case, own in {"12 jobs": jobs, "one job": jobs[:1], "no job": []}.items():
        try:
            found: Any = sorted(harness.strategy.map(_prepare, own))
        except Exception as error:
            harness.note("map", case, f"raised {error_line(error)}")
            return
        expected = [_square(job) for job in own]
        harness.expect(found == expected, "map", case, f"gave {found}, expected {expected}")
    try:
        list(harness.strategy.map(_prepare, [1, _REFUSED, 2]))
        harness.note("map", "a job raises UserError", "nothing was raised")
    except UserError as error:
        told = "refused" in str(error)
        harness.expect(told, "map", "a job raises UserError", f"raised another: {error}")
    except Exception as error:
        harness.note("map", "a job raises UserError", f"raised {error_line(error)} instead")


def _prepare() -> Callable[[int], int]:
    return _square


def _square(job: int) -> int:
    if job == _REFUSED:
        raise UserError("refused")
    return job * job
