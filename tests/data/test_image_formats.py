"""Which files are photos."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prelabel.data.image_decoding import decode
from prelabel.data.image_formats import (
    EXTENSIONS,
    FORMATS,
    HEIF,
    find_photo_file,
    is_unread_picture,
)
from prelabel.data.images import decode_image, read_size
from prelabel.errors import PhotoError
from support.hostile_photos import encoded

SMOOTH = np.add.outer(np.arange(48), np.arange(64)).astype(np.uint8)
PHOTO = Image.fromarray(np.stack([SMOOTH, SMOOTH + 20, SMOOTH * 2], axis=2))


def test_endings_of_pillows_photos() -> None:
    expected = ".jfif .jpe .jp2 .j2k .avif .mpo .ppm .tga .dib .jpg .jpeg .png .tif .tiff .gif .bmp"
    assert set(expected.split()) <= EXTENSIONS
    assert not EXTENSIONS & {".pdf", ".eps", ".ps", ".wmf", ".emf", ".mpg", ".h5", ".grib", ".svg"}
    assert all(ending == ending.lower() and ending.startswith(".") for ending in EXTENSIONS)


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        *((kind, 0) for kind in ("BMP", "DIB", "DDS", "IM", "PCX", "PNG", "PPM", "SGI", "TGA")),
        *((kind, 0) for kind in ("TIFF", "JPEG2000", "QOI")),
        *((kind, 12) for kind in ("JPEG", "MPO", "WEBP", "AVIF")),
    ],
)
def test_every_format_is_decoded_whatever_the_ending(kind: str, loss: int) -> None:
    picture = decode_image(encoded(PHOTO, kind))
    off = np.abs(picture.pixels.astype(int) - np.asarray(PHOTO)).max()
    assert off <= loss


@pytest.mark.parametrize("kind", ["GIF", "ICO", "ICNS", "MSP", "SPIDER", "XBM"])
def test_format_with_its_own_colors_or_size(kind: str) -> None:
    image = PHOTO.resize((64, 64))
    mode = {"MSP": "1", "XBM": "1", "SPIDER": "F"}.get(kind, "RGB")
    picture = decode_image(encoded(image.convert(mode), kind))
    assert picture.pixels.shape[2] == 3


def test_heic_if_the_extra_is_there() -> None:
    pytest.importorskip("pillow_heif")
    assert HEIF <= EXTENSIONS
    picture = decode_image(encoded(PHOTO, "HEIF", quality=95))
    assert np.abs(picture.pixels.astype(int) - np.asarray(PHOTO)).max() <= 12


def test_heic_is_turned_by_its_own_properties_not_by_exif(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6  # which HEIF says is information only
    (tmp_path / "a.heic").write_bytes(encoded(PHOTO, "HEIF", exif=exif))
    picture = decode_image((tmp_path / "a.heic").read_bytes())
    assert picture.pixels.shape == (48, 64, 3)
    assert (picture.width, picture.height) == (64, 48) == read_size(tmp_path / "a.heic")


def test_avif_is_turned_once(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.avif").write_bytes(encoded(PHOTO, "AVIF", exif=exif, quality=95))
    picture = decode_image((tmp_path / "a.avif").read_bytes())
    expected = np.asarray(PHOTO.transpose(Image.Transpose.ROTATE_270))
    assert np.abs(picture.pixels.astype(int) - expected).max() <= 12
    assert (picture.width, picture.height) == (48, 64) == read_size(tmp_path / "a.avif")


@pytest.mark.parametrize("size", [(4100, 2050), (4099, 2048), (2049, 1025), (1023, 700)])
def test_jpeg_2000_is_decoded_smaller(size: tuple[int, int]) -> None:
    ramp = np.linspace(0, 255, size[0]).astype(np.uint8)
    image = Image.fromarray(np.broadcast_to(ramp, size[::-1]).copy())
    picture = decode_image(encoded(image, "JPEG2000"))
    assert (picture.width, picture.height) == size
    scale = min(1, 1024 / size[0])
    expected = image.resize((round(size[0] * scale), round(size[1] * scale)), Image.Resampling.BOX)
    off = picture.pixels[..., 0].astype(int) - np.asarray(expected)
    assert np.abs(off).max() <= 3


def test_nothing_starts_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not {"EPS", "WMF", "PDF", "MPEG"} & set(FORMATS)
    decode_image(encoded(PHOTO, "PNG"))
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program is started"))
    eps = encoded(PHOTO, "EPS")
    with pytest.raises(PhotoError):
        decode(eps, full=False)


def test_pictures_that_are_not_read() -> None:
    assert all(is_unread_picture(ending) for ending in (".cr2", ".svg", ".jxl", ".dng"))
    assert not any(is_unread_picture(ending) for ending in (".jpg", ".txt", ".json", "", ".pdf"))


def test_find_photo_file(tmp_path: Path) -> None:
    for name in ("a.TIF", "b.avif", "b.jpg", "c.txt", "sub/d.JFIF"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = {stem: find_photo_file(tmp_path, stem) for stem in ("a", "b", "c", "sub/d")}
    assert found == {"a": "a.TIF", "b": "b.jpg", "c": None, "sub/d": "sub/d.JFIF"}
