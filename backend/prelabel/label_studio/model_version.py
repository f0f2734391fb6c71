"""The versions that this tool gives its predictions in Label Studio."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from prelabel.config import Config
from prelabel.errors import UserError
from prelabel.model_code import code_now, version_hash
from prelabel.model_facts import ModelFacts

_OURS = re.compile(r"(image-level-)?[0-9a-f]{12}-[0-9]+")
"""A model version as this tool writes it: ``<hash>-<names revision>``."""


def is_own(model_version: object) -> bool:
    """Whether a prediction with this version was made by this tool."""
    return isinstance(model_version, str) and bool(_OURS.fullmatch(model_version))


def fitted_version(folder: Path, revision: int) -> str:
    """The version of what a fitted model and the code that is installed now answer with the names
    of a revision. ``folder``: the model's, which has its fit hash for a name; its tensors are not
    read."""
    try:
        answers = version_hash(folder.name, saved_facts(folder).code_now)
    except UserError:  # damaged: whoever loads it says so
        answers = folder.name
    return f"{answers}-{revision}"


@lru_cache(64)
def saved_facts(folder: Path) -> ModelFacts:
    """What ``model.json`` says of a model whose fit hash is the folder's name. Raises UserError."""
    return ModelFacts.read(folder)


def image_level_version(config: Config) -> str:
    """The version of masks that were made without a fitted model: it says so."""
    code = code_now(config.image_level())
    return f"image-level-{version_hash(config.digest(), code)}-0"
