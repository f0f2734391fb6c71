"""Networks with random weights, each made once for all tests of plugins."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from prelabel.strategies.protocols import Backbone
from support.random_vit import TINY, MakeVit, WeightsFile, make_vit, write_weights


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> WeightsFile:
    """A function from an architecture to a file of random weights for it."""
    return partial(write_weights, tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def vit(weights_file: WeightsFile) -> MakeVit:
    """A function that makes the timm backbone with random weights, by default timm's smallest."""

    def backbone(architecture: str = TINY, **settings: Any) -> Backbone:
        return make_vit(weights_file(architecture), architecture, **settings)

    return backbone
