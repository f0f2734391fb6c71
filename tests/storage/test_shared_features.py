"""Features that several machines share, in a folder and in object storage."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from prelabel.data.records import Image, PatchFeatures
from prelabel.errors import UserError
from prelabel.steps.features import Extractor
from prelabel.steps.scales import Scales
from prelabel.steps.shared_features import SharedFeatures
from prelabel.storage.remote import RemoteFolder, place
from support.command_line import LIGHT, cli, contents, write_discs
from support.small_photos import as_picture, tiny_config


@pytest.fixture(autouse=True)
def _own_cache(empty_cache: Path) -> Path:
    return empty_cache


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digests of what is put through a backbone, in order."""
    digests: list[str] = []
    extract = Extractor.extract

    def counted(self: Extractor, photos: list[Image]) -> list[PatchFeatures]:
        digests.extend(photo.digest for photo in photos)
        return extract(self, photos)

    monkeypatch.setattr(Extractor, "extract", counted)
    return digests


def _scales(*, recent: bool = False) -> Scales:
    backbone = tiny_config().strategy("backbone")
    return Scales(backbone, name="color-texture", sizes=(112,), recent=recent)


def _on_another_machine(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PRELABEL_CACHE", str(folder))


@pytest.mark.parametrize("where", ["folder", "memory"])
def test_shared__computed_by_one_machine_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, memory: str, computed: list[str], where: str
) -> None:
    monkeypatch.setenv(
        "PRELABEL_FEATURES", memory if where == "memory" else str(tmp_path / "shared")
    )
    pictures = [as_picture(i) for i in range(3)]
    _on_another_machine(monkeypatch, tmp_path / "1")
    first = _scales().extract(pictures[:2])
    _on_another_machine(monkeypatch, tmp_path / "2")
    with _scales() as scales:
        again = scales.extract(pictures, store=True)
    assert computed == [picture.digest for picture in pictures]
    for a, b in zip(first, again, strict=False):
        np.testing.assert_array_equal(a.patches, b.patches)
        np.testing.assert_array_equal(a.cls, b.cls)
        np.testing.assert_array_equal(a.attention, b.attention)
    monkeypatch.delenv("PRELABEL_FEATURES")
    assert all(picture.digest in _scales() for picture in pictures)  # in the cache as well


def test_shared__what_is_fetched_is_kept_for_prompts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, memory: str
) -> None:
    monkeypatch.setenv("PRELABEL_FEATURES", memory)
    _scales().extract([as_picture(0)])
    _on_another_machine(monkeypatch, tmp_path / "2")
    _scales(recent=True).extract([as_picture(0)])
    monkeypatch.delenv("PRELABEL_FEATURES")
    assert _scales(recent=True).kept(as_picture(0).digest)


def test_shared__each_kind_of_features_has_its_own(tmp_path: Path) -> None:
    one, other = SharedFeatures(tmp_path / "a"), SharedFeatures(tmp_path / "b")
    pictures = [as_picture(i) for i in range(2)]
    [features] = _scales().extract(pictures[:1])
    one.put({pictures[0].digest: features})
    assert list(one.get(pictures, _all)) == [pictures[0].digest]
    assert one.get(pictures, lambda photo, found: False) == {}
    assert other.get(pictures, _all) == {}


def _all(photo: Image, features: PatchFeatures) -> bool:
    return True


@pytest.mark.parametrize("damage", ["empty", "cut", "no arrays", "other grid", "other dim", "NaN"])
def test_shared__damaged_is_computed_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, computed: list[str], damage: str
) -> None:
    monkeypatch.setenv("PRELABEL_FEATURES", str(tmp_path))
    [whole] = _scales().extract([as_picture(0)])
    [file] = tmp_path.rglob("*.safetensors")
    good = file.read_bytes()
    arrays = load(good)
    patches = arrays["patches"]
    file.write_bytes(
        {
            "empty": b"",
            "cut": good[:-9],
            "no arrays": save({}),
            "other grid": save({**arrays, "patches": patches[:-1]}),
            "other dim": save({**arrays, "patches": np.ascontiguousarray(patches[..., :-1])}),
            "NaN": save({**arrays, "patches": patches * np.float16(np.nan)}),
        }[damage]
    )
    [again] = _scales().extract([as_picture(0)])
    assert len(computed) == 2
    np.testing.assert_array_equal(again.patches, whole.patches)
    assert file.read_bytes() == good


def test_shared__what_cannot_be_shared_is_kept_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(file: Path, write: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setenv("PRELABEL_FEATURES", str(tmp_path))
    monkeypatch.setattr("prelabel.steps.shared_features.write_again_if_removed", full)
    with (
        pytest.raises(UserError, match=r"PRELABEL_FEATURES\): Stale file handle"),
        _scales() as some,
    ):
        some.extract([as_picture(0)], store=True)
    assert as_picture(0).digest in _scales()


@pytest.mark.parametrize("named", ["~nobody-of-this-name/x", "s3:/bucket"])
def test_shared__a_name_that_is_no_place(monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    monkeypatch.setenv("PRELABEL_FEATURES", named)
    with pytest.raises(
        UserError, match=r"PRELABEL_FEATURES = .*: expected a folder, or an address"
    ):
        _scales()


def test_shared__tells_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, memory: str, tmp_path: Path
) -> None:
    def denied(self: Any, path: str, *args: Any, **options: Any) -> bytes:
        raise PermissionError("Forbidden")

    def unreachable(self: Any, path: str, *args: Any, **options: Any) -> bytes:
        raise RuntimeError("no route")

    from fsspec.implementations.memory import MemoryFileSystem

    monkeypatch.setenv("PRELABEL_FEATURES", memory)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "cat_file", denied)
        with pytest.raises(UserError, match=r"PRELABEL_FEATURES\): Forbidden: .*correct that"):
            _scales().extract([as_picture(0)])
        patch.setattr(MemoryFileSystem, "cat_file", unreachable)
        with pytest.raises(UserError, match=r"cannot be reached \(RuntimeError: no route\)"):
            _scales().extract([as_picture(0)])
    monkeypatch.setenv("PRELABEL_FEATURES", "nothing://bucket")
    with pytest.raises(UserError, match="no such kind of storage"):
        _scales().extract([as_picture(0)])
    photos = write_discs(tmp_path / "photos", 2)
    run = cli("fit", photos, "--out", tmp_path / "model", *LIGHT)
    assert run.exit_code == 2
    assert "no such kind of storage" in run.stderr


def test_shared__in_s3_a_second_machine_computes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, s3: Any, computed: list[str]
) -> None:
    """And makes the same model and predictions, byte by byte."""
    assert s3
    monkeypatch.setenv("PRELABEL_FEATURES", "s3://photos/shared")
    photos = write_discs(tmp_path / "photos", 6)
    found = []
    for machine in "12":
        _on_another_machine(monkeypatch, tmp_path / f"cache {machine}")
        model, out = tmp_path / f"model {machine}", tmp_path / f"out {machine}"
        assert cli("fit", photos, "--out", model, *LIGHT).exit_code == 0
        assert cli("predict", model, photos, "--out", out).exit_code == 0
        found.append((contents(model), (out / "predictions.jsonl").read_bytes()))
    assert found[0] == found[1]
    assert len(computed) == len(set(computed)) == 6
    folder = place("s3://photos/shared")
    assert isinstance(folder, RemoteFolder)
    assert len(folder.files()) == 6


def test_doctor_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRELABEL_FEATURES", "s3://bucket/features")
    assert "s3://bucket/features (PRELABEL_FEATURES)" in cli("doctor").stdout
