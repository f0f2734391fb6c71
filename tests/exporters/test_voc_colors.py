"""VOC masks whose palette was rewritten, as optimisers and editors do: colors decide, not values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from builders import HEIGHT, WIDTH, box
from prelabel.data.colors import Color, voc_color
from prelabel.data.dataset import Dataset
from prelabel_exporters.voc.reader import read_voc

CAT, DOG = 8, 12
"""VOC's values."""
VALUES = box(0, 0, 4, 3) * np.uint8(CAT) + box(5, 4, 4, 4) * np.uint8(DOG)
EXPECTED = [("cat", (0, 0, 4, 3)), ("dog", (5, 4, 4, 4))]


def painted(values: NDArray[np.uint8], color_of: dict[int, Color] | None = None) -> Image.Image:
    """A mask in colors, by default VOC's."""
    pixels = np.zeros((*values.shape, 3), dtype=np.uint8)
    for value in np.unique(values).tolist():
        pixels[values == value] = (color_of or {}).get(value, voc_color(value))
    return Image.fromarray(pixels)


def shuffled(image: Image.Image) -> Image.Image:
    """The same picture with a palette of its own."""
    return image.convert("P", palette=Image.Palette.ADAPTIVE, colors=8)


def with_palette(values: NDArray[np.uint8], palette: list[int]) -> Image.Image:
    image = Image.fromarray(values)
    image.putpalette(palette)
    return image


def save(folder: Path, classes: Image.Image, objects: Image.Image | None = None) -> Path:
    for name, image in (("SegmentationClass", classes), ("SegmentationObject", objects)):
        if image is not None:
            (folder / name).mkdir(parents=True)
            image.save(folder / name / "x.png")
    return folder


def found(dataset: Dataset) -> list[tuple[str, tuple[int, int, int, int]]]:
    return sorted((dataset.classes[r.cluster], r.box) for p in dataset.stream() for r in p.regions)


def test_classes__of_a_rewritten_palette_are_those_of_the_colors(tmp_path: Path) -> None:
    mask = shuffled(painted(VALUES))
    assert set(np.unique(np.asarray(mask)).tolist()) <= {0, 1, 2}  # no longer 8 and 12
    dataset = read_voc(save(tmp_path, mask))
    assert found(dataset) == EXPECTED
    assert any("another order than VOC's" in line for line in dataset.problems.lines())


def test_objects__of_a_rewritten_palette_keep_background_and_void(tmp_path: Path) -> None:
    objects = box(0, 0, 2, 3) * np.uint8(1) + box(2, 0, 2, 3) * np.uint8(2)
    objects += box(5, 4, 4, 4) * np.uint8(3)
    # Void has the value 0 now, and background the highest.
    order = [255, 3, 2, 1, 0]
    values = np.array([order.index(v) for v in range(4)], dtype=np.uint8)[objects]
    values[7, 0] = order.index(255)
    mask = with_palette(values, [c for v in order for c in voc_color(v)])
    classes = VALUES.copy()
    classes[7, 0] = 255
    labels = next(iter(read_voc(save(tmp_path, shuffled(painted(classes)), mask)).stream()))
    assert [(r.cluster, r.box, r.crowd) for r in labels.regions] == [
        (CAT - 1, (0, 0, 2, 3), False),
        (CAT - 1, (2, 0, 2, 3), False),
        (DOG - 1, (5, 4, 4, 4), False),
        (-1, (0, 7, 1, 1), True),
    ]


@pytest.mark.parametrize("own", [True, False])
def test_classes__of_a_labelmap_by_its_colors(own: bool, tmp_path: Path) -> None:
    colors = {CAT: (10, 20, 30), DOG: (255, 0, 0)} if own else {}
    names = {0: "background", CAT: "cat", DOG: "dog"}
    lines = []
    for value, name in names.items():
        color = colors.get(value, voc_color(value))
        lines.append(f"{name}:{','.join(map(str, color))}::\n")
    save(tmp_path, shuffled(painted(VALUES, colors)))
    (tmp_path / "labelmap.txt").write_text("".join(lines))
    assert found(read_voc(tmp_path)) == EXPECTED


def test_classes__of_a_labelmap_whose_colors_are_vocs_of_other_values(tmp_path: Path) -> None:
    # 1, 2, 3 are VOC's red, green and olive; the map gives red to the third class.
    save(tmp_path, with_palette(box(1, 1, 2, 2) * np.uint8(1), [0, 0, 0, 128, 0, 0]))
    (tmp_path / "labelmap.txt").write_text(
        "background:0,0,0::\ncat:10,20,30::\nbird:1,2,3::\ndog:128,0,0::\n"
    )
    assert found(read_voc(tmp_path)) == [("dog", (1, 1, 2, 2))]


def test_classes__grey_instead_of_a_palette(tmp_path: Path) -> None:
    # VOC's car (7) is grey, (128, 128, 128): an optimiser writes it without a palette.
    grey = box(0, 0, 4, 3) * np.uint8(128)
    assert found(read_voc(save(tmp_path / "a", Image.fromarray(grey)))) == [("car", (0, 0, 4, 3))]
    white = box(0, 0, 4, 3) * np.uint8(255)
    save(tmp_path / "b", Image.fromarray(white))
    (tmp_path / "b/labelmap.txt").write_text("background:0,0,0::\ncell:255,255,255::\n")
    assert found(read_voc(tmp_path / "b")) == [("cell", (0, 0, 4, 3))]
    bits = Image.fromarray(box(0, 0, 4, 3))
    save(tmp_path / "c", bits)
    (tmp_path / "c/labelmap.txt").write_text("background:0,0,0::\ncell:255,255,255::\n")
    assert found(read_voc(tmp_path / "c")) == [("cell", (0, 0, 4, 3))]


@pytest.mark.parametrize("kind", ["L", "RGB", "ramp", "no entries", "others"])
def test_classes__where_colors_say_nothing_values_do(kind: str, tmp_path: Path) -> None:
    classes = VALUES.copy()
    match kind:
        case "L":
            mask = Image.fromarray(classes)
        case "RGB":
            mask = Image.fromarray(classes).convert("RGB")
        case "ramp":
            mask = with_palette(classes, [c for v in range(256) for c in (v, v, v)])
        case "no entries":  # VOC's palette, cut off before the void
            classes[7, 0] = 255
            mask = with_palette(classes, [c for v in range(21) for c in voc_color(v)])
        case _:
            mask = with_palette(classes, [c for v in range(21) for c in (v + 1, 7 * v, 3)])
    dataset = read_voc(save(tmp_path, mask))
    regions = [entry for entry in found(dataset) if entry[1] != (0, 7, 1, 1)]
    assert regions == EXPECTED
    assert any("read by their values" in line for line in dataset.problems.lines()) == (
        kind in ("RGB", "others")
    )


def test_classes__of_a_palette_that_only_half_fits_are_left_out(tmp_path: Path) -> None:
    palette = [0, 0, 0, *voc_color(CAT), 1, 2, 3]
    values = np.where(VALUES == CAT, 1, np.where(VALUES == DOG, 2, 0)).astype(np.uint8)
    dataset = read_voc(save(tmp_path, with_palette(values, palette)))
    assert found(dataset) == []
    (line,) = [line for line in dataset.problems.lines() if "left out" in line]
    assert "palette is neither VOC's" in line
    assert "1,2,3" in line


def test_classes__by_value_and_by_color_agree_for_every_permutation(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(20):
        classes = rng.choice([0, *range(1, 21), 255], size=(HEIGHT, WIDTH)).astype(np.uint8)
        order = rng.permutation(256)
        place = np.argsort(order).astype(np.uint8)
        palette = [c for v in order.tolist() for c in voc_color(v)]
        plain, mixed = (tmp_path / f"{number}{kind}" for kind in "ab")
        save(plain, with_palette(classes, [c for v in range(256) for c in voc_color(v)]))
        save(mixed, with_palette(place[classes], palette))
        assert found(read_voc(mixed)) == found(read_voc(plain))
