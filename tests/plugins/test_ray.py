"""The engine of Ray on two nodes: what dies is done again, and the bytes are those of one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from prelabel.api import load_model
from prelabel.errors import UserError
from prelabel.runs import sharded
from prelabel.runs.run import run_predict
from prelabel.steps.photos import find_photos
from prelabel.strategies.contracts import check
from prelabel.strategies.protocols import Job, Prepare, Result
from prelabel_plugins.engines.ray_actors import RayActors
from support.command_line import COMMAND, LIGHT, cli, contents, refused, write_discs
from support.dying_worker import DiesOnce
from support.messages import assert_says
from support.places import ROOT

pytestmark = pytest.mark.slow
SHARDS = 8


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a cluster of two nodes on this machine, with a core each."""
    pytest.importorskip("ray", reason="ray is not installed: pip install 'prelabel[ray]'")
    import ray
    from ray.cluster_utils import Cluster

    node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    head = {**node, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:  # for the nodes, which have the environment of now
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(ROOT / "tests"), prepend=os.pathsep)
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            cluster.add_node(**node)
            yield cluster.address
        finally:
            ray.shutdown()
            cluster.shutdown()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny photos, one of which is broken."""
    folder = write_discs(tmp_path_factory.mktemp("ray") / "photos", 40)
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return folder


@pytest.fixture(scope="module")
def model(photos: Path) -> Path:
    """A model of them."""
    out = photos.parent / "model"
    assert cli("fit", photos, "--out", out, *LIGHT, "--set", "fit.photos=8").exit_code == 0
    return out


@pytest.fixture(scope="module")
def one(photos: Path, model: Path) -> Path:
    """What one process predicts, from nothing in a cache that only it uses."""
    out = photos.parent / "one"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRELABEL_CACHE", str(photos.parent / "cache"))
        run_predict(load_model(model), find_photos(photos), out)
    return out


def results(out: Path) -> dict[str, bytes]:
    """The files of a prediction, without its shards, those that hold times and locks."""
    return {
        name: data
        for name, data in contents(out).items()
        if not name.startswith((sharded.SHARDS, "."))
    }


class Dying:
    """The engine of Ray, one of whose workers is killed in the middle of shard 3."""

    def __init__(self, address: str, mark: Path) -> None:
        self._engine, self._mark = RayActors(address=address, workers=2), mark

    def map(self, prepare: Prepare[Job, Result], jobs: Sequence[Job]) -> Iterator[Result]:
        dying: Any = DiesOnce(prepare, 3, self._mark)  # type: ignore[arg-type]
        return self._engine.map(dying, jobs)


def test_contract(address: str) -> None:
    assert check("engine", "ray", {"address": address}) == []


def test_worker_killed_in_a_shard(
    address: str, photos: Path, model: Path, one: Path, tmp_path: Path
) -> None:
    out, mark = tmp_path / "out", tmp_path / "killed"
    engine = Dying(address, mark)
    summary = sharded.run_predict_sharded(
        load_model(model), find_photos(photos), out, engine, count=SHARDS
    )
    assert int(mark.read_text()) != os.getpid()  # a worker was killed
    assert results(out) == results(one)
    assert [skipped.photo for skipped in summary.facts.photos.skipped] == ["broken.png"]
    assert not list(out.rglob(".tmp-*"))


def test_driver_killed_and_run_again(
    address: str, photos: Path, model: Path, one: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["predict", model, photos, "--out", out, "--engine", "ray", "--address", address]
    arguments += ["--shards", SHARDS]
    driver = subprocess.Popen([*COMMAND, *map(str, arguments)], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (finished := _finished(out)):
        assert time.monotonic() < deadline
        assert driver.poll() is None
        time.sleep(0.02)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert len(finished) < SHARDS
    assert not (out / "predictions.jsonl").exists()
    assert cli(*arguments).exit_code == 0
    assert results(out) == results(one)
    after = _finished(out)
    assert len(after) == SHARDS
    assert finished.items() <= after.items()  # they were not written again


def _finished(out: Path) -> dict[str, int]:
    """The finished shards, with the time at which each was written."""
    found = {}
    for file in out.glob(f"{sharded.SHARDS}/*/run.json"):
        if json.loads(file.read_bytes())["state"] == "done":
            found[file.parent.name] = file.stat().st_mtime_ns
    return found


def test_no_room(address: str) -> None:
    with pytest.raises(UserError, match=r"no machine of Ray's has the 1 cores and 1 GPUs"):
        list(RayActors(address=address, gpus=1).map(_never, [1]))
    with pytest.raises(UserError, match="no machine of Ray's has the 64 cores"):
        list(RayActors(address=address, cpus=64).map(_never, [1]))


def _never() -> Any:
    raise AssertionError


def test_no_cluster(photos: Path, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed: pip install 'prelabel[ray]'")
    line = refused(
        *("predict", model, photos, "--out", tmp_path / "out"),
        *("--engine", "ray", "--address", "127.0.0.1:1"),
    )
    assert_says(line, "Ray cannot be reached at '127.0.0.1:1'")
