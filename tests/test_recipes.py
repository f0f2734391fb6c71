"""The recipes that come with prelabel, on photos, and a class that is called background."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PilImage

from builders import prediction, region
from prelabel import config, export, fit, open_dataset, predict
from prelabel.data.dataset import Dataset
from prelabel.data.images import read_image
from prelabel.data.records import Prediction
from prelabel.samples import write_samples
from prelabel.segment import Segmenter
from prelabel.steps.features import Extractor
from support.places import ROOT

DOMAINS = ("defects", "microscopy", "product", "scene")
LIGHT = ["backbone.name=color-texture", "features.size=112"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Eight of the sample photos."""
    pytest.importorskip("skimage", reason="no scikit-image: pip install 'prelabel[samples]'")
    samples = write_samples(tmp_path_factory.mktemp("samples") / "samples")
    return sorted(p for p in samples.photos.rglob("*") if p.suffix in (".png", ".jpg"))[::4][:8]


def _predict(recipe: str, photos: list[Path], *settings: str) -> list[Prediction]:
    chosen = config.load(recipe, [*LIGHT, *settings])
    return list(predict(fit(photos, chosen), photos))


def test_domains__have_a_page_each_that_names_every_setting() -> None:
    for name in DOMAINS:
        page = (ROOT / f"docs/recipes/{name}.md").read_text("utf-8")
        text = config.recipe_text(name)
        settings = re.findall(r"^\[(\w+)\]|^(\w+) =", text, re.M)
        section = ""
        for new_section, setting in settings:
            section = new_section or section
            if setting and section != "backbone":
                assert f"`{section}.{setting}" in page, (name, section, setting)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", DOMAINS)
def test_domains__run_on_sample_photos(recipe: str, photos: list[Path]) -> None:
    found = _predict(recipe, photos)
    assert len(found) == len(photos)
    assert all(region.cluster >= 0 for one in found for region in one.regions)
    for one in found:  # as everywhere, regions do not overlap
        assert sum(region.area for region in one.regions) <= one.width * one.height


@pytest.mark.slow
def test_scene__regions_cover_the_photos_with_the_datasets_clusters(photos: list[Path]) -> None:
    found = _predict("scene", photos)
    for one in found:
        assert sum(region.area for region in one.regions) >= 0.95 * one.width * one.height
        for a, b in combinations(one.regions, 2):
            assert not (a.mask & b.mask).any()
    assert 2 <= len({region.cluster for one in found for region in one.regions}) <= 24


@pytest.mark.slow
def test_scene__regions_of_one_cluster_are_mostly_in_one_class(photos: list[Path]) -> None:
    """So that naming a class names the dataset's cluster."""
    model = fit(photos, config.load("scene", LIGHT))
    segmenter = Segmenter(model)
    extractor = Extractor(segmenter.backbone, name="color-texture", size=112)
    classes_of: dict[int, Counter[int]] = {}
    for file, one in zip(photos, predict(model, photos), strict=True):
        [features] = extractor.extract([read_image(file)])
        [clusters] = segmenter.apply_levels(features)[0].clusters
        height, width = clusters.shape
        for found in one.regions:
            mask = cv2.resize(found.mask.astype(np.uint8), (width, height)) > 0
            if mask.any():
                cluster = int(np.bincount(clusters[mask]).argmax())
                classes_of.setdefault(cluster, Counter())[found.cluster] += found.area
    together = sum(classes.most_common(1)[0][1] for classes in classes_of.values())
    assert together >= 0.7 * sum(classes.total() for classes in classes_of.values())


@pytest.mark.slow
def test_product__at_most_one_region_a_photo(photos: list[Path]) -> None:
    found = _predict("product", photos, "foreground.name=border")
    assert {len(one.regions) for one in found} <= {0, 1}
    assert any(one.regions for one in found)


@pytest.mark.parametrize("format", ["coco", "voc", "label-studio", "yolo-seg", "cvat"])
def test_background__is_a_name_that_formats_keep(format: str, tmp_path: Path) -> None:
    """Of a scene, where the ground is a class like any other."""
    if format == "yolo-seg":
        pytest.importorskip("labelformat", reason="pip install 'prelabel[labelformat]'")
    left = np.zeros((40, 60), dtype=np.bool_)
    left[:, :30] = True
    photos = tmp_path / "photos"
    photos.mkdir()
    PilImage.fromarray(left.astype(np.uint8) * 255).save(photos / "a.png")
    one = prediction("a.png", region(left, 0), region(~left, 1))
    dataset = Dataset(photos, ("background", "road"), [one].__iter__)
    written = export(dataset, tmp_path / "out", format)[format]
    folder = tmp_path / "out" / format
    back = open_dataset(folder if format == "voc" else written, photos=photos)
    [again] = back.stream()
    names = {back.classes[r.cluster]: r.area for r in again.regions}
    assert names == {"background": 1200, "road": 1200}
