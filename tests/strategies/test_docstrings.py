"""What strategies say about themselves: `prelabel plugins show` and doc generators print it."""

from __future__ import annotations

import dataclasses
import inspect
import re

import pytest

from prelabel.errors import UserError
from prelabel.strategies import protocols, registry

BUILT_IN = [(section, name) for section in registry.KINDS for name in registry.names(section)]


def documented(text: str, heading: str) -> list[str]:
    """Names that a section of a docstring in Google's style explains."""
    _, _, rest = text.partition(f"\n{heading}:\n")
    section = re.split(r"\n(?=\S)", rest)[0]
    return re.findall(r"^    (\w+): ", section, flags=re.MULTILINE)


@pytest.mark.parametrize(("section", "name"), BUILT_IN)
def test_strategies__explain_their_settings(section: str, name: str) -> None:
    try:
        strategy = registry.load(section, name)
    except UserError as error:
        pytest.skip(str(error))
    settings = [field.name for field in dataclasses.fields(strategy)]
    assert documented(inspect.getdoc(strategy) or "", "Attributes") == settings


@pytest.mark.parametrize("kind", list(registry.KINDS))
def test_protocols__explain_what_goes_in_and_comes_out(kind: str) -> None:
    protocol = registry.KINDS[kind].protocol
    methods = [m for m in vars(protocol).values() if inspect.isfunction(m) and m.__name__[0] != "_"]
    assert methods
    for method in methods:
        text = inspect.getdoc(method) or ""
        parameters = list(inspect.signature(method).parameters)[1:]
        assert documented(text, "Args") == parameters
        assert "\nReturns:\n" in text


def test_reader__explains_what_goes_in_and_comes_out() -> None:
    text = inspect.getdoc(protocols.Reader.read) or ""
    assert documented(text, "Args") == ["source"]
    assert "\nReturns:\n" in text
