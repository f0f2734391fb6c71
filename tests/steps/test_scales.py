"""Features at several input sizes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from prelabel.data.records import Image, PatchFeatures
from prelabel.model import FittedModel
from prelabel.pipeline import fit, predict
from prelabel.steps.features import Extractor
from prelabel.steps.scales import Scales, merge, on_grid
from support.small_photos import as_picture, tiny_config, write_scenes


def _features(seed: int, height: int, width: int) -> PatchFeatures:
    rng = np.random.default_rng(seed)
    attention = rng.uniform(0.1, 2, (height, width))
    return PatchFeatures(
        rng.normal(size=(height, width, 3)).astype(np.float16),
        rng.normal(size=3).astype(np.float16),
        (attention / attention.mean()).astype(np.float16),
    )


def _scales(*sizes: int, recent: bool = False) -> Scales:
    backbone = tiny_config().strategy("backbone")
    return Scales(backbone, name="color-texture", sizes=sizes, recent=recent)


def test_merge__one_stays_as_it_is() -> None:
    one = _features(0, 2, 3)
    assert merge([one]) is one


def test_merge__by_hand() -> None:
    """Two patches side by side, and four: a quarter of a coarse patch from its middle to the next."""
    cls = np.ones(1, np.float16)
    coarse = np.array([[0, 4]], np.float16)
    fine = np.array([[2, 2, 2, 2]], np.float16)
    halves = np.array([[0, 2]], np.float16), np.array([[1, 1, 1, 1]], np.float16)
    merged = merge(
        [
            PatchFeatures(coarse[..., None], cls, halves[0]),
            PatchFeatures(fine[..., None], np.full(1, 2, np.float16), halves[1]),
        ]
    )
    assert merged.patches[..., 0].tolist() == [[1, 1.5, 2.5, 3]]  # of 0 1 3 4 and 2 2 2 2
    assert merged.attention.tolist() == [[0.5, 0.75, 1.25, 1.5]]
    assert merged.cls.tolist() == [1]  # of the first


@pytest.mark.parametrize(("height", "width"), [(4, 6), (5, 9), (2, 4)])
def test_on_grid__as_opencv(height: int, width: int) -> None:
    one = _features(1, 2, 3)
    found = on_grid(one, height, width)
    expected = cv2.resize(one.patches.astype(np.float32), (width, height))
    np.testing.assert_allclose(found.patches, expected, atol=2e-3)
    assert found.attention.mean(dtype=np.float64) == pytest.approx(1, abs=1e-3)


def test_scales__a_size_is_computed_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path))
    computed: list[tuple[int, int]] = []
    extract = Extractor.extract

    def counted(self: Extractor, photos: list[Image]) -> list[PatchFeatures]:
        computed.extend([(self.size, len(photos))] if photos else [])
        return extract(self, photos)

    monkeypatch.setattr(Extractor, "extract", counted)
    pictures = [as_picture(i) for i in range(2)]
    with _scales(112) as one:
        [alone, _] = one.extract(pictures, store=True)
    with _scales(112, 224) as two:
        assert pictures[0].digest not in two
        assert two.kept(pictures[0].digest) is None
        [merged, _] = two.extract(pictures, store=True)
        assert pictures[0].digest in two
    [of_the_other, _] = _scales(224).extract(pictures)
    assert computed == [(112, 2), (224, 2)]
    assert merged.patches.tobytes() == merge([alone, of_the_other]).patches.tobytes()
    kept = _scales(112, 224).kept(pictures[0].digest)
    assert kept
    assert kept.patches.tobytes() == merged.patches.tobytes()


def test_scales__recently_used_photos_are_kept_without_a_fit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PRELABEL_CACHE", str(tmp_path))
    picture = as_picture(0)
    _scales(112, 224).extract([picture])
    assert _scales(112, 224, recent=True).kept(picture.digest) is None
    _scales(112, 224, recent=True).extract([picture])
    assert _scales(112, 224, recent=True).kept(picture.digest)
    assert _scales(112, 224).kept(picture.digest) is None


def test_key__tells_sizes_and_their_order_apart() -> None:
    keys = {_scales(*sizes).key for sizes in ((112,), (224,), (112, 224), (224, 112))}
    assert len(keys) == 4
    assert _scales(112).key == _scales(112).folders[0].name


def test_fit__with_several_sizes(tmp_path: Path) -> None:
    """The finest grid decides; a model that was saved predicts the same; order of sizes is kept."""
    files = write_scenes(tmp_path / "photos", 6)
    model = fit(files, tiny_config("features.size=[112, 224]"))
    assert model.config.features.sizes == (112, 224)
    model.save(tmp_path / "model")
    loaded = FittedModel.load(tmp_path / "model")
    assert loaded.version == model.version
    found = list(predict(loaded, files))
    assert found == list(predict(model, files))
    single = list(predict(fit(files, tiny_config()), files))
    assert [p.regions for p in found] != [p.regions for p in single]
    assert all(p.regions for p in found)
