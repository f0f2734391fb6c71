"""A module's source without importing it: a digest of its code, and what it imports."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = (*EXTENSION_SUFFIXES, ".so", ".pyd", ".dll", ".dylib")
"""Endings of compiled code."""
_LARGE = 4_000_000
"""Bytes from which a data file is not read."""


@dataclass(frozen=True)
class Module:
    """``digest``: of its syntax tree without docstrings and comments, or of its bytes if it is compiled;
    "" for a module without code. ``imports``: what it may import, names of modules and of what is in
    them."""

    digest: str
    imports: frozenset[str]


@cache
def read_module(name: str) -> Module | None:
    """A module by its name; None if there is none, as for a class that is imported from one."""
    spec = _spec(name)
    if spec is None:
        return None
    source = _source(spec)
    if source is None:
        # What a compiled module imports cannot be seen: it may be all of its package.
        binary = _bytes_digest(Path(spec.origin)) if spec.has_location and spec.origin else ""
        fact = binary or ("" if spec.origin is None else f"no source, prelabel {_own_version()}")
        return Module(fact, _siblings(name) if fact else frozenset())
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Module(combined([repr(source)]), _siblings(name))
    if not list(_fields(tree)):
        return Module("", frozenset())
    reader = _Reader(
        package=name.rpartition(".")[0] if spec.submodule_search_locations is None else name
    )
    reader.read(tree)
    if reader.imports_by_computed_name:
        reader.imports |= _siblings(name)
    return Module(combined(reader.facts), frozenset(reader.imports))


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
            if file.suffix == ".py" or file.name.endswith(LIBRARIES):
                parts = file.relative_to(folder).parts
                found.add(".".join([top, *parts[:-1], parts[-1].partition(".")[0]]))
    return frozenset(name.removesuffix(".__init__") for name in found)


@cache
def other_files(package: str) -> tuple[str, ...]:
    """What lies in a package's folders beside Python's sources: compiled libraries, which may be
    loaded by other ways than import, and data. Large data counts by its size and date."""
    return tuple(
        f"{file.relative_to(folder).as_posix()} {_file_digest(file)}"
        for folder in _folders(package)
        for file in sorted(folder.rglob("*"))
        if file.suffix not in (".py", ".pyc") and file.is_file() and not _is_hidden(file, folder)
    )


def package_of(module: str) -> str:
    """The outermost package of a module that is not a namespace, which others may share."""
    names = module.split(".")
    parents = (".".join(names[:n]) for n in range(1, len(names)))
    return next((p for p in parents if (spec := _spec(p)) and spec.origin is not None), module)


def _folders(package: str) -> Iterator[Path]:
    spec = _spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (folder := Path(place)).is_dir():
            yield folder


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _file_digest(file: Path) -> str:
    try:
        status = file.stat()
    except OSError:
        return ""
    if status.st_size > _LARGE and not file.name.endswith(LIBRARIES):
        return f"{status.st_size} {status.st_mtime_ns}"
    return _bytes_digest(file)


def _bytes_digest(file: Path) -> str:
    try:
        return hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest()
    except OSError:
        return ""


def combined(facts: Iterable[str]) -> str:
    """16 hex digits over facts without line feeds."""
    return hashlib.blake2b(
        "\n".join(facts).encode("utf-8", "surrogatepass"), digest_size=8
    ).hexdigest()


def _own_version() -> str:
    try:
        return version("prelabel")
    except PackageNotFoundError:
        return "unknown"
