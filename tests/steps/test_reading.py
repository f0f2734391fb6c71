"""Reading photos ahead: what is left out and what is mended is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from prelabel.data.image_mending import LONG_TEXT, NO_END
from prelabel.data.records import ImageFile
from prelabel.steps.reading import read_ahead
from prelabel.storage.progress import RunLog

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def test_faults_are_noted_and_broken_photos_skipped(tmp_path: Path) -> None:
    NOISE.save(tmp_path / "whole.jpg")
    data = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "no-end.jpg").write_bytes(data[:-2])
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2])
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "x" * 1_200_000, zip=True)
    NOISE.save(tmp_path / "text.png", pnginfo=info)
    photos = [ImageFile(file.name, file) for file in sorted(tmp_path.iterdir())]
    expected = {"no-end.jpg": NO_END, "text.png": LONG_TEXT}
    log = RunLog()
    found = list(read_ahead(photos, known=lambda _: False, log=log))
    assert [photo.name for photo, _, _ in found] == ["no-end.jpg", "text.png", "whole.jpg"]
    assert list(log.skipped) == ["half.jpg"]
    assert log.notes == expected
    again = RunLog()  # from the cache, which says the same
    known = {digest for _, digest, _ in found}
    assert len(list(read_ahead(photos, known=known.__contains__, log=again))) == 3
    assert again.notes == expected
