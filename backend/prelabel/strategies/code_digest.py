"""Digests of the code that shapes a result, as it is installed now: part of every cache key.

A digest stands for a module and what it imports (inside functions too), as far as that is prelabel's
own or belongs to a package that offers strategies. Each module counts by its syntax tree without
docstrings and comments, so that editing prose changes nothing; a compiled one by its bytes. The
digests are computed once in a process, which runs the code that it was started with.

A strategy of another distribution counts with that distribution's version and the compiled libraries
of its package as well. What cannot be seen from here, such as a plugin's data files or the version
of a library that it uses, must come with a new version of the plugin. Where there is no source (a
frozen program), the version of the distribution is all that counts.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, version
from pathlib import Path

from prelabel.strategies import registry

OWN = "prelabel"
LEFT_OUT = {
    "prelabel": "only hands out the public names; it imports everything",
    "prelabel.errors": "messages",
    "prelabel.storage": "where results are kept and how many are computed at once",
    "prelabel.config": "settings: their values are in the keys",
    "prelabel.model": "what was fitted: its values are in the keys",
    "prelabel.model_code": "makes the keys",
    "prelabel.strategies.protocols": "types",
    "prelabel.strategies.registry": "finds strategies: the code of each is in the keys",
    "prelabel.strategies.code_digest": "makes the keys",
}
"""Modules, with all below them, that cannot shape a result, and why; but ``prelabel`` by itself."""
_LIBRARIES = (*EXTENSION_SUFFIXES, ".so", ".pyd", ".dll", ".dylib")


@cache
def modules_code(*modules: str) -> str:
    """16 hex digits over modules of ours, by name, and what they import."""
    found = closure(modules, packages=_packages())
    if missing := set(modules) - set(found):
        raise ModuleNotFoundError(f"no module {', '.join(sorted(missing))} to make a digest of")
    return _combined(_facts(found))


@cache
def strategy_code(section: str, name: str) -> str:
    """16 hex digits over a strategy's code: its module and what that imports, and its distribution's
    version if that is not prelabel's own. A strategy that is not installed has a digest too."""
    point = registry.entry_point(section, name)
    if point is None:
        return _combined(["not installed"])
    module = _module_of(point)
    own = {module.partition(".")[0]}
    facts = [point.value]
    if point.dist and point.dist.name != OWN:
        own |= _top_levels(point.dist)
        facts.append(f"{point.dist.name} {point.dist.version}")
        facts += [fact for package in sorted(own) for fact in _libraries(package)]
    return _combined([*facts, *_facts(closure([module], packages=_packages() | own))])


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
        module = _module(name)
        if module is not None:
            found.add(name)
            waiting += module.imports
        if parent := name.rpartition(".")[0]:
            waiting.append(parent)
    return sorted(found)


@dataclass(frozen=True)
class _Module:
    """``digest``: "" for a module without code. ``imports``: names of modules, whosever they are."""

    digest: str
    imports: frozenset[str]


@cache
def _module(name: str) -> _Module | None:
    """A module by its name; None if there is none, as for a class that is imported from one."""
    spec = _spec(name)
    if spec is None:
        return None
    source = _source(spec)
    if source is None:
        # Nobody can tell what a compiled module imports: it may be all of its package.
        binary = _bytes_digest(Path(spec.origin)) if spec.has_location and spec.origin else ""
        fact = binary or ("" if spec.origin is None else f"no source, {OWN} {_own_version()}")
        return _Module(fact, _siblings(name) if fact else frozenset())
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _Module(_combined([repr(source)]), _siblings(name))
    if not list(_fields(tree)):
        return _Module("", frozenset())
    reader = _Reader(
        package=name.rpartition(".")[0] if spec.submodule_search_locations is None else name
    )
    reader.read(tree)
    if reader.imports_by_computed_name:
        reader.imports |= _siblings(name)
    return _Module(_combined(reader.facts), frozenset(reader.imports))


class _Reader:
    """Flattens a syntax tree into ``facts``, without docstrings and type checkers' imports, and
    notes what is imported."""

    def __init__(self, *, package: str) -> None:
        self.package = package
        self.facts: list[str] = []
        self.imports: set[str] = set()
        self.imports_by_computed_name = False

    def read(self, tree: ast.Module) -> None:
        """Add a module. Not recursive: an expression may be nested deeper than Python's calls."""
        waiting: list[ast.AST | str] = [tree]
        while waiting:
            item = waiting.pop()
            if isinstance(item, str):
                self.facts.append(item)
                continue
            self._note_imports(item)
            waiting += reversed([type(item).__name__, *_fields(item), ")"])

    def _note_imports(self, node: ast.AST) -> None:
        match node:
            case ast.Import():
                self.imports |= {alias.name for alias in node.names}
            case ast.ImportFrom():
                base = self._absolute("." * node.level + (node.module or ""))
                self.imports |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
            case ast.Call():
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in ("import_module", "__import__"):
                    self._note_import_by_name(node.args[0] if node.args else None)

    def _note_import_by_name(self, name: ast.expr | None) -> None:
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            self.imports.add(self._absolute(name.value))
        else:
            self.imports_by_computed_name = True

    def _absolute(self, name: str) -> str:
        try:
            return importlib.util.resolve_name(name, self.package)
        except ImportError:  # beyond the top: it cannot be imported
            return name


def _fields(node: ast.AST) -> Iterator[ast.AST | str]:
    """A node's fields, flat. Empty ones are left out: later versions of Python have more of them."""
    for name, value in ast.iter_fields(node):
        values = value if isinstance(value, list) else [value]
        kept = [v for v in values if not (_is_prose(v) or _is_for_type_checkers(v))]
        if value is not None and kept:
            yield name
            yield from (v if isinstance(v, ast.AST) else repr(v) for v in kept)
            if isinstance(value, list):
                yield "]"


def _is_prose(node: object) -> bool:
    """A docstring, of a module, class or function or below an attribute."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_for_type_checkers(node: object) -> bool:
    return (
        isinstance(node, ast.If)
        and not node.orelse
        and getattr(node.test, "attr", getattr(node.test, "id", "")) == "TYPE_CHECKING"
    )


def _is_left_out(name: str) -> bool:
    parents = name.split(".")
    if len(parents) == 1:
        return name in LEFT_OUT
    return any(".".join(parents[:n]) in LEFT_OUT for n in range(2, len(parents) + 1))


@cache
def _spec(name: str) -> ModuleSpec | None:
    """Where a module is, without importing anything."""
    parent = name.rpartition(".")[0]
    if not parent:
        with suppress(ImportError, ValueError):  # ValueError: __main__
            return importlib.util.find_spec(name)
        return None
    package = _spec(parent)
    if package is None or package.submodule_search_locations is None:
        return None
    for finder in sys.meta_path:
        spec = finder.find_spec(name, package.submodule_search_locations, None)
        if spec is not None:
            return spec
    return None


def _source(spec: ModuleSpec) -> bytes | str | None:
    """A module's source, out of a zip file too; None if there is none."""
    if spec.has_location and spec.origin and spec.origin.endswith(".py"):
        with suppress(OSError):
            return Path(spec.origin).read_bytes()
    get_source = getattr(spec.loader, "get_source", None)
    if get_source is None:
        return None
    try:
        source = get_source(spec.name)
    except (ImportError, OSError):
        return None
    return source if isinstance(source, str) else None


@cache
def _siblings(name: str) -> frozenset[str]:
    """Names of all modules in the top-level package of a module."""
    top = name.partition(".")[0]
    found = {top}
    for folder in _folders(top):
        for file in folder.rglob("*"):
            if file.suffix == ".py" or file.name.endswith(_LIBRARIES):
                parts = file.relative_to(folder).parts
                found.add(".".join([top, *parts[:-1], parts[-1].partition(".")[0]]))
    return frozenset(name.removesuffix(".__init__") for name in found)


@cache
def _libraries(package: str) -> tuple[str, ...]:
    """The compiled libraries in a package's folders: they may be loaded by other ways than import."""
    return tuple(
        f"{file.relative_to(folder).as_posix()} {_bytes_digest(file)}"
        for folder in _folders(package)
        for file in sorted(folder.rglob("*"))
        if file.name.endswith(_LIBRARIES)
    )


def _folders(package: str) -> Iterator[Path]:
    spec = _spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (folder := Path(place)).is_dir():
            yield folder


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
    files = [file for file in distribution.files or () if file.suffix in (".py", *_LIBRARIES)]
    return {file.parts[0].partition(".")[0] for file in files} - {"", "__pycache__"}


def _facts(modules: Iterable[str]) -> list[str]:
    found = ((name, _module(name)) for name in modules)
    return [f"{name} {module.digest}" for name, module in found if module and module.digest]


def _bytes_digest(file: Path) -> str:
    try:
        return hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest()
    except OSError:
        return ""


def _combined(facts: Iterable[str]) -> str:
    return hashlib.blake2b(
        "\n".join(facts).encode("utf-8", "surrogatepass"), digest_size=8
    ).hexdigest()


def _own_version() -> str:
    try:
        return version(OWN)
    except PackageNotFoundError:
        return "unknown"
