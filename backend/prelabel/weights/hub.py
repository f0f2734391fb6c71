"""The hub that timm's weights come from: what is in its cache, and whether it answers."""

from __future__ import annotations

import os
import threading

from prelabel.errors import UserError
from prelabel.storage.text import error_line
from prelabel.weights.models import hub_repo

HUB_PATIENCE = 5.0
"""Seconds after which a silent hub counts as out of reach."""


_FILES = ("model.safetensors", "pytorch_model.bin")


def hub_cached(model: str) -> bool:
    """Whether timm's weights for ``model`` are in the hub's own cache."""
    from huggingface_hub import try_to_load_from_cache

    repo = hub_repo(model)
    return bool(repo) and any(isinstance(try_to_load_from_cache(repo, f), str) for f in _FILES)


def download_again(model: str) -> None:
    """Fetch the files of ``model`` that are in the hub's cache anew. Raises UserError."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    repo = hub_repo(model)
    for file in _FILES:
        if isinstance(try_to_load_from_cache(repo, file), str):
            try:
                hf_hub_download(repo, file, force_download=True)
            except Exception as error:  # the hub's library raises many kinds
                raise UserError(
                    f"{repo}: {file} in the cache is damaged, and cannot be fetched again "
                    f"({error_line(error)})"
                ) from error


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
