"""Whether photos are seen at a larger input size as well, as labelled objects that are small may need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from prelabel.config import MOST_SIZE, Config
from prelabel.data.images import read_image
from prelabel.data.records import ImageFile, PatchFeatures
from prelabel.errors import PhotoError
from prelabel.model import FittedModel
from prelabel.segment import Segmenter
from prelabel.steps.learning import left_out_ious
from prelabel.steps.patch_labels import LabelledPhoto, drawn_areas
from prelabel.steps.photos import draw_sample
from prelabel.steps.positions import resample
from prelabel.steps.scales import Scales, on_grid
from prelabel.storage.progress import RunLog
from prelabel.storage.threads import one_blas_thread
from prelabel.strategies.blame import costs_the_photo

Float = NDArray[np.float32]
SMALL = 9.0
"""Patches that the median labelled object covers, below which a larger input size is tried: 3 × 3."""
LEAST_PHOTOS = 5
"""Labelled photos of which each is left out; with fewer, chance decides."""
MOST_PHOTOS = 40
"""Labelled photos on which both are compared, drawn with the seed."""
LEAST_GAIN = 0.02
"""Of foreground IoU, beside twice the standard error of the gain over photos: the larger size costs time in every later run."""


@dataclass(frozen=True)
class Finer:
    """What was compared.

    Attributes:
        sizes: the input sizes in pixels, the larger one last.
        patches: that the median labelled object covers at the first size.
        ious: mean foreground IoU of photos that were left out, without and with the larger size.
        is_better: whether the larger one is clearly better.
    """

    sizes: tuple[int, int]
    patches: float
    ious: tuple[float, float]
    is_better: bool

    def config(self, config: Config) -> Config:
        """The settings with both sizes."""
        features = config.features.model_copy(update={"size": self.sizes})
        return config.model_copy(update={"features": features})

    def __str__(self) -> str:
        (first, larger), (without, with_it) = self.sizes, self.ious
        found = (
            f"labelled objects are small (the median one covers {self.patches:.1f} patches): on "
            f"labelled photos that were left out, foreground IoU is {without:.2f} at features.size="
            f"{first}, {with_it:.2f} at [{first}, {larger}]"
        )
        if not self.is_better:
            return f"{found}, not clearly more: {first} stays"
        return (
            f"{found}, which is used: the network sees 5 times as many patches of every photo, which takes "
            "5 to 12 times as long (fit.finer=false keeps one size)"
        )


def try_finer(
    model: FittedModel, known: Sequence[tuple[ImageFile, LabelledPhoto]], log: RunLog
) -> Finer | None:
    """Compare the learner on the model's input size with that on twice the size as well.

    Labelled photos are left out in turn, the levels are those of the model, and both are compared on
    the finer grid. None where it is out of question: objects are not small, labelled photos are few,
    or the settings say so.
    """
    features, fit = model.config.features, model.config.fit
    if not (fit.finer and isinstance(features.size, int) and len(known) >= LEAST_PHOTOS):
        return None
    sizes = features.size, 2 * features.size
    areas = drawn_areas([photo for _, photo in known])
    patch = model.config.strategy("backbone").patch
    patches = float(np.median(areas)) * (features.size / patch) ** 2 if areas else np.inf
    if patches >= SMALL or sizes[1] > MOST_SIZE:
        return None
    seen = _Seen(model, sizes)
    chosen = draw_sample(known, most=MOST_PHOTOS, seed=fit.seed)
    with log.stage("larger input size", len(chosen)):
        used = [photo for file, photo in log.advancing(chosen) if seen.add(file, log)]
    with one_blas_thread():
        without, with_it = (
            left_out_ious(
                used,
                learner=model.config.strategy("learner"),
                center=seen.mean(features_of),
                features_of=features_of,
                levels_of=seen.levels.__getitem__,
                seed=fit.seed,
            )
            for features_of in (seen.at_first, seen.at_both)
        )
    gains = with_it - without
    if len(gains) < LEAST_PHOTOS:
        return None
    error = float(gains.std(ddof=1) / np.sqrt(len(gains)))
    return Finer(
        sizes,
        patches,
        ious=(float(without.mean()), float(with_it.mean())),
        is_better=bool(gains.mean() > max(LEAST_GAIN, 2 * error)),
    )


class _Seen:
    """Labelled photos on the finer grid. ``levels``: P(foreground) float32 (h, w) of the levels, by the
    photo's digest. Features stay on the disk."""

    def __init__(self, model: FittedModel, sizes: tuple[int, int]) -> None:
        self._segmenter = Segmenter(replace(model, taught=None))
        self._first, self._both = (
            Scales(
                self._segmenter.backbone.resolve(),
                name=model.config.backbone.name,
                sizes=some,
                recent=True,
            )
            for some in (sizes[:1], sizes)
        )
        self.levels: dict[str, Float] = {}

    def add(self, file: ImageFile, log: RunLog) -> bool:
        """Add a photo; whether that could be done. If not, it is named in the log."""
        try:
            image = read_image(file.file)
            [both] = self._both.extract([image])
            [first] = self._first.extract([image])
            with costs_the_photo():
                levels = self._segmenter.combine(first, self._segmenter.apply_levels(first))
        except PhotoError as error:
            log.skip(file.name, str(error))
            return False
        self.levels[image.digest] = resample(levels[..., None], *both.attention.shape)[..., 0]
        return True

    def at_first(self, digest: str) -> PatchFeatures:
        """A photo's features at the first size, interpolated. Raises UserError if they were removed."""
        return on_grid(self._first.known(digest), *self.levels[digest].shape)

    def at_both(self, digest: str) -> PatchFeatures:
        """A photo's features at both sizes, merged. Raises UserError if they were removed."""
        return self._both.known(digest)

    def mean(self, features_of: Callable[[str], PatchFeatures]) -> Float:
        """The mean patch float32 (dim,) of all photos; zeros without any."""
        means = [features_of(d).patches.mean(axis=(0, 1), dtype=np.float32) for d in self.levels]
        return np.asarray(np.mean(means, axis=0) if means else np.zeros(1), dtype=np.float32)
