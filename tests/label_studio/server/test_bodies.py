"""Bodies of requests in memory: the limit of each, and of all of them together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from starlette.requests import Request
from starlette.types import Message

from prelabel.errors import UserError
from prelabel.label_studio.server import bodies
from prelabel.label_studio.server.bodies import Bodies, BusyError


class Sender:
    """A client that sends a body piece by piece, as the test says."""

    def __init__(self, *pieces: bytes, declared: str = "", rest: bool = False) -> None:
        headers = [(b"content-type", b"application/json")]
        if declared:
            headers.append((b"content-length", declared.encode()))
        self.messages: asyncio.Queue[Message] = asyncio.Queue()
        for piece in pieces:
            self.send(piece, rest=True)
        if not rest:
            self.send(b"", rest=False)
        scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers}
        self.request = Request(scope, self.messages.get)

    def send(self, piece: bytes, *, rest: bool) -> None:
        self.messages.put_nowait({"type": "http.request", "body": piece, "more_body": rest})


async def read(found: Bodies, sender: Sender, *, large: bool = True) -> bytes:
    async with found.reading(sender.request, large=large) as body:
        return bytes(body)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(test(), 10)

    asyncio.run(limited())


def test_reading__joins_the_pieces() -> None:
    async def test() -> None:
        assert await read(Bodies(100), Sender(b"ab", b"", b"c")) == b"abc"

    run(test)


@pytest.mark.parametrize("large", [True, False])
def test_reading__one_that_is_too_large(large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "SMALL", 10)
    most = 100 if large else 10

    async def test() -> None:
        found = Bodies(100)
        assert await read(found, Sender(b"x" * most, declared=str(most)), large=large)
        for sender in (
            Sender(b"x" * (most + 1)),
            Sender(declared=str(most + 1), rest=True),  # nothing of it is awaited
            Sender(declared="1" + "0" * 5000, rest=True),
        ):
            with pytest.raises(UserError, match="the request has more than"):
                await read(found, sender, large=large)

    run(test)


def test_reading__those_that_take_long_are_dropped_for_others() -> None:
    async def test() -> None:
        found = Bodies(100)
        slow = [Sender(b"x" * 90, rest=True) for _ in range(2)]
        waiting = [asyncio.create_task(read(found, sender)) for sender in slow]
        await asyncio.sleep(0)
        async with AsyncExitStack() as held:
            for _ in range(2):  # a whole one stays until its block ends
                one = Sender(b"y" * 80)
                assert len(await held.enter_async_context(found.reading(one.request, large=True)))
            for sender in slow:
                sender.send(b"x", rest=True)
            for task in waiting:
                with pytest.raises(BusyError):
                    await task
            with pytest.raises(BusyError):  # two whole ones leave no place for another
                await read(found, Sender(b"z" * 50))
            assert await read(found, Sender(b"z" * 40))
        assert await read(found, Sender(b"z" * 100))

    run(test)
