"""RLE of masks against pycocotools."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from builders import HEIGHT, WIDTH, box
from prelabel.data.masks import Mask, box_rle, decode_rle, encode_rle, rle_area, rle_box
from support.mask_cases import MASKS


@given(MASKS)
def test_coco_rle__agrees_with_pycocotools(mask: Mask) -> None:
    rle = encode_rle(mask)
    reference = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert rle == {"size": list(mask.shape), "counts": reference["counts"].decode()}
    decoded = decode_rle(rle)
    assert decoded.dtype == np.bool_
    assert np.array_equal(decoded, mask)


@given(MASKS)
def test_area_and_box__are_those_of_the_mask(mask: Mask) -> None:
    rle = encode_rle(mask)
    assert rle_area(rle) == mask.sum() == coco_mask.area(rle)
    rows, columns = np.nonzero(mask)
    box = (0, 0, 0, 0)
    if rows.size:
        x, y = columns.min(), rows.min()
        box = (x, y, columns.max() + 1 - x, rows.max() + 1 - y)
    assert rle_box(rle) == box == tuple(coco_mask.toBbox(rle))


@given(st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1), st.data())
def test_box_rle__is_the_box_filled(x: int, y: int, data: st.DataObject) -> None:
    width, height = data.draw(st.integers(1, WIDTH - x)), data.draw(st.integers(1, HEIGHT - y))
    found = box_rle((x, y, width, height), height=HEIGHT, width=WIDTH)
    assert found == encode_rle(box(x, y, width, height))
