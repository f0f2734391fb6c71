"""The parts of Label Studio's HTTP API that are used: projects, tasks, predictions, files, backends."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec

from prelabel.errors import PhotoError, UserError
from prelabel.label_studio.api.deadline import Deadline
from prelabel.label_studio.api.download import HEADERS, write_photo
from prelabel.label_studio.api.errors import (
    KEPT,
    NotFoundError,
    RedirectedAwayError,
    ServerFault,
    TokenRefusedError,
)
from prelabel.label_studio.api.transport import Transport
from prelabel.label_studio.api.uris import STATIC, is_photo_route
from prelabel.label_studio.format.label_config import parse_leniently
from prelabel.label_studio.format.unknown_labels import unknown_labels
from prelabel.storage.json import JsonObject

T = TypeVar("T")
_SHOWN = 5
_LONG = 10
"""Usual timeouts that an import may take: it is not repeated."""

_PAGE = 100
"""Tasks in one request, which are in memory together."""


class TaskGone(UserError):  # noqa: N818
    """The server answered that there is no such task, or this user may not see it."""


class ProjectInfo(msgspec.Struct, frozen=True):
    """A project's settings.

    ``label_config``: XML. ``created_at``: ISO 8601. ``model_version``: what the label stream shows:
    the predictions of that version, or those of the backend with that title; "" shows none.
    ``show_collab_predictions``: whether it shows any.
    """

    id: int
    label_config: str = ""
    task_number: int = 0
    created_at: str = ""
    model_version: str = ""
    show_collab_predictions: bool = True

    @property
    def name(self) -> str:
        """``id.timestamp``, as /setup sends it; the id alone if it is not known when it was created."""
        try:
            return f"{self.id}.{int(datetime.fromisoformat(self.created_at).timestamp())}"
        except (ValueError, OverflowError):
            return str(self.id)


class Webhook(msgspec.Struct, frozen=True):
    """Where the server sends a project's events. ``headers``: sent with them."""

    id: int
    url: str = ""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    actions: list[str] = msgspec.field(default_factory=list)


class _Titled(msgspec.Struct, frozen=True):
    """A project or a backend."""

    id: int
    title: str | None = None


class _Summary(msgspec.Struct, frozen=True):
    """How often each label is used, by tag and label."""

    created_labels: dict[str, dict[str, int]] = {}
    created_labels_drafts: dict[str, dict[str, int]] = {}


class Client:
    """A Label Studio server as one user sees it. May be used by several threads at once.

    The arguments are those of ``Transport``. Raises UserError if url or token cannot be used;
    nothing is requested from the server yet.
    """

    def __init__(
        self, url: str, token: str, *, timeout: float = 30.0, attempts: int = 5, wait: float = 1.0
    ) -> None:
        self._transport = Transport(url, token, timeout=timeout, attempts=attempts, wait=wait)
        self.url = self._transport.url

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

    def project(self, project_id: int) -> ProjectInfo:
        """A project's settings. Raises UserError."""
        try:
            answer = self.ask("GET", f"/api/projects/{project_id}/")
        except NotFoundError:
            raise UserError(
                f"{self.url} has no project {project_id} that this token's user may see: take the "
                "number from the project's address, /projects/N/"
            ) from None
        given = {key: value for key, value in answer.items() if value is not None}
        return self.convert(given, ProjectInfo)

    def find_project(self, title: str) -> int | None:
        """The number of a project with this title. Raises UserError."""
        answer = self.ask("GET", f"/api/projects/?{urlencode({'title': title})}")
        found = self.convert(answer.get("results") or [], list[_Titled])
        return next((project.id for project in found if project.title == title), None)

    def create_project(self, title: str, label_xml: str, *, instructions: str = "") -> int:
        """A new project's number. ``instructions``: HTML that annotators see first, "" for none.
        Raises UserError."""
        facts: JsonObject = {"title": title, "label_config": label_xml}
        if instructions:
            facts = {**facts, "expert_instruction": instructions, "show_instruction": True}
        return self.convert(self.ask("POST", "/api/projects/", body=facts), _Titled).id

    def set_label_config(self, project_id: int, label_xml: str) -> None:
        """Change a project's label config. Raises UserError if the server refuses it."""
        self.ask("PATCH", f"/api/projects/{project_id}/", body={"label_config": label_xml})

    def used_labels(self, project_id: int) -> set[str]:
        """The labels that regions of annotations and drafts have. Raises UserError."""
        answer = self.ask("GET", f"/api/projects/{project_id}/summary/")
        given = {key: value for key, value in answer.items() if value is not None}
        summary = self.convert(given, _Summary)
        every = (summary.created_labels, summary.created_labels_drafts)
        return {label for by_tag in every for labels in by_tag.values() for label in labels}

    def upload(self, project_id: int, photos: Sequence[Path]) -> None:
        """Photos from this machine, a task each. Raises UserError."""
        # Of several fields with one name it would take the last.
        files = {f"file{i}": (p.name, p.read_bytes()) for i, p in enumerate(photos)}
        form = httpx.Request("POST", self.url, files=files)
        self._transport.json(
            "POST",
            f"/api/projects/{project_id}/import",
            content=form.read(),
            content_type=form.headers["Content-Type"],
            repeatable=False,
            timeout=_LONG * self._transport.timeout,
        )

    def connect_backend(
        self, project_id: int, url: str, *, title: str, user: str, password: str
    ) -> int:
        """Connect an ML backend to a project, in the place of one with this title; its number.
        Raises UserError if Label Studio cannot reach it."""
        answer = self._transport.json("GET", f"/api/ml?{urlencode({'project': project_id})}")
        earlier_ones = answer if isinstance(answer, list) else []
        for earlier in self.convert(earlier_ones, list[_Titled]):
            if earlier.title == title:
                with suppress(NotFoundError):
                    self._transport.json("DELETE", f"/api/ml/{earlier.id}")
        facts = {
            "project": project_id,
            "url": url,
            "title": title,
            "is_interactive": True,
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": user,
            "basic_auth_pass": password,
        }
        answer = self.ask("POST", "/api/ml", body=facts, repeatable=False)
        return self.convert(answer, _Titled).id

    def webhooks(self, project_id: int) -> list[Webhook]:
        """A project's webhooks. Raises UserError."""
        answer = self._transport.json("GET", f"/api/webhooks/?{urlencode({'project': project_id})}")
        return self.convert(answer, list[Webhook])

    def set_webhook_header(self, webhook: Webhook, name: str, value: str) -> None:
        """Have a webhook send one more header. Raises UserError."""
        # Without its actions the server would forget them.
        facts = {"headers": {**webhook.headers, name: value}, "actions": webhook.actions}
        self.ask("PATCH", f"/api/webhooks/{webhook.id}/", body=facts)

    def tasks(
        self, project_id: int, *, version: str = "", fields: Sequence[str] = ()
    ) -> Iterator[JsonObject]:
        """A project's tasks with their annotations and predictions, each once; a page of them is in
        memory at a time. ``version``: only those with a prediction whose model version contains
        this text, without annotations, drafts and predictions (see ``find_tasks``). ``fields``:
        only these, drafts and such among them.

        Raises UserError, and ServerFault if fewer came than there are."""
        more = {"query": _encoded(_having(version))} if version else {"fields": "all"}
        if fields:
            more |= {"fields": "all", "include": ",".join(("id", *fields))}
        seen: set[int] = set()
        total = page = 0
        while True:
            page += 1
            query = {"project": project_id, "page": page, "page_size": _PAGE, **more}
            try:
                answer = self.ask("GET", f"/api/tasks?{urlencode(query)}")
            except NotFoundError:
                if page == 1:
                    raise
                break  # the page after the last one
            tasks = answer.get("tasks")
            if not isinstance(tasks, list):
                raise self._transport.unexpected("something without tasks")
            stated = answer.get("total")
            total = stated if isinstance(stated, int) else 0
            n_before = len(seen)
            for task in tasks:
                if not isinstance(task, dict) or not isinstance(task.get("id"), int):
                    raise self._transport.unexpected("a task without a number")
                if task["id"] not in seen:  # tasks move to the next page when some are added
                    seen.add(task["id"])
                    yield task
            # A server may give smaller pages than were asked for, so a short one with more to come
            # is not the last. One with nothing new is: a server may not know pages at all.
            if len(seen) == n_before or (len(tasks) < _PAGE and len(seen) >= total):
                break
        if len(seen) < total:
            reason = f"gave {len(seen)} of {total} tasks"
            raise ServerFault(
                f"{self.url} {reason}; were some deleted meanwhile? {KEPT}", reason=reason
            )

    def find_tasks(
        self, project_id: int, task_ids: Sequence[int], *, whole: bool = True
    ) -> dict[int, JsonObject]:
        """Those of the tasks that are there, by number. ``whole``: with annotations and predictions;
        else with ``total_annotations``, ``total_predictions`` and ``predictions_model_versions``
        (each once, separated by commas), without any mask.

        Looking at tasks like this never makes Label Studio predict them, as opening a task at
        ``/api/tasks/N/`` does. Raises UserError.
        """
        found: dict[int, JsonObject] = {}
        for start in range(0, len(task_ids), _PAGE):
            chosen = set(task_ids[start : start + _PAGE])
            selected: JsonObject = {"selectedItems": {"all": False, "included": sorted(chosen)}}
            if not whole:  # what tasks are sorted by comes with them
                selected = {**selected, "ordering": ["tasks:predictions_model_versions"]}
            query = {"project": project_id, "page_size": _PAGE, "query": _encoded(selected)}
            if whole:
                query["fields"] = "all"
            answer = self.ask("GET", f"/api/tasks?{urlencode(query)}")
            tasks = answer.get("tasks")
            if not isinstance(tasks, list):
                raise self._transport.unexpected("something without tasks")
            found |= {task["id"]: task for task in tasks if task["id"] in chosen}
        return found

    def task(self, project_id: int, task_id: int) -> JsonObject:
        """A task with its annotations and predictions. Raises TaskGone and UserError."""
        try:
            return self.find_tasks(project_id, [task_id])[task_id]
        except (KeyError, NotFoundError):
            raise TaskGone(
                f"project {project_id} of {self.url} has no task {task_id} that this token's user "
                "may see"
            ) from None

    def import_predictions(self, project_id: int, predictions: Sequence[JsonObject]) -> int:
        """Give tasks predictions (``task``, ``result``, ``score``, ``model_version``) in one
        request; the number created. Raises UserError if the server refuses them, ServerFault if it
        fails or creates another number than were sent."""
        if not predictions:
            return 0
        answer = self.ask(
            "POST",
            f"/api/projects/{project_id}/import/predictions",
            body=[dict(p) for p in predictions],
            repeatable=False,
            timeout=_LONG * self._transport.timeout,
        )
        created = answer.get("created")
        if created != len(predictions):
            reason = f"created {created} of {len(predictions)} predictions"
            why = self._unknown_labels(project_id, predictions)
            raise ServerFault(f"{self.url} {reason}: {why}; {KEPT}", reason=reason)
        return len(predictions)

    def _unknown_labels(self, project_id: int, predictions: Sequence[JsonObject]) -> str:
        """What of predictions the project does not have now."""
        config = None
        with suppress(UserError):  # that is no news beside the refusal
            config = parse_leniently(self.project(project_id).label_config)
        results = (prediction.get("result") for prediction in predictions)
        items = [item for result in results if isinstance(result, list) for item in result]
        unknown = unknown_labels(items, config) if config else []
        if unknown:
            return f"its label config has no {', no '.join(unknown[:_SHOWN])}"
        return "see whether the label config was changed meanwhile"

    def delete_prediction(self, prediction_id: int) -> None:
        """Remove a prediction; one that is gone already is not an error. Raises UserError."""
        with suppress(NotFoundError):
            self._transport.json("DELETE", f"/api/predictions/{prediction_id}/")

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

    def convert(self, answer: object, kind: type[T]) -> T:
        """An answer as a struct. Raises UserError if it is something else."""
        try:
            return msgspec.convert(answer, kind)
        except msgspec.ValidationError as error:
            raise self._transport.unexpected(f"something else ({error})") from error


def _encoded(query: JsonObject) -> str:
    """The data manager's filters, order and selection, as they are given in an address."""
    return json.dumps(query, separators=(",", ":"))


def _having(version: str) -> JsonObject:
    """The filter for tasks with a prediction whose model version contains a text."""
    condition = {
        "filter": "filter:tasks:predictions_model_versions",
        "operator": "contains",
        "type": "List",
        "value": [version],
    }
    return {"filters": {"conjunction": "and", "items": [condition]}}
