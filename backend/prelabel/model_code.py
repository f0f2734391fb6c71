"""The code that a model's answers are made by: its digests, and what they are good for.

``Code`` holds a digest for the steps that fit, those that find regions and those that make features,
and one for each kind of strategy.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from prelabel.config import Config
from prelabel.strategies.code_digest import modules_code, strategy_code

Code = Mapping[str, str]
_STEPS = {
    "steps.fit": ("prelabel.pipeline",),
    "steps.segment": ("prelabel.photo_segmenter",),
    "steps.features": ("prelabel.steps.features",),
}
_FIND_REGIONS = ("backbone", "clusterer", "consistency", "refiner", "embedder")
"""The kinds of strategies that work on a photo once a model is fitted."""
_SAME_VECTORS = ("weights", "device", "precision")
"""What of a backbone's identity changes its vectors by a rounding, or not at all."""


def code_now(config: Config) -> Code:
    """The code that a config chooses, as it is installed now."""
    steps = {name: modules_code(*modules) for name, modules in _STEPS.items()}
    return steps | {kind: strategy_code(kind, name) for kind, name in config.strategy_names.items()}


def segments_code(code: Code, *, also: Iterable[str] = ()) -> str:
    """Digest of what finds a photo's regions and their vectors with a fitted model; ``also``: kinds
    of strategies that take part as well."""
    return _hash(code["steps.segment"], *(code[kind] for kind in (*_FIND_REGIONS, *also)))


def version_hash(fitted: str, code: Code) -> str:
    """12 hex digits for what was fitted together with the code that answers by it."""
    return _hash(fitted, *(f"{name} {digest}" for name, digest in sorted(code.items())))[:12]


def vectors_origin(config: Config, backbone: Mapping[str, object], code: Code) -> str:
    """What regions' vectors are made by, as ``<space>-<code>``: those of one space can be compared,
    as one embedder made them with the same weights; those that have all in common are the same.
    ``backbone``: its identity. "" if the code is not known."""
    if not code:
        return ""
    same = {k: v for k, v in backbone.items() if k not in _SAME_VECTORS}
    names = f"{config.embedder.name} {config.backbone.name}"
    space = _hash(names, json.dumps(same, sort_keys=True))
    settings = config.digest("embedder", "features") + json.dumps(dict(backbone), sort_keys=True)
    made = _hash(settings, *(code[part] for part in ("steps.features", "backbone", "embedder")))
    return f"{space}-{made}"


def changed_parts(then: Code, now: Code) -> list[str]:
    """The parts of the code that are other ones now, as people call them; ``steps`` for ours."""
    parts = [name for name in now if then.get(name) != now[name]]
    return list(dict.fromkeys("steps" if part in _STEPS else part for part in parts))


def _hash(*facts: str) -> str:
    return hashlib.blake2b("\n".join(facts).encode(), digest_size=8).hexdigest()
