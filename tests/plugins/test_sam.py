"""The refiner sam: its prompts by hand, and what it does with a network whose masks are known."""

# ruff: noqa: E402 (what needs osam is imported once it is there)
from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

osam = pytest.importorskip("osam", reason="osam is not installed: pip install 'prelabel[sam]'")
pytest.importorskip("onnx", reason="onnx is not installed: pip install 'prelabel[stand-in]'")

from prelabel import config, pipeline
from prelabel.errors import UserError
from prelabel.model_code import code_now
from prelabel.strategies import contracts, registry
from prelabel.weights.sam import SamModel
from prelabel_plugins.refiners import sam_prompts
from prelabel_plugins.refiners.guided_filter import GuidedFilter
from support import tiny_sam as network
from support.messages import assert_says
from support.small_photos import tiny_config, write_scenes

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]
GROUND, RED, BLUE = (40, 40, 40), (220, 30, 30), (30, 30, 220)


def _mask(drawing: str) -> Mask:
    return np.array([[c == "#" for c in line] for line in drawing.split()])


L_SHAPE = _mask("""
    ..........
    .###......
    .###......
    .###......
    .#######..
    .#######..
    .#######..
    ..........
""")


def _rectangle(
    top: int, bottom: int, left: int, right: int, shape: tuple[int, int] = (80, 128)
) -> Mask:
    mask = np.zeros(shape, dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def _photo(red: Mask, blue: Mask | None = None) -> NDArray[np.uint8]:
    image = np.full((*red.shape, 3), GROUND, dtype=np.uint8)
    image[red] = RED
    if blue is not None:
        image[blue] = BLUE
    return image


# Prompts


def test_inner_point__is_the_farthest_from_the_edge() -> None:
    # No pixel is farther than 2 from one outside; (2, 2) is the first that is as far.
    assert sam_prompts.inner_point(L_SHAPE) == (2, 2)
    assert sam_prompts.inner_point(_rectangle(1, 8, 3, 10, (10, 14))) == (6, 4)


def test_inner_point__is_inside_the_photo_where_the_mask_fills_it() -> None:
    assert sam_prompts.inner_point(np.ones((5, 9), dtype=np.bool_)) == (2, 2)
    assert sam_prompts.inner_point(np.ones((1, 1), dtype=np.bool_)) == (0, 0)


def test_outer_point__is_the_farthest_from_the_mask_in_its_box() -> None:
    # In the box, x 4 to 7 and y 1 to 3 are free: min(x - 3, 4 - y) is 3 at (6, 1) and (7, 1).
    assert sam_prompts.outer_point(L_SHAPE) == (6, 1)
    assert sam_prompts.outer_point(_rectangle(2, 5, 2, 5, (8, 8))) is None


def test_likeness__is_the_cosine_to_the_masks_mean() -> None:
    vectors = np.zeros((2, 2, 2), dtype=np.float32)
    vectors[:, 0], vectors[:, 1] = (2, 0), (3, 4)
    left = _rectangle(0, 8, 0, 4, (8, 8))
    like = sam_prompts.likeness(left, vectors)
    assert like.shape == (8, 8)
    assert like[:, 0] == pytest.approx(1)
    assert like[:, -1] == pytest.approx(0.6)
    # Three quarters of the mask lie in the left column, one quarter in the right one.
    both = sam_prompts.likeness(_rectangle(0, 8, 1, 5, (8, 8)), vectors)
    mean = np.array([0.75 * 2 + 0.25 * 3, 0.25 * 4])
    assert both[0, 0] == pytest.approx(mean[0] / np.hypot(*mean), abs=1e-5)


@pytest.mark.parametrize(
    ("like", "expected"),
    [
        (_rectangle(0, 80, 0, 128), (36, 18, 63, 41)),  # steps: 0.1 · 24 = 2, 0.1 · 20 = 2
        (_rectangle(0, 80, 0, 50), (36, 20, 61, 39)),  # above: 12 of 24 columns, not more than half
        (_rectangle(0, 80, 0, 51), (36, 18, 61, 41)),
        (_rectangle(0, 80, 0, 1), (38, 20, 61, 39)),
    ],
)
def test_context_box__grows_where_it_is_like_the_mask(
    like: Mask, expected: tuple[int, int, int, int]
) -> None:
    mask = _rectangle(20, 40, 38, 62)
    assert sam_prompts.context_box(mask, like.astype(np.float32)) == expected


def test_context_box__grows_by_ten_pixels_at_most_and_not_beyond_the_photo() -> None:
    alike = np.ones((200, 300), dtype=np.float32)
    assert sam_prompts.context_box(_rectangle(20, 180, 60, 240, (200, 300)), alike) == (
        50,
        10,
        249,
        189,
    )
    assert sam_prompts.context_box(_rectangle(0, 195, 3, 300, (200, 300)), alike) == (
        0,
        0,
        299,
        199,
    )


def test_prompt_of__has_the_box_first() -> None:
    prompt = sam_prompts.prompt_of(L_SHAPE, np.ones((2, 2, 1), dtype=np.float32))
    assert prompt.labels.tolist() == [2, 3, 1, 0]
    assert prompt.points.tolist() == [[1, 1], [7, 6], [2, 2], [6, 1]]
    filled = sam_prompts.prompt_of(np.ones((4, 4), dtype=np.bool_), np.ones((1, 1, 1), np.float32))
    assert filled.labels.tolist() == [2, 3, 1]


# The refiner


def _coarse(mask: Mask) -> Float:
    return np.where(mask, 0.9, 0.1).astype(np.float32)


def test_refine__takes_the_masks_that_agree(tiny_sam: str) -> None:
    truth = _rectangle(20, 60, 30, 90)
    coarse = _rectangle(20, 60, 30, 90)
    coarse[20:26, 30:44] = False  # a bite out of the object, which the photo does not show
    refiner = registry.make("refiner", "sam", {"model": tiny_sam})
    refined = refiner.refine(_coarse(coarse), _photo(truth))
    assert refined.dtype == np.float32
    assert ((refined > 0.5) == truth).all()
    assert set(np.unique(refined[truth])) == {1}


def test_refine__leaves_a_region_that_sam_draws_otherwise(tiny_sam: str) -> None:
    # Half of the region has another colour: the network draws one half, an IoU of 0.5 at most.
    red, region = _rectangle(20, 60, 30, 90), _rectangle(20, 60, 30, 90)
    photo = _photo(red)
    photo[:, 60:] = BLUE
    foreground = _coarse(region)
    plain = GuidedFilter().refine(foreground, photo)
    strict = registry.make("refiner", "sam", {"model": tiny_sam, "agreement": 0.9})
    assert (strict.refine(foreground, photo) == plain).all()
    lax = registry.make("refiner", "sam", {"model": tiny_sam, "agreement": 0.1})
    assert (lax.refine(foreground, photo) != plain).any()


def test_refine__embeds_a_photo_once_however_many_regions(
    tiny_sam: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, asked = _counted(monkeypatch)
    red, blue = _rectangle(10, 30, 10, 40), _rectangle(40, 70, 70, 120)
    refiner = registry.make("refiner", "sam", {"model": tiny_sam})
    refined = refiner.refine(_coarse(red | blue), _photo(red, blue))
    assert ((refined > 0.5) == (red | blue)).all()
    assert (len(encoded), len(asked)) == (1, 2)
    refiner.refine(_coarse(red), _photo(red, blue))
    assert (len(encoded), len(asked)) == (1, 3)
    refiner.refine(_coarse(red), _photo(red))
    assert (len(encoded), len(asked)) == (2, 4)


def test_refine__does_not_ask_where_there_is_nothing_or_little(
    tiny_sam: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, _ = _counted(monkeypatch)
    red, speck = _rectangle(10, 30, 10, 40), _rectangle(70, 76, 100, 106)
    settings = {"model": tiny_sam, "min_area": 0.01}  # 102.4 pixels
    refiner = registry.make("refiner", "sam", settings)
    refiner.refine(np.zeros(red.shape, dtype=np.float32), _photo(red))
    refiner.refine(_coarse(speck), _photo(speck))
    assert not encoded


def _counted(monkeypatch: pytest.MonkeyPatch) -> tuple[list[object], list[object]]:
    """What the encoder and the decoder are called with from now on."""
    encoded: list[object] = []
    asked: list[object] = []
    made = osam.apis.get_model_type_by_name(network.NAME)
    encode, generate = made.encode_image, made.generate

    def encode_image(self: object, image: object) -> object:
        encoded.append(image)
        return encode(self, image)

    def answer(self: object, request: object) -> object:
        asked.append(request)
        return generate(self, request)

    monkeypatch.setattr(made, "encode_image", encode_image)
    monkeypatch.setattr(made, "generate", answer)
    return encoded, asked


def test_refine__gives_threads_what_one_gets(tiny_sam: str) -> None:
    refiner = registry.make("refiner", "sam", {"model": tiny_sam})
    masks = [_rectangle(10, 30 + 4 * i, 10, 40 + 8 * i) for i in range(8)]
    alone = [refiner.refine(_coarse(mask), _photo(mask)) for mask in masks]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda m: refiner.refine(_coarse(m), _photo(m)), masks))
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))


@pytest.mark.slow
def test_run__embeds_each_photo_once(
    tiny_sam: str, tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded, _ = _counted(monkeypatch)
    write_scenes(tmp_path / "photos", 4)
    settings = tiny_config("refiner.name=sam", f"refiner.model={tiny_sam}")
    model = pipeline.fit(tmp_path / "photos", settings)
    assert len(encoded) == 4
    assert all(p.regions for p in pipeline.predict(model, tmp_path / "photos"))
    assert len(encoded) == 4  # the regions come from the cache
    stricter = tiny_config("refiner.name=sam", f"refiner.model={tiny_sam}", "refiner.agreement=0.9")
    assert replace(model, config=stricter).segment_hash != model.segment_hash


def test_contract(tiny_sam: str) -> None:
    assert (
        contracts.check("refiner", "sam", {"model": tiny_sam, "agreement": 0, "min_area": 0}) == []
    )


@pytest.mark.parametrize(
    "setting", ["agreement=1.1", "agreement=-0.1", "min_area=1", "min_area=-1"]
)
def test_settings__have_ranges(setting: str) -> None:
    with pytest.raises(UserError, match=f"refiner.{setting.partition('=')[0]}"):
        config.load("default", ["refiner.name=sam", f"refiner.{setting}"])


@pytest.mark.parametrize("name", ["sam9", "sam3", "yoloworld", "efficientsam:9g", "sam3:latest"])
def test_settings__a_model_that_cannot_be_used(name: str) -> None:
    with pytest.raises(UserError) as caught:
        config.load("default", ["refiner.name=sam", f"refiner.model={name}"])
    assert_says(caught.value, repr(name), "efficientsam:10m", "sam2:tiny")


def test_code_now__depends_on_the_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    network.register(monkeypatch, tmp_path)
    settings = config.load("default", ["refiner.name=sam", f"refiner.model={network.NAME}"])
    before = code_now(settings)
    assert code_now(settings) == before
    network.register(monkeypatch, tmp_path, near=0.2)  # other weights of the same name
    after = code_now(settings)
    assert {kind for kind in after if after[kind] != before[kind]} == {"refiner"}


def test_code_now__depends_on_the_model(tiny_sam: str) -> None:
    codes, digests = [], []
    for model in (tiny_sam, "sam2", "sam2:tiny"):
        settings = config.load("default", ["refiner.name=sam", f"refiner.model={model}"])
        codes.append(code_now(settings)["refiner"])
        digests.append(settings.digest("refiner"))
    assert len(set(codes)) == len(set(digests)) == 3


def test_load__without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("prelabel_plugins.refiners.sam", "prelabel.weights.sam"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "osam", None)
    with pytest.raises(UserError) as caught:
        config.load("default", ["refiner.name=sam"])
    assert_says(caught.value, "refiner 'sam'", "pip install 'prelabel[sam]'")


def test_vectors__of_the_family_sam_are_without_the_margin() -> None:
    grid = np.arange(3 * 8 * 8, dtype=np.float32).reshape(3, 8, 8)
    wide = osam.types.ImageEmbedding(original_height=50, original_width=100, embedding=grid)
    padded = SamModel(SimpleNamespace(name="sam:100m")).vectors(wide)
    assert padded.tolist() == grid[:, :4].transpose(1, 2, 0).tolist()
    stretched = SamModel(SimpleNamespace(name="sam2:tiny")).vectors(wide)
    assert stretched.shape == (8, 8, 3)
