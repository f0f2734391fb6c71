"""What several test files share."""

from __future__ import annotations

import os

import pytest


def require(name: str, condition: bool, reason: str) -> None:
    """Skip the test unless ``condition`` holds; fail if the environment says it must.

    ``name``: "data" or "chromium". With ``REQUIRE=data,chromium`` a want of these is a failure.
    """
    if condition:
        return
    if name in os.environ.get("REQUIRE", "").split(","):
        pytest.fail(f"{reason} (REQUIRE contains {name!r})")
    pytest.skip(reason)
