"""Talking to a Label Studio server over HTTP: tokens, retries, tasks, predictions, photos."""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx

from prelabel.errors import PhotoError, UserError

for _name in ("httpx", "httpcore"):  # they log whole addresses, signed ones too
    logging.getLogger(_name).setLevel(logging.WARNING)

_T = TypeVar("_T")
_LIFETIME = 300.0
"""Seconds that an access token is good for, where it does not say so itself."""
_LONGEST_WAIT = 60.0
"""Seconds between two attempts, at most, whatever the server asks for."""
_PATIENCE = 10
"""Timeouts that an import may take (it is not repeated), twice as many a whole download."""
_REDIRECTS = 5
_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_KEPT = "what is done is kept; run the same command again and it goes on from there"


class TaskGone(UserError):  # noqa: N818
    """The server has no such task, or none that this user may see."""


class ServerFault(UserError):  # noqa: N818
    """The server failed in the middle of a job; what is done is kept.

    ``reason``: what happened, without the advice. ``reached``: whether the server answered at all.
    """

    def __init__(self, message: str, *, reason: str = "", reached: bool = True) -> None:
        super().__init__(message)
        self.reason = reason or message
        self.reached = reached


class Client:
    """A Label Studio server as one user sees it. May be used by several threads at once.

    ``url``: where the server is, with a path if it is below one. ``token``: a legacy token or a
    personal access token. ``timeout``: seconds for connecting and for each read or write.
    ``attempts``: how often a request is made that may be repeated. ``wait``: seconds before the
    second attempt; doubled before each further one. Raises UserError if url or token cannot be
    used; nothing is asked of the server yet.
    """

    def __init__(
        self, url: str, token: str, *, timeout: float = 30.0, attempts: int = 5, wait: float = 1.0
    ) -> None:
        self.url = _checked(url)
        token = token.strip()
        if not re.fullmatch(r"[!-~]+", token):
            raise UserError(
                "the Label Studio token is empty or has blanks or other odd characters in it: "
                f"copy it from {self.url}/user/account"
            )
        self._token = token
        self._personal = token.count(".") == 2  # a JWT; legacy tokens have no dots
        self._access = ""
        self._renew_at = 0.0
        self._renewing = threading.Lock()
        self._timeout = timeout
        self._attempts = max(1, attempts)
        self._wait = wait
        self._http = httpx.Client(timeout=timeout, follow_redirects=False)

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
        self._http.close()

    def project(self, project_id: int) -> dict[str, Any]:
        """A project's settings, ``label_config`` and ``task_number`` among them. Raises UserError."""
        status, answer = self._ask("GET", f"/api/projects/{project_id}/", missing=True)
        if status == 404:
            raise UserError(
                f"{self.url} has no project {project_id} that this token's user may see: take the "
                "number from the project's address, /projects/N/"
            )
        return _mapping(answer, self.url)

    def find_project(self, title: str) -> int | None:
        """The number of a project with this title. Raises UserError."""
        _, answer = self._ask("GET", f"/api/projects/?{urlencode({'title': title})}")
        found = _mapping(answer, self.url).get("results") or []
        return next((int(p["id"]) for p in found if p.get("title") == title), None)

    def create_project(self, title: str, label_config: str) -> int:
        """A new project's number. Raises UserError."""
        facts = {"title": title, "label_config": label_config}
        _, answer = self._ask("POST", "/api/projects/", content=json.dumps(facts).encode())
        return int(_mapping(answer, self.url)["id"])

    def upload(self, project_id: int, photos: Sequence[Path]) -> None:
        """Photos from this machine, a task each. Raises UserError."""
        # Of several fields with one name it would take the last.
        files = {f"file{i}": (p.name, p.read_bytes()) for i, p in enumerate(photos)}
        request = self._http.build_request("POST", self.url, files=files)
        self._ask(
            "POST",
            f"/api/projects/{project_id}/import",
            content=request.read(),
            content_type=request.headers["Content-Type"],
            repeatable=False,
            timeout=_PATIENCE * self._timeout,
        )

    def connect_backend(
        self, project_id: int, url: str, *, title: str, user: str, password: str
    ) -> int:
        """Connect an ML backend to a project, in the place of one with this title; its number.
        Raises UserError if Label Studio cannot reach it."""
        _, answer = self._ask("GET", f"/api/ml?{urlencode({'project': project_id})}")
        for earlier in answer if isinstance(answer, list) else ():
            if earlier.get("title") == title:
                self._ask("DELETE", f"/api/ml/{earlier['id']}", missing=True)
        facts = {
            "project": project_id,
            "url": url,
            "title": title,
            "is_interactive": True,
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": user,
            "basic_auth_pass": password,
        }
        _, answer = self._ask(
            "POST", "/api/ml", content=json.dumps(facts).encode(), repeatable=False
        )
        return int(_mapping(answer, self.url)["id"])

    def tasks(self, project_id: int, *, page_size: int = 100) -> Iterator[dict[str, Any]]:
        """A project's tasks with their annotations and predictions, a page of ``page_size`` in
        memory at a time; none twice. Raises UserError, ServerFault if fewer came than there are."""
        seen: set[int] = set()
        total = page = 0
        while True:
            page += 1
            query = {"project": project_id, "page": page, "page_size": page_size, "fields": "all"}
            status, answer = self._ask("GET", f"/api/tasks?{urlencode(query)}", missing=page > 1)
            if status == 404:  # the page after the last one
                break
            found = _mapping(answer, self.url)
            tasks = found.get("tasks")
            if not isinstance(tasks, list):
                raise UserError(f"{self.url} answered without tasks: {_no_label_studio(self.url)}")
            stated = found.get("total")
            total = stated if isinstance(stated, int) else 0
            n_before = len(seen)
            for task in tasks:
                if task["id"] not in seen:  # tasks move to the next page when some are added
                    seen.add(task["id"])
                    yield task
            # A server may give smaller pages than were asked for, so a short one with more to come
            # is not the last. One with nothing new is: a server may not know pages at all.
            if len(seen) == n_before or (len(tasks) < page_size and len(seen) >= total):
                break
        if len(seen) < total:
            reason = f"gave {len(seen)} of {total} tasks"
            raise ServerFault(
                f"{self.url} {reason}; were some deleted meanwhile? {_KEPT}", reason=reason
            )

    def task(self, task_id: int) -> dict[str, Any]:
        """A task with its annotations and predictions. Raises TaskGone and UserError."""
        status, answer = self._ask("GET", f"/api/tasks/{task_id}/", missing=True)
        if status == 404:
            raise TaskGone(f"{self.url} has no task {task_id} that this token's user may see")
        return _mapping(answer, self.url)

    def import_predictions(self, project_id: int, predictions: Sequence[Mapping[str, Any]]) -> int:
        """Give tasks predictions (``task``, ``result``, ``score``, ``model_version``) in one
        request; the number created. Raises UserError if the server refuses them, ServerFault if it
        fails or creates another number than were sent."""
        if not predictions:
            return 0
        _, answer = self._ask(
            "POST",
            f"/api/projects/{project_id}/import/predictions",
            content=json.dumps([dict(p) for p in predictions], allow_nan=False).encode(),
            repeatable=False,
            timeout=_PATIENCE * self._timeout,
        )
        created = _mapping(answer, self.url).get("created")
        if created != len(predictions):
            reason = f"created {created} of {len(predictions)} predictions"
            raise ServerFault(
                f"{self.url} {reason}: see whether the label config was changed meanwhile; {_KEPT}",
                reason=reason,
            )
        return len(predictions)

    def delete_prediction(self, prediction_id: int) -> None:
        """Remove a prediction; one that is gone already is no error. Raises UserError."""
        self._ask("DELETE", f"/api/predictions/{prediction_id}/", missing=True)

    def download(self, url_path: str, into: BinaryIO, max_bytes: int) -> str | None:
        """Write what lies at an absolute path of this server (``/data/upload/…``, with its query)
        to ``into``, which is cut back to where it stands before each attempt.

        Returns None; or, if the server sends on to another one, that address, which may be signed:
        nothing is written then, and nothing was asked there. Raises PhotoError if the file cannot
        be had or has more than ``max_bytes`` bytes, UserError if no file can.
        """
        if not url_path.startswith("/") or url_path.startswith("//"):
            raise PhotoError("is no absolute path of the Label Studio server: it must begin with /")
        start = into.tell()

        def read(response: httpx.Response) -> None:
            into.seek(start)
            into.truncate()
            copy(response, into, max_bytes, seconds=2 * _PATIENCE * self._timeout)

        try:
            self._call("GET", url_path, read, headers={"Accept-Encoding": "identity"})
        except _Elsewhere as other:
            return other.url
        except ServerFault as fault:
            if not fault.reached:
                raise
            raise PhotoError(f"cannot be fetched (Label Studio {fault.reason})") from fault
        except httpx.InvalidURL:
            raise PhotoError("cannot be fetched (its address is not valid)") from None
        return None

    def _ask(
        self,
        method: str,
        path: str,
        *,
        missing: bool = False,
        content: bytes | None = None,
        content_type: str = "application/json",
        repeatable: bool = True,
        timeout: float | None = None,
        authorized: bool = True,
    ) -> tuple[int, Any]:
        """Status and JSON of an answer; ``missing``: a 404 is an answer too (None)."""

        def read(response: httpx.Response) -> tuple[int, bytes]:
            return response.status_code, response.read()

        try:
            status, body = self._call(
                method,
                path,
                read,
                headers={"Content-Type": content_type} if content else {},
                content=content,
                repeatable=repeatable,
                timeout=timeout,
                authorized=authorized,
            )
        except _Elsewhere as other:
            place = urlsplit(other.url)
            raise UserError(
                f"{self.url} redirects to {place.scheme}://{place.netloc.rpartition('@')[2]}, "
                "where the token is not sent: give the address that Label Studio is at"
            ) from None
        if status == 404 and missing:
            return status, None
        if status == 401:
            raise self._refused()
        if status == 403:
            raise UserError(
                f"{self.url} forbids {method} {urlsplit(path).path} to this token's user (403): "
                "use the token of a user who may change the project"
            )
        if not 200 <= status < 300:
            said = self._scrubbed(body.decode("utf-8", "replace"))
            raise UserError(
                f"{self.url} answered {status} to {method} {urlsplit(path).path}"
                f"{f' ({said})' if said else ''}: {_no_label_studio(self.url)}"
            )
        if not body:
            return status, None
        try:
            return status, json.loads(body)
        except ValueError:
            raise UserError(
                f"{self.url} answered with something that is no JSON: {_no_label_studio(self.url)}"
            ) from None

    def _call(
        self,
        method: str,
        path: str,
        read: Callable[[httpx.Response], _T],
        *,
        headers: Mapping[str, str],
        content: bytes | None = None,
        repeatable: bool = True,
        timeout: float | None = None,
        authorized: bool = True,
    ) -> _T:
        """``read`` of the first answer that is no fault of the server. ``repeatable``: doing it
        twice does no harm. Raises ServerFault, _Elsewhere, UserError for a refused token."""
        address = httpx.URL(self._address(path))
        renewed = False
        attempt = hops = 0
        while True:
            attempt += 1
            reached, asked = True, 0.0
            authorization = self._authorization() if authorized else {}
            try:
                with self._http.stream(
                    method,
                    address,
                    headers={**headers, **authorization},
                    content=content,
                    timeout=timeout or self._timeout,
                ) as response:
                    status = response.status_code
                    if response.has_redirect_location:
                        hops += 1
                        target = _joined(response)
                        if _origin(target) != _origin(address) or method != "GET":
                            raise _Elsewhere(str(target))
                        if "/user/login" in target.path:
                            status = 401
                        elif hops > _REDIRECTS:
                            raise ServerFault(f"{self.url} redirects in a circle: see its settings")
                        else:
                            address = target
                            attempt -= 1
                            continue
                    if status == 401 and authorized:
                        if renewed or not self._personal:
                            raise self._refused()
                        renewed = True
                        attempt -= 1
                        self._forget(authorization)
                        continue
                    if status < 500 and status != 429:
                        return read(response)
                    reason = f"answered {status}"
                    again = repeatable or status in (429, 502, 503)
                    asked = _seconds(response.headers.get("retry-after", ""))
            except httpx.RequestError as error:
                reached = not isinstance(error, _UNSENT)
                reason = _reason(error)
                again = repeatable or not reached
            if not again or attempt >= self._attempts:
                times = f" ({attempt} attempts)" if attempt > 1 else ""
                see = "see the server's log" if reached else "see whether it runs there"
                raise ServerFault(
                    f"{self.url} {reason}{times}: {see}; {_KEPT}", reason=reason, reached=reached
                )
            time.sleep(min(_LONGEST_WAIT, max(asked, self._wait * 2 ** (attempt - 1))))

    def _address(self, path: str) -> str:
        """The path's address; a path from a task may begin with that of the server already."""
        place = urlsplit(self.url)
        if place.path and path.startswith(f"{place.path}/"):
            return f"{place.scheme}://{place.netloc}{path}"
        return self.url + path

    def _authorization(self) -> dict[str, str]:
        """The header, with an access token that is good for a while if one is needed."""
        if not self._personal:
            return {"Authorization": f"Token {self._token}"}
        with self._renewing:
            if time.monotonic() >= self._renew_at:
                asked_at = time.monotonic()
                status, answer = self._ask(
                    "POST",
                    "/api/token/refresh/",
                    content=json.dumps({"refresh": self._token}).encode(),
                    authorized=False,
                    missing=True,
                )
                access = answer.get("access") if isinstance(answer, dict) else None
                if not isinstance(access, str) or not re.fullmatch(r"[!-~]+", access):
                    raise UserError(
                        f"{self.url} gives no access token for a personal access token (status "
                        f"{status}): use a legacy token, or a newer Label Studio"
                    )
                lifetime = _lifetime(access)
                self._access = access
                self._renew_at = asked_at + lifetime - min(30.0, lifetime / 5)
            return {"Authorization": f"Bearer {self._access}"}

    def _forget(self, authorization: Mapping[str, str]) -> None:
        """Have the access token renewed, unless another thread has done so."""
        with self._renewing:
            if authorization == {"Authorization": f"Bearer {self._access}"}:
                self._renew_at = 0.0

    def _refused(self) -> UserError:
        legacy = "" if self._personal else " (legacy tokens may be turned off for the organisation)"
        return UserError(
            f"{self.url} refuses the token{legacy}: it was revoked, has expired or is of another "
            f"server; get another one at {self.url}/user/account"
        )

    def _scrubbed(self, text: str) -> str:
        """What a server said, on one short line, without secrets; nothing of a web page."""
        if text.lstrip().startswith("<"):
            return ""
        for secret in filter(None, (self._token, self._access)):
            text = text.replace(secret, "…")
        return " ".join(re.sub(r"\?[^\s\"']*", "?…", text).split())[:300]


class _Elsewhere(Exception):  # noqa: N818
    """The server sends on to another one. ``url``: where to; it may be signed."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url


def copy(response: httpx.Response, into: BinaryIO, max_bytes: int, *, seconds: float) -> None:
    """Write a photo's answer to ``into``. Raises PhotoError if it is none, is empty, has more than
    ``max_bytes`` bytes or takes longer than ``seconds``; httpx's errors if the connection fails."""
    status = response.status_code
    if status in (404, 410):
        raise PhotoError(f"cannot be fetched (there is no such file: {status})")
    if status in (401, 403):
        raise PhotoError(f"cannot be fetched (access is refused: {status})")
    if status != 200:
        raise PhotoError(f"cannot be fetched (the answer is {status}, not 200)")
    if response.headers.get("content-type", "").lower().startswith("text/html"):
        raise PhotoError("is a web page, not a picture")
    end = time.monotonic() + seconds
    stated = response.headers.get("content-length", "")
    n_bytes = int(stated) if stated.isdecimal() and len(stated) < 20 else 0
    check_size(n_bytes or 1, max_bytes)
    n_bytes = 0
    for chunk in response.iter_bytes():
        n_bytes += len(chunk)
        check_size(n_bytes or 1, max_bytes)
        if time.monotonic() > end:
            raise PhotoError(f"cannot be fetched (not done after {seconds:.0f} seconds)")
        into.write(chunk)
    check_size(n_bytes, max_bytes)


def check_size(n_bytes: int, max_bytes: int) -> None:
    """Raises PhotoError if a photo is empty or has more than ``max_bytes`` bytes."""
    if not n_bytes:
        raise PhotoError("is empty (0 bytes)")
    if n_bytes > max_bytes:
        raise PhotoError(
            f"has more than {max_bytes / 1e6:.3g} MB, the most that is fetched: scale it down"
        )


def _checked(url: str) -> str:
    """The server's address without a slash at the end. Raises UserError."""
    wanted = "http://HOST:PORT or https://HOST wanted, as in a browser"
    try:
        place = urlsplit(url.strip())
        named = place.scheme in ("http", "https") and place.hostname and place.port != 0
        httpx.URL(url.strip())
    except (ValueError, httpx.InvalidURL):
        named = False
    if not named:
        raise UserError(f"the Label Studio address is not valid: {wanted}")
    if "@" in place.netloc:
        raise UserError(
            "the Label Studio address has a user or password in it, which cannot be sent together "
            f"with a token: {wanted}"
        )
    return f"{place.scheme}://{place.netloc}{place.path.rstrip('/')}"


def _mapping(answer: object, url: str) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise UserError(f"{url} answered with something unknown: {_no_label_studio(url)}")
    return answer


def _no_label_studio(url: str) -> str:
    return f"see whether {url} is a Label Studio server"


def _joined(response: httpx.Response) -> httpx.URL:
    try:
        return response.url.join(response.headers["location"])
    except (ValueError, httpx.InvalidURL):
        raise httpx.RemoteProtocolError("a redirect to no valid address") from None


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port  # httpx leaves out a scheme's usual port


def _lifetime(access: str) -> float:
    """Seconds that a new access token is good for, by the server's own clock."""
    try:
        part = access.split(".")[1]
        facts = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        seconds = float(facts["exp"]) - float(facts["iat"])
    except (ValueError, KeyError, TypeError, IndexError):
        return _LIFETIME
    return seconds if seconds > 0 else _LIFETIME


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() and len(text) < 6 else 0.0


def _reason(error: httpx.RequestError) -> str:
    if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
        return "cannot be reached"
    if isinstance(error, httpx.TimeoutException):
        return "did not answer in time"
    return "broke the connection off"
