"""What the command doctor prints: versions, devices, weights, and what is missing."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from prelabel.errors import UserError
from prelabel.extras import EXTRAS, install_command
from prelabel.steps.shared_features import VARIABLE
from prelabel.storage.files import cache_folder
from prelabel.strategies import registry

Row = tuple[str, str]

_LIBRARIES = ("torch", "timm", "numpy", "opencv-python-headless", "scikit-learn", "pillow")
_WITH_EXTRA = ("dense-crf", "sam")
"""Built-in strategies that cannot be used without the extra of the same name."""
_INSTEAD = "use --backbone FILE or --backbone stand-in"


def sections() -> Iterator[tuple[str, list[Row]]]:
    """Headings with rows of a name and a finding. A request to the hub takes up to 5 s."""
    yield "Versions", list(_versions())
    yield "Devices", list(_devices())
    yield "Weights", list(_weights())
    yield "Extras", list(_extras())
    yield "Plugins", list(_plugins())
    yield "Places", list(_places())


def _versions() -> Iterator[Row]:
    yield "prelabel", version("prelabel")
    yield "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    for name in _LIBRARIES:
        yield name, _version(name) or "missing: pip install --upgrade prelabel"


def _devices() -> Iterator[Row]:
    import torch

    from prelabel.weights.devices import best_device, computes_bfloat16
    from prelabel.weights.precision import fastest_precision, measured_seconds

    best = best_device()
    yield "CPU", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads used"
    yield "CUDA", torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    yield "MPS", "present" if torch.backends.mps.is_available() else "none"
    yield "used", str(best)
    if computes_bfloat16(best):
        seconds = measured_seconds(best)
        times = f"{seconds['float32'] / seconds['bfloat16']:.1f} times as fast as float32"
        yield "bfloat16", f"{times} when it was measured: {fastest_precision(best)} is used"
    else:
        yield "bfloat16", f"not supported by {best}: float32 is used"


def _weights() -> Iterator[Row]:
    from prelabel.weights import hub
    from prelabel.weights.load import stand_in_file
    from prelabel.weights.models import DEFAULT_MODEL, STAND_IN

    model = DEFAULT_MODEL
    if hub.hub_cached(model):
        yield model, "in the hub's cache"
    elif hub.hub_reachable(model):
        yield model, "the hub answers: downloaded on first use"
    else:
        yield model, f"not in the cache, and the hub does not answer: {_INSTEAD}"
    if stand_in_file().exists():
        yield STAND_IN, str(stand_in_file())
    else:
        yield STAND_IN, "missing: prelabel weights pull stand-in"


def _extras() -> Iterator[Row]:
    for name, extra in EXTRAS.items():
        missing = _missing(name)
        if missing:
            yield (
                name,
                f"missing ({', '.join(missing)}), needed for {extra.purpose}: "
                f"{install_command(name)}",
            )
        else:
            yield name, ", ".join(f"{package} {_version(package)}" for package in extra.packages)


def _plugins() -> Iterator[Row]:
    """A row for each kind, and one for each strategy that cannot be used."""
    for section in registry.KINDS:
        usable, broken = [], []
        for name in registry.names(section):
            try:
                registry.load(section, name)
                usable.append(name)
            except UserError as error:
                is_listed = name in _WITH_EXTRA and _missing(name)  # with its extra
                if not is_listed:
                    broken.append((section, str(error)))
        yield section, ", ".join(usable) or "none"
        yield from broken


def _places() -> Iterator[Row]:
    cache = cache_folder()
    exists = next(p for p in (cache, *cache.absolute().parents) if p.exists())
    free = shutil.disk_usage(exists).free / 1e9
    used = sum(f.stat().st_size for f in cache.rglob("*") if f.is_file()) / 1e9
    yield "cache", f"{cache} ({used:.1f} GB used, {free:.1f} GB free; PRELABEL_CACHE names another)"
    if shared := os.environ.get(VARIABLE):
        yield "features", f"{shared} ({VARIABLE}), shared with other machines"


def _missing(extra: str) -> list[str]:
    """Packages of an extra that are not installed."""
    return [package for package in EXTRAS[extra].packages if not _version(package)]


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
