"""Refiners that fail in ways that a contract does not foresee."""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Raising:
    """Fails with an error of its own."""

    def refine(
        self, foreground: NDArray[np.float32], image: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        raise ZeroDivisionError("in the\nplugin")


@dataclass(frozen=True)
class Picky:
    """Fails at photos that are dark at one place."""

    def refine(
        self, foreground: NDArray[np.float32], image: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        if image[40, 33].max() < 60:
            raise SystemExit("too dark")
        return foreground


@dataclass(frozen=True)
class Hanging:
    """Never comes back."""

    def refine(
        self, foreground: NDArray[np.float32], image: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        while True:
            time.sleep(1)


@dataclass(frozen=True)
class Crashing:
    """Ends the process, as a fault in a compiled library does."""

    def refine(
        self, foreground: NDArray[np.float32], image: NDArray[np.uint8]
    ) -> NDArray[np.float32]:
        ctypes.string_at(0)  # reads where nothing is
        return foreground
