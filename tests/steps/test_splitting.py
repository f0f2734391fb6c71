"""Regions that are split by their crops."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from prelabel.data.masks import Mask
from prelabel.data.records import Crop, PatchFeatures
from prelabel.errors import ContractError
from prelabel.steps.regions import PhotoRegions, RegionSource, find_regions
from prelabel.steps.splitting import split_regions

Float = NDArray[np.float32]
PICTURE = """
    11112.
    11112.
    ......
    .333..
    .3.3..
    .333.4
"""


@dataclass(frozen=True)
class Halves:
    """Splits what is at least so many pixels wide into a left and a right half."""

    least: int
    found: int = 2

    def split(self, mask: Mask, *, vectors: Float, image: NDArray[np.uint8]) -> NDArray[np.int32]:
        assert image.shape[:2] == mask.shape
        assert (vectors == 7).all()
        columns = np.flatnonzero(mask.any(axis=0))
        if len(columns) < self.least:
            return mask.astype(np.int32)
        middle = int(columns[0]) + len(columns) // 2
        return np.where(np.arange(mask.shape[1]) < middle, 1, self.found) * mask.astype(np.int32)


def _find(picture: str = PICTURE, *, min_area: float = 0.0, min_hole: float = 0.0) -> PhotoRegions:
    labels = np.array([[int(c.replace(".", "0")) for c in line] for line in picture.split()])
    coarse = np.tile(np.linspace(0.4, 0.9, len(labels[0]), dtype=np.float32), (len(labels), 1))
    make = partial(
        find_regions,
        coarse=coarse,
        agreed=np.ones_like(coarse),
        vectors=None,
        min_area=min_area,
        max_frame=1.0,
        min_hole=min_hole,
        min_part=0.0,
        min_score=0.0,
        full_height=2 * len(labels),
        full_width=2 * len(labels[0]),
    )
    labels = labels.astype(np.int32)
    return replace(make(labels), source=RegionSource(labels, make))


def _crops(found: PhotoRegions) -> list[Crop]:
    """The box of each region."""
    one = np.ones((1, 1, 1), dtype=np.float16)
    features = PatchFeatures(one, one[0, 0], one[0])
    crops = []
    for mask in found.masks:
        rows, columns = np.nonzero(mask)
        window = [slice(int(i.min()), int(i.max()) + 1) for i in (rows, columns)]
        crops.append(Crop(window[0], window[1], features))
    return crops


def _split(found: PhotoRegions, splitter: Halves) -> tuple[PhotoRegions, tuple[int, ...]]:
    image = np.zeros((*found.masks.shape[1:], 3), dtype=np.uint8)
    split = split_regions(
        found,
        _crops(found),
        image,
        splitter=splitter,
        relative=lambda features: np.float32(7) * features.patches.astype(np.float32),
    )
    return split.found, split.before


def _picture(found: PhotoRegions) -> list[str]:
    """A letter for each region, the best first."""
    picture = np.full(found.masks.shape[1:], ".")
    for letter, mask in zip("ABCDEFG", found.masks, strict=False):
        picture[mask] = letter
    return ["".join(row) for row in picture]


def test_split__pieces_stand_in_the_place_of_a_region() -> None:
    found = _find()
    # Scores grow to the right: 4, 2, 3, 1.
    assert _picture(found) == ["DDDDB.", "DDDDB.", "......", ".CCC..", ".C.C..", ".CCC.A"]
    split, before = _split(found, Halves(least=4))
    assert _picture(split) == ["EECCB.", "EECCB.", "......", ".DDD..", ".D.D..", ".DDD.A"]
    assert before == (0, 1, -1, 2, -1)
    assert [r.score for r in split.regions][2] == pytest.approx(0.65)  # columns of 0.6 and 0.7
    assert [split.regions[i] for i in (0, 1, 3)] == list(found.regions[:3])
    assert [r.area for r in split.regions] == [4, 8, 16, 32, 16]


def test_split__nothing_changes_where_nothing_is_split() -> None:
    found = _find()
    split, before = _split(found, Halves(least=5))
    assert split is found
    assert before == (0, 1, 2, 3)


def test_split__pieces_that_are_too_small_are_left_out_and_counted() -> None:
    found = _find(min_area=7 / 36)  # 1 and 3 have 8 pixels
    assert found.dropped == 2
    split, before = _split(found, Halves(least=4))
    assert _picture(split) == ["......"] * 3 + [".AAA..", ".A.A..", ".AAA.."]
    assert before == (0,)
    assert split.dropped == 4  # 2, 4 and both halves of 1


def test_split__a_hole_that_was_filled_is_split_as_well() -> None:
    found = _find(min_hole=0.5)
    split, _ = _split(found, Halves(least=3))
    assert _picture(split)[4] == _picture(split)[3]
    assert split.masks.sum() == 8 + 2 + 9 + 1


def test_split__what_does_not_cover_the_region_is_refused() -> None:
    with pytest.raises(ContractError, match="no region 2 but a region 3"):
        _split(_find(), Halves(least=4, found=3))
    with pytest.raises(ContractError, match="at 4 pixels"):
        _split(_find(), Halves(least=4, found=0))
