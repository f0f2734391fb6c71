"""The parts of Label Studio's HTTP API that are used."""

from __future__ import annotations

from typing import BinaryIO
from urllib.parse import urlsplit

import httpx

from prelabel.errors import PhotoError
from prelabel.label_studio.api.deadline import Deadline
from prelabel.label_studio.api.download import HEADERS, write_photo
from prelabel.label_studio.api.errors import RedirectedAwayError, ServerFault, TokenRefusedError
from prelabel.label_studio.api.task_requests import TaskRequests
from prelabel.label_studio.api.uris import STATIC, is_photo_route


class Client(TaskRequests):
    """Projects, tasks, predictions and files of a Label Studio server, as one user sees them."""

    def download(
        self, url_path: str, into: BinaryIO, max_bytes: int, deadline: Deadline
    ) -> str | None:
        """Write the photo at an absolute path of this server (``/data/upload/…``, with its query) to
        ``into``, which is truncated to its present position before each attempt.

        Returns None; or, if the server redirects elsewhere, that address, which may be signed:
        nothing is written then, and nothing was requested there. Paths that Label Studio gives no
        photos at count as elsewhere. Raises PhotoError if the file cannot be fetched, UserError if no
        file can.
        """
        if not url_path.startswith("/") or url_path.startswith("//"):
            raise PhotoError(
                "is not an absolute path of the Label Studio server: it must begin with /"
            )
        below = url_path.removeprefix(urlsplit(self.url).path)
        if not is_photo_route(below):
            return f"{self.url}{below}"
        start = into.tell()

        def read(response: httpx.Response) -> None:
            into.seek(start)
            into.truncate()
            write_photo(response, into, max_bytes)

        try:
            self._transport.call(
                "GET",
                url_path,
                read,
                headers=HEADERS,
                authorized=not below.startswith(STATIC),
                deadline=deadline,
                follow=is_photo_route,
            )
        except RedirectedAwayError as other:
            return other.url
        except TokenRefusedError:
            self.ask("GET", "/api/current-user/whoami")  # raises it if the token is no good at all
            raise PhotoError(
                "cannot be fetched (Label Studio asks for a login there, though it accepts the token)"
            ) from None
        except ServerFault as fault:
            if not fault.reached:
                raise
            raise PhotoError(f"cannot be fetched (Label Studio {fault.reason})") from fault
        except httpx.InvalidURL:
            raise PhotoError("cannot be fetched (its address is not valid)") from None
        return None
