"""How a backend is started."""

from __future__ import annotations

from dataclasses import dataclass, field

from prelabel.config import Config
from prelabel.label_studio.api.photos import Sources
from prelabel.label_studio.predict.task_prediction import ResultOptions


@dataclass(frozen=True)
class Settings:
    """``url``, ``token``: the Label Studio to work with, in place of what /setup says. ``sources``:
    where photos may come from. ``result_options``: how regions become results. ``fit_after``: new
    tasks after which a project is fitted anew, 0 for never. ``predict_timeout``: seconds after
    which /predict answers with what is ready; Label Studio gives up after 100. ``partial``: on
    annotated photos there may be more objects than were drawn, where a project has no setting of its
    own. ``sam``: one of osam's models, for clicks and boxes; "" for the fitted models' clusters."""

    config: Config
    url: str = ""
    token: str = field(default="", repr=False)
    sources: Sources = field(default_factory=Sources)
    result_options: ResultOptions = field(default_factory=ResultOptions)
    fit_after: int = 500
    predict_timeout: float = 90.0
    partial: bool = False
    sam: str = ""
