"""Networks with the inputs and outputs of the ONNX files that osam runs, and masks known by hand.

The embedding is the photo at 64 × 64. The mask is what has the colour at the positive point, or at the
middle of the box, and lies in the box.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
import osam
import pytest
from osam.types import Blob

from prelabel.weights import sam

_HEAD = '<ir_version: 8, opset_import: ["" : 17]>'
_ENCODERS = {
    "efficientsam": """
encoder (float[1, 3, height, width] batched_images) => (float[1, 3, 64, 64] image_embeddings)
{
    sizes = Constant<value_ints: ints = [1, 3, 64, 64]>()
    image_embeddings = Resize<mode: string = "nearest">(batched_images, , , sizes)
}
""",
    "sam": """
encoder (float[1, 3, 64, 64] x) => (float[1, 3, 64, 64] embedding)
{
    embedding = Identity(x)
}
""",
    "sam2": """
encoder (float[1, 3, 64, 64] input) => (
    float[1, 3, 64, 64] image_embeddings, float[1, 3, 64, 64] high_res_features1,
    float[1, 3, 64, 64] high_res_features2
)
{
    image_embeddings = Identity(input)
    high_res_features1 = Identity(input)
    high_res_features2 = Identity(input)
}
""",
}
"""By family. Those of ``sam`` and ``sam2`` see the photo at 64 pixels a side, in the place of 1024."""
_SHAPES = """
    flat = Constant<value_ints: ints = [-1]>()
    pairs = Constant<value_ints: ints = [-1, 2]>()
"""
_MASK = """
    zero = Constant<value_float: float = 0.0>()
    one = Constant<value_float: float = 1.0>()
    two = Constant<value_float: float = 2.0>()
    three = Constant<value_float: float = 3.0>()
    far = Constant<value_float: float = 100000.0>()
    is_point = Equal(labels, one)
    is_first = Equal(labels, two)
    is_last = Equal(labels, three)
    is_corner = Or(is_first, is_last)
    little = Constant<value_float: float = 0.00001>()
    of_point = Cast<to: int = 1>(is_point)
    of_corner = Cast<to: int = 1>(is_corner)
    of_corner_little = Mul(of_corner, little)
    weights = Add(of_point, of_corner_little)
    column = Constant<value_ints: ints = [-1, 1]>()
    weight_column = Reshape(weights, column)
    weighted = Mul(coords, weight_column)
    first_axis = Constant<value_ints: ints = [0]>()
    summed = ReduceSum<keepdims: int = 0>(weighted, first_axis)
    total = ReduceSum<keepdims: int = 0>(weights, first_axis)
    centre = Div(summed, total)

    size = Cast<to: int = 1>(photo_size)
    i0 = Constant<value_ints: ints = [0]>()
    i1 = Constant<value_ints: ints = [1]>()
    height = Gather(size, i0)
    width = Gather(size, i1)
    x = Gather(centre, i0)
    y = Gather(centre, i1)
    half = Constant<value_float: float = 0.5>()
    x_middle = Add(x, half)
    y_middle = Add(y, half)
    x_share = Div(x_middle, width)
    y_share = Div(y_middle, height)
    grid = Constant<value_float: float = 64.0>()
    x_cell = Mul(x_share, grid)
    y_cell = Mul(y_share, grid)
    last = Constant<value_float: float = 63.0>()
    x_inside = Clip(x_cell, zero, last)
    y_inside = Clip(y_cell, zero, last)
    x_index = Cast<to: int = 7>(x_inside)
    y_index = Cast<to: int = 7>(y_inside)
    row = Gather<axis: int = 2>(image_embeddings, y_index)
    colour = Gather<axis: int = 3>(row, x_index)
    difference = Sub(image_embeddings, colour)
    unlike = Abs(difference)
    channels = Constant<value_ints: ints = [1]>()
    distance = ReduceSum(unlike, channels)
    near = Constant<value_float: float = NEAR>()
    logits = Sub(near, distance)

    ones = Constant<value_ints: ints = [1, 1]>()
    whole = Concat<axis: int = 0>(ones, photo_size)
    large = Resize<mode: string = "nearest">(logits, , , whole)

    n0 = Constant<value_int: int = 0>()
    n1 = Constant<value_int: int = 1>()
    rows_n = Gather(photo_size, n0)
    columns_n = Gather(photo_size, n1)
    rows_i = Range(n0, rows_n, n1)
    columns_i = Range(n0, columns_n, n1)
    rows_f = Cast<to: int = 1>(rows_i)
    columns_f = Cast<to: int = 1>(columns_i)
    rows = Reshape(rows_f, column)
    coords_x = Gather<axis: int = 1>(coords, n0)
    coords_y = Gather<axis: int = 1>(coords, n1)
    minus_far = Neg(far)
    lefts = Where(is_first, coords_x, minus_far)
    tops = Where(is_first, coords_y, minus_far)
    rights = Where(is_last, coords_x, far)
    bottoms = Where(is_last, coords_y, far)
    left = ReduceMax<axes: ints = [0], keepdims: int = 0>(lefts)
    top = ReduceMax<axes: ints = [0], keepdims: int = 0>(tops)
    right = ReduceMin<axes: ints = [0], keepdims: int = 0>(rights)
    bottom = ReduceMin<axes: ints = [0], keepdims: int = 0>(bottoms)
    after_left = GreaterOrEqual(columns_f, left)
    before_right = LessOrEqual(columns_f, right)
    after_top = GreaterOrEqual(rows, top)
    before_bottom = LessOrEqual(rows, bottom)
    in_columns = And(after_left, before_right)
    in_rows = And(after_top, before_bottom)
    in_box = And(in_rows, in_columns)
    masked = Where(in_box, large, minus_far)
"""
"""From ``labels`` (n,), ``coords`` (n, 2) in pixels of the photo, ``photo_size`` int64 (2,) and
``image_embeddings`` to ``masked`` (1, 1, height, width), above 0 on the object, and ``logits``, the
same at the embedding's size."""
_SAM_INPUTS = """
    float[1, 3, 64, 64] image_embeddings, float[1, points, 2] point_coords,
    float[1, points] point_labels, float[1, 1, 256, 256] mask_input, float[1] has_mask_input"""
_DECODERS = {
    "efficientsam": """
decoder (
    float[1, 3, 64, 64] image_embeddings, float[1, 1, points, 2] batched_point_coords,
    float[1, 1, points] batched_point_labels, int64[2] orig_im_size
) => (
    float[1, 1, 3, height, width] output_masks, float[1, 1, 3] iou_predictions,
    float[1, 1, 3, 64, 64] low_res_masks
)
{
    SHAPES
    photo_size = Identity(orig_im_size)
    labels = Reshape(batched_point_labels, flat)
    coords = Reshape(batched_point_coords, pairs)
    MASK
    second = Constant<value_ints: ints = [1]>()
    mask = Unsqueeze(masked, second)
    output_masks = Concat<axis: int = 2>(mask, mask, mask)
    iou_predictions = Constant<value: tensor = float[1, 1, 3] {0.9, 0.8, 0.7}>()
    low = Unsqueeze(logits, second)
    low_res_masks = Concat<axis: int = 2>(low, low, low)
}
""",
    "sam": """
decoder (INPUTS, float[2] orig_im_size) => (
    float[1, 1, height, width] masks, float[1, 1] iou_predictions,
    float[1, 1, 64, 64] low_res_masks
)
{
    SHAPES
    photo_size = Cast<to: int = 7>(orig_im_size)
    labels = Reshape(point_labels, flat)
    scaled = Reshape(point_coords, pairs)
    long_side = ReduceMax<keepdims: int = 1>(orig_im_size)
    side = Constant<value_float: float = 64.0>()
    scale = Div(long_side, side)
    coords = Mul(scaled, scale)
    MASK
    masks = Identity(masked)
    iou_predictions = Constant<value: tensor = float[1, 1] {0.9}>()
    low_res_masks = Identity(logits)
}
""",
    "sam2": """
decoder (INPUTS, int64[2] orig_im_size, float[1, 3, 64, 64] high_res_features1,
    float[1, 3, 64, 64] high_res_features2
) => (
    float[1, 3, height, width] masks, float[1, 3] iou_predictions, float[1, 3, 64, 64] low_res_masks
)
{
    SHAPES
    photo_size = Identity(orig_im_size)
    labels = Reshape(point_labels, flat)
    scaled = Reshape(point_coords, pairs)
    photo_size_f = Cast<to: int = 1>(photo_size)
    turned = Constant<value_ints: ints = [1, 0]>()
    width_height = Gather(photo_size_f, turned)
    side = Constant<value_float: float = 64.0>()
    scale = Div(width_height, side)
    coords = Mul(scaled, scale)
    MASK
    inverse = Neg(masked)
    masks = Concat<axis: int = 1>(inverse, masked, inverse)
    iou_predictions = Constant<value: tensor = float[1, 3] {0.3, 0.9, 0.5}>()
    low_res_masks = Concat<axis: int = 1>(logits, logits, logits)
}
""",
}
"""By family; the second of the masks of ``sam2`` is the one with the highest score."""
NAME = "efficientsam:tiny"
_BASES = {"efficientsam": "efficientsam:10m", "sam": "sam:100m", "sam2": "sam2:tiny"}
"""The models whose code osam runs."""


def register(
    monkeypatch: pytest.MonkeyPatch, home: Path, name: str = NAME, *, near: float = 0.1
) -> None:
    """Give osam a network as a model of that name, whose files are in its cache below ``home``.
    ``near``: how far a colour may be from another to count as the same."""
    monkeypatch.setenv("HOME", str(home))
    family = name.partition(":")[0]
    decoder = _DECODERS[family].replace("INPUTS", _SAM_INPUTS).replace("SHAPES", _SHAPES)
    decoder = decoder.replace("MASK", _MASK.replace("NEAR", str(near)))
    blobs = {}
    for part, text in {"encoder": _ENCODERS[family], "decoder": decoder}.items():
        model = onnx.parser.parse_model(_HEAD + text)
        onnx.checker.check_model(model)
        data = model.SerializeToString()
        blob = Blob(url="", hash=f"sha256:{hashlib.sha256(data).hexdigest()}")
        Path(blob.path).parent.mkdir(parents=True, exist_ok=True)
        Path(blob.path).write_bytes(data)
        blobs[part] = blob
    add(monkeypatch, name, blobs)


def add(monkeypatch: pytest.MonkeyPatch, name: str, blobs: dict[str, Blob]) -> None:
    """Give osam a model of the name's family with these files."""
    base = osam.apis.get_model_type_by_name(_BASES[name.partition(":")[0]])
    made = type("Tiny", (base,), {"name": name, "_blobs": blobs})
    types = [model for model in osam.apis.registered_model_types if model.name != name]
    monkeypatch.setattr(osam.apis, "registered_model_types", [*types, made])
    forget()


def forget() -> None:
    """Load it anew from now on."""
    sam._load.cache_clear()
    sam._named.clear()
    sam._failed.clear()
