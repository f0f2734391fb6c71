"""Bad photos in the whole pipeline: each is skipped with a reason and never stops the run."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prelabel.data.masks import decode_rle
from prelabel.data.records import Prediction
from prelabel.errors import UserError
from prelabel.model import FittedModel
from prelabel.pipeline import fit, predict
from prelabel.storage.progress import RunLog
from support.small_photos import scene, tiny_config, without_name, write_scenes

pytestmark = pytest.mark.usefixtures("empty_cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def whole_way(folder: Path, *overrides: str) -> tuple[FittedModel, list[Prediction], RunLog]:
    log = RunLog()
    model = fit(folder, tiny_config(*overrides), log=log)
    return model, list(predict(model, folder, log=log)), log


@pytest.mark.slow
def test_broken_photos__are_named_and_the_others_are_as_without_them(folder: Path) -> None:
    write_scenes(folder, 6)
    good_model, good, _ = whole_way(folder)
    jpeg, png = io.BytesIO(), io.BytesIO()
    Image.fromarray(scene(50)).save(jpeg, "JPEG")
    Image.fromarray(scene(51)).save(png, "PNG")
    broken = {
        "0-cut.jpg": jpeg.getvalue()[:1000],
        "a/cut.png": png.getvalue()[:2000],
        "empty.jpg": b"",
        "text.jpg": b"These are words.",
        "z\n'\"🐙.jpg": b"\xff\xd8\xff\xe0",
    }
    for name, data in broken.items():
        (folder / name).write_bytes(data)
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "loop.png").symlink_to("loop.png")
    os.mkfifo(folder / "pipe.jpg")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.jpg")).write_bytes(jpeg.getvalue())

    model, predictions, log = whole_way(folder)
    assert predictions == good
    assert model.version == good_model.version
    assert set(log.skipped) == {*broken, "gone.png", "loop.png", "pipe.jpg", "\\udcff.jpg"}
    reasons = log.skipped
    assert "truncated" in reasons["0-cut.jpg"]
    assert reasons["empty.jpg"] == "is empty (0 bytes)"
    assert reasons["text.jpg"] == "is not a picture that can be decoded (16 bytes)"
    assert reasons["gone.png"] == "cannot be read (No such file or directory)"
    assert reasons["pipe.jpg"] == "is not a file"
    assert all("\n" not in reason for reason in reasons.values())


def test_broken_photos__only(folder: Path) -> None:
    for i, data in enumerate((b"no photo", b"", b"not a photo", b"none either")):
        (folder / f"{i}.jpg").write_bytes(data)
    with pytest.raises(UserError) as error:
        fit(folder, tiny_config())
    assert str(error.value) == (
        "none of 4 photos can be used: 3 is not a picture that can be decoded (8 bytes) (0.jpg); "
        "1 is empty (0 bytes) (1.jpg)"
    )


def test_broken_photo__that_breaks_between_fit_and_predict(folder: Path) -> None:
    files = write_scenes(folder, 4)
    model = fit(folder, tiny_config())
    files[1].write_bytes(b"")
    files[2].unlink()
    log = RunLog()
    assert len(list(predict(model, files, log=log))) == 2
    assert len(log.skipped) == 2


def test_empty_folder(folder: Path) -> None:
    with pytest.raises(UserError, match="holds no photo"):
        fit(folder, tiny_config())


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (1, 1), "red"),
        Image.fromarray(scene(0)).convert("L"),
        Image.fromarray(scene(0)).convert("1"),
        Image.fromarray(scene(0)).convert("P"),
        Image.fromarray(scene(0)).convert("LA"),
        Image.fromarray(scene(0)).convert("RGBA"),
        Image.fromarray(scene(0)[..., 0].astype(np.uint16) * 257),
        Image.new("RGB", (3000, 1), "red"),
        Image.new("RGB", (1, 3000), "red"),
    ],
    ids=lambda image: f"{image.mode}-{image.width}x{image.height}",
)
def test_single_photo__of_any_kind(folder: Path, image: Image.Image) -> None:
    """One photo is also fewer than clusters, groups and classes."""
    image.save(folder / "a.png")
    model, [prediction], log = whole_way(folder, "classes.count=9")
    assert (prediction.width, prediction.height) == image.size
    assert log.skipped == {}
    assert len(model.classes) <= len(prediction.regions)
    assert list(predict(model, folder)) == [prediction]


@pytest.mark.slow
def test_wide_photo__masks_are_as_wide(folder: Path) -> None:
    pixels = np.zeros((600, 20_000, 3), dtype=np.uint8)
    pixels[150:450, 8000:12_000] = (250, 200, 0)
    Image.fromarray(pixels).save(folder / "a.png", compress_level=1)
    _, [prediction], _ = whole_way(folder)
    assert (prediction.width, prediction.height) == (20_000, 600)
    [region] = prediction.regions
    assert region.rle["size"] == [600, 20_000]
    mask = decode_rle(region.rle)
    assert mask[300, 10_000]
    assert not mask[300, 1000]


def test_exif__mask_is_in_the_oriented_frame(folder: Path) -> None:
    """A disc left of the middle in the file lies elsewhere once the photo is upright."""
    pixels = np.full((64, 128, 3), 40, dtype=np.uint8)
    y, x = np.mgrid[:64, :128]
    pixels[np.hypot(y - 32, x - 32) < 20] = (250, 220, 0)
    centres = {1: (32, 32), 3: (96, 32), 6: (32, 32), 8: (32, 96)}  # x, y
    for orientation in centres:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(folder / f"{orientation}.png", exif=exif)
    for prediction in whole_way(folder)[1]:
        x, y = centres[int(prediction.photo[0])]
        region = prediction.regions[0]
        assert decode_rle(region.rle)[y, x]
        left, top, width, height = region.box
        assert (left + width / 2, top + height / 2) == pytest.approx((x, y), abs=4)
        wide = prediction.photo[0] in "13"
        assert (prediction.width, prediction.height) == ((128, 64) if wide else (64, 128))


def test_identical_photos__are_photos_of_their_own(folder: Path, tmp_path: Path) -> None:
    for i in range(30):
        Image.fromarray(scene(1)).save(folder / f"{i:02}.png")
    _, predictions, _ = whole_way(folder)
    assert len({p.photo for p in predictions}) == 30
    assert len({repr(without_name(p)) for p in predictions}) == 1


def test_uniform_photos__say_nothing(folder: Path) -> None:
    for i in range(3):
        Image.new("RGB", (40 + i, 30), "white").save(folder / f"{i}.png")
    _, predictions, log = whole_way(folder)
    assert len(predictions) == 3
    assert log.skipped == {}


def test_names__stay_as_they_are(folder: Path) -> None:
    names = ["a b.png", 'it\'s "so".png', "🐙/☃.png", "two\nlines.png", "x/same.png", "y/same.png"]
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(scene(i)).save(folder / name)
    _, predictions, _ = whole_way(folder)
    assert [p.photo for p in predictions] == sorted(names)


def test_photos__are_not_written_to(folder: Path) -> None:
    files = write_scenes(folder, 3)
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in files}
    whole_way(folder)
    assert {f: (f.read_bytes(), f.stat().st_mtime_ns) for f in folder.rglob("*.png")} == before
