"""Masks of every kind through COCO and VOC and back; exports that fail; memory."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from pycocotools.coco import COCO

from builders import prediction, region
from prelabel.data.dataset import ExportContext
from prelabel.data.masks import Mask, encode_rle, rle_area, rle_box
from prelabel.data.records import Prediction, Region
from prelabel.runs.predictions import write_predictions
from prelabel.strategies import registry
from prelabel_exporters.coco.writer import Coco
from prelabel_exporters.voc.writer import Voc
from support.command_line import refused

HEIGHT, WIDTH = PHOTO = (9, 11)
rows, columns = np.indices((HEIGHT, WIDTH))
EDGE = (rows == 0) | (rows == HEIGHT - 1) | (columns == 0) | (columns == WIDTH - 1)
RINGS = np.maximum(abs(rows - 4), abs(columns - 5)) % 2 == 0
"""Holes in holes."""
MASKS = st.one_of(
    hnp.arrays(np.bool_, (HEIGHT, WIDTH)),
    st.tuples(*[st.integers(0, HEIGHT), st.integers(0, WIDTH)] * 2).map(
        lambda b: (rows >= b[0]) & (columns >= b[1]) & (rows < b[2]) & (columns < b[3])
    ),
    st.tuples(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1)).map(
        lambda p: (rows == p[0]) & (columns == p[1])
    ),
    st.sampled_from([rows >= 0, rows < 0, (rows + columns) % 2 == 0, EDGE, RINGS]),
)
TOUCHING = hnp.arrays(np.uint8, (HEIGHT, WIDTH), elements=st.integers(0, 3))
"""Objects that touch but do not overlap: 1 to 3."""


REGIONS = st.builds(
    lambda mask, cluster, score, crowd: region(mask, cluster, score=score, crowd=crowd),
    *(MASKS, st.integers(0, 2), st.sampled_from([0.125, 0.5, 0.875]), st.booleans()),
)


def context(photos: Path = Path("/photos")) -> ExportContext:
    return ExportContext(photos, ("dog", "cat", "tree"), "m-1")


def seen(photos: list[Prediction]) -> dict[str, set[tuple[str, int]]]:
    """Masks and classes of the objects, in no order."""
    return {
        Path(p.photo).stem: {(r.rle["counts"], r.cluster) for r in p.regions if not r.crowd}
        for p in photos
    }


def pixels(file: Path) -> Any:
    with Image.open(file) as image:
        return np.asarray(image)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    return lambda: tmp_path_factory.mktemp("f")


@settings(max_examples=60)
@given(regions=st.lists(REGIONS, max_size=4), polygons=st.booleans())
def test_coco__pycocotools_sees_every_mask_area_and_box(
    folders: Callable[[], Path], regions: list[Region], polygons: bool
) -> None:
    folder = folders()
    Coco(polygons=polygons).write([prediction("x.jpg", *regions, size=PHOTO)], folder, context())
    coco = COCO(str(folder / "instances.json"))
    annotations = coco.loadAnns(coco.getAnnIds())
    results = [coco] if not regions else [coco, coco.loadRes(str(folder / "results.json"))]
    for found in results:
        items = found.loadAnns(found.getAnnIds())
        assert [encode_rle(found.annToMask(a) > 0) for a in items] == [r.rle for r in regions]
    for annotation, expected in zip(annotations, regions, strict=True):
        assert annotation["area"] == expected.area
        # pycocotools has no box of its own for an empty mask.
        assert annotation["bbox"] == list(expected.box)
        assert annotation["iscrowd"] == expected.crowd
        assert isinstance(annotation["segmentation"], dict) or (polygons and not expected.crowd)


@settings(max_examples=60)
@given(regions=st.lists(REGIONS, max_size=4))
def test_panoptic__what_is_on_top_has_the_pixels(
    folders: Callable[[], Path], regions: list[Region]
) -> None:
    folder = folders()
    Coco(panoptic=True).write([prediction("x.jpg", *regions, size=PHOTO)], folder, context())
    (entry,) = json.loads((folder / "panoptic.json").read_text())["annotations"]
    colors = pixels(folder / "panoptic" / entry["file_name"]).astype(int)
    found = colors @ [1, 256, 256**2]  # COCO's formula
    # Pixel by pixel: an object before a crowd, the highest score, the smaller, the later one.
    expected = np.zeros((HEIGHT, WIDTH), dtype=int)
    masks = [mask_of(r) for r in regions]
    for y, x in np.ndindex(HEIGHT, WIDTH):
        covering = [
            (not r.crowd, r.score, -r.area, i + 1) for i, r in enumerate(regions) if masks[i][y, x]
        ]
        expected[y, x] = max(covering, default=(0,))[-1]
    assert np.array_equal(found, expected)
    segments = {s["id"]: s for s in entry["segments_info"]}
    assert set(segments) == set(np.unique(expected[expected > 0]).tolist())
    for number, segment in segments.items():
        rle = encode_rle(expected == number)
        assert (segment["area"], tuple(segment["bbox"])) == (rle_area(rle), rle_box(rle))
        assert segment["category_id"] == regions[number - 1].cluster + 1
        assert segment["iscrowd"] == regions[number - 1].crowd


def mask_of(drawn: Region) -> Mask:
    """A region's mask as pycocotools' own COCO decodes it."""
    api = COCO()
    api.imgs = {1: {"height": HEIGHT, "width": WIDTH}}
    return np.asarray(api.annToMask({"image_id": 1, "segmentation": drawn.rle})) > 0


@pytest.mark.slow
@settings(max_examples=60)
@given(regions=st.lists(REGIONS, max_size=4), border=st.sampled_from([0, 1, 2, 3, 5]))
def test_voc__with_any_border_comes_back_pixel_by_pixel(
    folders: Callable[[], Path], regions: list[Region], border: int
) -> None:
    first, second = folders(), folders()
    Voc(void_border=border).write([prediction("x.jpg", *regions, size=PHOTO)], first, context())
    read = Voc().read(first)
    (labels,) = read.stream()
    assert read.problems.lines() == []
    void = [r for r in labels.regions if r.crowd]
    classes = pixels(first / "SegmentationClass" / "x.png")
    assert [r.rle for r in void] == ([encode_rle(classes == 255)] if (classes == 255).any() else [])
    exported = context()
    Voc().write(read.stream(), second, exported)
    assert exported.problems.lines() == []
    for name in ("SegmentationClass/x.png", "SegmentationObject/x.png"):
        assert np.array_equal(pixels(second / name), pixels(first / name))
    for file in (first / "ImageSets/Segmentation").iterdir():
        again = second / "ImageSets/Segmentation" / file.name
        assert again.read_bytes() == file.read_bytes()
    if not border:  # a box goes on under the border, which cannot be read
        xml = "Annotations/x.xml"
        assert (second / xml).read_bytes() == (first / xml).read_bytes()


@pytest.mark.slow
@settings(max_examples=60)
@given(numbers=TOUCHING, crowd=st.booleans(), polygons=st.booleans())
def test_coco_and_voc__touching_objects_through_both(
    folders: Callable[[], Path], numbers: Any, crowd: bool, polygons: bool
) -> None:
    regions = [region(numbers == n, n - 1) for n in (1, 2) if (numbers == n).any()]
    if (numbers == 3).any():
        regions.append(region(numbers == 3, 2, crowd=crowd))
    a, b, c = folders(), folders(), folders()
    photos = [prediction("a/x.jpg", *regions, size=PHOTO), prediction("b/y.jpg", size=PHOTO)]
    Coco(polygons=polygons).write(photos, a, context())
    Voc().write(Coco().read(a).stream(), b, context())
    Coco(polygons=polygons).write(Voc().read(b).stream(), c, context())
    for folder, reader in ((a, Coco()), (b, Voc()), (c, Coco())):
        assert seen(list(reader.read(folder).stream())) == seen(photos)
    assert np.array_equal(
        pixels(b / "SegmentationClass/a/x.png"), np.where((numbers == 3) & crowd, 255, numbers)
    )


# Exports that fail, and files that are of another format


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("coco", {"polygons": True, "panoptic": True}),
    ("voc", {"images": "copy", "void_border": 3, "devkit": True}),
    ("voc", {"images": "link"}),
]


def photo_folder(folder: Path, *names: str) -> Path:
    for name in names:
        Image.new("RGB", (WIDTH, HEIGHT), (90, 20, 30)).save(folder / name)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_write__one_that_fails_leaves_what_was_there(
    name: str, options: dict[str, Any], earlier: bool, tmp_path: Path
) -> None:
    exporter = registry.make("exporter", name, options)
    (tmp_path / "photos").mkdir()
    exported = context(photo_folder(tmp_path / "photos", "x.jpg", "y.jpg"))
    out = tmp_path / "out"
    out.mkdir()
    if earlier:
        exporter.write([prediction("x.jpg", region(RINGS))], out, exported)
        assert files(out)

    def broken() -> Iterator[Prediction]:
        yield prediction("x.jpg", region(EDGE))
        yield prediction("y.jpg", region(EDGE))
        raise OSError(28, "No space left on device")

    before = files(out)
    with pytest.raises(OSError, match="No space left"):
        exporter.write(broken(), out, exported)
    assert files(out) == before


@pytest.mark.slow
def test_convert__a_cut_off_file_writes_nothing(tmp_path: Path) -> None:
    file = Coco().write([prediction("x.jpg", region(RINGS))], tmp_path, context())
    text = file.read_text()
    for cut in (1, len(text) // 2, len(text) - 3):
        file.write_text(text[:cut])
        for target in ("voc", "coco"):
            message = refused("convert", file, tmp_path / "out", "--to", target, "--from", "coco")
            assert "instances.json" in message
            assert "JSON" in message
            assert not (tmp_path / "out").exists()


def test_recognizes__each_format_its_own_alone(tmp_path: Path) -> None:
    photos = [prediction("x.jpg", region(RINGS))]
    sources: dict[str, list[Path]] = {"": []}
    for name in ("coco", "voc", "label-studio"):
        folder = tmp_path / name
        folder.mkdir()
        written = registry.make("exporter", name, {}).write(photos, folder, context())
        sources[name] = [folder, written] if written.is_file() else [folder]
    sources["coco"].append(tmp_path / "coco" / "late.json")
    sources["coco"][-1].write_text(
        json.dumps({"annotations": [], "pad": "x" * 2**20, "images": [], "categories": []})
    )
    for name, content in (("empty.json", b""), ("empty.jsonl", b""), ("bad.json", b"\xff\0{")):
        (tmp_path / name).write_bytes(content)
        sources[""].append(tmp_path / name)
    write_predictions(tmp_path / "predictions.jsonl", photos)
    (tmp_path / "photos").mkdir()
    folder = photo_folder(tmp_path / "photos", "x.jpg")
    results = tmp_path / "coco" / "results.json"
    sources["coco"].insert(0, results)
    sources[""] += [tmp_path / "predictions.jsonl", folder, folder / "x.jpg", tmp_path]
    for own, places in sources.items():
        for place in places:
            for name in ("coco", "voc"):
                found = registry.make("exporter", name, {}).recognizes(place)
                assert found == (name == own), (name, place)
    assert [p.photo for p in Coco().read(sources["coco"][-1]).stream()] == []


# Memory


def peak(run: Callable[[], object]) -> int:
    """Bytes, the lesser of two runs: pathlib keeps names in a table of Python's own, which now and
    then grows by 8 MB. The garbage collector comes when it likes: without it every cycle counts."""
    found = []
    for _ in range(2):
        gc.collect()
        gc.disable()
        tracemalloc.start()
        try:
            run()
            found.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
            gc.enable()
    return min(found)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_write__memory_grows_by_less_than_4_kb_per_photo(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    exporter = registry.make("exporter", name, options)
    photo_folder(tmp_path, *(f"{n}.jpg" for n in range(400)))

    def run(n: int) -> None:
        out = tmp_path / f"out-{n}"
        out.mkdir(exist_ok=True)
        photos = (prediction(f"{i}.jpg", region(RINGS), region(EDGE, 1)) for i in range(n))
        exporter.write(photos, out, context(tmp_path))

    run(10)
    assert peak(lambda: run(400)) - peak(lambda: run(100)) < 300 * 4_000


@pytest.mark.slow
def test_read_coco__memory_is_that_of_the_json_and_at_most_4_kb_per_photo(tmp_path: Path) -> None:
    n = 1_000
    photos = (prediction(f"{i}.jpg", *[region(RINGS), region(EDGE, 1)] * 3) for i in range(n))
    file = Coco().write(photos, tmp_path, context())

    def read() -> None:
        assert sum(len(p.regions) for p in Coco().read(file).stream()) == 6 * n

    def plain() -> None:
        json.loads(file.read_bytes())

    read()
    assert peak(read) - peak(plain) < n * 4_000
