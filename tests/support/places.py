"""Where things are that tests need beside the package, and what to do where they are missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DATA = Path(os.environ.get("PRELABEL_TEST_DATA", ROOT.parent / "shared" / "data"))
"""Photos with masks, which are not part of the project."""


def require(name: str, condition: bool, reason: str) -> None:
    """Skip the test unless ``condition`` holds; fail if the environment says it must.

    ``name``: "data", "chromium", "docker", "label-studio" or "voc-readers". With
    ``REQUIRE=data,chromium`` a missing one of these is a failure.
    """
    if condition:
        return
    if name in os.environ.get("REQUIRE", "").split(","):
        pytest.fail(f"{reason} (REQUIRE contains {name!r})")
    pytest.skip(reason)
