"""Text for messages and tables in the terminal."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence

_COMPOSED = 4096
"""Characters: composing takes time that grows with the square of a row of accents."""
_PYDANTIC = {
    "Value error, ": "",
    "Input should be": "expected",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "more than",
    "a valid tuple": "a list, as in [4, 8]",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    ", unable to parse string as an integer": "",
    ", unable to parse string as a number": "",
    ", got a number with a fractional part": "",
    "Tuple should have": "expected a list of",
    " after validation, not": ", not of",
}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown word: the nearest known word, else all of them."""
    known = sorted(known)
    parts = [name for name in known if name in word.split("-") or word in name.split("-")]
    close = difflib.get_close_matches(word, known, n=1)
    if meant := close or parts[:1]:
        return f"; did you mean {meant[0]!r}?"
    return f"; known: {', '.join(sorted(known))}" if known else "; there are none"


def one_line(value: object) -> str:
    """The text on one line; line feeds, as in a photo's name, and the like are escaped."""
    text = str(value)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def error_line(error: BaseException) -> str:
    """An error's type and the first line of its message, if it has one."""
    try:
        text = next(iter(str(error).splitlines()), "")
    except Exception:  # a plugin's error may not even have a text
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def what_was_expected(messages: Iterable[str]) -> str:
    """pydantic's messages about one value, in words that a user of it need not know."""
    found: list[str] = []
    for message in messages:
        for theirs, ours in _PYDANTIC.items():
            message = message.replace(theirs, ours)
        found.append(message.removeprefix("expected ") if found else message)
    return " or ".join(dict.fromkeys(found))


def composed(text: str) -> str:
    """A name or path with each accent as part of its letter (NFC): macOS writes it as a character of
    its own. What is too long to be a path is left as it is."""
    return unicodedata.normalize("NFC", text) if len(text) <= _COMPOSED else text


def whole_text(text: str) -> str:
    """The text, with a replacement character for each half of a surrogate pair without the other,
    which UTF-8 cannot hold. Photos' names use some of them for bytes: this is not for names."""
    return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines of text with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(cells).rstrip() for cells in padded)
