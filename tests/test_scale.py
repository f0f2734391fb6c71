"""The benchmark of scale: its synthetic photos, one of its processes, and its picture."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import pytest

from prelabel.storage.shards import ShardStore
from support.places import ROOT


@pytest.fixture(params=["synthetic_features"])
def synthetic(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")  # as when it is run
        yield importlib.import_module(request.param)


def test_synthetic__generated_and_stored_are_the_same(
    synthetic: ModuleType, tmp_path: Path
) -> None:
    scenes = synthetic.Scenes(side=3, dim=8)
    synthetic.write_store(tmp_path, scenes, range(25))
    synthetic.write_store(tmp_path, scenes, range(20, 40))
    names = [synthetic.digest(number) for number in range(40)]
    assert names != sorted(names)
    store, generated = ShardStore(tmp_path), synthetic.Generated(scenes)
    for name in names:
        stored, features = store.read(name), generated.read(name)
        assert features.patches.shape == (3, 3, 8)
        assert np.array_equal(stored["patches"], features.patches)
        assert np.array_equal(stored["cls"], features.cls)
        assert abs(float(features.attention.mean(dtype=np.float64)) - 1) < 0.01


@pytest.mark.slow
def test_fit__a_process_reports_stages(synthetic: ModuleType) -> None:
    settings = ["clusterer.iterations=2", "levels.patches_per_cluster=8"]
    task = {"task": "fit", "folder": "", "n_photos": 60, "side": 4, "dim": 8, "settings": settings}
    command = [sys.executable, str(ROOT / "benchmarks/scale.py"), "--child", json.dumps(task)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    row = json.loads(done.stdout)
    assert row["patches"] == 960
    assert row["rounds"] == 2
    stages = dict(re.findall(r"(\w+)=([\d.]+)", row["stage_seconds"]))
    assert {"look_at_all", "groups", "sample", "fit_sample", "fit_all", "scores"} == set(stages)
    assert 50 < row["peak_mb"] < 1000


def test_draw__points_at_their_places(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        plot = importlib.import_module("scale_plot")
    rows = [
        {
            "part": "photos",
            "method": "shards",
            "photos": n,
            "patches": 16 * n,
            "dim": 64,
            "cpu_seconds": s,
            "peak_mb": 200,
        }
        for n, s in ((100, 1), (10_000, 100))
    ]
    plot.draw([{"part": "compare", "method": "faiss"}], tmp_path / "none.svg")
    assert not (tmp_path / "none.svg").exists()
    plot.draw(rows, tmp_path / "scale.svg")
    lines = [
        element.get("points")
        for element in ElementTree.parse(tmp_path / "scale.svg").iter()
        if element.tag.endswith("polyline")
    ]
    assert "16 patches of 64 each, from a disk" in (tmp_path / "scale.svg").read_text("utf-8")
    height = plot.HEIGHT
    flat = round(height * (1 - np.log10(2)), 1)  # 200 between 100 and 1 000
    assert lines == [
        f"0.0,{height:.1f} {plot.WIDTH:.1f},0.0",
        f"0.0,{flat} {plot.WIDTH:.1f},{flat}",
    ]
