"""Counts over all photos of a run, from a stream of predictions."""

from __future__ import annotations

import statistics
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from prelabel.config import Config
from prelabel.data.records import Prediction

TOO_MUCH, TOO_LITTLE = 0.60, 0.01
"""Shares of foreground in the median photo beyond which a result looks wrong."""

_EVERYTHING = "everything"
"""The foreground rule under which photos are meant to be covered."""


@dataclass
class Tally:
    """Counts over all predictions; 4 bytes a photo. ``used``: ids of the classes with regions.
    ``foreground``: each photo's share of pixels inside regions. ``model_version``: of the last
    prediction."""

    regions: int = 0
    empty: int = 0
    dropped: int = 0
    used: set[int] = field(default_factory=set)
    foreground: array[float] = field(default_factory=lambda: array("f"))
    model_version: str = ""

    @classmethod
    def of(cls, predictions: Iterable[Prediction]) -> Tally:
        """The counts over predictions that nothing else needs now."""
        tally = cls()
        for _ in tally.watch(predictions):
            pass
        return tally

    @property
    def photos(self) -> int:
        """Photos that were counted."""
        return len(self.foreground)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names for classes that have none: one for each id up to the highest."""
        return tuple(f"object {i + 1}" for i in range(max(self.used, default=-1) + 1))

    def watch(self, predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        """The same predictions, counted as they pass."""
        for prediction in predictions:
            self.foreground.append(prediction.foreground)
            self.regions += len(prediction.regions)
            self.empty += not prediction.regions
            self.dropped += prediction.dropped
            self.used.update(region.cluster for region in prediction.regions)
            self.model_version = prediction.model_version
            yield prediction

    def warnings(self, config: Config) -> list[str]:
        """What looks wrong, with the settings to change."""
        if not self.foreground or config.foreground.name == _EVERYTHING:
            return []
        median = statistics.median(self.foreground)
        now = f"regions.threshold ({config.regions.threshold:g} now)"
        rule = "attention" if config.foreground.name == "border" else "border"
        if median > TOO_MUCH:
            found, change = f"more than {TOO_MUCH:.0%}", f"raise {now}"
        elif median < TOO_LITTLE:
            found, change = f"less than {TOO_LITTLE:.0%}", f"lower {now}"
        else:
            return []
        advice = f"{change} or try another rule: --set foreground.name={rule}"
        if median < TOO_LITTLE:
            advice = _more_of_it(config) or advice
        return [f"in the median photo {median:.1%} of the pixels are foreground, {found}: {advice}"]


def _more_of_it(config: Config) -> str:
    """What finds more with strategies to which the threshold means little; "" for all others."""
    if getattr(config.strategy("separator"), "features", "") == "raw":
        return (
            f"to {config.separator.name} all patches may look alike in the raw features: try --set "
            "separator.features=relative"
        )
    if config.foreground.name == "rarity":
        return "raise foreground.share"
    return ""
