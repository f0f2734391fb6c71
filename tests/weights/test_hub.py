"""The hub: asked once, not for long, and not at all when offline."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from prelabel.errors import UserError
from prelabel.weights import hub
from prelabel.weights.load import load
from prelabel.weights.models import DEFAULT_MODEL


@pytest.fixture
def hanging_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A hub that takes the question and never answers."""
    done = threading.Event()
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: done.wait(60))
    monkeypatch.setattr(hub, "hub_cached", lambda _: False)
    yield
    done.set()


@pytest.mark.slow
def test_hub_reachable__is_decided_in_time(
    hanging_hub: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert hub.HUB_PATIENCE <= 5
    monkeypatch.setattr(hub, "HUB_PATIENCE", 0.3)
    start = time.monotonic()
    assert not hub.hub_reachable(DEFAULT_MODEL)
    assert time.monotonic() - start < 2
    with pytest.raises(UserError, match="--backbone"):
        load(DEFAULT_MODEL, "")


@pytest.mark.parametrize("answers", [True, False])
def test_hub_reachable__as_it_answers(monkeypatch: pytest.MonkeyPatch, answers: bool) -> None:
    asked = []

    def model_info(_: Any, repo: str, **__: Any) -> None:
        asked.append(repo)
        if not answers:
            raise OSError("no route to host")

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", model_info)
    assert hub.hub_reachable(DEFAULT_MODEL) is answers
    assert asked == ["timm/vit_small_patch16_224.dino"]


def test_hub_reachable__is_not_asked_when_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: pytest.fail("asked"))
    assert not hub.hub_reachable(DEFAULT_MODEL)


def test_hub_cached__either_kind_of_file_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    cached: set[str] = set()

    def look(repo: str, file: str) -> str | None:
        return f"/cache/{repo}/{file}" if file in cached else None

    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", look)
    assert not hub.hub_cached(DEFAULT_MODEL)
    for file in ("pytorch_model.bin", "model.safetensors"):
        cached.clear()
        cached.add(file)
        assert hub.hub_cached(DEFAULT_MODEL)
    assert not hub.hub_cached("vit_huge_gigantic")
