"""Files with faults that cost no pixel are read; those that miss pixels are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from prelabel.data.dataset import Problems
from prelabel.data.image_mending import LONG_TEXT, NO_END, find_fault, without_text
from prelabel.data.images import decode_full_size, decode_image, read_size
from prelabel.errors import PhotoError
from prelabel_exporters.upright import put_image
from support.hostile_photos import encoded, png_chunk

RNG = np.random.default_rng(0)
NOISE = Image.fromarray(
    np.kron(RNG.integers(0, 256, (30, 40, 3)), np.ones((8, 8, 1))).astype(np.uint8)
)
GREY = NOISE.convert("L")
JPEGS = {
    "baseline": encoded(NOISE, "JPEG"),
    "progressive": encoded(NOISE, "JPEG", progressive=True),
    "grey": encoded(GREY, "JPEG"),
    "fine": encoded(NOISE, "JPEG", quality=98, subsampling=0),
    "with restarts": encoded(NOISE, "JPEG", restart_marker_rows=1),
}


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("n_bytes", [1, 2])
def test_jpeg_without_its_end_is_read(name: str, n_bytes: int) -> None:
    whole = JPEGS[name]
    cut = whole[:-n_bytes]
    assert find_fault(whole) == ""
    assert find_fault(cut) == NO_END
    np.testing.assert_array_equal(decode_image(cut).pixels, decode_image(whole).pixels)
    np.testing.assert_array_equal(decode_full_size(cut), decode_full_size(whole))
    assert decode_image(cut).digest != decode_image(whole).digest  # of the bytes as they are


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 0.995])
def test_jpeg_that_misses_pixels_is_not(name: str, share: float) -> None:
    data = JPEGS[name]
    with pytest.raises(PhotoError, match="it is truncated"):
        decode_image(data[: int(len(data) * share)])


def test_jpeg_that_misses_whole_scans_is_not() -> None:
    data = JPEGS["progressive"]
    with pytest.raises(PhotoError, match="it is truncated"):
        decode_image(data[: data.rindex(b"\xff\xda")])


def test_end_of_a_thumbnail_is_not_the_photos() -> None:
    exif = Image.Exif()
    exif[0x9286] = encoded(NOISE.resize((16, 16)), "JPEG").decode("latin-1")
    data = encoded(NOISE, "JPEG", exif=exif.tobytes() + b"\xff\xd9")
    assert data.count(b"\xff\xd9") > 1
    assert find_fault(data[:-2]) == NO_END


def with_text(n: int, *, compressed: bool = True, kind: str = "text") -> bytes:
    info = PngImagePlugin.PngInfo()
    if kind == "international":
        info.add_itxt("workflow", "x" * n, zip=compressed)
    else:
        info.add_text("workflow", "x" * n, zip=compressed)
    return encoded(NOISE, "PNG", pnginfo=info)


@pytest.mark.parametrize("kind", ["text", "international"])
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("n", [1_200_000, 3_000_000])
def test_png_with_much_text_is_read(kind: str, compressed: bool, n: int) -> None:
    data = with_text(n, compressed=compressed, kind=kind)
    assert find_fault(data) == LONG_TEXT
    np.testing.assert_array_equal(decode_image(data).pixels, np.asarray(NOISE))


def test_png_with_much_text_has_its_size(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(with_text(1_200_000))
    assert read_size(tmp_path / "a.png") == NOISE.size
    problems = Problems()
    target = tmp_path / "put" / "a.jpg"
    assert put_image(tmp_path / "a.png", target, size=NOISE.size, link=False, problems=problems)
    assert read_size(target) == NOISE.size


def test_jpeg_without_its_end_is_put_whole(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(JPEGS["fine"][:-2])
    target = tmp_path / "put" / "a.jpg"
    assert put_image(tmp_path / "a.jpg", target, size=NOISE.size, link=False, problems=Problems())
    with Image.open(target) as image:
        image.load()  # which refuses the original


def test_png_with_a_large_profile_is_read() -> None:
    data = encoded(NOISE, "PNG", icc_profile=bytes(2_000_000))
    assert find_fault(data) == LONG_TEXT
    np.testing.assert_array_equal(decode_image(data).pixels, np.asarray(NOISE))


def test_png_with_text_after_its_pixels_is_read() -> None:
    data = with_text(1_200_000)
    start = data.index(b"zTXt") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4])
    moved = data[:start] + data[end:-12] + data[start:end] + data[-12:]
    assert find_fault(moved) == LONG_TEXT
    np.testing.assert_array_equal(decode_image(moved).pixels, np.asarray(NOISE))


def test_png_with_many_texts_is_read() -> None:
    info = PngImagePlugin.PngInfo()
    for n in range(70):  # 63 MB in all
        info.add_text(f"t{n}", "x" * 900_000, zip=True)
    data = encoded(NOISE, "PNG", pnginfo=info)
    assert find_fault(data) == LONG_TEXT
    np.testing.assert_array_equal(decode_image(data).pixels, np.asarray(NOISE))


def test_png_with_little_text_is_left_alone() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "a photo")
    data = encoded(NOISE, "PNG", pnginfo=info, exif=exif)
    assert find_fault(data) == ""
    assert decode_image(data).width == NOISE.height
    assert decode_image(without_text(data)).width == NOISE.height  # EXIF is no text


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP", b"tEXt"])
@pytest.mark.parametrize("content", [b"", b"\0", b"key", b"key\0\0garbage", b"key\0\1\0\0"])
def test_png_with_damaged_text_is_no_worse(kind: bytes, content: bytes) -> None:
    data = encoded(NOISE, "PNG")
    damaged = data[:33] + png_chunk(kind, content) + data[33:]
    assert find_fault(damaged) == ""
    try:
        picture = decode_image(damaged)
    except PhotoError:
        return
    np.testing.assert_array_equal(picture.pixels, np.asarray(NOISE))
