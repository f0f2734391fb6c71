"""Pseudo-masks, grouped into classes, for a whole image dataset before anyone labels it.

Example:
    >>> from prelabel import export, fit, predict
    >>> model = fit("photos/")
    >>> predictions = list(predict(model, "photos/"))
    >>> export(predictions, "out/", format="coco", model=model)
    {'coco': PosixPath('out/coco/instances.json')}
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prelabel.api import export, load_model
    from prelabel.config import Config
    from prelabel.data.records import Prediction, Region
    from prelabel.model import FittedModel
    from prelabel.pipeline import fit, predict
    from prelabel.recipe_choice import choose_recipe
    from prelabel.runs.datasets import open_dataset

__all__ = [
    "Config",
    "FittedModel",
    "Prediction",
    "Region",
    "choose_recipe",
    "export",
    "fit",
    "load_model",
    "open_dataset",
    "predict",
]

_MODULES = {
    "Config": "prelabel.config",
    "FittedModel": "prelabel.model",
    "Prediction": "prelabel.data.records",
    "Region": "prelabel.data.records",
    "choose_recipe": "prelabel.recipe_choice",
    "export": "prelabel.api",
    "fit": "prelabel.pipeline",
    "load_model": "prelabel.api",
    "open_dataset": "prelabel.runs.datasets",
    "predict": "prelabel.pipeline",
}
"""Where each public name is defined; imported on first use, since NumPy, OpenCV and scikit-learn
take a second or two that ``prelabel --help`` does not need."""


def __getattr__(name: str) -> object:
    """The public name, imported now."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
