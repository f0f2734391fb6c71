"""Reading photos: every mode, every orientation, broken and huge ones."""

from __future__ import annotations

import io
import os
import random
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from prelabel.data import image_rows, images
from prelabel.data.images import decode_image, grid_size, read_image, read_size, resize
from prelabel.errors import PhotoError
from support.hostile_photos import encoded, png

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)


def pixel(image: Image.Image, kind: str = "PNG", **options: Any) -> list[int]:
    """The first pixel of the decoded photo."""
    first: list[int] = decode_image(encoded(image, kind, **options)).pixels[0, 0].tolist()
    return first


# Modes


def test_decode__rgb_is_unchanged() -> None:
    picture = decode_image(encoded(Image.fromarray(NOISE)))
    np.testing.assert_array_equal(picture.pixels, NOISE)
    assert (picture.width, picture.height) == (30, 20)
    assert picture.pixels.dtype == np.uint8


def test_decode__grey() -> None:
    assert pixel(Image.new("L", (3, 2), 77)) == [77, 77, 77]


def test_decode__one_bit() -> None:
    assert pixel(Image.new("1", (3, 2), 1)) == [255, 255, 255]


def test_decode__palette() -> None:
    image = Image.new("P", (3, 2), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    assert pixel(image) == [10, 200, 30]
    assert pixel(image, "GIF") == [10, 200, 30]


def test_decode__transparent_becomes_white() -> None:
    palette = Image.new("P", (3, 2), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    assert pixel(palette, transparency=1) == [255, 255, 255]
    assert pixel(palette, transparency=0) == [10, 200, 30]
    assert pixel(Image.new("RGBA", (3, 2), (10, 200, 30, 0))) == [255, 255, 255]
    assert pixel(Image.new("RGBA", (3, 2), (10, 200, 30, 255))) == [10, 200, 30]
    assert pixel(Image.new("LA", (3, 2), (40, 255))) == [40, 40, 40]
    assert pixel(Image.new("LA", (3, 2), (40, 0))) == [255, 255, 255]
    # RGB whose one colour stands for transparent.
    assert pixel(Image.new("RGB", (3, 2), (1, 2, 3)), transparency=(1, 2, 3)) == [255, 255, 255]


def test_decode__half_transparent_is_mixed_with_white() -> None:
    # 51 / 255 = 0.2 of black over white is 0.8 of white.
    assert pixel(Image.new("RGBA", (3, 2), (0, 0, 0, 51))) == [204, 204, 204]


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("high", [65535, 4095])
def test_decode__sixteen_bits_are_stretched(kind: str, high: int) -> None:
    values = np.array([[0, high // 5, high]], dtype=np.uint16)  # 0, a fifth, all
    picture = decode_image(encoded(Image.fromarray(values), kind))
    assert picture.pixels[0, :, 0].tolist() == [0, 51, 255]


def test_decode__sixteen_bits_big_endian_tiff() -> None:
    image = Image.frombytes("I;16B", (3, 1), struct.pack(">3H", 100, 600, 200))
    assert decode_image(encoded(image, "TIFF")).pixels[0, :, 0].tolist() == [0, 255, 51]


def test_decode__sixteen_bits_of_one_value_are_black() -> None:
    assert pixel(Image.fromarray(np.full((2, 2), 999, dtype=np.uint16))) == [0, 0, 0]


def test_decode__float_tiff_with_values_that_are_not_finite() -> None:
    values = np.array([[0.0, 1.0, 5.0, np.nan, np.inf, -np.inf]], dtype=np.float32)
    picture = decode_image(encoded(Image.fromarray(values), "TIFF"))
    assert picture.pixels[0, :, 0].tolist() == [0, 51, 255, 0, 255, 0]


def test_decode__float_tiff_without_a_finite_value() -> None:
    assert pixel(Image.fromarray(np.full((2, 2), np.nan, dtype=np.float32)), "TIFF") == [0, 0, 0]


def test_decode__cmyk() -> None:
    assert pixel(Image.new("CMYK", (3, 2), (0, 255, 255, 0)), "TIFF") == [255, 0, 0]
    r, g, b = pixel(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)
    assert r > 245
    assert max(g, b) < 10


def test_decode__animated_gif_is_its_first_frame() -> None:
    frames = [Image.new("RGB", (3, 2), c) for c in ("red", "lime", "blue")]
    assert pixel(frames[0], "GIF", save_all=True, append_images=frames[1:]) == [255, 0, 0]


def test_decode__one_pixel() -> None:
    picture = decode_image(encoded(Image.new("RGB", (1, 1), (1, 2, 3))))
    assert picture.pixels.tolist() == [[[1, 2, 3]]]
    assert (picture.width, picture.height) == (1, 1)


# Deep colours


def deep_colors(high: int) -> NDArray[np.uint16]:
    """A ramp from 0 to ``high`` in red, half of it in green, none in blue; RGB."""
    ramp = np.linspace(0, high, 256).astype(np.uint16)
    values = np.zeros((32, 256, 3), dtype=np.uint16)
    values[..., 0], values[..., 1] = ramp, ramp // 2
    return values


@pytest.mark.parametrize("kind", ["png", "tiff", "ppm", "jp2"])
@pytest.mark.parametrize("high", [65535, 4095, 700])
def test_decode__deep_colors_are_stretched_together(kind: str, high: int) -> None:
    options = [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000] if kind == "jp2" else []
    _, data = cv2.imencode(f".{kind}", deep_colors(high)[..., ::-1], options)
    picture = decode_image(data.tobytes())
    red, green, blue = np.moveaxis(picture.pixels.astype(int), 2, 0)
    expected = np.arange(256)
    off = 8 if kind == "jp2" else 1  # JPEG 2000 loses a little, of small values the most
    assert np.abs(red - expected).max() <= off
    assert np.abs(green - expected // 2).max() <= off
    assert blue.max() <= off


def test_decode__deep_colors_of_floats() -> None:
    values = (deep_colors(65535) / 65535 * 0.02).astype(np.float32)
    _, data = cv2.imencode(".tiff", values[..., ::-1])
    picture = decode_image(data.tobytes())
    assert np.abs(picture.pixels[0, :, 0].astype(int) - np.arange(256)).max() <= 1
    assert (picture.width, picture.height) == (256, 32)


def test_decode__deep_colors_on_white_where_they_are_transparent() -> None:
    values = np.zeros((2, 3, 4), dtype=np.uint16)
    values[0, :, :3], values[0, :, 3] = 4000, 65535
    values[1, :, 3] = [0, 13107, 65535]  # nothing, a fifth, all of black
    _, data = cv2.imencode(".png", values)
    assert decode_image(data.tobytes()).pixels[..., 0].tolist() == [[255] * 3, [255, 204, 0]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode__deep_colors_are_turned_once(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    plain = encoded(Image.new("RGB", (256, 32)), "PNG", exif=exif)
    _, deep = cv2.imencode(".png", deep_colors(4000)[..., ::-1])
    start = plain.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(plain[start : start + 4])
    data = deep.tobytes()
    picture = decode_image(data[:33] + plain[start:end] + data[33:])  # after the head
    small = Image.fromarray(decode_image(data).pixels)
    small.getexif()[0x0112] = orientation
    np.testing.assert_array_equal(picture.pixels, np.asarray(ImageOps.exif_transpose(small)))


@pytest.mark.parametrize("channels", [1, 3])
def test_decode__a_few_hot_pixels_do_not_darken_a_deep_photo(channels: int) -> None:
    values = np.tile(np.arange(0, 2560, 10, dtype=np.uint16), (40, 1))
    values[3, 4:8] = 65535  # 4 of 10 240
    image = np.repeat(values[..., None], channels, axis=2)
    _, data = cv2.imencode(".png", image)
    shown = decode_image(data.tobytes()).pixels[9, :, 0].astype(int)
    assert np.abs(shown - np.arange(256)).max() <= 2


def test_decode__few_bright_pixels_are_all_there_is() -> None:
    values = np.zeros((100, 100), dtype=np.uint16)
    values[0, :3] = 900
    assert decode_image(encoded(Image.fromarray(values), "PNG")).pixels.max() == 255


# EXIF


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_decode__exif_orientation_equals_pillows(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(NOISE), kind, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    picture = decode_image(data)
    np.testing.assert_array_equal(picture.pixels, expected)
    size = (30, 20) if orientation < 5 else (20, 30)
    assert (picture.width, picture.height) == size


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_read_size__is_that_of_the_upright_photo(
    kind: str, orientation: int, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a").write_bytes(encoded(Image.fromarray(NOISE), kind, exif=exif))
    assert read_size(tmp_path / "a") == ((30, 20) if orientation < 5 else (20, 30))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode__exif_orientation_of_a_jpeg_decoded_smaller(orientation: int) -> None:
    """Quadrants of four greys in a photo that JPEG decodes at a quarter."""
    quadrants = np.array([[20, 90], [160, 230]], dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.kron(quadrants, np.ones((1200, 2100), dtype=np.uint8)))
    data = encoded(image, "JPEG", exif=exif, quality=95)
    small = Image.fromarray(quadrants)
    small.getexif()[0x0112] = orientation
    expected = np.asarray(ImageOps.exif_transpose(small))

    picture = decode_image(data)
    height, width = picture.pixels.shape[:2]
    assert max(height, width) == images.WORKING_SIDE
    found = picture.pixels[height // 4 :: height // 2, width // 4 :: width // 2, 0]
    assert np.abs(found.astype(int) - expected).max() <= 2
    assert (picture.width, picture.height) == ((4200, 2400) if orientation < 5 else (2400, 4200))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_decode__unknown_orientation_is_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = decode_image(encoded(Image.fromarray(NOISE), "PNG", exif=exif))
    np.testing.assert_array_equal(picture.pixels, NOISE)


# Size


@pytest.mark.parametrize("size", [(1025, 7), (2048, 1000), (3001, 2017), (5000, 3), (3, 5000)])
def test_decode__large_equals_pillows_resize(size: tuple[int, int]) -> None:
    width, height = size
    row = np.linspace(0, 255, width).astype(np.uint8)
    values = (row[None, :] // 2 + np.linspace(0, 127, height).astype(np.uint8)[:, None])[..., None]
    image = Image.fromarray(np.repeat(values, 3, axis=2))
    picture = decode_image(encoded(image, "BMP"))
    scale = 1024 / max(size)
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    expected = image.resize(small, Image.Resampling.BOX)
    assert picture.pixels.shape == (small[1], small[0], 3)
    assert np.abs(picture.pixels.astype(int) - np.asarray(expected)).max() <= 2
    assert (picture.width, picture.height) == size


@pytest.mark.slow
def test_decode__bands_leave_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(RNG.integers(0, 4096, (2500, 4200), dtype=np.uint16))
    data = encoded(image, "TIFF")
    whole = decode_image(data)
    monkeypatch.setattr(image_rows, "_BAND", 10_000)
    np.testing.assert_array_equal(decode_image(data).pixels, whole.pixels)


def test_decode__20000_pixels_wide() -> None:
    picture = decode_image(encoded(Image.new("RGB", (20_000, 600), (9, 8, 7)), "PNG"))
    assert picture.pixels.shape == (31, 1024, 3)
    assert (picture.width, picture.height) == (20_000, 600)


def test_decode__beyond_the_limit_is_refused_by_its_header() -> None:
    with pytest.raises(PhotoError, match=r"20000 × 13000 .* 256 megapixels"):
        decode_image(png(20_000, 13_000))


def test_decode__pillows_own_limit_neither_stops_nor_warns_and_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # 20 × 30 is more than twice that
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = decode_image(encoded(Image.fromarray(NOISE)))
    np.testing.assert_array_equal(picture.pixels, NOISE)
    assert Image.MAX_IMAGE_PIXELS == 100
    with pytest.raises(PhotoError):
        decode_image(b"no picture")
    assert Image.MAX_IMAGE_PIXELS == 100


def peak_memory(file: Path) -> int:
    """MB that decoding the file adds to a fresh process."""
    program = """
import re, sys
from pathlib import Path
from prelabel.data.images import read_image
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
read_image(Path(sys.argv[1]))
print((peak() - before) // 1024)
"""
    command = [sys.executable, "-c", program, str(file)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux only")


@needs_proc
@pytest.mark.slow
def test_decode__large_jpeg_is_never_in_memory_at_full_size(tmp_path: Path) -> None:
    row = np.tile(np.arange(250, dtype=np.uint8), 80)
    Image.fromarray(np.broadcast_to(row, (4000, 20_000))).convert("RGB").save(tmp_path / "a.jpg")
    assert (
        peak_memory(tmp_path / "a.jpg") < 80
    )  # at full size it has 240 MB, 320 as Pillow holds it


@pytest.mark.slow
def test_decode__tiff_up_to_the_stated_limit() -> None:
    image = Image.new("RGB", (16_000, 16_000), (9, 8, 7))
    picture = decode_image(encoded(image, "TIFF", compression="tiff_lzw"))
    assert (picture.width, picture.height) == (16_000, 16_000)
    assert picture.pixels[512, 512].tolist() == [9, 8, 7]


@needs_proc
@pytest.mark.slow
def test_decode__large_png_is_in_memory_once(tmp_path: Path) -> None:
    Image.new("RGBA", (10_000, 6_000), (9, 8, 7, 9)).save(tmp_path / "a.png", compress_level=1)
    assert peak_memory(tmp_path / "a.png") < 240 * 1.5


# Broken files


def broken(name: str) -> bytes:
    data = encoded(Image.fromarray(RNG.integers(0, 256, (200, 300, 3), dtype=np.uint8)), name)
    return data[: len(data) // 2]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF"])
def test_decode__truncated(kind: str) -> None:
    with pytest.raises(PhotoError, match=r"cannot be decoded|not a picture"):
        decode_image(broken(kind))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes"),
        (b"Dear Sir or Madam", "not a picture.*17 bytes"),
        (b"\xff\xd8\xff", "not a picture.*3 bytes"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    ],
)
def test_decode__not_a_picture(data: bytes, reason: str) -> None:
    with pytest.raises(PhotoError, match=reason):
        decode_image(data)


@pytest.mark.filterwarnings("ignore")
def test_decode__damaged_bytes_cost_the_photo_at_most() -> None:
    image = Image.fromarray(NOISE)
    exif = Image.Exif()
    exif[0x0112] = 6
    sources = [encoded(image, kind, exif=exif) for kind in ("JPEG", "PNG", "TIFF", "WEBP")]
    sources += [encoded(image, "GIF"), encoded(image, "BMP")]
    rng = random.Random(0)
    for _ in range(600):
        data = bytearray(rng.choice(sources))
        for _ in range(rng.choice([1, 3, 10])):
            data[rng.randrange(min(len(data), 200))] = rng.randrange(256)
        try:
            picture = decode_image(bytes(data))
        except PhotoError as error:
            assert "\n" not in str(error)
        else:
            assert picture.pixels.shape[2] == 3


def test_decode__any_failure_of_a_decoder_is_a_photo_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise struct.error("unpack requires\na buffer")

    monkeypatch.setattr(Image.Image, "getexif", fail)
    with pytest.raises(
        PhotoError, match=r"cannot be decoded \(unpack requires a buffer; \d+ bytes"
    ):
        decode_image(encoded(Image.fromarray(NOISE)))


def test_read__missing_file(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="No such file"):
        read_image(tmp_path / "a.jpg")


def test_read_size__of_what_is_not_a_picture(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="No such file"):
        read_size(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(b"none")
    with pytest.raises(PhotoError, match="not a picture"):
        read_size(tmp_path / "a.jpg")


def test_read__file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(encoded(Image.fromarray(NOISE)))
    file.chmod(0)
    if os.access(file, os.R_OK):  # root may read anything

        def refuse(_: Path) -> bytes:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PhotoError, match="Permission denied"):
        read_image(file)


def test_read__pipe_and_folder_are_not_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")  # to read it would wait for ever
    (tmp_path / "folder.jpg").mkdir()
    for name in ("pipe.jpg", "folder.jpg"):
        with pytest.raises(PhotoError, match="not a file"):
            read_image(tmp_path / name)


def test_read__link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to("a.jpg")
    with pytest.raises(PhotoError, match="cannot be read"):
        read_image(tmp_path / "a.jpg")


def test_read__huge_file_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.tif").open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)  # a hole: takes no room on disk
    with pytest.raises(PhotoError, match="2048 MB"):
        read_image(tmp_path / "a.tif")


# Sizes


def test_grid_size__by_hand() -> None:
    assert grid_size(448, 448, size=448, patch=14) == (32, 32)
    assert grid_size(1, 1, size=448, patch=16) == (28, 28)
    # Twice as wide as high: 1024 patches are sqrt(512) = 22.6 rows, 1024 / 23 = 44.5 columns.
    assert grid_size(2000, 1000, size=448, patch=14) == (23, 45)
    assert grid_size(20_000, 1, size=448, patch=14) == (16, 64)  # 4:1 at most
    assert grid_size(1, 20_000, size=448, patch=14) == (64, 16)
    assert grid_size(640, 480, size=8, patch=16) == (1, 1)


@given(
    width=st.integers(1, 100_000),
    height=st.integers(1, 100_000),
    size=st.integers(28, 2048),
    patch=st.integers(2, 32),
)
def test_grid_size__area_and_aspect(width: int, height: int, size: int, patch: int) -> None:
    rows, columns = grid_size(width, height, size=size, patch=patch)
    assert rows >= 1
    assert columns >= 1
    n_patches = (size / patch) ** 2
    assert abs(rows * columns - n_patches) <= max(rows / 2, 2)
    aspect = min(max(width / height, 0.25), 4.0)
    exact = (n_patches / aspect) ** 0.5
    assert rows == 1 or abs(rows - exact) <= 0.5 + 1e-9
    assert columns == 1 or abs(columns - n_patches / rows) <= 0.5 + 1e-9


def test_resize__shrinks_by_area_and_grows_bicubically() -> None:
    checks = np.array([[0, 100], [200, 100]], dtype=np.uint8)[..., None].repeat(3, axis=2)
    assert resize(checks, height=1, width=1).tolist() == [[[100, 100, 100]]]
    assert resize(checks, height=2, width=2) is checks
    expected = cv2.resize(checks, (6, 6), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_array_equal(resize(checks, height=6, width=6), expected)
