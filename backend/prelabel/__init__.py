"""Pseudo-masks, grouped into classes, for a whole image dataset before anyone labels it.

from prelabel import fit, predict
model = fit("photos")
predictions = list(predict(model, "photos"))
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prelabel.pipeline import fit, predict

__all__ = ["fit", "predict"]


def __getattr__(name: str) -> Any:
    """Import the pipeline when it is asked for: ``prelabel --help`` should not wait for it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from prelabel import pipeline

    return getattr(pipeline, name)
