"""Checks of messages for users: the parts that carry meaning, not the wording."""

from __future__ import annotations


def assert_says(message: object, *parts: str) -> None:
    """The message, or an error's, is one line that holds each of these parts."""
    text = str(message)
    assert "\n" not in text
    missing = [part for part in parts if part not in text]
    assert not missing, f"{text!r} does not say {missing}"
