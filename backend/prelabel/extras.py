"""The extras: which packages each one brings, and what it is for.

``pyproject.toml`` lists the same packages with their versions; ``tests/test_extras.py`` compares.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from prelabel.errors import UserError


@dataclass(frozen=True, slots=True)
class Extra:
    """``packages``: the import name of each distribution. ``note``: what installing it needs."""

    purpose: str
    packages: Mapping[str, str]
    note: str = ""


EXTRAS: dict[str, Extra] = {
    "cloud": Extra(
        "photos, models and results in S3, by s3:// addresses",
        {"fsspec": "fsspec", "s3fs": "s3fs"},
        note="other storages need the driver of fsspec that its error names, such as gcsfs for gs://",
    ),
    "dense-crf": Extra(
        "the dense-crf refiner and the recipe paper",
        {"pydensecrf2": "pydensecrf"},
        note="it is compiled on installation, which needs a C++ compiler",
    ),
    "fast-evaluation": Extra("prelabel evaluate --fast", {"hotcoco": "hotcoco"}),
    "heif": Extra("photos of the format HEIC", {"pillow-heif": "pillow_heif"}),
    "label-studio": Extra("talking to Label Studio", {"httpx": "httpx"}),
    "labelformat": Extra("the formats yolo-seg and boxes", {"labelformat": "labelformat"}),
    "map": Extra("a map of alike regions by UMAP in prelabel review", {"umap-learn": "umap"}),
    "openvino": Extra("backbone.runtime=openvino", {"openvino": "openvino"}),
    "ray": Extra("prelabel predict --engine ray", {"ray": "ray"}),
    "sam": Extra("the refiner sam and prelabel serve --sam", {"loguru": "loguru", "osam": "osam"}),
    "samples": Extra("the sample photos", {"scikit-image": "skimage"}),
    "serve": Extra(
        "prelabel serve, the ML backend of Label Studio, and prelabel review",
        {
            "anyio": "anyio",
            "label-studio-ml": "label_studio_ml",
            "prometheus-client": "prometheus_client",
            "redis": "redis",
            "rq": "rq",
            "starlette": "starlette",
            "uvicorn": "uvicorn",
        },
    ),
    "stand-in": Extra(
        "prelabel weights pull stand-in", {"onnx": "onnx", "onnxruntime": "onnxruntime"}
    ),
}
"""Those for users."""

FOR_DEVELOPERS = ("docs", "test")
"""Extras for those who work on prelabel; their packages are in pyproject.toml alone."""


def install_command(extra: str) -> str:
    """The command that installs an extra, and what it needs."""
    note = EXTRAS[extra].note
    return f"pip install 'prelabel[{extra}]'" + (f"; {note}" if note else "")


def extra_of(module: str | None) -> str | None:
    """The extra that brings a module, by the name it is imported with; None if none does."""
    top = (module or "").partition(".")[0]
    return next((name for name, extra in EXTRAS.items() if top in extra.packages.values()), None)


def missing(package: str, extra: str) -> UserError:
    """The error about a package of an extra that is not installed."""
    return UserError(
        f"{package} is missing, which is needed for {EXTRAS[extra].purpose}: "
        f"{install_command(extra)}"
    )


@contextmanager
def required(extra: str) -> Iterator[None]:
    """Imports that need an extra. Raises UserError if one of its packages is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "prelabel").partition(".")[0]
        if module.startswith("prelabel"):  # a mistake of ours
            raise
        distributions = {own: name for name, own in EXTRAS[extra].packages.items()}
        raise missing(distributions.get(module, module), extra) from error
