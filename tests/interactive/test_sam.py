"""Clicks and boxes that a model of the SAM family answers, with a network whose masks are known."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("osam", reason="osam is not installed: pip install 'prelabel[sam]'")
pytest.importorskip("onnx", reason="onnx is not installed: pip install 'prelabel[stand-in]'")

from prelabel.config import Config, StrategyChoice
from prelabel.data.masks import decode_rle
from prelabel.data.records import Image, PatchFeatures
from prelabel.errors import UserError
from prelabel.interactive.mask import object_mask
from prelabel.interactive.prompts import Point, Prompts
from prelabel.interactive.sam import sam_mask
from prelabel.segment import Segmenter, image_level_model
from prelabel.weights import sam
from support.messages import assert_says
from support.small_photos import tiny_config

Mask = NDArray[np.bool_]
HEIGHT, WIDTH = 64, 128  # multiples of 64, the side of the embedding
RED, BLUE = np.s_[10:30, 10:40], np.s_[40:60, 50:90]


def _photo() -> NDArray[np.uint8]:
    pixels = np.full((HEIGHT, WIDTH, 3), 40, dtype=np.uint8)
    pixels[RED], pixels[BLUE] = (220, 30, 30), (30, 30, 220)
    return pixels


def _mask(*places: tuple[slice, slice]) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    for place in places:
        mask[place] = True
    return mask


def _at(x: int, y: int) -> Point:
    """The middle of a pixel."""
    return (x + 0.5) / WIDTH, (y + 0.5) / HEIGHT


def _asked(
    name: str,
    positive: list[Point] | None = None,
    negative: list[Point] | None = None,
    boxes: list[tuple[float, float, float, float]] | None = None,
) -> Mask:
    return sam_mask(
        name, _photo(), positive=positive or [], negative=negative or [], boxes=boxes or []
    )


def _box(left: int, top: int, right: int, bottom: int) -> tuple[float, float, float, float]:
    """A box from the first to after the last pixel."""
    return left / WIDTH, top / HEIGHT, right / WIDTH, bottom / HEIGHT


def test_click__gives_the_object_at_it(tiny_sam: str) -> None:
    assert (_asked(tiny_sam, [_at(12, 12)]) == _mask(RED)).all()
    assert (_asked(tiny_sam, [_at(88, 58)], [_at(12, 12)]) == _mask(BLUE)).all()


def test_box__is_asked_for_by_its_corners_and_the_points_in_it(tiny_sam: str) -> None:
    assert (_asked(tiny_sam, boxes=[_box(5, 8, 45, 25)]) == _mask(np.s_[10:25, 10:40])).all()
    # The middle of this box is ground, the point in it is blue, and the red one is not in it.
    wide = _box(20, 32, 90, 64)
    assert (_asked(tiny_sam, [_at(55, 50), _at(12, 12)], boxes=[wide]) == _mask(BLUE)).all()


def test_boxes__give_the_union(tiny_sam: str) -> None:
    boxes = [_box(5, 5, 45, 35), _box(45, 35, 95, 63)]
    assert (_asked(tiny_sam, boxes=boxes) == _mask(RED, BLUE)).all()


def test_prompt__has_the_pixels_that_were_drawn(
    tiny_sam: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[sam.SamPrompt] = []

    def mask(self: sam.SamModel, embedding: object, prompt: sam.SamPrompt) -> Mask:
        seen.append(prompt)
        return _mask(RED)

    monkeypatch.setattr(sam.SamModel, "mask", mask)
    _asked(tiny_sam, [_at(12, 14)], [_at(30, 20), _at(70, 20)], [_box(5, 8, 45, 25)])
    (prompt,) = seen
    assert prompt.labels.tolist() == [2, 3, 1, 0]
    assert prompt.points == pytest.approx(
        np.array([[5, 8], [44, 24], [12, 14], [30, 20]]), abs=1e-4
    )


@pytest.fixture
def known() -> tuple[Segmenter, Image, PatchFeatures]:
    """The photo, at half of its size, with features that tell red, blue and ground apart."""
    pixels = _photo()
    colours = pixels[4::8, 4::8].astype(np.int64)
    kinds = (colours[..., 0] > 100) + 2 * (colours[..., 2] > 100)
    features = PatchFeatures(
        patches=np.eye(3, dtype=np.float16)[kinds],
        cls=np.ones(3, dtype=np.float16),
        attention=np.ones(kinds.shape, dtype=np.float16),
    )
    image = Image(pixels=pixels, width=2 * WIDTH, height=2 * HEIGHT, digest="")
    return Segmenter(image_level_model(_config(), features)), image, features


def _config() -> Config:
    settings = tiny_config("levels.image_k=[3]").image_level()
    return settings.model_copy(update={"refiner": StrategyChoice(name="none")})


def test_object_mask__is_sams_at_the_photos_size(
    tiny_sam: str, known: tuple[Segmenter, Image, PatchFeatures]
) -> None:
    region = object_mask(*known, Prompts(points=((*_at(12, 12), True),)), sam=tiny_sam)
    assert region is not None
    mask = decode_rle(region.rle)
    assert mask.shape == (2 * HEIGHT, 2 * WIDTH)
    assert (mask[::2, ::2] == _mask(RED)).all()
    assert 0 <= region.score <= 1
    clusters = object_mask(*known, Prompts(points=((*_at(12, 12), True),)))
    assert clusters is not None
    assert clusters.rle != region.rle  # patches of 8 pixels do not end where the object does


def test_object_mask__keeps_to_the_prompts_whatever_sam_says(
    tiny_sam: str,
    known: tuple[Segmenter, Image, PatchFeatures],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sam.SamModel, "mask", lambda *_: ~_mask(RED))
    box, point, beside = _box(0, 0, 48, 64), (*_at(12, 12), True), (*_at(30, 50), False)
    region = object_mask(*known, Prompts((point, beside), (box,)), sam=tiny_sam)
    assert region is not None
    mask = decode_rle(region.rle)[::2, ::2]
    assert mask[12, 12]
    assert not mask[50, 30]
    assert not mask[:, 48:].any()


@pytest.mark.parametrize("place", [(), (BLUE,)], ids=["nothing", "another object"])
def test_object_mask__is_that_of_the_clusters_where_sam_finds_nothing_there(
    place: tuple[tuple[slice, slice], ...],
    tiny_sam: str,
    known: tuple[Segmenter, Image, PatchFeatures],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sam.SamModel, "mask", lambda *_: _mask(*place))
    prompts = Prompts(points=((*_at(12, 12), True),))
    assert object_mask(*known, prompts, sam=tiny_sam) == object_mask(*known, prompts)


def test_object_mask__clicks_on_one_photo_embed_it_once(
    tiny_sam: str,
    known: tuple[Segmenter, Image, PatchFeatures],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = sam.load_sam(tiny_sam)
    encode, encoded = model._model.encode_image, []

    def encode_image(image: NDArray[np.uint8]) -> object:
        encoded.append(image)
        return encode(image)

    monkeypatch.setattr(model._model, "encode_image", encode_image)
    segmenter, image, features = known
    for x in (12, 20, 60):
        fresh = replace(image, pixels=image.pixels.copy())
        object_mask(segmenter, fresh, features, Prompts(((*_at(x, 20), True),)), sam=tiny_sam)
    assert len(encoded) == 1


def test_object_mask__a_model_that_cannot_be_used(
    known: tuple[Segmenter, Image, PatchFeatures], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = Prompts(points=((*_at(12, 12), True),))
    with pytest.raises(UserError) as caught:
        object_mask(*known, prompts, sam="sam3")
    assert_says(caught.value, "'sam3'", "efficientsam:10m")
    monkeypatch.delitem(sys.modules, "prelabel.weights.sam")
    monkeypatch.setitem(sys.modules, "osam", None)
    with pytest.raises(UserError) as caught:
        object_mask(*known, prompts, sam="sam2:tiny")
    assert_says(caught.value, "osam is missing", "pip install 'prelabel[sam]'")
