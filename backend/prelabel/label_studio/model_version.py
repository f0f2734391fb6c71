"""The versions that this tool gives its predictions in Label Studio."""

from __future__ import annotations

import hashlib
import re

from prelabel.config import Config

_OURS = re.compile(r"(image-level-)?[0-9a-f]{12}-[0-9]+")
"""A model version as this tool writes it: ``<fit hash>-<names revision>``."""


def is_own(model_version: object) -> bool:
    """Whether a prediction with this version was made by this tool."""
    return isinstance(model_version, str) and bool(_OURS.fullmatch(model_version))


def image_level_version(config: Config) -> str:
    """The version of masks that were made without a fitted model: it says so."""
    return f"image-level-{hashlib.blake2b(config.digest().encode(), digest_size=6).hexdigest()}-0"
