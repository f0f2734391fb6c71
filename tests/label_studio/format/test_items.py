"""Label Studio's result items of regions, and back; the SDK and Pillow decode independently."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from label_studio_sdk.converter import brush
from label_studio_sdk.label_interface import LabelInterface
from PIL import Image, ImageDraw

from prelabel.data.masks import Mask, encode_rle, rle_area, rle_box
from prelabel.data.records import Prediction, Region
from prelabel.errors import UserError
from prelabel.label_studio.format.items import Losses, decode_item, encode_regions, merge_fragments
from prelabel.label_studio.format.label_config import Control, Kind, Label

# pycocotools does not know numpy 2's `copy` yet: harmless, but pytest keeps every warning.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

KINDS: tuple[Kind, ...] = ("brush", "bitmask", "polygon", "rectangle")
MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24))


def _control(kind: Kind, *labels: str) -> Control:
    return Control(kind, "tag", "image", "photo", tuple(map(Label, labels)))


def _box(x: int, y: int, w: int, h: int, *, height: int = 8, width: int = 10) -> Mask:
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[y : y + h, x : x + w] = True
    return mask


def _region(mask: Mask, *, cluster: int = 0, score: float = 0.5) -> Region:
    rle = encode_rle(mask)
    return Region(rle=rle, box=rle_box(rle), area=rle_area(rle), score=score, cluster=cluster)


def _prediction(*regions: Region, photo: str = "x.jpg") -> Prediction:
    height, width = regions[0].rle["size"] if regions else (8, 10)
    return Prediction(photo, "0" * 32, width, height, regions, 0.0, 0, "m-1")


def _items(mask: Mask, kind: Kind, **settings: Any) -> list[dict[str, Any]]:
    return encode_regions(_prediction(_region(mask)), ["Dog"], _control(kind, "Dog"), **settings)[0]


def _back(item: dict[str, Any], mask: Mask) -> Mask:
    height, width = mask.shape
    decoded = decode_item(json.loads(json.dumps(item)), height=height, width=width)
    assert decoded is not None
    assert decoded.shape == mask.shape
    return decoded


def _iou(a: Mask, b: Mask) -> float:
    return float((a & b).sum() / (a | b).sum())


RING = _box(2, 1, 5, 5) & ~_box(3, 3, 3, 1)


def test_encode_regions__every_field_of_a_rectangle() -> None:
    region = _region(_box(2, 2, 5, 4), score=0.75)
    (item,), losses = encode_regions(_prediction(region), {0: "Dog"}, _control("rectangle", "Dog"))
    assert losses == Losses()
    assert len(item.pop("id")) == 16
    assert item == {
        "type": "rectanglelabels",
        "from_name": "tag",
        "to_name": "image",
        "original_width": 10,
        "original_height": 8,
        "image_rotation": 0,
        "score": 0.75,
        "value": {
            "x": 20.0,
            "y": 25.0,
            "width": 50.0,
            "height": 50.0,
            "rotation": 0,
            "rectanglelabels": ["Dog"],
        },
    }


@pytest.mark.parametrize(
    ("kind", "tag"),
    [
        ("brush", "BrushLabels"),
        ("bitmask", "BitmaskLabels"),
        ("polygon", "PolygonLabels"),
        ("rectangle", "RectangleLabels"),
    ],
)
def test_encode_regions__the_sdk_accepts_them(kind: Kind, tag: str) -> None:
    config = LabelInterface(
        f'<View><Image name="image" value="$photo"/><{tag} name="tag" toName="image">'
        f'<Label value="Dog"/></{tag}></View>'
    )
    prediction = {"model_version": "m", "score": 0.5, "result": _items(RING, kind)}
    assert config.validate_prediction(prediction, return_errors=True) == []


@given(MASKS)
def test_brush__round_trip_and_the_sdk_s_decoder(mask: Mask) -> None:
    items = _items(mask, "brush")
    assert len(items) == mask.any()
    for item in items:
        assert item["value"]["format"] == "rle"
        assert np.array_equal(_back(item, mask), mask)
        values = brush.decode_rle(item["value"]["rle"]).reshape(*mask.shape, 4)
        assert np.array_equal(values, np.repeat(mask[..., None] * 255, 4, axis=2))


@given(MASKS)
def test_bitmask__round_trip_and_pillow_sees_black_on_transparent(mask: Mask) -> None:
    for item in _items(mask, "bitmask"):
        assert np.array_equal(_back(item, mask), mask)
        head, data = item["value"]["imageDataURL"].split(",")
        assert head == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.mode == "RGBA"
            pixels = np.asarray(image)
        assert np.array_equal(pixels[..., 3], mask * 255)
        assert not pixels[..., :3].any()


@given(MASKS)
def test_rectangle__is_the_box(mask: Mask) -> None:
    for item in _items(mask, "rectangle"):
        x, y, w, h = rle_box(encode_rle(mask))
        box = _box(x, y, w, h, height=mask.shape[0], width=mask.shape[1])
        assert np.array_equal(_back(item, mask), box)


@given(MASKS)
def test_polygon__without_tolerance_gives_back_all_but_holes(mask: Mask) -> None:
    items = _items(mask, "polygon", tolerance=0.0)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    assert len(items) == len(contours)
    filled = np.zeros(mask.shape, dtype=np.uint8)
    cv2.drawContours(filled, contours, -1, 1, cv2.FILLED)
    decoded = np.zeros(mask.shape, dtype=np.bool_)
    for item in items:
        part = _back(item, mask)
        assert not (decoded & part).any()
        decoded |= part
    assert np.array_equal(decoded, filled.astype(np.bool_))
    _, losses = encode_regions(_prediction(_region(mask)), ["Dog"], _control("polygon"))
    assert losses.hole_pixels == filled.sum() - mask.sum()
    assert (losses.holes > 0) == (losses.hole_pixels > 0)


@given(st.integers(0, 10_000), st.floats(0, 20))
def test_polygon__of_a_blob_keeps_its_overlap(seed: int, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.random((60, 80)).astype(np.float32), (0, 0), 5)
    mask = np.asarray(smooth > np.quantile(np.asarray(smooth), 0.6))
    decoded = np.zeros(mask.shape, dtype=np.bool_)
    for item in _items(mask, "polygon", tolerance=tolerance):
        decoded |= _back(item, mask)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, dtype=np.uint8)
    cv2.drawContours(filled, contours, -1, 1, cv2.FILLED)
    assert _iou(decoded, filled.astype(np.bool_)) >= 0.95


def test_polygon__a_disc_has_few_points_and_pillow_fills_it_alike() -> None:
    y, x = np.indices((100, 120))
    mask = (x - 60) ** 2 + (y - 50) ** 2 <= 40**2
    (item,) = _items(mask, "polygon")
    points = np.asarray(item["value"]["points"])
    assert 8 <= len(points) <= 40
    assert _iou(_back(item, mask), mask) >= 0.95
    big = Image.new("1", (1200, 1000))
    ImageDraw.Draw(big).polygon([(12 * px, 10 * py) for px, py in points], fill=1)
    assert _iou(np.asarray(big)[5::10, 5::10], mask) >= 0.95


def test_polygon__corners_by_hand_and_the_hole_is_counted() -> None:
    items, losses = encode_regions(_prediction(_region(RING)), ["Dog"], _control("polygon", "Dog"))
    assert losses == Losses(holes=1, hole_pixels=3)
    (item,) = items
    corners = {tuple(point) for point in item["value"]["points"]}
    assert corners == {(20.0, 12.5), (70.0, 12.5), (70.0, 75.0), (20.0, 75.0)}
    assert (item["type"], item["value"]["closed"]) == ("polygonlabels", True)
    assert np.array_equal(_back(item, RING), _box(2, 1, 5, 5))
    for kind in ("brush", "bitmask", "rectangle"):
        assert encode_regions(_prediction(_region(RING)), ["Dog"], _control(kind))[1] == Losses()


def test_polygon__one_result_for_each_part_with_an_id_of_its_own() -> None:
    mask = _box(0, 0, 2, 2) | _box(5, 5, 1, 1)
    items = _items(mask, "polygon")
    assert len({item["id"] for item in items}) == 2
    assert sorted(int(_back(item, mask).sum()) for item in items) == [1, 4]


def test_encode_regions__sorted_limited_and_every_loss_counted() -> None:
    regions = [
        _region(_box(n, 0, 1, 2), cluster=cluster, score=score)
        for n, (cluster, score) in enumerate(
            [(0, 0.3), (1, 0.9), (2, 0.8), (0, 0.1), (-1, 0.7), (0, 0.6), (3, 0.5), (9, 0.4)]
        )
    ]
    regions.append(_region(_box(0, 0, 0, 0), score=0.95))
    names = ["Dog", "Cat", None, "no such label"]
    for given_names in (names, dict(enumerate(names))):
        items, losses = encode_regions(
            _prediction(*regions),
            given_names,
            _control("brush", "Dog", "Cat"),
            min_score=0.2,
            max_regions=5,
        )
        assert [item["score"] for item in items] == [0.9, 0.8, 0.7, 0.6, 0.5]
        labels = [item["value"]["brushlabels"] for item in items]
        assert labels == [["Cat"], [], [], ["Dog"], []]  # unknown or none: there, without a label
        assert losses == Losses(below_threshold=1, unnamed=3, empty=1, over_limit=2)


def test_encode_regions__nothing_found_and_a_photo_in_a_list() -> None:
    assert encode_regions(_prediction(), [], _control("brush")) == ([], Losses())
    (item,) = _items(RING, "brush", item_index=3)
    assert item["item_index"] == 3
    assert "item_index" not in _items(RING, "brush")[0]


@pytest.mark.parametrize("kind", KINDS)
def test_encode_regions__ids_follow_photo_mask_and_kind(kind: Kind) -> None:
    def identity(mask: Mask, photo: str, cluster: int, kind: Kind = kind) -> str:
        prediction = _prediction(_region(mask, cluster=cluster), photo=photo)
        return str(encode_regions(prediction, ["A", "B"], _control(kind))[0][0]["id"])

    first = identity(RING, "x.jpg", 0)
    assert identity(RING, "x.jpg", 1) == first
    others = [identity(RING, "no UTF-8 \udcff", 0), identity(~RING, "x.jpg", 0)]
    kinds = [identity(RING, "x.jpg", 0, other) for other in KINDS]
    assert len({first, *others, *kinds}) == 6


@pytest.mark.parametrize("settings", [{"tolerance": -1.0}, {"max_regions": -1}])
def test_encode_regions__wrong_settings(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="wanted 0 or more"):
        _items(RING, "polygon", **settings)


def _drawn(kind: str, **value: Any) -> Mask:
    item = {"id": "a", "type": f"{kind}labels", "value": value}
    decoded = decode_item(item, height=8, width=10)
    assert decoded is not None
    return decoded


def test_decode_item__a_turned_rectangle() -> None:
    # Upper left corner at (5, 2) pixels, 4 wide and 2 high; a quarter turn clockwise leads the
    # width downwards and the height to the left.
    turned = _drawn("rectangle", x=50, y=25, width=40, height=25, rotation=90)
    assert np.array_equal(turned, _box(3, 2, 2, 4))
    # Half a turn: to the left and upwards.
    turned = _drawn("rectangle", x=50, y=50, width=40, height=25, rotation=180)
    assert np.array_equal(turned, _box(1, 2, 4, 2))


def test_decode_item__what_leaves_the_photo_is_cut_off() -> None:
    assert np.array_equal(_drawn("rectangle", x=-20, y=50, width=40, height=100), _box(0, 4, 2, 4))
    points = [[50, -100], [200, -100], [200, 50], [50, 50]]
    assert np.array_equal(_drawn("polygon", points=points), _box(5, 0, 5, 4))
    assert not _drawn("rectangle", x=150, y=150, width=10, height=10).any()
    assert not _drawn("polygon", points=[[-50, -50], [-10, -50], [-10, -10]]).any()


def test_decode_item__a_triangle_by_pixels_centres() -> None:
    # From (0, 0) over (8, 0) to (0, 8): centres with x + y < 8, so rows of 7, 6, … and 0 pixels
    # and those on the edge itself (x + y = 8) are out.
    triangle = _drawn("polygon", points=[[0, 0], [80, 0], [0, 100]])
    assert triangle.sum(axis=1).tolist() == [7, 6, 5, 4, 3, 2, 1, 0]


def test_decode_item__grey_strokes_and_pngs_without_alpha() -> None:
    values = np.array([[0, 127, 128, 255]], dtype=np.uint8)
    for pixels in (values, np.dstack([values] * 3), np.dstack([values * 0] * 3 + [values])):
        url = "data:image/png;base64," + base64.b64encode(
            cv2.imencode(".png", pixels)[1].tobytes()
        ).decode("ascii")
        item = {"type": "bitmask", "value": {"imageDataURL": url}}
        decoded = decode_item(item, height=1, width=4)
        assert decoded is not None
        assert decoded.tolist() == [[False, False, True, True]]


@pytest.mark.parametrize("kind", ["choices", "labels", "keypointlabels", "", None])
def test_decode_item__other_types_are_none(kind: str | None) -> None:
    assert decode_item({"type": kind, "value": {}}, height=8, width=10) is None
    assert decode_item({}, height=8, width=10) is None


PNG = _items(RING, "bitmask")[0]["value"]["imageDataURL"]


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("brush", {}, "no 'rle'"),
        ("brush", {"rle": [1, 2]}, "2 bytes"),
        ("brush", {"rle": [999]}, "range"),
        ("brush", {"rle": _items(RING[:4], "brush")[0]["value"]["rle"]}, "values"),
        ("bitmask", {"imageDataURL": "data:image/jpeg;base64,AA"}, "begins with"),
        ("bitmask", {"imageDataURL": PNG[:26] + "!"}, "base64"),
        ("bitmask", {"imageDataURL": PNG[:22]}, "0 × 0"),
        ("bitmask", {"imageDataURL": PNG[:62]}, "broken"),
        ("bitmask", _items(RING[:4], "bitmask")[0]["value"], "10 × 4"),
        ("polygon", {"points": [1, 2, 3]}, "shape"),
        ("polygon", {"points": [[0, 0], [1, float("nan")]]}, "percents"),
        ("polygon", {"points": [[0, 0], [1e300, 1], [5, 5]]}, "percents"),
        ("polygon", {"points": None}, "shape"),
        ("rectangle", {"x": 1, "y": 2, "width": "wide", "height": 1}, "wide"),
        ("rectangle", {"x": 1, "y": 2, "width": float("inf"), "height": 1}, "no percent"),
        ("rectangle", [], "indices"),
    ],
)
def test_decode_item__says_what_is_wrong(kind: str, value: Any, found: str) -> None:
    with pytest.raises(UserError, match=rf"^region 'a' \({kind}labels\) cannot be read: .*{found}"):
        decode_item({"id": "a", "type": f"{kind}labels", "value": value}, height=8, width=10)


def test_merge_fragments__by_distance_and_cluster() -> None:
    # Columns 0–1, 4 and 8: pixels 3 and 4 apart.
    left = _region(_box(0, 0, 2, 4), score=0.2)  # 8 pixels
    middle = _region(_box(4, 3, 1, 2), score=0.7)  # 2 pixels
    right = _region(_box(8, 0, 1, 8), score=0.6)
    other = _region(_box(2, 0, 2, 4), cluster=1, score=0.9)
    prediction = _prediction(other, middle, right, left)
    assert merge_fragments(prediction, 0) is prediction
    assert merge_fragments(prediction, 2) == prediction
    merged = merge_fragments(prediction, 3).regions
    assert [region.cluster for region in merged] == [1, 0, 0]
    assert merged[:2] == (other, right)
    assert merged[2].score == pytest.approx(0.3)  # (8 × 0.2 + 2 × 0.7) / 10
    assert (merged[2].area, merged[2].box) == (10, (0, 0, 5, 5))
    assert merged[2].rle == encode_rle(_box(0, 0, 2, 4) | _box(4, 3, 1, 2))
    # Left and right meet over the middle.
    assert [r.area for r in merge_fragments(prediction, 4).regions] == [8, 18]


def test_merge_fragments__boxes_that_overlap_are_not_enough() -> None:
    diagonal = _box(0, 0, 1, 8) | _box(0, 7, 9, 1)
    apart = _prediction(_region(diagonal), _region(_box(5, 0, 1, 3)))
    assert merge_fragments(apart, 4) == apart
    assert len(merge_fragments(apart, 5).regions) == 1


def test_merge_fragments__without_classes_or_regions() -> None:
    prediction = _prediction(_region(RING, cluster=-1), _region(RING, cluster=-1))
    assert merge_fragments(prediction, 5) == prediction
    assert merge_fragments(_prediction(), 5) == _prediction()
    with pytest.raises(UserError, match="gap is -1 pixels"):
        merge_fragments(prediction, -1)
