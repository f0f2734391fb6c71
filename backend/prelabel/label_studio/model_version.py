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
    """The version of predictions by a fitted model, the code that is installed now, and the names
    of a revision. ``folder``: the model's, named by its fit hash; its tensors are not read."""
    try:
        answers = version_hash(folder.name, saved_facts(folder).code_now)
    except UserError:  # damaged: loading it reports that
        answers = folder.name
    return f"{answers}-{revision}"


@lru_cache(64)
def saved_facts(folder: Path) -> ModelFacts:
    """What ``model.json`` says of a model whose fit hash is the folder's name. Raises UserError."""
    return ModelFacts.read(folder)


def image_level_version(config: Config) -> str:
    """The version of predictions without a fitted model, as ``image-level-<hash>-0``."""
    code = code_now(config.image_level())
    return f"image-level-{version_hash(config.digest(), code)}-0"
