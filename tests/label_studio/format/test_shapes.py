"""Each shape written and read; the SDK, OpenCV and Pillow decode independently."""

from __future__ import annotations

import base64
import io
import json
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from label_studio_sdk.converter import brush
from PIL import Image, ImageDraw

from builders import RING, box, iou, prediction, region
from prelabel.data.masks import Mask, encode_rle, rle_box
from prelabel.errors import UserError
from prelabel.label_studio.format.items import Losses, ResultItem, decode_item, encode_regions
from prelabel.label_studio.format.label_config import Control, Label
from prelabel.label_studio.format.shape_values import polygon_points
from prelabel.label_studio.format.shapes import (
    SHAPE_OF,
    SHAPES,
    Kind,
    shape_of_item,
)
from prelabel.storage.json import JsonObject

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=24))


def control(kind: Kind, *labels: str) -> Control:
    return Control(kind, "tag", "image", "photo", tuple(map(Label, labels)))


def encode(mask: Mask, kind: Kind, **settings: Any) -> list[ResultItem]:
    photo = prediction("x.jpg", region(mask))
    return encode_regions(photo, {0: "Dog"}, control(kind, "Dog"), **settings)[0]


def back(item: JsonObject, mask: Mask) -> Mask:
    height, width = mask.shape
    decoded = decode_item(json.loads(json.dumps(item)), height=height, width=width)
    assert decoded is not None
    assert decoded.shape == mask.shape
    return decoded


def test_shapes__every_kind_has_a_row() -> None:
    assert tuple(shape.kind for shape in SHAPES) == get_args(Kind)
    for shape in SHAPES:
        assert shape_of_item({"type": shape.kind}) is shape
        assert shape_of_item({"type": f"{shape.kind}labels"}) is shape
        assert shape.bare_tag.lower() == shape.kind
        assert shape.tag in (f"{shape.bare_tag}Labels", "")
        assert SHAPE_OF[shape.kind] is shape


@pytest.mark.parametrize("kind", get_args(Kind))
def test_shapes__a_value_is_recognized_by_its_key(kind: Kind) -> None:
    (item,) = encode(RING, kind)
    found = next(s.kind for s in SHAPES if s.value_key in item["value"])
    assert found == ("brush" if kind == "magicwand" else kind)  # a wand's are a brush's


@given(MASKS)
def test_brush__round_trip_and_the_sdk_s_decoder(mask: Mask) -> None:
    items = encode(mask, "brush")
    assert len(items) == mask.any()
    for item in items:
        assert item["value"]["format"] == "rle"
        assert np.array_equal(back(item, mask), mask)
        values = brush.decode_rle(item["value"]["rle"]).reshape(*mask.shape, 4)
        assert np.array_equal(values, np.repeat(mask[..., None] * 255, 4, axis=2))


@given(MASKS)
def test_bitmask__round_trip_and_pillow_sees_black_on_transparent(mask: Mask) -> None:
    for item in encode(mask, "bitmask"):
        assert np.array_equal(back(item, mask), mask)
        head, data = str(item["value"]["imageDataURL"]).split(",")
        assert head == "data:image/png;base64"
        with Image.open(io.BytesIO(base64.b64decode(data))) as image:
            assert image.mode == "RGBA"
            pixels = np.asarray(image)
        assert np.array_equal(pixels[..., 3], mask * 255)
        assert not pixels[..., :3].any()


@given(MASKS)
def test_rectangle__is_the_box(mask: Mask) -> None:
    for item in encode(mask, "rectangle"):
        x, y, w, h = rle_box(encode_rle(mask))
        around = box(x, y, w, h, photo=(mask.shape[0], mask.shape[1]))
        assert np.array_equal(back(item, mask), around)


@given(MASKS)
def test_polygon__without_tolerance_gives_back_all_but_holes(mask: Mask) -> None:
    items = encode(mask, "polygon", tolerance=0.0)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    assert len(items) == len(contours)
    filled = np.zeros(mask.shape, dtype=np.uint8)
    cv2.drawContours(filled, contours, -1, 1, cv2.FILLED)
    decoded = np.zeros(mask.shape, dtype=np.bool_)
    for item in items:
        part = back(item, mask)
        assert not (decoded & part).any()
        decoded |= part
    assert np.array_equal(decoded, filled.astype(np.bool_))
    _, losses = encode_regions(prediction("x.jpg", region(mask)), {0: "Dog"}, control("polygon"))
    assert losses.hole_pixels == filled.sum() - mask.sum()
    assert (losses.holes > 0) == (losses.hole_pixels > 0)


@given(st.integers(0, 10_000), st.floats(0, 20))
def test_polygon__of_a_blob_keeps_its_overlap(seed: int, tolerance: float) -> None:
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.random((60, 80)).astype(np.float32), (0, 0), 5)
    mask = np.asarray(smooth > np.quantile(np.asarray(smooth), 0.6))
    decoded = np.zeros(mask.shape, dtype=np.bool_)
    for item in encode(mask, "polygon", tolerance=tolerance):
        decoded |= back(item, mask)
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, dtype=np.uint8)
    cv2.drawContours(filled, contours, -1, 1, cv2.FILLED)
    assert iou(decoded, filled.astype(np.bool_)) >= 0.95


@given(MASKS.filter(lambda mask: bool(mask.any())), st.integers(3, 12))
def test_polygon__has_no_more_corners_than_its_budget(mask: Mask, most: int) -> None:
    mask = np.kron(mask, np.ones((8, 8))).astype(np.bool_)
    photo = prediction("x.jpg", region(mask))
    exact, _ = encode_regions(photo, {}, control("polygon"), tolerance=0.0)
    items, losses = encode_regions(photo, {}, control("polygon"), tolerance=0.0, max_points=most)
    assert all(3 <= len(polygon_points(item["value"])) <= max(most, 4) for item in items)
    ious = [iou(back(a, mask), back(b, mask)) for a, b in zip(exact, items, strict=True)]
    # Of a pixel whose centre is on a side, rounding decides.
    assert losses.iou_lost == pytest.approx(sum(1 - one for one in ious), abs=0.1 * len(items))


def test_polygon__the_budget_costs_little() -> None:
    y, x = np.indices((400, 400)) - 200
    angle = np.arctan2(y, x)
    star = np.hypot(x, y) < 120 + 40 * np.sin(9 * angle)
    photo = prediction("x.jpg", region(star))
    for most, least in ((60, 0.97), (30, 0.9)):
        (item,), losses = encode_regions(photo, {}, control("polygon"), max_points=most)
        assert len(polygon_points(item["value"])) <= most
        assert 1 - losses.iou_lost >= least


def test_polygon__a_disc_has_few_points_and_pillow_fills_it_alike() -> None:
    y, x = np.indices((100, 120))
    mask = (x - 60) ** 2 + (y - 50) ** 2 <= 40**2
    (item,) = encode(mask, "polygon")
    points = polygon_points(item["value"])
    assert 8 <= len(points) <= 40
    assert iou(back(item, mask), mask) >= 0.95
    big = Image.new("1", (1200, 1000))
    ImageDraw.Draw(big).polygon([(12 * px, 10 * py) for px, py in points], fill=1)
    assert iou(np.asarray(big)[5::10, 5::10], mask) >= 0.95


def test_polygon__corners_by_hand_and_the_hole_is_counted() -> None:
    items, losses = encode_regions(
        prediction("x.jpg", region(RING)), {0: "Dog"}, control("polygon", "Dog")
    )
    assert losses == Losses(holes=1, hole_pixels=3)
    (item,) = items
    corners = {(x, y) for x, y in polygon_points(item["value"])}
    assert corners == {(20.0, 12.5), (70.0, 12.5), (70.0, 75.0), (20.0, 75.0)}
    assert (item["type"], item["value"]["closed"]) == ("polygonlabels", True)
    assert np.array_equal(back(item, RING), box(2, 1, 5, 5))
    (vector,) = encode(RING, "vector")
    vertices: Any = vector["value"]["vertices"]
    assert {(v["x"], v["y"]) for v in vertices} == corners
    assert np.array_equal(back(vector, RING), box(2, 1, 5, 5))
    for kind in ("brush", "bitmask", "rectangle"):
        assert (
            encode_regions(prediction("x.jpg", region(RING)), {0: "Dog"}, control(kind))[1]
            == Losses()
        )


def test_polygon__one_result_for_each_part_with_an_id_of_its_own() -> None:
    mask = box(0, 0, 2, 2) | box(5, 5, 1, 1)
    items = encode(mask, "polygon")
    assert len({item["id"] for item in items}) == 2
    assert sorted(int(back(item, mask).sum()) for item in items) == [1, 4]


def drawn(kind: str, **value: Any) -> Mask:
    item = {"id": "a", "type": f"{kind}labels", "value": value}
    decoded = decode_item(item, height=8, width=10)
    assert decoded is not None
    return decoded


def test_decode__a_turned_rectangle() -> None:
    # Upper left corner at (5, 2) pixels, 4 wide and 2 high; a quarter turn clockwise leads the
    # width downwards and the height to the left.
    turned = drawn("rectangle", x=50, y=25, width=40, height=25, rotation=90)
    assert np.array_equal(turned, box(3, 2, 2, 4))
    # Half a turn: to the left and upwards.
    turned = drawn("rectangle", x=50, y=50, width=40, height=25, rotation=180)
    assert np.array_equal(turned, box(1, 2, 4, 2))


def test_decode__a_turned_ellipse() -> None:
    # Centre (5, 4) pixels, radii 4 and 2: a centre (x, y) is inside if (x/4)² + (y/2)² < 1.
    rows = [0, 0, 6, 8, 8, 6, 0, 0]
    level = drawn("ellipse", x=50, y=50, radiusX=40, radiusY=25, rotation=0)
    assert level.sum(axis=1).tolist() == rows
    # The radii are shares of the photo's width and height, before the turn.
    turned = drawn("ellipse", x=50, y=50, radiusX=40, radiusY=25, rotation=90)
    assert turned.sum(axis=0).tolist() == [0, *rows, 0]
    sloped = drawn("ellipse", x=50, y=50, radiusX=40, radiusY=12.5, rotation=45)
    assert sloped[2, 3]  # clockwise, as y points down: from upper left to lower right
    assert not sloped[2, 6]


@given(st.floats(15, 40), st.floats(15, 40), st.floats(5, 18), st.floats(5, 18), st.floats(0, 180))
def test_ellipse__of_an_ellipse_is_that_ellipse(
    x: float, y: float, a: float, b: float, rotation: float
) -> None:
    value = {"x": 100 * x / 60, "y": 100 * y / 55, "rotation": rotation}
    value |= {"radiusX": 100 * a / 60, "radiusY": 100 * b / 55}
    mask = decode_item({"type": "ellipse", "value": value}, height=55, width=60)
    assert mask is not None
    (item,) = encode(mask, "ellipse")
    assert iou(back(item, mask), mask) > 0.85  # it may leave the photo
    found = item["value"]
    assert 0 <= float(str(found["rotation"])) <= 360
    assert max(float(str(found["radiusX"])), float(str(found["radiusY"]))) <= 50


@given(MASKS.filter(lambda mask: bool(mask.any())))
def test_ellipse__is_one_that_label_studio_takes(mask: Mask) -> None:
    (item,) = encode(mask, "ellipse")
    value = {
        key: float(str(number)) for key, number in item["value"].items() if key != "ellipselabels"
    }
    assert 0 <= value["x"] <= 100
    assert 0 <= value["y"] <= 100
    assert 0 < value["radiusX"] <= 50
    assert 0 < value["radiusY"] <= 50
    assert 0 <= value["rotation"] < 180


def test_ellipse__second_moments_by_hand() -> None:
    # A box of 6 × 2 pixels around (5, 4): variances 36 / 12 = 3 and 4 / 12, radii twice the roots.
    (item,) = encode(box(2, 3, 6, 2), "ellipse")
    value = item["value"]
    assert (value["x"], value["y"], value["rotation"]) == (50, 50, 0)
    assert value["radiusX"] == pytest.approx(100 * 2 * 3**0.5 / 10)
    assert value["radiusY"] == pytest.approx(100 * 2 * (1 / 3) ** 0.5 / 8)


def point(x: float, y: float, **more: Any) -> dict[str, Any]:
    return {"x": x, "y": y, **more}


def test_decode__a_vector_follows_its_points_and_curves() -> None:
    corners = [(20, 25), (60, 25), (60, 75), (20, 75)]
    straight = [point(x, y) for x, y in corners]
    assert np.array_equal(drawn("vector", vertices=straight, closed=True), box(2, 2, 4, 4))
    # The order is that of prevPointId, if the points have ids.
    named = [
        point(*corners[i], id=f"p{i}", prevPointId=f"p{i - 1}" if i else None) for i in range(4)
    ]
    mixed = [named[i] for i in (2, 0, 3, 1)]
    assert np.array_equal(drawn("vector", vertices=mixed, closed=True), box(2, 2, 4, 4))
    # Four curves with handles of 0.5523 radii are a circle, to a thousandth.
    r, k = 30.0, 30 * 0.5523
    circle = [
        point(50 + dx * r, 50 + dy * r, isBezier=True,
              controlPoint1=point(50 + dx * r + dy * k, 50 + dy * r - dx * k),
              controlPoint2=point(50 + dx * r - dy * k, 50 + dy * r + dx * k))
        for dx, dy in ((1, 0), (0, 1), (-1, 0), (0, -1))
    ]  # fmt: skip
    item = {"type": "vector", "value": {"vertices": circle, "closed": True}}
    found = decode_item(item, height=200, width=200)
    y, x = np.indices((200, 200)) + 0.5
    assert found is not None
    assert iou(found, np.hypot(x - 100, y - 100) < 60) > 0.995


def test_decode__what_leaves_the_photo_is_cut_off() -> None:
    assert np.array_equal(drawn("rectangle", x=-20, y=50, width=40, height=100), box(0, 4, 2, 4))
    points = [[50, -100], [200, -100], [200, 50], [50, 50]]
    assert np.array_equal(drawn("polygon", points=points), box(5, 0, 5, 4))
    assert not drawn("rectangle", x=150, y=150, width=10, height=10).any()
    assert not drawn("polygon", points=[[-50, -50], [-10, -50], [-10, -10]]).any()


def test_decode__a_triangle_by_pixels_centres() -> None:
    # From (0, 0) over (8, 0) to (0, 8): centres with x + y < 8, so rows of 7, 6, … and 0 pixels
    # and those on the edge itself (x + y = 8) are out.
    triangle = drawn("polygon", points=[[0, 0], [80, 0], [0, 100]])
    assert triangle.sum(axis=1).tolist() == [7, 6, 5, 4, 3, 2, 1, 0]


def test_decode__grey_strokes_and_pngs_without_alpha() -> None:
    values = np.array([[0, 127, 128, 255]], dtype=np.uint8)
    for pixels in (values, np.dstack([values] * 3), np.dstack([values * 0] * 3 + [values])):
        url = "data:image/png;base64," + base64.b64encode(
            cv2.imencode(".png", pixels)[1].tobytes()
        ).decode("ascii")
        item = {"type": "bitmask", "value": {"imageDataURL": url}}
        decoded = decode_item(item, height=1, width=4)
        assert decoded is not None
        assert decoded.tolist() == [[False, False, True, True]]


PNG = str(encode(RING, "bitmask")[0]["value"]["imageDataURL"])


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("brush", {}, "no 'rle'"),
        ("brush", {"rle": [1, 2]}, "2 bytes"),
        ("brush", {"rle": [999]}, "range"),
        ("brush", {"rle": encode(RING[:4], "brush")[0]["value"]["rle"]}, "values"),
        ("bitmask", {"imageDataURL": "data:image/jpeg;base64,AA"}, "begins with"),
        ("bitmask", {"imageDataURL": PNG[:26] + "!"}, "base64"),
        ("bitmask", {"imageDataURL": PNG[:22]}, "0 × 0"),
        ("bitmask", {"imageDataURL": PNG[:62]}, "broken"),
        ("bitmask", encode(RING[:4], "bitmask")[0]["value"], "10 × 4"),
        ("polygon", {"points": [1, 2, 3]}, "shape"),
        ("polygon", {"points": [[0, 0], [1, float("nan")]]}, "percents"),
        ("polygon", {"points": [[0, 0], [1e300, 1], [5, 5]]}, "percents"),
        ("polygon", {"points": None}, "shape"),
        ("rectangle", {"x": 1, "y": 2, "width": "wide", "height": 1}, "wide"),
        ("rectangle", {"x": 1, "y": 2, "width": float("inf"), "height": 1}, "not a percent"),
        ("rectangle", [], "not an object"),
        ("ellipse", {"x": 1, "y": 2, "radiusX": 3}, "no 'radiusY'"),
        ("vector", {"vertices": [], "closed": False}, "open path"),
        ("vector", {"vertices": [[1, 2]], "closed": True}, "not a list of points"),
        ("vector", {"vertices": [{"x": 1}], "closed": True}, "no 'y'"),
        ("vector", {"vertices": [{"x": 1, "y": 1e9}], "closed": True}, "no place"),
    ],
)
def test_decode__says_what_is_wrong(kind: str, value: Any, found: str) -> None:
    with pytest.raises(UserError, match=rf"^region 'a' \({kind}labels\) cannot be read: .*{found}"):
        decode_item({"id": "a", "type": f"{kind}labels", "value": value}, height=8, width=10)
