"""fit() and predict(): one photo's answer, what is cached, what is kept in memory."""

from __future__ import annotations

import random
import shutil
import threading
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as PilImage

import builders
from prelabel.data import images
from prelabel.data.dataset import Dataset
from prelabel.data.masks import decode_rle
from prelabel.data.records import Image, ImageFile
from prelabel.errors import PluginError, UserError
from prelabel.model import FittedModel
from prelabel.pipeline import fit, predict
from prelabel.segment import Segment
from prelabel.steps.features import Extractor
from prelabel.steps.photos import PhotoSet, find_photos
from prelabel.storage.progress import RunLog
from prelabel.storage.shards import ShardStore
from prelabel.strategies import checks
from support.command_line import disc_labels, write_discs
from support.small_photos import as_picture, tiny_config, without_name, write_scenes

pytestmark = pytest.mark.usefixtures("empty_cache")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_scenes(tmp_path / "photos", 20)
    return tmp_path / "photos"


def forget(tmp_path: Path) -> None:
    """As on another machine: nothing in the cache."""
    shutil.rmtree(tmp_path / "cache")


def test_pipeline__finds_the_discs_and_groups_them(photos: Path) -> None:
    log = RunLog()
    model = fit(photos, tiny_config(), log=log)
    assert model.n_photos == 20
    assert len(model.levels.groups) > 1
    predictions = list(predict(model, photos, log=log))
    assert [p.photo for p in predictions] == sorted(p.photo for p in predictions)
    assert len(predictions) == 20
    assert {p.model_version for p in predictions} == {model.version}
    regions = [r for p in predictions for r in p.regions]
    assert {r.cluster for r in regions} == set(range(len(model.classes)))
    for prediction in predictions:
        masks = [decode_rle(r.rle) for r in prediction.regions]
        assert all(m.shape == (prediction.height, prediction.width) for m in masks)
        share = sum(m.sum() for m in masks) / (prediction.height * prediction.width)
        assert prediction.foreground == pytest.approx(share)
        scores = [r.score for r in prediction.regions]
        assert scores == sorted(scores, reverse=True)
    assert log.skipped == {}
    assert list(log.seconds) == ["features", "levels", "regions", "classes"]


def test_pipeline__a_plugin_that_fails_once_costs_no_photo(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def fail_once(*given: Any) -> NDArray[np.float32]:
        calls.append(1)
        if len(calls) == 1:
            raise PluginError("it was busy")
        return checks.refine(*given)

    monkeypatch.setattr("prelabel.segment.refine", fail_once)
    log = RunLog()
    model = fit(photos, tiny_config(), log=log)
    assert list(log.skipped.values()) == ["it was busy"]
    assert len(list(predict(model, photos, log=log))) == 20
    assert log.skipped == {}


@pytest.mark.slow
def test_predict__one_photo_alone_or_among_others_in_any_order(
    tmp_path: Path, photos: Path
) -> None:
    model = fit(photos, tiny_config())
    extra = write_scenes(tmp_path / "extra", 4, start=50)
    files = sorted(photos.rglob("*.png")) + extra
    forget(tmp_path)
    together = {p.digest: without_name(p) for p in predict(model, files)}
    assert len(together) == 24
    for file in files:
        forget(tmp_path)
        [alone] = predict(model, file)
        assert without_name(alone) == together[alone.digest]
    forget(tmp_path)
    random.Random(0).shuffle(files)
    for file in files[:3]:
        shutil.copy(file, tmp_path / f"copy-{file.name}")
    mixed = [*files[5:], *tmp_path.glob("copy-*")]
    assert all(without_name(p) == together[p.digest] for p in predict(model, mixed))


@pytest.mark.slow
def test_predict__same_from_the_cache_and_from_a_loaded_model(tmp_path: Path, photos: Path) -> None:
    model = fit(photos, tiny_config())
    cached = list(predict(model, photos))
    model.save(tmp_path / "model")
    assert list(predict(FittedModel.load(tmp_path / "model"), photos)) == cached
    forget(tmp_path)
    assert list(predict(FittedModel.load(tmp_path / "model"), photos)) == cached


@pytest.mark.slow
def test_fit__same_again_without_the_cache_and_under_other_names(
    tmp_path: Path, photos: Path
) -> None:
    first = fit(photos, tiny_config())
    forget(tmp_path)
    assert fit(photos, tiny_config()).version == first.version
    files = sorted(photos.rglob("*.png"))
    for i, file in enumerate(random.Random(0).sample(files, len(files))):
        (tmp_path / "renamed").mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / "renamed" / f"{i:03}.jpg")
    assert fit(tmp_path / "renamed", tiny_config()).levels.center.tobytes() == (
        first.levels.center.tobytes()
    )


@pytest.mark.slow
def test_pipeline__same_with_any_number_of_lanes(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, callers = [], set[bool]()
    extract = Extractor.extract

    def note(self: Extractor, some: Sequence[Image]) -> object:
        callers.add(threading.current_thread() is threading.main_thread())
        return extract(self, some)

    monkeypatch.setattr(Extractor, "extract", note)
    for lanes in (1, 3):
        monkeypatch.setattr("prelabel.strategies.lanes.cores", lambda lanes=lanes: lanes)
        callers.clear()
        model = fit(photos, tiny_config())
        found.append((model.version, list(predict(model, photos))))
        assert callers == {lanes == 1}
        forget(tmp_path)
    assert found[0] == found[1]
    assert len(found[0][1]) == 20


def test_fit__another_seed_is_another_model(photos: Path) -> None:
    versions = {fit(photos, tiny_config(f"fit.seed={seed}")).version for seed in (0, 1)}
    assert len(versions) == 2


def test_fit__a_sample_of_the_photos(photos: Path) -> None:
    model = fit(photos, tiny_config("fit.photos=5"))
    assert model.n_photos == 5
    assert len(list(predict(model, photos))) == 20


@pytest.mark.slow
def test_fit__all_photos_and_every_patch(photos: Path) -> None:
    """A sample that holds everything finds nearly the same: its last round is not all patches' last."""
    everything = ("fit.photos=20", "levels.patches_per_cluster=10000")
    sampled = fit(photos, tiny_config(*everything))
    every = fit(photos, tiny_config("fit.photos=0", *everything[1:]))
    assert every.n_photos == 20
    assert np.allclose(every.levels.center, sampled.levels.center, atol=1e-5)
    for own, its in zip(
        every.levels.dataset.centroids, sampled.levels.dataset.centroids, strict=True
    ):
        assert own.shape == its.shape
        assert (own * its).sum(axis=1).min() > 0.9
    pixels = [
        [sum(region.area for region in p.regions) for p in predict(model, photos)]
        for model in (sampled, every)
    ]
    assert np.allclose(pixels[0], pixels[1], rtol=0.2)
    again = fit(photos, tiny_config("fit.photos=0", *everything[1:]))
    assert again.version == every.version


def count_decodes(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    seen: Counter[str] = Counter()
    decode = images.decode_image

    def counted(data: bytes, file: Path) -> Image:
        seen[images.digest(data)] += 1
        return decode(data, file)

    monkeypatch.setattr(images, "decode_image", counted)
    return seen


@pytest.mark.slow
def test_cache__nothing_is_decoded_or_computed_twice(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = count_decodes(monkeypatch)
    model = fit(photos, tiny_config())
    assert set(decoded.values()) == {2}  # for features, then for edges
    decoded.clear()
    assert fit(photos, tiny_config()).version == model.version
    assert len(list(predict(model, photos))) == 20
    assert decoded == Counter()
    write_scenes(photos, 1, start=99)
    assert len(list(predict(model, photos))) == 21
    assert len(decoded) == 1


def test_cache__is_keyed_by_content_not_by_name(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fit(photos, tiny_config())
    decoded = count_decodes(monkeypatch)
    [*_, file] = sorted(photos.rglob("*.png"))
    shutil.copy(file, photos / "same.png")  # two photos with one content
    by_name = {p.photo: p for p in predict(model, photos)}
    assert decoded == Counter()
    assert without_name(by_name["same.png"]) == without_name(
        by_name[file.relative_to(photos).as_posix()]
    )
    PilImage.fromarray(np.zeros((64, 96, 3), dtype=np.uint8)).save(file)  # one name, other content
    changed = {p.photo: p for p in predict(model, photos)}
    assert sum(decoded.values()) == 1
    assert changed["same.png"] == by_name["same.png"]
    assert changed[file.relative_to(photos).as_posix()].digest != by_name["same.png"].digest


@pytest.mark.slow
def test_cache__other_settings_do_not_share_regions(photos: Path) -> None:
    model = fit(photos, tiny_config())
    strict = fit(photos, tiny_config("regions.min_area=0.2"))
    smallest = [
        min(r.area / (p.width * p.height) for p in predict(m, photos) for r in p.regions)
        for m in (model, strict)
    ]
    assert smallest[0] < 0.19
    assert smallest[1] > 0.19  # masks have another size than what the limit is measured on
    dropped = [sum(p.dropped for p in predict(m, photos)) for m in (model, strict)]
    assert dropped[1] > dropped[0]


def test_hook__is_given_each_new_photo_once(photos: Path) -> None:
    seen: list[str] = []

    def hook(photo: ImageFile, picture: Image, segment: Segment) -> None:
        assert picture.digest == segment.digest
        seen.append(photo.name)

    model = fit(photos, tiny_config(), hook=hook)
    assert sorted(seen) == [p.name for p in find_photos(photos).photos]
    list(predict(model, photos, hook=hook))
    assert len(seen) == 20


@pytest.mark.slow
def test_predict__stopped_early_keeps_what_is_done(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fit(photos, tiny_config())
    whole = list(predict(model, photos))
    forget(tmp_path)
    some = predict(model, photos)
    assert [next(some) for _ in range(5)] == whole[:5]
    some.close()  # type: ignore[attr-defined]
    decoded = count_decodes(monkeypatch)
    assert list(predict(model, photos)) == whole
    assert len(decoded) == 15


@pytest.mark.slow
def test_predict__a_photo_of_another_size_and_kind(photos: Path, tmp_path: Path) -> None:
    model = fit(photos, tiny_config())
    PilImage.new("CMYK", (700, 30)).save(tmp_path / "x.jpg")
    [prediction] = predict(model, tmp_path / "x.jpg")
    assert (prediction.width, prediction.height) == (700, 30)


def test_fit__no_photo_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the list"):
        fit([], tiny_config())


def test_extractor__features_do_not_depend_on_the_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backbone = tiny_config().strategy("backbone")
    monkeypatch.setattr(type(backbone), "batch", 4)
    extractor = Extractor(backbone, name="color-texture", size=112)
    pictures = [as_picture(i) for i in range(7)]
    together = extractor.extract(pictures)
    assert len(together) == 7
    for picture, features in zip(pictures, together, strict=True):
        [alone] = extractor.extract([picture])
        assert alone.patches.tobytes() == features.patches.tobytes()
        assert alone.patches.dtype == np.float16
        assert alone.attention.tobytes() == features.attention.tobytes()
    assert extractor.extract([]) == []


@pytest.mark.slow
@pytest.mark.parametrize(("lanes", "most"), [(1, 160), (3, 460)])
def test_memory__for_each_photo_of_predict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lanes: int, most: int
) -> None:
    """From 60 photos on, the peak grows by less than 4 kB a photo. In lanes, how many are under way beside
    each other makes a difference of 1 MB and, on a busy machine, of more: the lower of two peaks counts."""
    monkeypatch.setattr("prelabel.strategies.lanes.cores", lambda: lanes)
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(most):
        pixels = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        pixels[6:18, 6:18] = 255 * (i % 2)
        PilImage.fromarray(pixels).save(folder / f"{i:03}.png")
    files = sorted(folder.iterdir())
    model = fit(files[:60], tiny_config())

    def peak(n: int) -> int:
        forget(tmp_path)
        tracemalloc.start()
        try:
            assert sum(1 for _ in predict(model, files[:n])) == n
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(40)  # what is imported and cached on first use does not count
    few, many = (min(peak(n) for _ in range(2)) for n in (60, most))
    assert (many - few) / (most - 60) < 4096


@pytest.mark.slow
def test_memory__for_each_photo_of_fit(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(260):
        PilImage.new("RGB", (16, 16), (i % 256, i // 256, 99)).save(folder / f"{i:03}.png")
    files = sorted(folder.iterdir())
    config = tiny_config("levels.max_groups=2", "levels.patches_per_cluster=8")

    def peak(n: int) -> int:
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        tracemalloc.start()
        try:
            assert fit(files[:n], config).n_photos == n
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(40)
    assert (peak(260) - peak(60)) / 200 < 4096


def test_memory__for_each_photo_of_the_list() -> None:
    tracemalloc.start()
    try:
        found = [Path(f"/data/some/folder/photo-{i:06}.jpg") for i in range(2000)]
        before = tracemalloc.get_traced_memory()[0]
        photos = find_photos(found)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(photos.photos) == 2000
    assert used / 2000 < 2048


def test_photo_set__can_be_given_ready(photos: Path) -> None:
    found = find_photos(photos)
    model = fit(PhotoSet(found.root, found.photos, (("bad", "its name"),)), tiny_config())
    log = RunLog()
    list(predict(model, PhotoSet(found.root, found.photos[:2], (("bad", "its name"),)), log=log))
    assert log.skipped == {"bad": "its name"}


@pytest.mark.slow
def test_store__of_features_depends_on_size_and_backbone(photos: Path, tmp_path: Path) -> None:
    fit(photos, tiny_config())
    fit(photos, tiny_config("features.size=128"))
    fit(photos, tiny_config("backbone.patch=8"))
    folders = list((tmp_path / "cache" / "features").iterdir())
    assert [len(ShardStore(folder)) for folder in folders] == [20, 20, 20]


def _discs(tmp_path: Path, n: int = 5) -> Path:
    return write_discs(tmp_path / "discs", n)


def _regions(model: FittedModel, photos: Path) -> list[tuple[str, list[tuple[object, ...]]]]:
    """Of each photo, without their classes."""
    return [
        (p.photo, [(r.rle["counts"], r.box, r.area, r.score) for r in p.regions])
        for p in predict(model, photos)
    ]


def test_fit__labels_without_a_learner_leave_regions_as_they_are(tmp_path: Path) -> None:
    photos = _discs(tmp_path)
    settings = tiny_config("learner.name=none")
    labels = disc_labels(photos, ["photo 0.png", "photo 1.png", "photo 3.png"])
    plain, named = fit(photos, settings), fit(photos, settings, labels=labels)
    assert _regions(named, photos) == _regions(plain, photos)
    assert named.class_names[:2] == ("blue", "red")
    assert named.version != plain.version


def test_fit__labels_without_objects_leave_regions_as_they_are(tmp_path: Path) -> None:
    photos = _discs(tmp_path)
    empty = [builders.prediction(f"photo {i}.png", size=(64, 96)) for i in range(3)]
    labels = Dataset(photos, ("cat",), lambda: iter(empty))
    plain, taught = fit(photos, tiny_config()), fit(photos, tiny_config(), labels=labels)
    assert _regions(taught, photos) == _regions(plain, photos)
    assert taught.class_names == plain.class_names


def test_fit__the_model_that_was_saved_predicts_the_same(tmp_path: Path) -> None:
    photos = _discs(tmp_path)
    labels = disc_labels(photos, ["photo 0.png", "photo 1.png", "photo 2.png"])
    model = fit(photos, tiny_config(), labels=labels)
    model.save(tmp_path / "model")
    expected = list(predict(model, photos))
    forget(tmp_path)
    assert list(predict(FittedModel.load(tmp_path / "model"), photos)) == expected


def test_fit__a_wrong_label_that_was_corrected_leaves_no_trace(tmp_path: Path) -> None:
    photos = _discs(tmp_path)
    settings = tiny_config("foreground.name=border")
    names = [f"photo {i}.png" for i in range(4)]
    full = disc_labels(photos, names)
    wrong = [builders.prediction(p.photo, size=(64, 96)) for p in full.stream()]
    half = Dataset(photos, full.classes, lambda: iter([*list(full.stream())[:2], *wrong[2:]]))
    models = [fit(photos, settings, labels=labels) for labels in (full, half)]
    assert models[0].segment_hash != models[1].segment_hash
    again = fit(photos, settings, labels=full)
    assert again.version == models[0].version
    assert list(predict(again, photos)) == list(predict(models[0], photos))
