"""The fitted model on disk: round trips, and damaged folders."""

from __future__ import annotations

import dataclasses
import errno
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prelabel import config
from prelabel.errors import UserError
from prelabel.model import FittedModel
from prelabel.steps.taught import facts_json
from support.messages import assert_says
from support.small_models import small_model, some_taught


def flat(value: object) -> object:
    """A model as nested plain values."""
    if isinstance(value, dict):
        return {key: flat(own) for key, own in value.items()}
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tolist())
    if isinstance(value, tuple):
        return [flat(v) for v in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: flat(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value


@pytest.mark.parametrize(("n_groups", "n_classes"), [(2, 3), (12, 3), (0, 0)])
def test_model__round_trip(tmp_path: Path, n_groups: int, n_classes: int) -> None:
    model = small_model(n_groups, n_classes)
    model.save(tmp_path / "m")
    loaded = FittedModel.load(tmp_path / "m")
    assert flat(loaded) == flat(model)
    assert loaded.version == model.version
    assert loaded.segment_hash == model.segment_hash
    assert len(list((tmp_path / "m").iterdir())) == 2


def test_model__version_follows_what_was_learned() -> None:
    model = small_model()
    assert model.version.endswith("-0")
    other = dataclasses.replace(model, classes=model.classes + 1)
    assert other.version != model.version
    assert other.segment_hash == model.segment_hash  # regions do not depend on classes
    levels = dataclasses.replace(model.levels, center=model.levels.center + 1)
    assert dataclasses.replace(model, levels=levels).segment_hash != model.segment_hash
    weights = dataclasses.replace(model, backbone={"weights_hash": "other"})
    assert weights.version != model.version
    assert weights.segment_hash != model.segment_hash
    stricter = config.load("fast", ["backbone.name=color-texture", "regions.threshold=0.6"])
    assert dataclasses.replace(model, config=stricter).segment_hash != model.segment_hash
    # The same weights under another name or at another path are the same backbone.
    here, there = (
        dataclasses.replace(model, config=config.load("fast", [f"backbone.weights={path}"]))
        for path in ("/a/x.pth", "/b/x.pth")
    )
    assert (here.version, here.segment_hash) == (there.version, there.segment_hash)
    renamed = dataclasses.replace(model, backbone={"weights": "other", "weights_hash": "ab12"})
    assert (renamed.version, renamed.segment_hash) == (model.version, model.segment_hash)
    # Where a model was fitted and how many photos it saw do not change its answers.
    assert dataclasses.replace(model, n_photos=1).version == model.version


def test_model__round_trip_of_what_labels_have_taught(tmp_path: Path) -> None:
    model = dataclasses.replace(small_model(), taught=some_taught())
    model.save(tmp_path / "m")
    loaded = FittedModel.load(tmp_path / "m")
    assert flat(loaded) == flat(model)
    assert loaded.version == model.version
    assert loaded.segment_hash == model.segment_hash
    assert loaded.class_names == ("café", "dog", "object 1", "object 2", "object 3")
    small_model().save(tmp_path / "m")
    assert FittedModel.load(tmp_path / "m").taught is None


def test_model__version_and_regions_follow_what_was_taught() -> None:
    plain = small_model()
    taught = dataclasses.replace(plain, taught=some_taught())
    facts = some_taught().facts
    assert taught.taught is not None
    others = [
        dataclasses.replace(plain, taught=dataclasses.replace(taught.taught, **change))
        for change in (
            {"facts": dataclasses.replace(facts, weight=0.75)},
            {"learned": some_taught().learned},  # other numbers
        )
    ]
    models = [plain, taught, *others]
    assert len({model.version for model in models}) == len(models)
    assert len({model.segment_hash for model in models}) == len(models)
    renamed = dataclasses.replace(facts, classes=("cat", "dog"))
    named = dataclasses.replace(taught, taught=dataclasses.replace(taught.taught, facts=renamed))
    assert named.version != taught.version
    assert named.segment_hash == taught.segment_hash  # regions do not depend on names


def test_model__settings_of_the_learner_matter_only_if_something_was_taught() -> None:
    plain = small_model()
    taught = dataclasses.replace(plain, taught=some_taught())
    other = config.change(plain.config, ["learner.regularization=7"])
    assert dataclasses.replace(plain, config=other).segment_hash == plain.segment_hash
    assert dataclasses.replace(taught, config=other).segment_hash != taught.segment_hash


@pytest.mark.parametrize(
    "change",
    [
        {"classes": 3},
        {"classes": ["cat"]},  # fewer than labelled regions are of
        {"weight": "much"},
        {"weight": 1.5},
        {"name_weight": -1},
        {"scores": [0.1]},
        {"photos": None},
    ],
)
def test_model__damaged_facts_of_what_was_taught(tmp_path: Path, change: dict[str, object]) -> None:
    dataclasses.replace(small_model(), taught=some_taught()).save(tmp_path)
    facts = json.loads((tmp_path / "model.json").read_text())
    edit(taught={**facts["taught"], **change})(tmp_path)
    with pytest.raises(UserError) as raised:
        FittedModel.load(tmp_path)
    assert_says(raised.value, str(tmp_path), "damaged", "fit again")


def test_model__tensors_of_what_was_taught_are_missing(tmp_path: Path) -> None:
    small_model().save(tmp_path)
    edit(taught=facts_json(some_taught().facts))(tmp_path)
    with pytest.raises(UserError, match=r"damaged.*fit again"):
        FittedModel.load(tmp_path)


def test_model__saved_over_another(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    small_model().save(tmp_path)
    second = small_model()
    second.save(tmp_path)
    assert flat(FittedModel.load(tmp_path)) == flat(second)
    assert len(list(tmp_path.iterdir())) == 3  # the first one's tensors are gone
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", ["write_bytes", "write_text"])
def test_model__a_full_disk_leaves_the_earlier_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    first = small_model()
    first.save(tmp_path)

    def full(file: Path, data: bytes | str, **_: object) -> int:
        with file.open("wb") as half:
            half.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, kind, full)
        with pytest.raises(OSError, match="No space left"):
            small_model().save(tmp_path)
    assert flat(FittedModel.load(tmp_path)) == flat(first)
    assert not list(tmp_path.glob(".tmp-*"))
    first.save(tmp_path)  # tensors of the one that failed are cleared away
    assert len(list(tmp_path.iterdir())) == 2


def edit(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        facts = json.loads((folder / "model.json").read_text()) | changes
        text = json.dumps({k: v for k, v in facts.items() if v is not None})
        (folder / "model.json").write_text(text)

    return change


def text(value: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.json").write_text(value)


def tensors(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        [file] = folder.glob("tensors-*")
        file.write_bytes(change(file.read_bytes()))

    return apply


def cut_json(folder: Path) -> None:
    file = folder / "model.json"
    file.write_bytes(file.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("damage", "parts"),
    [
        (lambda folder: (folder / "model.json").unlink(), ("prelabel fit",)),
        (cut_json, ("model.json", "fit again")),
        (text(""), ("model.json",)),
        (text("[]"), ("schema None", "1")),  # the one found, the one that is read
        (text("3"), ("schema None", "1")),
        (edit(schema=2), ("schema 2", "1", "fit again")),
        (edit(schema=None), ("schema None",)),
        (edit(config=None), ("model.json", "`config`", "fit again")),
        (edit(version={"\ud800": 1}), ("model.json", "fit again")),
        (edit(config=[]), ("model.json", "object", "config")),
        (edit(tensors=5, backbone=None), ("model.json", "tensors")),
        (
            edit(config={"backbone": {"name": "gone"}}),
            ("the model's settings cannot be used", "'gone'"),
        ),
        (edit(config={"clusters": {}}), ("'clusters'",)),
        (lambda folder: next(folder.glob("tensors-*")).unlink(), ("tensors", "fit again")),
        (tensors(lambda data: data[:-4]), ("tensors", "hash")),
        (tensors(lambda data: data[:-1] + b"\x01"), ("tensors", "hash")),
        (tensors(lambda data: b""), ("tensors",)),
        (edit(n_photos="\ud800"), ("model.json", "is damaged")),
    ],
)
def test_model__damaged_folder(
    tmp_path: Path, damage: Callable[[Path], object], parts: tuple[str, ...]
) -> None:
    small_model().save(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError) as raised:
        FittedModel.load(tmp_path)
    assert_says(raised.value, str(tmp_path), *parts)


def test_model__no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("nowhere", "file"):
        with pytest.raises(UserError) as raised:
            FittedModel.load(tmp_path / name)
        assert_says(raised.value, str(tmp_path / name), "prelabel fit")
