"""A server on loopback that sends what a test tells it to, byte by byte; its threads end with it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def hostile_server(at_once: bytes, slowly: bytes, *, pause: float) -> Iterator[int]:
    """The port of a server that answers every connection with ``at_once``, then ``slowly``: a byte
    each ``pause`` seconds. Then it keeps the connection open."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(5)
            connection.recv(65_536)
            connection.sendall(at_once)
            for n in range(len(slowly)):
                if over.wait(pause):
                    return
                connection.sendall(slowly[n : n + 1])
            over.wait(60)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.05)

        def accept() -> None:
            while not over.is_set():
                with suppress(TimeoutError):
                    connection, _ = listening.accept()
                    thread = threading.Thread(target=answer, args=(connection,), daemon=True)
                    thread.start()
                    threads.append(thread)

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            accepting.join()
            for thread in threads:
                thread.join(10)
