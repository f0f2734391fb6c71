"""For the tests of plugins: the checks of `prelabel plugins check` on a strategy."""

from __future__ import annotations

from prelabel.strategies.contracts import check_made
from prelabel.strategies.registry import KINDS


def check_strategy(strategy: object) -> None:
    """Check a strategy against the contract of its kind, as ``prelabel plugins check`` does.

    The kind is that whose methods it has. It need not be installed.

    Args:
        strategy: an instance, with any settings.

    Raises:
        AssertionError: it is of no kind, or breaks its contract; a line for each broken promise, with
            what was found and what was expected.

    Example:
        >>> from prelabel.testing import check_strategy
        >>> check_strategy(SoftEdgesRefiner(radius=2))
    """
    name = type(strategy).__name__
    kinds = [section for section, kind in KINDS.items() if isinstance(strategy, kind.protocol)]
    if isinstance(strategy, type) or not kinds:
        what = "is a class, expected an instance" if isinstance(strategy, type) else "is of no kind"
        raise AssertionError(
            f"{name} {what}: a strategy has the methods of one of {', '.join(KINDS)}, as "
            "prelabel.strategies.protocols describes them"
        )
    broken = [line for section in kinds for line in check_made(section, strategy)]
    if broken:
        raise AssertionError("\n".join([f"{name} breaks the contract of its kind:", *broken]))
