"""Objects at clicks and in boxes, on a photo whose patches are known by hand and with a fitted model."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from builders import iou
from prelabel import pipeline
from prelabel.data.masks import decode_rle, encode_rle, rle_area, rle_box
from prelabel.data.records import Image, PatchFeatures, Region
from prelabel.errors import UserError
from prelabel.interactive.mask import object_mask
from prelabel.interactive.prompts import Prompts
from prelabel.model import FittedModel
from prelabel.segment import Segmenter
from prelabel.steps.levels import Clusters, Levels
from prelabel.steps.patch_labels import LabelledPhoto, LabelledRegion
from prelabel.steps.scales import Scales
from prelabel.teacher import Teacher
from support.small_photos import as_picture, tiny_config, write_scenes

Float = NDArray[np.float32]
PATCH = 8
GRID = """
    ............
    .aaa....bbb.
    .aaa....bbb.
    .aaa....bbb.
    ............
    ....cc.aaa..
    ....cc.aaa..
    ............
"""
LETTERS = np.array([list(line) for line in GRID.split()])
COLOURS = {".": (40, 40, 40), "a": (220, 30, 30), "b": (30, 30, 220), "c": (30, 200, 30)}
LEFT_A, RIGHT_A, B = (0.2, 0.31), (8.5 / 12, 6 / 8), (9.5 / 12, 0.31)


def pixels_of(letters: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Patches, bool (8, 12), as pixels."""
    return np.kron(letters, np.ones((PATCH, PATCH), dtype=np.bool_))


@pytest.fixture(scope="module")
def known() -> tuple[Segmenter, Image, PatchFeatures]:
    """Four kinds of patches along four axes, each its own cluster; all but the ground is
    foreground."""
    directions = np.eye(4, dtype=np.float32)
    kinds = np.array([[".abc".index(c) for c in row] for row in LETTERS])
    clusters = Clusters((directions,), (np.array([0, 1, 1, 1], dtype=np.float32),))
    model = FittedModel(
        config=tiny_config("levels.image_k=[4]"),
        backbone={},
        origins={},
        levels=Levels(
            center=np.zeros(4, dtype=np.float32),
            dataset=clusters,
            groups=np.zeros((0, 4), dtype=np.float32),
            reach=np.zeros(0, dtype=np.float32),
            categories=(),
        ),
        classes=np.zeros((0, 4), dtype=np.float32),
        n_photos=1,
    )
    colours = np.array([[COLOURS[c] for c in row] for row in LETTERS], dtype=np.uint8)
    pixels = colours.repeat(PATCH, axis=0).repeat(PATCH, axis=1)
    features = PatchFeatures(
        patches=directions[kinds].astype(np.float16),
        cls=np.ones(4, dtype=np.float16),
        attention=np.ones(kinds.shape, dtype=np.float16),
    )
    # Twice as large as the pixels at hand, as a large photo is.
    picture = Image(pixels=pixels, width=2 * pixels.shape[1], height=2 * pixels.shape[0], digest="")
    return Segmenter(model), picture, features


def small(region: Region | None) -> NDArray[np.bool_]:
    """The region's mask at the size of the pixels at hand."""
    assert region is not None
    return decode_rle(region.rle)[::2, ::2]


def part(top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
    """Pixels of a rectangle of patches."""
    letters = np.zeros(LETTERS.shape, dtype=np.bool_)
    letters[top:bottom, left:right] = True
    return pixels_of(letters)


def test_click__gives_the_object_and_not_its_like_elsewhere(
    known: tuple[Segmenter, Image, PatchFeatures],
) -> None:
    region = object_mask(*known, Prompts(points=((*LEFT_A, True),)))
    assert iou(small(region), part(1, 4, 1, 4)) > 0.9


def test_region__is_at_full_size_and_without_class(
    known: tuple[Segmenter, Image, PatchFeatures],
) -> None:
    region = object_mask(*known, Prompts(points=((*B, True),)))
    assert region is not None
    assert region.rle["size"] == [2 * 64, 2 * 96]
    assert (region.box, region.area) == (rle_box(region.rle), rle_area(region.rle))
    assert region.cluster == -1
    assert 0.5 < region.score <= 1


def test_two_clicks__give_the_union(known: tuple[Segmenter, Image, PatchFeatures]) -> None:
    region = object_mask(*known, Prompts(points=((*LEFT_A, True), (*RIGHT_A, True))))
    assert iou(small(region), part(1, 4, 1, 4) | part(5, 7, 7, 10)) > 0.9


def test_box__gives_what_it_is_drawn_around(
    known: tuple[Segmenter, Image, PatchFeatures],
) -> None:
    region = object_mask(*known, Prompts(boxes=((7.5 / 12, 0.7 / 8, 11.5 / 12, 4.3 / 8),)))
    assert iou(small(region), part(1, 4, 8, 11)) > 0.9


def test_two_boxes__give_the_union(known: tuple[Segmenter, Image, PatchFeatures]) -> None:
    boxes = ((0.7 / 12, 0.7 / 8, 4.3 / 12, 4.3 / 8), (7.5 / 12, 0.7 / 8, 11.5 / 12, 4.3 / 8))
    region = object_mask(*known, Prompts(boxes=boxes))
    assert iou(small(region), part(1, 4, 1, 4) | part(1, 4, 8, 11)) > 0.9


def test_box__around_the_whole_photo_gives_its_foreground(
    known: tuple[Segmenter, Image, PatchFeatures],
) -> None:
    region = object_mask(*known, Prompts(boxes=((0, 0, 1, 1),)))
    assert iou(small(region), pixels_of(LETTERS != ".")) > 0.85


def test_box__corners_may_come_in_any_order(
    known: tuple[Segmenter, Image, PatchFeatures],
) -> None:
    straight = object_mask(*known, Prompts(boxes=((0.6, 0.1, 0.95, 0.55),)))
    assert straight is not None
    assert object_mask(*known, Prompts(boxes=((0.95, 0.55, 0.6, 0.1),))) == straight


def test_box_and_negative_click__excludes_what_is_like_the_click(
    known: tuple[Segmenter, Image, PatchFeatures],
) -> None:
    box = (3.7 / 12, 4.7 / 8, 10.3 / 12, 7.3 / 8)
    both, one = part(5, 7, 4, 6) | part(5, 7, 7, 10), part(5, 7, 7, 10)
    assert iou(small(object_mask(*known, Prompts(boxes=(box,)))), both) > 0.85
    green = (5 / 12, 6 / 8, False)
    assert iou(small(object_mask(*known, Prompts(points=(green,), boxes=(box,)))), one) > 0.85


def test_negative_click__excludes_its_like_elsewhere_in_the_box(
    known: tuple[Segmenter, Image, PatchFeatures],
) -> None:
    box = (3.7 / 12, 4.7 / 8, 10.3 / 12, 7.3 / 8)
    region = object_mask(*known, Prompts(points=((*LEFT_A, False),), boxes=(box,)))
    assert iou(small(region), part(5, 7, 4, 6)) > 0.85


@pytest.mark.parametrize("x", [2.02, 2.98, 3.02, 3.5])
def test_negative_click__is_outside_beside_a_positive_one_on_the_same_object(
    known: tuple[Segmenter, Image, PatchFeatures], x: float
) -> None:
    points = ((1.5 / 12, 2.5 / 8, True), (x / 12, 2.5 / 8, False))
    mask = small(object_mask(*known, Prompts(points=points)))
    assert mask[20, 12]
    assert not mask[20, int(x * PATCH)]


class _ConstantRefiner:
    """A refiner that finds the same everywhere."""

    def __init__(self, value: float) -> None:
        self.value = value

    def refine(self, foreground: Float, image: NDArray[np.uint8]) -> Float:
        return np.full_like(foreground, self.value)


def test_object_mask__keeps_to_the_prompts_whatever_the_refiner_does(
    known: tuple[Segmenter, Image, PatchFeatures],
) -> None:
    segmenter, picture, features = known
    overruled = Segmenter(segmenter.model)
    overruled.refiner = _ConstantRefiner(1)
    prompts = Prompts(points=((*LEFT_A, True), (*B, False)), boxes=((0, 0, 1, 0.5),))
    mask = small(object_mask(overruled, picture, features, prompts))
    near_b = np.hypot(*(np.indices(mask.shape).T - (19.5, 75.5)).T) < PATCH / 2 - 1
    assert not mask[near_b].any()
    assert mask.sum() == pytest.approx(32 * 96 - math.pi * 16, abs=20)
    overruled.refiner = _ConstantRefiner(0)
    mask = small(object_mask(overruled, picture, features, Prompts(points=((*LEFT_A, True),))))
    assert mask[19, 19]
    assert mask.sum() == pytest.approx(math.pi * 16, abs=20)


@pytest.mark.parametrize(
    "prompts",
    [
        Prompts(),
        Prompts(points=((0.5, 0.5, False),)),
        Prompts(boxes=((0.3, 0.2, 0.3, 0.9),)),
        Prompts(points=((*LEFT_A, True),), boxes=((0.3, 0.2, 0.3, 0.9),)),
        Prompts(points=((*LEFT_A, True), (*LEFT_A, False))),
        Prompts(points=((*LEFT_A, True),), boxes=((0.6, 0.1, 0.95, 0.55),)),
    ],
    ids=[
        "nothing", "nothing positive", "no area", "no area with a click", "contradiction",
        "positive outside the box",
    ],
)  # fmt: skip
def test_object_mask__none_where_nothing_can_remain(
    known: tuple[Segmenter, Image, PatchFeatures], prompts: Prompts
) -> None:
    assert object_mask(*known, prompts) is None


@pytest.mark.parametrize("value", [math.nan, math.inf, 50.0, -3.0])
def test_object_mask__coordinates_that_are_not_fractions_are_refused(
    known: tuple[Segmenter, Image, PatchFeatures], value: float
) -> None:
    with pytest.raises(UserError, match="fractions"):
        object_mask(*known, Prompts(points=((value, 0.5, True),)))
    with pytest.raises(UserError, match="fractions"):
        object_mask(*known, Prompts(boxes=((0.1, 0.1, value, 0.5),)))


def test_object_mask__coordinates_beside_the_photo_are_moved_to_its_edge(
    known: tuple[Segmenter, Image, PatchFeatures],
) -> None:
    at_edge = object_mask(*known, Prompts(points=((1.0, 0.0, True),)))
    assert at_edge is not None
    assert object_mask(*known, Prompts(points=((1.2, -0.1, True),))) == at_edge


fraction = st.floats(0, 1)
points = st.lists(st.tuples(fraction, fraction, st.booleans()), max_size=4)
box = st.tuples(fraction, fraction, fraction, fraction)


@settings(max_examples=60)
@given(points=points, boxes=st.lists(box, max_size=2))
def test_object_mask__keeps_to_the_prompts(
    known: tuple[Segmenter, Image, PatchFeatures],
    points: list[tuple[float, float, bool]],
    boxes: list[tuple[float, float, float, float]],
) -> None:
    region = object_mask(*known, Prompts(points=tuple(points), boxes=tuple(boxes)))
    if region is None:
        return
    mask = decode_rle(region.rle)
    height, width = mask.shape
    assert mask.any()
    assert 0 <= region.score <= 1
    for x, y, is_positive in points:
        assert mask[min(int(y * height), height - 1), min(int(x * width), width - 1)] == is_positive
    if boxes:
        rows, columns = np.nonzero(mask)
        inside = np.zeros(len(rows), dtype=np.bool_)
        for x0, y0, x1, y1 in boxes:  # to the pixel that a side runs through
            (left, right), (top, bottom) = sorted((x0, x1)), sorted((y0, y1))
            inside |= (
                (columns >= math.floor(left * width) - 1)
                & (columns <= math.ceil(right * width))
                & (rows >= math.floor(top * height) - 1)
                & (rows <= math.ceil(bottom * height))
            )
        assert inside.all()


def test_object_mask__takes_what_corrections_teach_as_foreground(
    known: tuple[Segmenter, Image, PatchFeatures],
) -> None:
    segmenter, image, features = known
    drawn = np.kron(LETTERS == "a", np.ones((2 * PATCH, 2 * PATCH), dtype=np.bool_))
    labelled = LabelledPhoto("0", (LabelledRegion(encode_rle(drawn), "cat"),))
    taught = Teacher(segmenter.model, lambda _: features).teach([labelled])
    taught = replace(taught, facts=replace(taught.facts, weight=1.0))
    corrected = Segmenter(replace(segmenter.model, taught=taught))
    whole = Prompts(boxes=((0, 0, 1, 1),))
    region = object_mask(corrected, image, features, whole)
    assert iou(small(region), pixels_of(LETTERS == "a")) > 0.9
    click = object_mask(corrected, image, features, Prompts(points=((*LEFT_A, True),)))
    assert iou(small(click), part(1, 4, 1, 4)) > 0.9


def test_object_mask__with_a_fitted_model(tmp_path: Path) -> None:
    write_scenes(tmp_path, 6)
    model = pipeline.fit(tmp_path, tiny_config())
    segmenter = Segmenter(model)
    scales = Scales(
        segmenter.backbone, name=model.config.backbone.name, sizes=model.config.features.sizes
    )
    picture = as_picture(3)
    (features,) = scales.extract([picture])
    rng = np.random.default_rng(3)
    rng.integers(0, 256, (2, 3))
    y, x = rng.uniform(0.3, 0.7, 2)  # the disc's centre, as scene() draws it
    first = object_mask(segmenter, picture, features, Prompts(points=((x, y, True),)))
    assert first is not None
    assert decode_rle(first.rle)[int(y * 64), int(x * 96)]
    assert first.area < 0.5 * 64 * 96
    assert object_mask(segmenter, picture, features, Prompts(points=((x, y, True),))) == first
