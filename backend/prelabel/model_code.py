"""Digests of the code behind a model, and the keys and versions that are made of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from prelabel.config import Config
from prelabel.errors import UserError
from prelabel.strategies.code_digest import modules_code, strategy_code

Code = Mapping[str, str]
"""A digest for each group of prelabel's steps (``steps.…``) and each kind of strategy."""
_STEPS = {
    "steps.fit": ("prelabel.pipeline",),
    "steps.segment": ("prelabel.photo_segmenter",),
    "steps.features": ("prelabel.steps.scales",),
}
_FIND_REGIONS = ("backbone", "clusterer", "consistency", "refiner", "separator", "embedder")
"""Kinds of strategies that run on each photo once a model is fitted."""
_SAME_VECTORS = ("weights", "device", "precision", "runtime")
"""Parts of a backbone's identity that change its vectors by rounding only, or not at all."""


def code_now(config: Config) -> Code:
    """Digests of the installed code that a config uses."""
    steps = {name: modules_code(*modules) for name, modules in _STEPS.items()}
    names = config.strategy_names.items()
    return steps | {kind: _strategy_code(config, kind, name) for kind, name in names}


def _strategy_code(config: Config, kind: str, name: str) -> str:
    """The digest of a strategy's code, and of the weights of a refiner that says which it has (a
    backbone's are in its identity)."""
    code = strategy_code(kind, name)
    if kind != "refiner":
        return code
    try:
        weights = getattr(config.strategy(kind), "weights_identity", None)
    except UserError:  # it is not installed: whoever runs it will be told
        return code
    return _hash(code, weights()) if weights else code


def segments_code(code: Code, *, also: Iterable[str] = ()) -> str:
    """Digest of the code that finds regions and their vectors with a fitted model. ``also``: further
    kinds of strategies that take part."""
    return _hash(code["steps.segment"], *(code[kind] for kind in (*_FIND_REGIONS, *also)))


def version_hash(fitted: str, code: Code) -> str:
    """12 hex digits of a fitted model (``fitted``: its fit hash) and the code that predicts with it."""
    return _hash(fitted, *(f"{name} {digest}" for name, digest in sorted(code.items())))[:12]


def vectors_origin(config: Config, backbone: Mapping[str, object], code: Code) -> str:
    """The origin of regions' vectors, as ``<space>-<code>``; "" if the code is not known.

    Vectors of the same space, made by one embedder with the same weights, can be compared. Those of
    the same space and code are equal for equal regions. ``backbone``: its identity.
    """
    if not code:
        return ""
    same = {k: v for k, v in backbone.items() if k not in _SAME_VECTORS}
    names = f"{config.embedder.name} {config.backbone.name}"
    space = _hash(names, json.dumps(same, sort_keys=True))
    settings = config.digest("embedder", "features") + json.dumps(dict(backbone), sort_keys=True)
    made = _hash(settings, *(code[part] for part in ("steps.features", "backbone", "embedder")))
    return f"{space}-{made}"


def changed_parts(then: Code, now: Code) -> list[str]:
    """Kinds of strategies whose code differs, and ``steps`` if prelabel's own steps do."""
    parts = [name for name in now if then.get(name) != now[name]]
    return list(dict.fromkeys("steps" if part in _STEPS else part for part in parts))


def _hash(*facts: str) -> str:
    return hashlib.blake2b("\n".join(facts).encode(), digest_size=8).hexdigest()
