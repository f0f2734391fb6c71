"""What was found, as a prediction."""

from __future__ import annotations

import numpy as np

from builders import box, region
from prelabel.data.records import Image
from prelabel.finding import missed, prediction


def test_prediction__pixels_of_overlapping_regions_are_foreground_once() -> None:
    photo = Image(pixels=np.zeros((8, 10, 3), dtype=np.uint8), width=10, height=8, digest="a")
    regions = [region(box(0, 0, 10, 6)), region(box(0, 2, 10, 6))]
    assert prediction("a.jpg", photo, regions, "1").foreground == 1
    assert prediction("a.jpg", photo, regions[:1], "1").foreground == 0.75
    assert prediction("a.jpg", photo, [], "1").foreground == 0


def test_missed__is_what_no_known_region_covers_by_half() -> None:
    known = [region(box(0, 0, 4, 4)).rle]
    found = [region(box(0, 0, 4, 3)), region(box(0, 0, 2, 4)), region(box(0, 0, 2, 3))]
    assert missed(found, known) == (False, False, True)  # IoU 0.75, 0.5, 0.375
    assert missed(found, []) == (True, True, True)
    assert missed([], known) == ()
