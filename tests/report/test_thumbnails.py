"""The report's small pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray
from PIL import Image as PilImage

from prelabel.report import Thumbnails, write_report
from support.report_data import box_region, flat, picture, prediction, run_facts


def opened(file: Path) -> NDArray[np.int_]:
    with PilImage.open(file) as image:
        return np.asarray(image.convert("RGB"), dtype=int)


def test_thumbnails__sizes(tmp_path: Path) -> None:
    thumbnails = Thumbnails(tmp_path / "new" / "thumbs")
    photo = picture(flat(500, 375, (10, 200, 30)))
    regions = [box_region((10 * i, 50, 40, 40), (500, 375)) for i in range(20)]
    thumbnails.add(photo, regions)
    assert opened(thumbnails.folder / f"{photo.digest}.jpg").shape == (270, 360, 3)
    sprite = thumbnails.folder / thumbnails.sprite_name(photo.digest, regions)
    assert opened(sprite).shape == (2 * 112, 16 * 112, 3)


def test_thumbnails__small_photos_stay_small(tmp_path: Path) -> None:
    photo = picture(flat(1, 3, (9, 9, 9)))
    Thumbnails(tmp_path).add(photo, [])
    assert [file.name for file in tmp_path.iterdir()] == [f"{photo.digest}.jpg"]
    assert opened(tmp_path / f"{photo.digest}.jpg").shape == (3, 1, 3)


def test_thumbnails__cut_out_is_grey_outside_the_region(tmp_path: Path) -> None:
    # The photo's pixels are reduced four times; the mask is at full size.
    pixels = flat(1000, 500, (0, 0, 40))
    pixels[100:200, 600:700] = (120, 120, 120)
    photo = picture(pixels, (4000, 2000))
    regions = [
        box_region((2400, 400, 400, 400), (4000, 2000)),
        box_region((0, 0, 800, 200), (4000, 2000)),
    ]
    Thumbnails(tmp_path).add(photo, regions)
    sprite = opened(tmp_path / Thumbnails.sprite_name(photo.digest, regions))
    assert sprite.shape == (112, 224, 3)
    np.testing.assert_allclose(sprite[56, 56], (120, 120, 120), atol=12)
    np.testing.assert_allclose(sprite[2, 56], (230, 230, 230), atol=12)  # its margin
    # Mask and colours meet: nothing of the dark photo shows at the edge, and the size is right:
    # 400 pixels of 448, the box and its margin, in a cell of 112.
    cell = sprite[:, :112]
    assert cell[:, :, 0].min() > 100
    assert np.count_nonzero(cell[:, :, 0] < 175) == pytest.approx(100**2, rel=0.03)
    # The second is four times as wide as high and lies in the photo's corner.
    np.testing.assert_allclose(sprite[56, 112 + 50], (0, 0, 40), atol=12)
    np.testing.assert_allclose(sprite[10, 112 + 50], (230, 230, 230), atol=12)
    np.testing.assert_allclose(sprite[100, 112 + 50], (230, 230, 230), atol=12)


def test_thumbnails__made_once_per_content(tmp_path: Path) -> None:
    thumbnails = Thumbnails(tmp_path)
    photo = picture(flat(50, 40, (1, 2, 3)))
    found = prediction("a.jpg", photo, [box_region((5, 5, 9, 9), (50, 40), cluster=-1)])
    assert not thumbnails.has(found)
    thumbnails.add(photo, found.regions)
    assert thumbnails.has(found)
    named = structs.replace(
        found, regions=(structs.replace(found.regions[0], cluster=2, score=0.1),)
    )
    assert thumbnails.has(named), "class and score are not in the picture"
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    thumbnails.add(photo, named.regions)
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before

    other = structs.replace(found, regions=(box_region((5, 5, 9, 10), (50, 40)),))
    assert not thumbnails.has(other), "other masks are another sprite"
    (tmp_path / f"{photo.digest}.jpg").unlink()
    assert not thumbnails.has(found)


def test_thumbnails__only_ours_are_removed(tmp_path: Path) -> None:
    thumbnails = Thumbnails(tmp_path / "thumbs")
    old, new = picture(flat(20, 20, (1, 1, 1))), picture(flat(20, 20, (2, 2, 2)))
    regions = (box_region((2, 2, 9, 9), (20, 20)),)
    thumbnails.add(old, regions)
    thumbnails.add(new, regions)
    (thumbnails.folder / ".tmp-0123456789ab-0badc0de.jpg").touch()
    (thumbnails.folder / "holiday.jpg").touch()
    write_report(tmp_path, [prediction("new.jpg", new, regions)], run_facts())
    assert {file.name for file in thumbnails.folder.iterdir()} == {
        "holiday.jpg",
        f"{new.digest}.jpg",
        thumbnails.sprite_name(new.digest, regions),
    }
