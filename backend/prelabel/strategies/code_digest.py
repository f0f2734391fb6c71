"""Digests of the code that shapes a result, as it is installed now: part of every cache key.

A digest stands for a module and what it imports (inside functions too), as far as that is prelabel's
own or belongs to a package that offers strategies. Each module counts by its syntax tree without
docstrings and comments, so that editing prose changes nothing; a compiled one by its bytes. The
digests are computed once in a process, which runs the code that it was started with.

A strategy of another distribution counts with that distribution's version and with the compiled
libraries and data files of its package as well. What cannot be seen from here, such as the version of
a library that it uses, must come with a new version of the plugin. Where there is no source (a frozen
program), the version of the distribution is all that counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import cache
from importlib.metadata import Distribution, EntryPoint

from prelabel.strategies import registry
from prelabel.strategies.module_source import (
    LIBRARIES,
    combined,
    other_files,
    package_of,
    read_module,
)

OWN = "prelabel"
LEFT_OUT = {
    "prelabel": "only hands out the public names; it imports everything",
    "prelabel.errors": "messages",
    "prelabel.weights.artifacts": "warns of weights",
    "prelabel.weights.precision": "chooses a precision, which is in the keys",
    "prelabel.steps.shared_features": "where features are kept",
    "prelabel.storage": "where results are kept and how many are computed at once",
    "prelabel.config": "settings: their values are in the keys",
    "prelabel.model": "what was fitted: its values are in the keys",
    "prelabel.model_facts": "what was fitted: its values are in the keys",
    "prelabel.model_code": "makes the keys",
    "prelabel.strategies.protocols": "types",
    "prelabel.strategies.registry": "finds strategies: the code of each is in the keys",
    "prelabel.strategies.code_digest": "makes the keys",
    "prelabel.strategies.module_source": "makes the keys",
}
"""Modules, with all below them, that cannot shape a result, and why; but ``prelabel`` by itself."""


@cache
def modules_code(*modules: str) -> str:
    """16 hex digits over modules of ours, by name, and what they import."""
    found = closure(modules, packages=_packages())
    if missing := set(modules) - set(found):
        raise ModuleNotFoundError(f"no module {', '.join(sorted(missing))} to make a digest of")
    return combined(_facts(found))


@cache
def strategy_code(section: str, name: str) -> str:
    """16 hex digits over a strategy's code: its module and what that imports, and its distribution's
    version if that is not prelabel's own. A strategy that is not installed has a digest too."""
    point = registry.entry_point(section, name)
    if point is None:
        return combined(["not installed"])
    module = _module_of(point)
    own = {module.partition(".")[0]}
    facts = [point.value]
    if point.dist and point.dist.name != OWN:
        own |= _top_levels(point.dist)
        facts += [f"{point.dist.name} {point.dist.version}", *other_files(package_of(module))]
    return combined([*facts, *_facts(closure([module], packages=_packages() | own))])


def closure(roots: Iterable[str], *, packages: Iterable[str]) -> list[str]:
    """Names of the modules that the roots import, directly or not, in these top-level packages;
    sorted, the roots among them. A package that Python runs on the way to a module is one of them.
    """
    followed = frozenset(packages)
    waiting, found = deque(roots), set()
    while waiting:
        name = waiting.popleft()
        if name in found or name.partition(".")[0] not in followed or _is_left_out(name):
            continue
        module = read_module(name)
        if module is not None:
            found.add(name)
            waiting += module.imports
        if parent := name.rpartition(".")[0]:
            waiting.append(parent)
    return sorted(found)


def _is_left_out(name: str) -> bool:
    parents = name.split(".")
    if len(parents) == 1:
        return name in LEFT_OUT
    return any(".".join(parents[:n]) in LEFT_OUT for n in range(2, len(parents) + 1))


@cache
def _packages() -> frozenset[str]:
    """Top-level packages whose imports are followed: ours, and those that offer strategies, which
    may build upon each other."""
    points = (
        registry.entry_point(section, name)
        for section in registry.KINDS
        for name in registry.names(section)
    )
    return frozenset({OWN, *(_module_of(point).partition(".")[0] for point in points if point)})


def _module_of(point: EntryPoint) -> str:
    """The module of ``package.module:Class``."""
    return point.value.partition(":")[0].strip()


def _top_levels(distribution: Distribution) -> set[str]:
    """Top-level packages and modules of a distribution."""
    listed = distribution.read_text("top_level.txt")
    if listed:
        return set(listed.split())
    files = [file for file in distribution.files or () if file.suffix in (".py", *LIBRARIES)]
    return {file.parts[0].partition(".")[0] for file in files} - {"", "__pycache__"}


def _facts(modules: Iterable[str]) -> list[str]:
    found = ((name, read_module(name)) for name in modules)
    return [f"{name} {module.digest}" for name, module in found if module and module.digest]
