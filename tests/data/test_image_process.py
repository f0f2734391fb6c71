"""Photos that take too much memory or time cost that photo alone."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from prelabel.data import image_process, images
from prelabel.data.image_decoding import MAX_MEMORY, DecodingMemoryError, decode
from prelabel.data.image_headers import decoding_memory
from prelabel.data.images import decode_image
from prelabel.errors import PhotoError
from support import hostile_photos as hostile

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux only")
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))


@pytest.fixture
def no_idle() -> Iterator[None]:
    """No process from before, and none after."""
    image_process._end_all()
    yield
    image_process._end_all()


BOMBS = {
    "webp": lambda: hostile.webp(16_000, 16_000),
    "small webp": lambda: hostile.webp(8_000, 8_000),
    "animated webp": lambda: hostile.animated_webp(16_000, 16_000),
    "png of many rows": lambda: hostile.png(1, 250_000_000, color=0),
    "png of one row": lambda: hostile.png(250_000_000, 1, color=0),
    "png": lambda: hostile.png(16_000, 16_000, color=6),
    "png decoded here": lambda: hostile.png(1, 23_999_999, color=0),
    "gif": lambda: hostile.gif(65_000, 3_900),
    "gif beyond all": lambda: hostile.gif(65_535, 65_535),
    "tiff": lambda: hostile.tiff(16_000, 16_000),
    "tiff of many rows": lambda: hostile.tiff(1, 250_000_000),
    "tiff tile": lambda: hostile.tiff(64, 48, tile=(40_000, 40_000)),
    "tiff tags of 1 GB": lambda: hostile.tiff_with_many_tags(2000, 500_000),
    "jpeg 2000": lambda: hostile.jpeg_2000(16_000, 16_000),
    "small jpeg 2000": lambda: hostile.jpeg_2000(7_000, 7_000),
    "bmp of many rows": lambda: hostile.bmp(1, 250_000_000),
    "icon": lambda: hostile.icon(hostile.png(1, 170_000_000, color=0)),
    "apple icon": lambda: hostile.apple_icon(hostile.png(13_000, 13_000, color=6)),
    "psd": lambda: hostile.psd(16_000, 16_000),
    "qoi": lambda: hostile.qoi(16_000, 16_000),
}


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_bomb_is_refused_within_the_budget(tmp_path: Path, name: str) -> None:
    (tmp_path / "bomb").write_bytes(BOMBS[name]())
    program = """
import re, resource, sys
from pathlib import Path
from prelabel.data import image_process
from prelabel.data.images import read_image
from prelabel.errors import PhotoError
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
try:
    read_image(Path(sys.argv[1]))
except PhotoError as error:
    print(error, file=sys.stderr)
own = peak() - before
image_process._end_all()
print(own // 1024, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "bomb")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    own, apart = map(int, done.stdout.split())
    assert own < 250  # MB
    assert apart < MAX_MEMORY / 1e6 + 200  # and Python's own
    assert done.stderr or name.startswith("tiff tags")  # whose pixels are small


DEEP = NOISE.resize((4_000, 2_950))
PHOTOS = {
    "jpeg": lambda: hostile.encoded(NOISE.resize((6_000, 3_950)), "JPEG", progressive=True),
    "png": lambda: hostile.encoded(
        NOISE.convert("RGBA").resize((6_000, 3_950)), "PNG", compress_level=1
    ),
    "png of 16 bits": lambda: deep_png(DEEP),
    "png of 16 bits and transparent": lambda: deep_png(DEEP.convert("RGBA")),
    "grey png of 16 bits": lambda: deep_png(NOISE.convert("L").resize((6_000, 3_950))),
    "webp": lambda: hostile.encoded(DEEP, "WEBP", lossless=True, method=0, quality=0),
}


def deep_png(image: Image.Image) -> bytes:
    """A PNG with 16 bits a channel."""
    written, data = cv2.imencode(".png", np.asarray(image).astype(np.uint16) * 256)
    assert written
    return data.tobytes()


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("name", PHOTOS)
def test_photo_that_is_decoded_here__takes_what_is_stated(tmp_path: Path, name: str) -> None:
    data = PHOTOS[name]()
    memory = decoding_memory(data)
    assert memory is not None
    assert 220e6 < memory <= images._MOST_HERE
    (tmp_path / "photo").write_bytes(data)
    program = """
import re, sys
from pathlib import Path
from prelabel.data.images import decode_image, read_bytes
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
data = read_bytes(Path(sys.argv[1]))
before = peak()
decode_image(data)
print((peak() - before) * 1024)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "photo")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    assert int(done.stdout) < memory + 10e6


@needs_proc
@pytest.mark.slow
def test_large_photos__threads_give_back_what_they_took(tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(deep_png(DEEP))
    program = """
import re, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from prelabel.data import images
now = lambda: int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
images.be_frugal()
file = Path(sys.argv[1])
before = now()
with ThreadPoolExecutor(4) as pool:
    list(pool.map(images.read_image, [file] * 4))
print((now() - before) * 1024)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "photo")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    assert int(done.stdout) < 80e6


def test_decoding_memory__by_hand() -> None:
    assert decoding_memory(hostile.encoded(NOISE)) == 64 * 48 * 10
    assert decoding_memory(hostile.encoded(NOISE, "JPEG")) == 64 * 48 * 10
    assert decoding_memory(hostile.webp(64, 48)) == 64 * 48 * 20
    assert decoding_memory(deep_png(NOISE)) == 64 * 48 * 20
    assert decoding_memory(deep_png(NOISE.convert("L"))) == 64 * 48 * 10
    assert decoding_memory(hostile.jpeg_of_many_scans(64, 48, 60)) is None
    assert decoding_memory(hostile.gif(64, 48)) is None


def test_estimate_is_refused_before_decoding() -> None:
    data = hostile.encoded(NOISE, "BMP")
    with pytest.raises(DecodingMemoryError, match="takes more than"):
        decode(data, full=False, memory=64 * 48 * 4)  # and a pointer to each row
    decode(data, full=False, memory=64 * 48 * 4 + 48 * 8)


@pytest.mark.slow
def test_what_needs_more_memory_gets_it_alone(
    monkeypatch: pytest.MonkeyPatch, no_idle: None
) -> None:
    asked: list[tuple[int, bool]] = []
    ask = image_process._ask

    def watched(data: bytes, *, full: bool, side: int, memory: int, seconds: int) -> object:
        asked.append((memory, image_process._large.locked()))
        return ask(data, full=full, side=side, memory=memory, seconds=seconds)

    monkeypatch.setattr(image_process, "_ask", watched)
    image = Image.new("RGB", (9_000, 9_000), (9, 8, 7))  # 324 MB
    picture = decode_image(hostile.encoded(image, "TIFF", compression="tiff_lzw"))
    assert picture.pixels[5, 5].tolist() == [9, 8, 7]
    assert asked == [
        (image_process._USUAL_MEMORY, False),
        (MAX_MEMORY, True),
    ]


@pytest.mark.slow
def test_frugal__what_needs_more_memory_is_refused(
    monkeypatch: pytest.MonkeyPatch, no_idle: None
) -> None:
    monkeypatch.setattr(image_process, "_usual", image_process._usual)
    monkeypatch.setattr(image_process, "_frugal", threading.Event())
    monkeypatch.setattr(images._here, "n_bytes", images._here.n_bytes)
    images.be_frugal()
    assert images._here.n_bytes == images._MOST_HERE
    image = Image.new("RGB", (9_000, 9_000), (9, 8, 7))
    with pytest.raises(PhotoError, match="needs more than 300 MB"):
        decode_image(hostile.encoded(image, "TIFF", compression="tiff_lzw"))
    small = hostile.encoded(image.resize((90, 90)), "TIFF", compression="tiff_lzw")
    assert decode_image(small).pixels[5, 5].tolist() == [9, 8, 7]


@pytest.mark.slow
def test_what_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch, no_idle: None) -> None:
    monkeypatch.setattr(image_process, "_USUAL_SECONDS", 1)
    data = hostile.jpeg_of_many_scans(4_000, 4_000, 3_000)  # 8 s
    started = time.monotonic()
    with pytest.raises(PhotoError, match="takes more than 1 seconds"):
        decode_image(data)
    assert time.monotonic() - started < 4
    assert decode_image(hostile.encoded(NOISE, "BMP")).width == 64


def test_process_that_dies_costs_one_photo(monkeypatch: pytest.MonkeyPatch, no_idle: None) -> None:
    data = hostile.encoded(NOISE, "BMP")
    decode_image(data)
    [process] = image_process._idle
    take = image_process._take

    def dying() -> subprocess.Popen[bytes]:
        taken = take()
        taken.kill()
        return taken

    with monkeypatch.context() as patch:
        patch.setattr(image_process, "_take", dying)
        with pytest.raises(PhotoError, match="crash"):
            decode_image(data)
    assert process.poll() is not None
    assert decode_image(data).width == 64


def test_idle_process_is_used_again(no_idle: None) -> None:
    decode_image(hostile.encoded(NOISE, "GIF"))
    [process] = image_process._idle
    decode_image(hostile.encoded(NOISE, "TIFF"))
    assert image_process._idle == [process]
    process.kill()
    process.wait()
    decode_image(hostile.encoded(NOISE, "TIFF"))  # another one
    assert image_process._idle != [process]


@pytest.mark.slow
def test_threads_share_few_processes(no_idle: None) -> None:
    data = [hostile.encoded(NOISE, kind) for kind in ("GIF", "TIFF", "BMP", "TGA", "PPM")] * 4
    with ThreadPoolExecutor(8) as pool:
        pictures = list(pool.map(decode_image, data))
    expected = np.asarray(NOISE)
    for n, picture in enumerate(pictures):
        if n % 5:  # a GIF has another palette
            np.testing.assert_array_equal(picture.pixels, expected)
    assert len(image_process._idle) <= image_process._MOST_IDLE


def test_process_ends_with_the_one_that_began_it(tmp_path: Path) -> None:
    (tmp_path / "a.gif").write_bytes(hostile.encoded(NOISE, "GIF"))
    program = """
import os, sys
from pathlib import Path
from prelabel.data import image_process
from prelabel.data.images import read_image
read_image(Path(sys.argv[1]))
print(image_process._idle[0].pid, flush=True)
os._exit(0)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "a.gif")]
    pid = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    until = time.monotonic() + 10
    while time.monotonic() < until and _runs(pid):
        threading.Event().wait(0.05)
    assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
