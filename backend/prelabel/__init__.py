"""Pseudo-masks, grouped into classes, for a whole image dataset before anyone labels it.

    from prelabel import fit, predict
    model = fit("photos")
    predictions = list(predict(model, "photos"))
"""

from prelabel.pipeline import fit, predict

__all__ = ["fit", "predict"]
