"""A strict reader of Dockerfiles and of .dockerignore, for what this project's own use.

What it does not know (heredocs, ONBUILD, another escape character) is an error, not a guess.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_KEYWORDS = (
    *("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK"),
    *("RUN", "USER", "VOLUME", "WORKDIR"),
)
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")


@dataclass(frozen=True)
class Instruction:
    """``flags``: ``--name=value`` before the rest. ``stage``: 0 is the first FROM's, -1 is before."""

    keyword: str
    flags: Mapping[str, str]
    value: str
    stage: int

    def words(self) -> list[str]:
        """The arguments, of the JSON form or of the plain one."""
        return json.loads(self.value) if self.value.startswith("[") else shlex.split(self.value)

    def pairs(self) -> dict[str, str]:
        """``NAME=value`` of ENV and ARG; "" where no value is given. Nothing is expanded."""
        return {name: value for name, _, value in (w.partition("=") for w in self.words())}


def parse(text: str) -> list[Instruction]:
    """Raises ValueError, with the line, for what is not understood."""
    found: list[Instruction] = []
    stage = -1
    for number, line in _logical_lines(text):
        keyword, _, rest = line.partition(" ")
        if keyword not in _KEYWORDS:
            raise ValueError(f"line {number}: {keyword!r} is not a known instruction")
        if "<<" in rest:
            raise ValueError(f"line {number}: heredocs are not understood")
        flags = {}
        rest = rest.strip()
        while keyword != "CMD" and (flag := re.match(r"--([\w-]+)(?:=(\S+))?\s+", rest)):
            flags[flag[1]] = flag[2] or ""
            rest = rest[flag.end() :]
        if not rest:
            raise ValueError(f"line {number}: {keyword} without a value")
        stage += keyword == "FROM"
        found.append(Instruction(keyword, flags, rest, stage))
    if stage < 0:
        raise ValueError("no FROM")
    return found


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Fill in ``$NAME`` and ``${NAME}``. Raises KeyError for an unknown one."""
    return _VARIABLE.sub(lambda found: variables[found[1] or found[2]], text)


def ignored(path: str, patterns: Sequence[str]) -> bool:
    """Whether .dockerignore keeps a path (of the project, with slashes) from the builder.

    As the builder does it: a pattern matches the path or a folder it is in, the last match counts,
    and ``!`` turns it round.
    """
    place = PurePosixPath(path)
    wholes = [str(place), *(str(p) for p in place.parents if str(p) != ".")]
    result = False
    for pattern in patterns:
        negated = pattern.startswith("!")
        matcher = re.compile(_regex(pattern.lstrip("!").strip("/")))
        if any(matcher.fullmatch(whole) for whole in wholes):
            result = not negated
    return result


def ignore_patterns(text: str) -> list[str]:
    """The patterns of a .dockerignore."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def sent(path: Path, *, root: Path, patterns: Sequence[str]) -> Iterator[Path]:
    """The files at or below a path that .dockerignore lets through."""
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file() and not ignored(file.relative_to(root).as_posix(), patterns):
            yield file


def environment(
    instructions: Sequence[Instruction], *, stage: int, start: Mapping[str, str]
) -> dict[str, str]:
    """What a stage's RUN and CMD see at its end. ``start``: of the base image, and the arguments
    that the builder is given, which go before the defaults of ARG."""
    found = dict(start)
    for instruction in instructions:
        if instruction.stage == stage and instruction.keyword in ("ARG", "ENV"):
            new = {k: expand(v, found) for k, v in instruction.pairs().items()}
            found = found | new if instruction.keyword == "ENV" else new | found
    return found


def program(name: str) -> str | None:
    """A program of this environment or of the machine."""
    return shutil.which(name, path=Path(sys.executable).parent) or shutil.which(name)


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines joined where a backslash ends them, with the first one's number; no comments."""
    result: list[tuple[int, str]] = []
    parts: list[str] = []
    start = 0
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("#") or not stripped:
            if re.match(r"#\s*(escape|syntax)\s*=", stripped):
                raise ValueError(f"line {number}: parser directives are not understood")
            continue
        start = start if parts else number
        parts.append(stripped.removesuffix("\\").rstrip())
        if not stripped.endswith("\\"):
            result.append((start, " ".join(parts)))
            parts = []
    if parts:
        raise ValueError(f"line {start}: does not end")
    return result


def _regex(pattern: str) -> str:
    tokens = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return "".join(tokens.get(part, re.escape(part)) for part in parts)
