"""A cached result belongs to the code that made it: code that changes under a cache and a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.installed import copy_of_prelabel, edit, install, prelabel
from support.small_photos import write_scenes

pytestmark = pytest.mark.slow

SETTINGS = ("features.size=112", "levels.photos_per_group=4", "levels.min_group=2")
REFINER = '''
    """A refiner that leaves a part of P(foreground)."""
    from dataclasses import dataclass
    from some_plugin.numbers import SHARE

    @dataclass(frozen=True)
    class Part:
        def refine(self, foreground, image):
            left = foreground.copy()
            left[round(len(left) * SHARE):] = 0
            return left
'''
WARNING = "was fitted by other code"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_scenes(tmp_path / "photos", 8)
    return tmp_path / "photos"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    put(tmp_path / "site", "0.0.1", share=1.0)
    return tmp_path / "site"


def put(site: Path, version: str, *, share: float) -> None:
    """The plugin at a version, whose refiner leaves the upper share of a photo."""
    install(
        site,
        "some-plugin",
        version,
        files={
            "some_plugin/__init__.py": "",
            "some_plugin/refiner.py": REFINER,
            "some_plugin/numbers.py": f'"""Numbers."""\nSHARE = {share}\n',
        },
        entry_points={"prelabel.refiners/part": "some_plugin.refiner:Part"},
    )


def command(name: str, *arguments: str | Path, paths: Sequence[Path]) -> str:
    return prelabel(name, *arguments, paths=paths, cache=paths[0].parent / "cache")


def run(photos: Path, out: Path, *sets: str, paths: Sequence[Path]) -> str:
    options = [part for one in (*SETTINGS, *sets) for part in ("--set", one)]
    recipe = ("--recipe", "fast", "--backbone", "color-texture", "--format", "coco")
    return command("run", photos, "--out", out, *recipe, *options, paths=paths)


def regions(out: Path) -> list[object]:
    lines = (out / "predictions.jsonl").read_text().splitlines()
    return [json.loads(line)["regions"] for line in lines]


def area(out: Path) -> int:
    lines = (out / "predictions.jsonl").read_text().splitlines()
    return sum(region["area"] for line in lines for region in json.loads(line)["regions"])


def version(out: Path) -> str:
    return str(json.loads((out / "run.json").read_text())["model_version"])


def from_cache(out: Path) -> int:
    return int(json.loads((out / "run.json").read_text())["photos"]["from_cache"])


def features(tmp_path: Path) -> dict[str, int]:
    """The shards of features in the cache, and when they were written."""
    found = (tmp_path / "cache" / "features").rglob("*.safetensors")
    return {str(file): file.stat().st_mtime_ns for file in found}


def test_run__a_refiner_is_edited_at_the_same_version(
    tmp_path: Path, photos: Path, site: Path
) -> None:
    run(photos, tmp_path / "first", "refiner.name=part", paths=[site])
    made = features(tmp_path)
    put(site, "0.0.1", share=0.5)
    run(photos, tmp_path / "second", "refiner.name=part", paths=[site])
    assert 0 < area(tmp_path / "second") < area(tmp_path / "first")
    assert version(tmp_path / "second") != version(tmp_path / "first")
    assert features(tmp_path) == made

    edit(site / "some_plugin" / "numbers.py", '"""Numbers."""', "# Numbers, to be chosen well.")
    run(photos, tmp_path / "third", "refiner.name=part", paths=[site])
    assert version(tmp_path / "third") == version(tmp_path / "second")
    assert from_cache(tmp_path / "third") == 8


def test_run__a_step_of_ours_is_edited(tmp_path: Path, photos: Path) -> None:
    ours = copy_of_prelabel(tmp_path / "ours")
    run(photos, tmp_path / "first", paths=[ours])
    made = features(tmp_path)
    assert area(tmp_path / "first") > 0
    edit(
        ours / "prelabel" / "steps" / "regions.py",
        "for i in range(1, n_parts) if",
        "for i in range(0) if",
    )
    run(photos, tmp_path / "second", paths=[ours])
    assert area(tmp_path / "second") == 0
    assert features(tmp_path) == made


def test_run__the_backbone_is_edited(tmp_path: Path, photos: Path) -> None:
    ours = copy_of_prelabel(tmp_path / "ours")
    run(photos, tmp_path / "first", paths=[ours])
    made = features(tmp_path)
    backbone = ours / "prelabel_plugins" / "backbones" / "color_texture.py"
    edit(backbone, "cv2.COLOR_RGB2LAB) / 100", "cv2.COLOR_RGB2LAB) / 90")
    run(photos, tmp_path / "second", paths=[ours])
    new = features(tmp_path)
    assert made.items() < new.items()
    # A model that was fitted with the old one has other regions now.
    command("predict", tmp_path / "first", photos, "--out", tmp_path / "third", paths=[ours])
    assert regions(tmp_path / "third") != regions(tmp_path / "first")
    # How features are extracted is a part of them.
    edit(ours / "prelabel" / "steps" / "features.py", "np.zeros((self", "np.ones((self")
    run(photos, tmp_path / "fourth", paths=[ours])
    assert new.items() < features(tmp_path).items()


def test_predict__a_saved_model_and_a_new_version_of_a_plugin(
    tmp_path: Path, photos: Path, site: Path
) -> None:
    run(photos, tmp_path / "first", "refiner.name=part", paths=[site])
    same = command("predict", tmp_path / "first", photos, "--out", tmp_path / "a", paths=[site])
    assert WARNING not in same
    assert regions(tmp_path / "a") == regions(tmp_path / "first")
    assert version(tmp_path / "a") == version(tmp_path / "first")
    made = features(tmp_path)

    put(site, "0.0.2", share=0.5)
    other = command("predict", tmp_path / "first", photos, "--out", tmp_path / "b", paths=[site])
    [line] = [line for line in other.splitlines() if WARNING in line]
    assert "refiner: some-plugin 0.0.1, now some-plugin 0.0.2" in line
    assert 0 < area(tmp_path / "b") < area(tmp_path / "first")
    assert version(tmp_path / "b") != version(tmp_path / "first")
    assert from_cache(tmp_path / "b") == 0
    assert features(tmp_path) == made


def test_predict__a_model_of_a_prelabel_that_kept_no_record_of_its_code(
    tmp_path: Path, photos: Path, site: Path
) -> None:
    run(photos, tmp_path / "first", paths=[site])
    file = tmp_path / "first" / "model" / "model.json"
    facts = json.loads(file.read_text())
    del facts["code"]
    facts["version"] = "0123456789ab-0"
    file.write_text(json.dumps(facts))
    output = command("predict", tmp_path / "first", photos, "--out", tmp_path / "a", paths=[site])
    assert output.count(WARNING) == 1
    assert regions(tmp_path / "a") == regions(tmp_path / "first")
