"""osam's models: their names, licences, downloads that fail, and masks."""

# ruff: noqa: E402 (what needs osam is imported once it is there)
from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

osam = pytest.importorskip("osam", reason="osam is not installed: pip install 'prelabel[sam]'")
pytest.importorskip("onnx", reason="onnx is not installed: pip install 'prelabel[stand-in]'")

from prelabel.errors import UserError
from prelabel.weights import sam
from support import tiny_sam as network
from support.messages import assert_says


def test_sam_names__are_those_that_take_points_and_boxes() -> None:
    names = sam.sam_names()
    assert {"efficientsam:10m", "sam:100m", "sam2:tiny"} <= set(names)
    assert not [name for name in names if name.startswith(("sam3", "yolo"))]
    assert sam.DEFAULT_SAM in names


def test_check_sam__completes_the_name_as_osam_does() -> None:
    assert sam.check_sam("sam2") == "sam2:latest"
    with pytest.raises(UserError, match="sam3"):
        sam.check_sam("sam3")


def test_every_model__has_a_licence_and_an_identity() -> None:
    for name in sam.sam_names():
        metadata = osam.apis.get_model_metadata(name)
        assert metadata.license_spdx == "Apache-2.0"
        assert metadata.license_url.startswith("https://")
    assert len({sam.sam_identity(name) for name in sam.sam_names()}) == len(sam.sam_names())


def test_load__names_the_licence_once(tiny_sam: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert sam.load_sam(tiny_sam) is sam.load_sam(tiny_sam)
        sam.pull_sam(tiny_sam)
    (line,) = caplog.messages
    assert_says(line, tiny_sam, "Apache-2.0", "https://")


def test_mask__is_that_of_the_network_at_the_photos_size(tiny_sam: str) -> None:
    model = sam.load_sam(tiny_sam)
    pixels = np.full((80, 128, 3), 40, dtype=np.uint8)
    pixels[20:60, 30:90] = (220, 30, 30)
    pixels.flags.writeable = False
    embedding = model.embedding(pixels)
    points = np.array([[25, 10], [100, 50], [60, 30]], dtype=np.float32)
    mask = model.mask(embedding, sam.SamPrompt(points, np.array([2, 3, 1])))
    expected = np.zeros((80, 128), dtype=np.bool_)
    expected[20:51, 30:90] = True  # the red rectangle, as far as the box goes
    assert (mask == expected).all()


@pytest.mark.parametrize("name", ["efficientsam:tiny", "sam:tiny", "sam2:mini"])
def test_mask__of_each_family(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    network.register(monkeypatch, tmp_path, name)
    pixels = np.full((64, 64, 3), 40, dtype=np.uint8)
    pixels[20:50, 10:40], pixels[0:20, 40:64] = (220, 30, 30), (220, 30, 30)
    model = sam.load_sam(name)
    embedding = model.embedding(pixels)
    assert model.vectors(embedding).shape == (64, 64, 3)
    points = np.array([[5, 15], [60, 44], [12, 25], [50, 40]], dtype=np.float32)
    mask = model.mask(embedding, sam.SamPrompt(points, np.array([2, 3, 1, 0])))
    expected = np.zeros((64, 64), dtype=np.bool_)
    expected[20:45, 10:40], expected[15:20, 40:61] = True, True  # as far as the box goes
    assert (mask == expected).all()
    network.forget()


def test_mask__may_be_empty(tiny_sam: str) -> None:
    model = sam.load_sam(tiny_sam)
    embedding = model.embedding(np.zeros((40, 40, 3), dtype=np.uint8))
    points = np.array([[30, 30], [10, 10], [5, 5]], dtype=np.float32)  # a box without an area
    mask = model.mask(embedding, sam.SamPrompt(points, np.array([2, 3, 1])))
    assert mask.shape == (40, 40)
    assert not mask.any()


def test_embedding__of_the_last_photos_stay(tiny_sam: str) -> None:
    model = sam.load_sam(tiny_sam)
    photos = [np.full((16, 16, 3), grey, dtype=np.uint8) for grey in range(5)]
    found = [model.embedding(photo) for photo in photos]
    assert model.embedding(photos[1]) is found[1]
    assert model.embedding(photos[0]) is not found[0]  # five are one too many
    other_shape = photos[1].reshape(8, 32, 3)
    assert model.embedding(other_shape).original_width == 32


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The name of a model whose weights are nowhere, on a machine without a network."""

    def refuse(*args: object, **kwargs: object) -> NoReturn:
        raise OSError("no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # osam tries again after a while
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "http_proxy",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    blob = osam.types.Blob(url="https://weights.invalid/tiny.onnx", hash=f"sha256:{'0' * 64}")
    network.add(monkeypatch, "efficientsam:nowhere", {"encoder": blob, "decoder": blob})
    return "efficientsam:nowhere"


def test_load__without_a_network_is_one_error(
    offline: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError) as caught:
        sam.load_sam(offline)
    assert_says(
        caught.value, offline, "osam pull efficientsam:nowhere", "~/.cache/osam", "download"
    )
    assert len(str(caught.value)) < 400
    shown = capfd.readouterr()
    assert "Traceback" not in shown.err + shown.out
    assert "WARNING" not in shown.err  # osam's own lines


def test_load__does_not_try_again_at_once(offline: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[str] = []
    clock = [100.0]

    def pull(name: str) -> NoReturn:
        tries.append(name)
        raise UserError(f"{name}: no network")

    monkeypatch.setattr(sam, "pull_sam", pull)
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    for later in (0, 59, 2):
        clock[0] += later
        with pytest.raises(UserError, match="nowhere"):
            sam.load_sam(offline)
    assert len(tries) == 2


def test_load__a_damaged_file_is_one_error(offline: str) -> None:
    for blob in osam.apis.get_model_type_by_name(offline)._blobs.values():
        Path(blob.path).parent.mkdir(parents=True, exist_ok=True)
        Path(blob.path).write_bytes(b"not an ONNX file")
    with pytest.raises(UserError) as caught:
        sam.load_sam(offline)
    assert_says(caught.value, offline, "osam pull")
