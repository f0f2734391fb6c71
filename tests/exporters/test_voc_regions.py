"""Regions of VOC's masks: every mask, class and part, compared with one mask after the other."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from builders import HEIGHT, WIDTH
from prelabel.data.dataset import Problems
from prelabel.data.masks import encode_rle, rle_area, rle_box
from prelabel.data.records import Region
from prelabel_exporters.voc.masks import read_mask
from prelabel_exporters.voc.meaning import objects_of
from prelabel_exporters.voc.reader import read_voc
from prelabel_exporters.voc.regions import regions_of

CLASSES = hnp.arrays(np.uint8, (HEIGHT, WIDTH), elements=st.sampled_from([0, 1, 2, 3, 255]))
OBJECTS = hnp.arrays(np.uint16, (HEIGHT, WIDTH), elements=st.integers(0, 4))


def region(mask: NDArray[np.bool_], cluster: int, *, crowd: bool = False) -> Region:
    rle = encode_rle(mask)
    return Region(rle, rle_box(rle), rle_area(rle), 1.0, cluster, crowd)


def void_of(classes: NDArray[np.uint8]) -> list[Region]:
    return [region(classes == 255, -1, crowd=True)] if (classes == 255).any() else []


@settings(max_examples=40)
@given(CLASSES, OBJECTS)
def test_regions__of_objects(classes: NDArray[np.uint8], objects: NDArray[np.uint16]) -> None:
    inside = (classes > 0) & (classes < 255)
    expected = []
    for number in np.unique(objects[inside & (objects > 0)]):
        mask = inside & (objects == number)
        expected.append(region(mask, int(np.bincount(classes[mask]).argmax()) - 1))
    assert regions_of(classes, objects) == expected + void_of(classes)


@settings(max_examples=40)
@given(CLASSES)
def test_regions__of_connected_parts(classes: NDArray[np.uint8]) -> None:
    expected = []
    for value in (1, 2, 3):
        n, parts = cv2.connectedComponents((classes == value).astype(np.uint8), connectivity=8)
        masks = [region(np.asarray(parts == i), value - 1) for i in range(1, n)]
        expected += sorted(masks, key=lambda r: int(np.flatnonzero(r.mask)[0]))
    assert regions_of(classes, None) == expected + void_of(classes)


def noise(folder: Path, side: int, values: int) -> Path:
    """A mask of random values, each as often as any other."""
    (folder / "SegmentationClass").mkdir()
    pixels = np.random.default_rng(0).integers(0, values, (side, side), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "SegmentationClass/x.png")
    (folder / "labels.txt").write_text("".join(f"{v}\tclass {v}\n" for v in range(1, values)))
    return folder


@pytest.mark.slow
def test_noise__takes_seconds_and_is_bounded(tmp_path: Path) -> None:
    for name, values in (("few", 2), ("many", 254)):
        (tmp_path / name).mkdir()
        dataset = read_voc(noise(tmp_path / name, 1000, values))
        start = time.process_time()
        found = list(dataset.stream())
        assert time.process_time() - start < 10  # one mask after the other took over 40
        if values == 2:
            (labels,) = found
            assert 0.49 < labels.foreground < 0.51
        else:
            assert found == []
            assert any("more objects than labels have" in line for line in dataset.problems.lines())


@pytest.mark.slow
def test_colors__of_a_large_mask_take_few_bytes_a_pixel(tmp_path: Path) -> None:
    side = 4000
    file = tmp_path / "x.png"
    pixels = np.zeros((side, side, 3), dtype=np.uint8)
    pixels[100:2000, 100:300] = (1, 2, 3)
    Image.fromarray(pixels).save(file, compress_level=1)
    del pixels
    tracemalloc.start()
    mask = read_mask(file, Problems())
    assert mask is not None
    objects = objects_of(mask)
    (found,) = regions_of((objects > 0).astype(np.uint8), objects)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.box == (100, 100, 200, 1900)
    assert peak < 14 * side * side


def test_colors__more_than_labels_have(tmp_path: Path) -> None:
    pixels = np.arange(2**16, dtype=np.uint32).reshape(256, 256)
    Image.fromarray(
        np.stack([pixels & 255, pixels >> 8, pixels * 0], axis=2).astype(np.uint8)
    ).save(tmp_path / "x.png")
    problems = Problems()
    assert read_mask(tmp_path / "x.png", problems) is None
    assert "65536 different values or colors, expected at most 65535" in problems.lines()[0]
