"""Which weights are loaded, and the errors where they cannot be loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import nn

from prelabel.errors import UserError
from prelabel.weights import hub
from prelabel.weights import load as load_module
from prelabel.weights.checkpoint import state_hash
from prelabel.weights.load import (
    WeightsChoice,
    default_choice,
    load,
    pull_from_hub,
    stand_in_file,
)
from prelabel.weights.models import DEFAULT_MODEL, STAND_IN
from support.random_vit import State


def test_load__not_timms(tmp_path: Path, tiny: State) -> None:
    file = tmp_path / "tiny.safetensors"
    save_file(tiny, file)
    with pytest.raises(UserError, match="vit_huge_gigantic"):
        load("vit_huge_gigantic", str(file))
    with pytest.raises(UserError, match="vit_huge_gigantic"):
        load("vit_huge_gigantic", "")


def test_load__stand_in_not_pulled() -> None:
    with pytest.raises(UserError, match="prelabel weights pull stand-in"):
        load("", STAND_IN)


def test_default_choice__the_hub_then_the_stand_in(
    monkeypatch: pytest.MonkeyPatch, tiny: State
) -> None:
    monkeypatch.setattr(hub, "hub_cached", lambda _: False)
    monkeypatch.setattr(hub, "hub_reachable", lambda _: False)
    with pytest.raises(UserError, match="prelabel weights pull stand-in"):
        default_choice()

    stand_in_file().parent.mkdir(parents=True)
    save_file(tiny, stand_in_file())
    assert default_choice() == WeightsChoice("vit_small_patch14_dinov2", "stand-in")

    default_choice.cache_clear()
    monkeypatch.setattr(hub, "hub_cached", lambda _: True)
    assert default_choice() == WeightsChoice("vit_small_patch16_224.dino", "")


def test_load__from_the_hub(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = nn.Linear(2, 3)
    monkeypatch.setattr(hub, "hub_cached", lambda _: True)
    monkeypatch.setattr(load_module, "create_network", lambda *_, **__: network)
    loaded = load(DEFAULT_MODEL, "")
    assert loaded.model is network
    assert loaded.source == "hub timm/vit_small_patch16_224.dino"
    assert loaded.weights_hash == state_hash(network.state_dict())
    assert "licence" not in caplog.text
    load("vit_small_patch16_dinov3.lvd1689m", "")
    assert "dinov3-license" in caplog.text  # DINOv3's is not an open one
    assert "registers" not in caplog.text
    load("vit_base_patch14_dinov2.lvd142m", "")
    assert "use vit_base_patch14_reg4_dinov2.lvd142m or DINOv3's" in caplog.text


def test_load__a_hub_that_breaks_off_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> nn.Module:
        raise OSError("connection reset\nby peer")

    monkeypatch.setattr(hub, "hub_cached", lambda _: True)
    monkeypatch.setattr(load_module, "create_network", fail)
    with pytest.raises(UserError, match="OSError: connection reset") as raised:
        load(DEFAULT_MODEL, "")
    assert "\n" not in str(raised.value)


def test_stand_in__that_is_cut_off_says_how_to_mend_it(tiny: State) -> None:
    stand_in_file().parent.mkdir(parents=True)
    save_file(tiny, stand_in_file())
    stand_in_file().write_bytes(stand_in_file().read_bytes()[:-1])
    with pytest.raises(UserError, match="cut off; prelabel weights pull stand-in"):
        load("", STAND_IN)


def test_pull_from_hub__fetches_damaged_files_again(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Linear(2, 3)
    fetched: list[tuple[str, str]] = []

    def create(*_: object, **__: object) -> nn.Module:
        if not fetched:
            raise OSError("incomplete metadata")
        return network

    def fetch(repo: str, file: str, *, force_download: bool) -> str:
        assert force_download
        fetched.append((repo, file))
        return file

    monkeypatch.setattr(hub, "hub_cached", lambda _: True)
    monkeypatch.setattr(load_module, "create_network", create)
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache",
        lambda repo, file: file if file.endswith("safetensors") else None,
    )
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    monkeypatch.setattr(hub, "hub_reachable", lambda _: False)
    with pytest.raises(UserError, match="incomplete metadata"):
        pull_from_hub(DEFAULT_MODEL)
    monkeypatch.setattr(hub, "hub_reachable", lambda _: True)
    assert pull_from_hub(DEFAULT_MODEL).model is network
    assert fetched == [("timm/vit_small_patch16_224.dino", "model.safetensors")]
