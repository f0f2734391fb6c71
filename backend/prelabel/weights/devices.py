"""Where networks run, and in which precision."""

from __future__ import annotations

import torch


def best_device() -> torch.device:
    """CUDA, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device has bfloat16 arithmetic of its own (emulated, it is slower than float32)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, check, bool)()) for check in checks)


def computes_int8() -> bool:
    """Whether the CPU has instructions for products in int8 (VNNI), without which they are slower."""
    return bool(getattr(torch.cpu, "_is_vnni_supported", bool)())
