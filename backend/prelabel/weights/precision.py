"""The precision that a device computes fastest in: measured once, and remembered.

Processors with bfloat16 instructions differ: on some it is twice as fast as float32, on others slower. The
answer is kept, as features of one precision are not those of the other.
"""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch

from prelabel.storage.files import cache_folder, replacing
from prelabel.storage.threads import cores
from prelabel.weights.devices import computes_bfloat16

FILE = "precision.json"
"""In the cache's folder: seconds of each precision, by device."""
PRECISIONS = ("float32", "bfloat16")
_GAIN = 1.05
"""How many times as fast bfloat16 has to be: float32 is more exact."""
_ROUNDS = 5
"""The fastest counts, since something else may run beside."""
_TOKENS, _DIM, _HEADS = 257, 384, 6
"""A ViT-S/16 on a photo of 256 × 256, that takes a few hundredths of a second."""

Seconds = Mapping[str, float]


def fastest_precision(device: torch.device) -> str:
    """``bfloat16`` where the device has arithmetic for it with which it is faster, else ``float32``.

    The first time that this processor, number of cores and version of torch are met, a layer of a small
    ViT is timed in both, which takes about a second.
    """
    if not computes_bfloat16(device):
        return "float32"
    seconds = measured_seconds(device)
    return "bfloat16" if seconds["bfloat16"] * _GAIN < seconds["float32"] else "float32"


def measured_seconds(device: torch.device) -> Seconds:
    """Seconds of a layer in each precision, as they were measured the first time."""
    file = cache_folder() / FILE
    key = f"{_device_name(device)}, {cores()} cores, torch {torch.__version__}"
    known = _read(file)
    if key not in known:
        measured = _measure(device)
        known = {key: measured, **_read(file)}  # another process may have been sooner
        with suppress(OSError), replacing(file) as beside:  # a cache may not be writable
            beside.write_text(json.dumps(known, indent=1), encoding="utf-8")
    return known[key]


def _read(file: Path) -> dict[str, Seconds]:
    """What is known; a damaged file, or entry, is as none."""
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        return {key: own for key, own in known.items() if _is_known(own)}
    except (OSError, ValueError, AttributeError):
        return {}


def _is_known(own: object) -> bool:
    return isinstance(own, dict) and all(
        isinstance(own.get(name), float) and 0 < own[name] < math.inf for name in PRECISIONS
    )


def _measure(device: torch.device) -> dict[str, float]:
    layers = {
        name: torch.nn.TransformerEncoderLayer(
            _DIM, _HEADS, 4 * _DIM, activation="gelu", batch_first=True, norm_first=True
        )
        .eval()
        .to(device, getattr(torch, name))
        for name in PRECISIONS
    }
    found = dict.fromkeys(PRECISIONS, math.inf)
    for number in range(1 + _ROUNDS):  # in turn, as other work comes and goes
        for name, layer in layers.items():
            seconds = _seconds(layer, getattr(torch, name), device)
            if number:  # the first prepares the kernels
                found[name] = min(found[name], seconds)
    return found


def _seconds(layer: torch.nn.Module, dtype: torch.dtype, device: torch.device) -> float:
    tokens = torch.ones(1, _TOKENS, _DIM, dtype=dtype, device=device)
    with torch.inference_mode():
        start = time.perf_counter()
        float(layer(tokens).sum())  # a GPU is done only when the number is here
        return time.perf_counter() - start


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    facts: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    # Clouds name several generations alike; the numbers tell them apart.
    parts = [facts[name] for name in ("model name", "cpu family", "model") if name in facts]
    return " ".join(parts) or platform.processor() or platform.machine()
