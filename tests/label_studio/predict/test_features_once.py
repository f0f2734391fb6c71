"""A photo that was predicted once is not put through the backbone again while its features are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prelabel.label_studio.predict.predictor import Predictor
from prelabel.pipeline import fit
from prelabel_plugins.backbones.color_texture import ColorTexture
from support.small_photos import tiny_config, write_scenes


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of photos of each call of the backbone."""
    found: list[int] = []
    extract = ColorTexture.extract

    def counted(self: ColorTexture, images: Any) -> Any:
        found.append(len(images))
        return extract(self, images)

    monkeypatch.setattr(ColorTexture, "extract", counted)
    return found


def test_segment__of_a_photo_seen_once_asks_no_backbone(
    tmp_path: Path, empty_cache: Path, calls: list[int]
) -> None:
    write_scenes(tmp_path / "fitted", 6)
    data = write_scenes(tmp_path / "new", 1, start=6)[0].read_bytes()
    model = fit(tmp_path / "fitted", tiny_config())
    calls.clear()

    first = Predictor(model, model.config)
    segment = first.segment(data)
    assert len(calls) == 1
    assert (
        first.segment(data).to_arrays()["facts"].tobytes() == segment.to_arrays()["facts"].tobytes()
    )
    first.flush()
    Predictor(model, model.config).segment(data)  # as in another process
    assert len(calls) == 1

    changed = fit(tmp_path / "fitted", tiny_config("fit.seed=1", "regions.threshold=0.4"))
    assert changed.version != model.version
    other = Predictor(changed, changed.config)
    again = other.segment(data)
    assert len(calls) == 1  # neither the fit nor the photo
    # Found anew all the same, with the changed model.
    assert other.features(data).patches.tobytes() == first.features(data).patches.tobytes()
    assert np.array_equal(again.cls, segment.cls)

    resized = fit(tmp_path / "fitted", tiny_config("features.size=224"))
    calls.clear()
    Predictor(resized, resized.config).segment(data)
    assert len(calls) == 1  # features of another size are others
