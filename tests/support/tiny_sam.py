"""A network with the inputs and outputs of EfficientSAM's ONNX files, and of what it says known by hand.

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

ENCODER = """
<ir_version: 8, opset_import: ["" : 17]>
encoder (float[1, 3, height, width] batched_images) => (float[1, 3, 64, 64] image_embeddings)
{
    sizes = Constant<value_ints: ints = [1, 3, 64, 64]>()
    image_embeddings = Resize<mode: string = "nearest">(batched_images, , , sizes)
}
"""
DECODER = """
<ir_version: 8, opset_import: ["" : 17]>
decoder (
    float[1, 3, 64, 64] image_embeddings, float[1, 1, points, 2] batched_point_coords,
    float[1, 1, points] batched_point_labels, int64[2] orig_im_size
) => (
    float[1, 1, 3, height, width] output_masks, float[1, 1, 3] iou_predictions,
    float[1, 1, 3, 64, 64] low_res_masks
)
{
    flat = Constant<value_ints: ints = [-1]>()
    pairs = Constant<value_ints: ints = [-1, 2]>()
    labels = Reshape(batched_point_labels, flat)
    coords = Reshape(batched_point_coords, pairs)
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

    size = Cast<to: int = 1>(orig_im_size)
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
    near = Constant<value_float: float = 0.1>()
    logits = Sub(near, distance)

    ones = Constant<value_ints: ints = [1, 1]>()
    whole = Concat<axis: int = 0>(ones, orig_im_size)
    large = Resize<mode: string = "nearest">(logits, , , whole)

    n0 = Constant<value_int: int = 0>()
    n1 = Constant<value_int: int = 1>()
    rows_n = Gather(orig_im_size, n0)
    columns_n = Gather(orig_im_size, n1)
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

    five = Constant<value_ints: ints = [1]>()
    one_more = Unsqueeze(masked, five)
    output_masks = Concat<axis: int = 2>(one_more, one_more, one_more)
    iou_predictions = Constant<value: tensor = float[1, 1, 3] {0.9, 0.8, 0.7}>()
    low = Unsqueeze(logits, five)
    low_res_masks = Concat<axis: int = 2>(low, low, low)
}
"""
NAME = "efficientsam:tiny"
HERE = Path("~/.cache/osam/models/blobs")
"""Where osam looks for weights."""


def register(monkeypatch: pytest.MonkeyPatch, home: Path, name: str = NAME) -> None:
    """Give osam the network as a model of that name, whose files are in its cache below ``home``."""
    monkeypatch.setenv("HOME", str(home))
    blobs = {}
    for part, text in {"encoder": ENCODER, "decoder": DECODER}.items():
        model = onnx.parser.parse_model(text)
        onnx.checker.check_model(model)
        data = model.SerializeToString()
        blob = Blob(url="", hash=f"sha256:{hashlib.sha256(data).hexdigest()}")
        Path(blob.path).parent.mkdir(parents=True, exist_ok=True)
        Path(blob.path).write_bytes(data)
        blobs[part] = blob
    add(monkeypatch, name, blobs)


def add(monkeypatch: pytest.MonkeyPatch, name: str, blobs: dict[str, Blob]) -> None:
    """Give osam a model that is an EfficientSAM with these files."""
    base = osam.apis.get_model_type_by_name("efficientsam:10m")
    made = type("Tiny", (base,), {"name": name, "_blobs": blobs})
    types = [model for model in osam.apis.registered_model_types if model.name != name]
    monkeypatch.setattr(osam.apis, "registered_model_types", [*types, made])
    forget()


def forget() -> None:
    """Load it anew from now on."""
    sam._load.cache_clear()
    sam._named.clear()
