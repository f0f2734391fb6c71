"""Requests to a Label Studio server, answered as JSON objects and structs."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from prelabel.label_studio.api.errors import NotFoundError
from prelabel.label_studio.api.transport import Transport
from prelabel.storage.json import JsonObject

T = TypeVar("T")
LONG = 10
"""Usual timeouts that an import may take: it is not repeated."""


class Connection:
    """A Label Studio server as one user sees it. May be used by several threads at once.

    The arguments are those of ``Transport``. Raises UserError if url or token cannot be used;
    nothing is requested from the server yet.
    """

    def __init__(
        self, url: str, token: str, *, timeout: float = 30.0, attempts: int = 5, wait: float = 1.0
    ) -> None:
        self._transport = Transport(url, token, timeout=timeout, attempts=attempts, wait=wait)
        self.url = self._transport.url

    @property
    def timeout(self) -> float:
        """Seconds that a usual request may take."""
        return self._transport.timeout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        repeatable: bool = True,
        timeout: float | None = None,
    ) -> JsonObject:
        """An answer that is a JSON object; the arguments are as for ``Transport.json``. Raises
        UserError."""
        answer = self._transport.json(
            method, path, body=body, repeatable=repeatable, timeout=timeout
        )
        if not isinstance(answer, dict):
            raise self._transport.unexpected("JSON that is not an object")
        return answer

    def ask_list(self, method: str, path: str) -> list[object]:
        """An answer that is a JSON list. Raises UserError."""
        answer = self._transport.json(method, path)
        if not isinstance(answer, list):
            raise self._transport.unexpected("JSON that is not a list")
        return answer

    def delete(self, path: str) -> None:
        """Remove what is at a path; what is gone already is not an error. Raises UserError."""
        with suppress(NotFoundError):
            self._transport.json("DELETE", path)

    def convert(self, answer: object, kind: type[T]) -> T:
        """An answer as a struct. Raises UserError if it is something else."""
        try:
            return msgspec.convert(answer, kind)
        except msgspec.ValidationError as error:
            raise self._transport.unexpected(f"something else ({error})") from error
