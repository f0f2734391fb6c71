"""What a figure of speed depends on: the processor, its instruction sets, cores, and the threads used."""

from __future__ import annotations

import platform
from contextlib import suppress
from pathlib import Path

import torch

from prelabel.storage.threads import cores

FIELDS = ("processor", "instructions", "cores", "threads", "load", "torch")
_TELLING = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_bf16", "amx_int8")
"""Flags of /proc/cpuinfo that decide how fast matrix products are."""


def machine() -> dict[str, str | int | float]:
    """The facts by the names of ``FIELDS``; ``load``: processes that wanted a core in the last
    minutes."""
    facts: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    flags = facts.get("flags", "").split()
    named = [facts.get("model name", ""), facts.get("cpu family", ""), facts.get("model", "")]
    return {
        "processor": " ".join(filter(None, named)) or platform.machine(),
        "instructions": " ".join(name for name in _TELLING if name in flags),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "load": _load(),
        "torch": torch.__version__,
    }


def _load() -> float:
    with suppress(OSError):
        return float(Path("/proc/loadavg").read_text(encoding="ascii").split()[1])
    return 0.0
