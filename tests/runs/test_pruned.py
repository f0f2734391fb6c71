"""Another process empties the cache in the middle: what is gone is computed anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prelabel import pipeline
from prelabel.label_studio.predict.predictor import Predictor
from prelabel.pipeline import fit, predict
from prelabel.segment import Segmenter
from prelabel.steps import fit_levels, reading
from prelabel.steps.features import Extractor
from prelabel.storage import shards
from prelabel.storage.progress import RunLog
from support.small_photos import tiny_config, without_name, write_scenes


@pytest.fixture
def photos(tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shards, "SHARD", 4)
    write_scenes(tmp_path / "photos", 10)
    return tmp_path / "photos"


def after_each(function: Callable[..., Any], action: Callable[[], None]) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        answer = function(*args, **kwargs)
        action()
        return answer

    return wrapped


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "name"),
    [
        (Extractor, "extract"),
        (pipeline, "extract_photos"),
        (fit_levels, "group_photos"),
        (fit_levels, "_fit_dataset"),
        (pipeline, "fit_levels"),
        (Segmenter, "find"),
        (Segmenter, "describe"),
    ],
)
def test_run_survives_pruning_at_every_step(
    photos: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch, place: object, name: str
) -> None:
    model = fit(photos, tiny_config())
    expected = list(predict(model, photos))

    def empty() -> None:
        shutil.rmtree(empty_cache, ignore_errors=True)

    if place is not fit_levels:  # whose functions are called with everything in the cache, too
        empty()
    monkeypatch.setattr(place, name, after_each(getattr(place, name), empty))
    log = RunLog()
    again = fit(photos, tiny_config(), log=log)
    assert again.version == model.version
    assert list(predict(again, photos, log=log)) == expected
    assert log.skipped == {}


@pytest.mark.slow
def test_run_survives_pruning_between_looking_and_reading(
    photos: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fit(photos, tiny_config())
    expected = list(predict(model, photos))
    read_ahead = reading.read_ahead

    def emptied(*args: Any, **kwargs: Any) -> Any:
        for photo in list(read_ahead(*args, **kwargs)):
            shutil.rmtree(empty_cache, ignore_errors=True)
            yield photo

    monkeypatch.setattr("prelabel.photo_segmenter.read_ahead", emptied)
    assert list(predict(model, photos)) == expected


def test_photo_that_is_gone_too_is_skipped(
    photos: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fit(photos, tiny_config())
    lost = sorted(photos.rglob("*.png"))[3]
    read_ahead = reading.read_ahead

    def emptied(*args: Any, **kwargs: Any) -> Any:
        found = list(read_ahead(*args, **kwargs))
        shutil.rmtree(empty_cache)
        lost.unlink()
        yield from found

    monkeypatch.setattr("prelabel.photo_segmenter.read_ahead", emptied)
    log = RunLog()
    assert len(list(predict(model, photos, log=log))) == 9
    assert list(log.skipped) == [lost.relative_to(photos).as_posix()]


@pytest.mark.parametrize("fitted", [True, False])
def test_running_backend_predicts_again(photos: Path, empty_cache: Path, fitted: bool) -> None:
    model = fit(photos, tiny_config()) if fitted else None
    predictor = Predictor(model, tiny_config())
    data = [file.read_bytes() for file in sorted(photos.rglob("*.png"))]
    before = [predictor.predict("a", one, version="v")[0] for one in data]
    predictor.flush()
    for _ in range(2):
        shutil.rmtree(empty_cache)
        after = [predictor.predict("a", one, version="v")[0] for one in data]
        assert [without_name(p) for p in after] == [without_name(p) for p in before]
        predictor.flush()
        assert any(empty_cache.rglob("*.safetensors"))  # kept again
