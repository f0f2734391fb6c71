"""What a project has learned from people, and what of it has to be learned again."""

from __future__ import annotations

from dataclasses import dataclass

from prelabel.label_studio.names.exemplar_lines import PhotoExemplars
from prelabel.label_studio.names.exemplars import ExemplarFile
from prelabel.label_studio.names.kept_features import KeptFeatures
from prelabel.steps.exemplars import is_outdated


@dataclass(frozen=True)
class Memory:
    """The exemplars of a project and the features of their photos, as one model needs them.

    ``partial``: what is not drawn on an annotated photo need not be background.
    """

    names: ExemplarFile
    features: KeptFeatures
    partial: bool = False

    def knows(self, photo: str, stamp: str) -> bool:
        """Whether nothing new can be learned from a photo. ``stamp``: of its annotation, "" for
        none."""
        known = self.names.of_photo(photo)
        return known.stamp == stamp and not self.is_outdated(known)

    def is_outdated(self, known: PhotoExemplars) -> bool:
        """Whether a photo has to be learned from again although its annotation is the same: its
        vectors are of other code or weights, its features are gone, or the meaning of what is not drawn
        has changed."""
        if any(is_outdated(exemplar, self.features.origin) for exemplar in known.exemplars):
            return True
        labels = known.labels
        if labels is None:
            return bool(known.stamp)
        return (
            labels.origin != self.features.origin
            or labels.partial != self.partial
            or labels.digest not in self.features
        )

    def outdated(self) -> list[str]:
        """The photos that have to be learned from again."""
        return [photo for photo, known in self.names.photos.items() if self.is_outdated(known)]
