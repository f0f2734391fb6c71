"""A small HTTP server that answers as a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LEGACY = "0123456789abcdef0123456789abcdef01234567"
Answer = tuple[int, dict[str, str], bytes]
Route = Callable[[str, str], Answer]


def answer(value: object, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


class Server:
    """``route``: gives the answer to a request. ``asked``: method, path, Authorization of each."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str | None]] = []
        self.bodies: list[bytes] = []
        self.route: Route = lambda method, path: answer({}, 404)
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet for an answer, else the kernel waits 40 ms

            def _any(self) -> None:
                server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
                server.asked.append((self.command, self.path, self.headers["Authorization"]))
                status, headers, body = server.route(self.command, self.path)
                if not status:  # hang up without a word
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    if value:
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = "Content-Length" in headers

            do_GET = do_POST = do_DELETE = _any  # noqa: N815

            def log_message(self, *args: object) -> None: ...

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[Server]:
        thread = threading.Thread(target=self._http.serve_forever, args=(0.005,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


def in_turn(*answers: Answer) -> Route:
    left = list(answers)
    return lambda method, path: left.pop(0) if len(left) > 1 else left[0]
