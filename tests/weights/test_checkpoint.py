"""Weights from files in several layouts, and the errors for those that cannot be used.

The networks are real architectures with random weights.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from prelabel.errors import UserError
from prelabel.weights.checkpoint import HASH, is_whole, state_hash
from prelabel.weights.load import LoadedWeights, load
from support.random_vit import TINY, State, random_state


@pytest.fixture(scope="module")
def small() -> State:
    return random_state("vit_small_patch16_224")


def _saved(state: Any, file: Path) -> Path:
    if file.suffix == ".safetensors":
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, file)
    else:
        torch.save(state, file)
    return file


def _same(loaded: LoadedWeights, state: State) -> bool:
    found = loaded.model.state_dict()
    return found.keys() == state.keys() and all(torch.equal(found[k], state[k]) for k in state)


LAYOUTS: dict[str, Callable[[State], Any]] = {
    "timm.pth": lambda s: s,
    "timm.safetensors": lambda s: s,
    "head.pth": lambda s: {**s, "head.weight": torch.zeros(5, 3), "head.bias": torch.zeros(5)},
    "trainer.ckpt": lambda s: {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in s.items()}},
    "model.pt": lambda s: {"model": s, "optimizer": {"lr": 0.1}},
    "backbone.pth": lambda s: {f"backbone.{k}": v for k, v in s.items()},
    "dino.pth": lambda s: {
        "student": {f"module.backbone.{k}": v + 1 for k, v in s.items()},
        "teacher": {
            **{f"module.backbone.{k}": v for k, v in s.items()},
            "module.head.mlp.0.weight": torch.zeros(8, 8),
        },
        "epoch": 100,
    },
}


@pytest.mark.parametrize("name", list(LAYOUTS))
def test_from_file__every_layout(tmp_path: Path, tiny: State, name: str) -> None:
    file = _saved(LAYOUTS[name](tiny), tmp_path / name)
    loaded = load(TINY, str(file))
    assert loaded.architecture == TINY
    assert loaded.source == f"file {name}"
    assert loaded.weights_hash == state_hash(tiny)
    assert _same(loaded, tiny)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["timm.safetensors", "dino.pth"])
def test_from_file__finds_the_architecture(tmp_path: Path, small: State, name: str) -> None:
    loaded = load("", str(_saved(LAYOUTS[name](small), tmp_path / name)))
    assert loaded.architecture == "vit_small_patch16_224"
    assert _same(loaded, small)


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture",
    [
        *("vit_small_patch8_224", "vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2"),
        "vit_small_patch16_dinov3",
    ],
)
def test_from_file__tells_architectures_apart(tmp_path: Path, architecture: str) -> None:
    state = random_state(architecture)
    loaded = load("", str(_saved(state, tmp_path / "it.safetensors")))
    assert loaded.architecture == architecture
    assert _same(loaded, state)


@pytest.mark.slow
def test_from_file__dinov2s_own_layout(tmp_path: Path) -> None:
    state = random_state("vit_small_patch14_dinov2")
    file = _saved({**state, "mask_token": torch.zeros(1, 384)}, tmp_path / "dinov2.pth")
    loaded = load("", str(file))
    assert loaded.architecture == "vit_small_patch14_dinov2"
    assert _same(loaded, state)


@pytest.mark.slow
def test_from_file__dinov2s_own_layout_with_registers(tmp_path: Path) -> None:
    # There the CLS token has a place in the position grid; in timm it is part of the token.
    state = random_state("vit_small_patch14_reg4_dinov2")
    place = torch.full((1, 1, 384), 0.25)
    theirs = {k: v for k, v in state.items() if k != "reg_token"}
    theirs["register_tokens"] = state["reg_token"]
    theirs["pos_embed"] = torch.cat([place, state["pos_embed"]], dim=1)
    theirs["mask_token"] = torch.zeros(1, 384)
    loaded = load("", str(_saved(theirs, tmp_path / "dinov2_reg4.pth")))
    assert loaded.architecture == "vit_small_patch14_reg4_dinov2"
    found = loaded.model.state_dict()
    assert torch.allclose(found["cls_token"], state["cls_token"] + 0.25)
    assert torch.equal(found["reg_token"], state["reg_token"])
    assert torch.equal(found["pos_embed"], state["pos_embed"])


def test_from_file__says_which_keys_and_shapes_differ(tmp_path: Path, tiny: State) -> None:
    state = {k: v for k, v in tiny.items() if k != "norm.bias"}
    state["extra.weight"] = torch.zeros(2)
    state["cls_token"] = torch.zeros(1, 1, 7)
    file = _saved(state, tmp_path / "odd.pth")
    with pytest.raises(UserError) as raised:
        load(TINY, str(file))
    for part in (
        f"{file} do not fit {TINY}",
        "misses norm.bias",
        "has extra.weight too many",
        "cls_token is (1, 1, 7), expected (1, 1, 64)",
        "--set backbone.model=NAME",
    ):
        assert part in str(raised.value)


def test_from_file__another_size_lists_a_few(tmp_path: Path, tiny: State) -> None:
    with pytest.raises(UserError, match=r" and \d+ more; .*backbone\.model"):
        load("vit_small_patch16_224", str(_saved(tiny, tmp_path / "tiny.safetensors")))


@pytest.mark.slow
def test_from_file__unknown_architecture(tmp_path: Path) -> None:
    state = {"patch_embed.proj.weight": torch.zeros(5, 3, 9, 9), "norm.bias": torch.zeros(5)}
    with pytest.raises(UserError) as raised:
        load("", str(_saved(state, tmp_path / "odd.pth")))
    assert "2 tensors" in str(raised.value)
    assert "(5, 3, 9, 9)" in str(raised.value)


@pytest.mark.slow
def test_from_file__mask_token_without_position_grid(tmp_path: Path) -> None:
    # As in DINOv3's own checkpoints.
    state = {
        "mask_token": torch.zeros(1, 384),
        "patch_embed.proj.weight": torch.zeros(8, 3, 16, 16),
    }
    with pytest.raises(UserError, match=r"backbone\.model"):
        load("", str(_saved(state, tmp_path / "dinov3.pth")))


class _Anything:
    """Not a tensor; torch refuses to unpickle it."""


BROKEN: dict[str, Callable[[Path, State], object]] = {
    "text.pth": lambda file, _: file.write_text("<html>404</html>"),
    "text.safetensors": lambda file, _: file.write_text("<html>404</html>"),
    "empty.pth": lambda file, _: file.write_bytes(b""),
    "empty.safetensors": lambda file, _: file.write_bytes(b""),
    "cut.pth": lambda file, state: _cut(_saved(state, file)),
    "cut.safetensors": lambda file, state: _cut(_saved(state, file)),
    "objects.pth": lambda file, _: torch.save({"model": _Anything()}, file),
    "numbers.pth": lambda file, _: torch.save({"epoch": 3}, file),
    "list.pth": lambda file, _: torch.save([1, 2], file),
}


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


@pytest.mark.parametrize("name", list(BROKEN))
@pytest.mark.parametrize("model", ["", TINY])
def test_load__a_broken_file(tmp_path: Path, tiny: State, name: str, model: str) -> None:
    file = tmp_path / name
    BROKEN[name](file, {"norm.bias": tiny["norm.bias"], "cls_token": tiny["cls_token"]})
    with pytest.raises(UserError) as raised:
        load(model, str(file))
    assert str(raised.value).startswith(f"weights {file}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["missing.pth", "missing.safetensors", "."])
def test_load__a_missing_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="no such file"):
        load(TINY, str(tmp_path / name))


def test_state_hash__depends_on_names_shapes_types_and_bytes_alone() -> None:
    one = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(1)}
    known = state_hash(one)
    assert known == "468824cc34f16ab34fee8fcd7fe54e0a"
    assert state_hash(dict(reversed(one.items()))) == known
    turned = {**one, "a": torch.arange(6.0).reshape(3, 2).T.contiguous().T.reshape(3, 2)}
    changes: list[State] = [
        {**one, "b": torch.ones(1)},
        {**one, "b": torch.zeros(1, dtype=torch.bfloat16)},
        {"a": one["a"], "c": one["b"]},
        turned,
    ]
    assert len({known, *(state_hash(state) for state in changes)}) == 5


def test_is_whole(tmp_path: Path, tiny: State) -> None:
    file = tmp_path / "a.safetensors"
    assert not is_whole(file)
    save_file(tiny, file)
    assert is_whole(file)  # as far as its size tells
    save_file(tiny, file, metadata={HASH: state_hash(tiny)})
    whole = file.read_bytes()
    assert is_whole(file)
    for damaged in (whole[:-1], whole[:100], whole + b"x", whole[:-1] + bytes([whole[-1] ^ 1])):
        file.write_bytes(damaged)
        assert not is_whole(file)
