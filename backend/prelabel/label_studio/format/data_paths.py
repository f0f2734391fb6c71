"""Where an Image tag's ``value`` finds a photo in a task's data, as Label Studio resolves it.

``$image`` is a key, ``$photo.url`` and ``$images[0]`` are paths, ``https://host/$name`` is a text
with keys or paths in it. A key that is there as it is written counts before a path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from prelabel.errors import UserError
from prelabel.storage.json import JsonObject

_VARIABLE = re.compile(r"\$[\w\[\].{}]+", re.ASCII)
_PARTS = re.compile(r"[^.\[\]]+")


def path_of(value: str) -> str:
    """What stands for an Image's ``value`` from here on: without its ``$`` if it has only one, in
    front. "" if it names nothing of the data."""
    if "$" not in value.removesuffix("$"):
        return ""
    return value[1:] if value.rindex("$") == 0 else value


def resolve(path: str, data: object) -> object:
    """What a task's data have at a path; None where there is nothing."""
    if not isinstance(data, Mapping):
        return None
    if path in data:
        return data[path]
    template = path if "$" in path else f"${path}"
    if _VARIABLE.fullmatch(template):
        return _look_up(template[1:], data)
    found = {match[0]: _look_up(match[0][1:], data) for match in _VARIABLE.finditer(template)}
    if not found or not all(isinstance(one, str | int) for one in found.values()):
        return None
    return _VARIABLE.sub(lambda match: str(found[match[0]]), template)


def data_with(path: str, address: str, *, listed: bool = False) -> dict[str, object]:
    """Data that have an address at a path, or a list of that one. A text before the path's variable
    is taken off the address's front, if it is there. Raises UserError for a path with several
    variables, or with a text behind one."""
    template = path if "$" in path else f"${path}"
    variable = _VARIABLE.search(template)
    if variable is None or ("$" not in path and not _VARIABLE.fullmatch(template)):
        return {path: [address] if listed else address}
    if variable.end() != len(template):
        raise UserError(
            f'label config: an Image has value="{template}", of which the data cannot be told from '
            'an address: expected one key behind a $, like value="$image"'
        )
    address = address.removeprefix(template[: variable.start()])
    found: object = [address] if listed else address
    first, *parts = _PARTS.findall(variable[0][1:])
    for part in reversed(parts):
        found = [None] * int(part) + [found] if part.isdigit() else {part: found}
    return {first: found}


def _look_up(path: str, data: JsonObject) -> object:
    if path in data:
        return data[path]
    found: object = data
    for part in _PARTS.findall(path):
        if isinstance(found, Mapping):
            found = found.get(part)
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found
