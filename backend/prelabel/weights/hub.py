"""The hub that timm's weights come from: what is in its cache, and whether it answers."""

from __future__ import annotations

import os
import threading

from prelabel.weights.models import hub_repo

HUB_PATIENCE = 5.0
"""Seconds after which a silent hub counts as out of reach."""


def hub_cached(model: str) -> bool:
    """Whether timm's weights for ``model`` are in the hub's own cache."""
    from huggingface_hub import try_to_load_from_cache

    repo = hub_repo(model)
    files = ("model.safetensors", "pytorch_model.bin")
    return bool(repo) and any(isinstance(try_to_load_from_cache(repo, f), str) for f in files)


def hub_reachable(model: str) -> bool:
    """Whether the hub answers for ``model`` within HUB_PATIENCE seconds."""
    repo = hub_repo(model)
    if not repo or os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
        return False
    answer: list[bool] = []

    def ask() -> None:
        from huggingface_hub import HfApi

        try:
            HfApi().model_info(repo, timeout=HUB_PATIENCE)
            answer.append(True)
        except Exception:  # whatever it is: the hub cannot be used
            answer.append(False)

    # A daemon thread: a name server that never answers must not keep the program waiting.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_PATIENCE)
    return bool(answer and answer[0])
