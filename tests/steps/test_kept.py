"""What of learning is kept until the next time."""

from __future__ import annotations

from prelabel.steps.kept import Kept


def test_kept__what_a_round_asks_for_is_there_in_the_next_alone() -> None:
    kept, found = Kept(), list[str]()

    def get(key: str) -> str:
        def find() -> str:
            found.append(key)
            return key.upper()

        return kept.get(key, find)

    kept.begin()
    assert [get("a"), get("b"), get("a")] == ["A", "B", "A"]
    assert found == ["a", "b"]
    kept.begin()
    assert get("a") == "A"
    assert found == ["a", "b"]
    kept.begin()
    assert [get("a"), get("b")] == ["A", "B"]
    assert found == ["a", "b", "b"]
