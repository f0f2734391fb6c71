"""Runs that are cut short: Ctrl-C, a full disk, kill -9. The rerun equals an unbroken run."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prelabel import pipeline
from prelabel.data import images
from prelabel.data.records import Prediction
from prelabel.model import FittedModel
from prelabel.pipeline import fit, predict
from prelabel.segment import Segmenter
from prelabel.steps import fit_levels, patch_clusters
from prelabel.steps.features import Extractor
from prelabel.storage import shards as store_module
from prelabel.storage.shards import ShardStore
from prelabel.strategies import lanes
from support.places import ROOT
from support.small_photos import tiny_config, write_scenes

N = 10


@pytest.fixture
def photos(tmp_path: Path, empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten photos in shards of four; the cache is empty."""
    monkeypatch.setattr(store_module, "SHARD", 4)
    write_scenes(tmp_path / "photos", N)
    return tmp_path / "photos"


def whole_way(photos: Path) -> tuple[str, list[Prediction]]:
    """fit, save, load, predict."""
    folder = photos.parent / "model"
    fit(photos, tiny_config()).save(folder)
    model = FittedModel.load(folder)
    return model.version, list(predict(model, photos))


def unbroken(photos: Path) -> tuple[str, list[Prediction]]:
    """The answer of a run in another cache, which is then thrown away."""
    answer = whole_way(photos)
    shutil.rmtree(photos.parent / "cache")
    shutil.rmtree(photos.parent / "model")
    return answer


def stored(photos: Path, kind: str) -> int:
    folders = (photos.parent / "cache" / kind).glob("*")
    return sum(len(ShardStore(folder)) for folder in folders)


def after(function: Callable[..., Any], n: int, error: BaseException) -> Callable[..., Any]:
    """The function, but its n-th call raises."""
    left = [n]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise error
        return function(*args, **kwargs)

    return wrapped


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_lanes", "place", "name", "n", "features", "segments"),
    [
        (1, images, "read_bytes", 7, (4, 6), (0, 0)),
        (1, images, "decode_image", 1, (0, 0), (0, 0)),
        (1, Extractor, "extract", 6, (5, 5), (0, 0)),
        (1, patch_clusters, "fit_dataset", 1, (N, N), (0, 0)),
        (1, patch_clusters, "fit_category", 1, (N, N), (0, 0)),
        (1, fit_levels, "group_photos", 1, (N, N), (0, 0)),
        (1, Segmenter, "describe_photos", 7, (N, N), (6, 6)),
        (1, pipeline, "learn_classes", 1, (N, N), (N, N)),
        (1, FittedModel, "save", 1, (N, N), (N, N)),
        (1, FittedModel, "load", 1, (N, N), (N, N)),
        (3, Extractor, "extract", 6, (3, 9), (0, 0)),  # what is beside it may be done or not
        (3, Segmenter, "describe_photos", 7, (N, N), (4, 6)),
    ],
)
def test_ctrl_c__in_each_stage(
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    n_lanes: int,
    place: Any,
    name: str,
    n: int,
    features: tuple[int, int],
    segments: tuple[int, int],
) -> None:
    """Interrupt the n-th call; ``features``, ``segments``: the least and the most that are kept."""
    monkeypatch.setattr(lanes, "cores", lambda: n_lanes)
    expected = unbroken(photos)
    with monkeypatch.context() as patch:
        patch.setattr(place, name, after(getattr(place, name), n, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            whole_way(photos)
    assert features[0] <= stored(photos, "features") <= features[1]  # what was done is kept
    assert segments[0] <= stored(photos, "segments") <= segments[1]
    assert not list(photos.parent.rglob(".tmp-*"))
    assert whole_way(photos) == expected


def half_written(file: Path, *_: Any, **__: Any) -> int:
    with file.open("wb") as half:
        half.write(b"\x40\0\0\0\0\0\0\0{")
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "n", "features", "segments"),
    [
        ("write_bytes", 1, 0, 0),
        ("write_bytes", 3, 8, 0),  # the shorter last shard of features
        ("write_bytes", 4, N, 0),
        ("write_bytes", 6, N, 8),
        ("write_bytes", 7, N, N),  # the model's tensors
        ("write_text", 1, N, N),  # the model's facts
    ],
)
def test_full_disk__at_each_kind_of_write(
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    n: int,
    features: int,
    segments: int,
) -> None:
    expected = unbroken(photos)
    write, left = getattr(Path, method), [n]

    def full_from_then_on(file: Path, *args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        return (half_written if left[0] <= 0 else write)(file, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, method, full_from_then_on)
        with pytest.raises(OSError, match="No space left on device") as caught:
            whole_way(photos)
    assert caught.value.filename  # the message says where
    assert stored(photos, "features") == features
    assert stored(photos, "segments") == segments
    assert not list(photos.parent.rglob(".tmp-*"))
    assert whole_way(photos) == expected


@pytest.mark.slow
def test_full_disk__while_renaming(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = unbroken(photos)
    for n in range(1, 9):
        with monkeypatch.context() as patch:
            error = OSError(errno.ENOSPC, "No space left on device")
            patch.setattr(Path, "replace", after(Path.replace, n, error))
            with pytest.raises(OSError, match="No space left"):
                whole_way(photos)
        assert not list(photos.parent.rglob(".tmp-*"))
        assert whole_way(photos) == expected
        shutil.rmtree(photos.parent / "cache")
        shutil.rmtree(photos.parent / "model")


@pytest.mark.parametrize("kind", ["features", "segments"])
@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], lambda d: b"garbage" * 99])
def test_damaged_shards__are_computed_again(
    photos: Path, kind: str, damage: Callable[[bytes], bytes]
) -> None:
    expected = whole_way(photos)
    shards = sorted((photos.parent / "cache" / kind).rglob("*.safetensors"))
    assert len(shards) == 3
    whole = [shard.read_bytes() for shard in shards]
    for shard in shards[:2]:
        shard.write_bytes(damage(shard.read_bytes()))
    assert whole_way(photos) == expected
    # Features are not missed by predict, nor by a fit whose segments are all there but its own.
    assert stored(photos, kind) == N
    assert shards[2].read_bytes() == whole[2]


KILLER = '''
"""For n = 1, 2, 3 …: a run that kills itself at its n-th rename, then a whole one.

Each is a fork of this process, which has run once, so that none reads the code again.
"""
import json, os, shutil, signal, sys
from pathlib import Path

import cv2
import sklearn.cluster  # noqa: F401
import torch  # noqa: F401
from prelabel.storage import shards as store
from prelabel.steps.photos import find_photos
from prelabel.runs.run import run
from support.small_photos import tiny_config

cv2.setNumThreads(0)
store.SHARD = 2
where, moment = Path(sys.argv[1]), sys.argv[2]
out, cache = where / "out", where / "cache"
os.environ["PRELABEL_CACHE"] = str(cache)
replace, write_bytes = Path.replace, Path.write_bytes


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(n):
    count = 0

    def killing_replace(self, target):
        nonlocal count
        count += 1
        if count == n and moment == "before":
            die()
        result = replace(self, target)
        if count == n:
            die()
        return result

    def killing_write(self, data):
        nonlocal count
        count += 1
        if count == n:
            write_bytes(self, data[: len(data) // 2])
            die()
        return write_bytes(self, data)

    if moment == "half":
        Path.write_bytes = killing_write
    else:
        Path.replace = killing_replace


def forked(n):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if n:
                kill_at(n)
            run(find_photos(where / "photos"), out, tiny_config(), formats=["coco", "voc"])
            status = 0
        finally:
            sys.stderr.flush()
            os._exit(status)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, (n, status)
    return os.WIFSIGNALED(status)


def contents():
    found = {}
    for file in sorted(out.rglob("*")):
        if file.is_file() and file.name not in ("run.json", "index.html"):  # they have times
            found[str(file.relative_to(out))] = file.read_bytes()
    facts = json.loads((out / "run.json").read_text())
    found["run.json"] = {
        k: facts[k] for k in ("model_version", "class_names", "regions", "state", "formats")
    }
    found["left in the cache"] = sorted(
        str(f.relative_to(cache)) for f in cache.rglob("*.safetensors") if f.name[0] != "."
    )
    return found


def clear():
    shutil.rmtree(out, ignore_errors=True)
    shutil.rmtree(cache, ignore_errors=True)


run(find_photos(where / "photos"), out, tiny_config(), formats=["coco", "voc"])
expected = contents()
assert len(expected["left in the cache"]) == 4
n = 0
while True:
    n += 1
    clear()
    if not forked(n):
        break
    assert not forked(0)
    found = contents()
    differ = [k for k in expected | found if expected.get(k) != found.get(k)]
    # Shards may hold other photos together, as what was done before has shards of its own.
    differ = [k for k in differ if k != "left in the cache"]
    assert not differ, f"killed {moment} {n}: {differ}"
print(n - 1)
'''


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("moment", "least"), [("before", 12), ("after", 12), ("half", 5)])
def test_kill_9__at_every_point_that_writes(tmp_path: Path, moment: str, least: int) -> None:
    """`run` with two exporters and a report, killed around each rename and within each write."""
    write_scenes(tmp_path / "photos", 3)
    driver = tmp_path / "killer.py"
    driver.write_text(KILLER)
    done = subprocess.run(
        [sys.executable, str(driver), str(tmp_path), moment],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(
                filter(None, [str(ROOT / "tests"), os.environ.get("PYTHONPATH")])
            ),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) >= least
    assert json.loads((tmp_path / "out" / "run.json").read_text())["state"] == "done"
