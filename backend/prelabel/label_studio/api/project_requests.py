"""The parts of Label Studio's HTTP API about projects, their backends and their webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from urllib.parse import urlencode

import httpx
import msgspec

from prelabel.errors import UserError
from prelabel.label_studio.api.connection import LONG, Connection
from prelabel.label_studio.api.errors import ForbiddenError, NotFoundError, ServerFault
from prelabel.storage.json import JsonObject


class ProjectInfo(msgspec.Struct, frozen=True):
    """A project's settings.

    ``label_config``: XML. ``created_at``: ISO 8601. ``model_version``: what the label stream shows:
    the predictions of that version, or those of the backend with that title; "" shows none.
    ``show_collab_predictions``: whether it shows any. ``sampling``: in which order the label stream
    gives tasks. ``description``: what the list of projects shows below the title.
    """

    id: int
    label_config: str = ""
    task_number: int = 0
    num_tasks_with_annotations: int = 0
    created_at: str = ""
    model_version: str = ""
    show_collab_predictions: bool = True
    sampling: str = ""
    title: str = ""
    description: str = ""

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


class ProjectRequests(Connection):
    """Projects, their backends and their webhooks."""

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

    def create_project(self, title: str, label_xml: str, *, description: str = "") -> int:
        """A new project's number. Raises UserError."""
        facts = {"title": title, "label_config": label_xml, "description": description}
        answer = self.ask("POST", "/api/projects/", body=facts, repeatable=False)
        return self.convert(answer, _Titled).id

    def describe_project(self, project_id: int, description: str, instructions: str) -> None:
        """Say what a project is. ``instructions``: HTML that annotators see first. Raises UserError."""
        facts = {
            "description": description,
            "expert_instruction": instructions,
            "show_instruction": True,
        }
        self.ask("PATCH", f"/api/projects/{project_id}/", body=facts)

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

    def upload(self, project_id: int, photos: Sequence[tuple[str, bytes]]) -> None:
        """Photos, names and contents, a task each. Raises UserError."""
        # Of several fields with one name it would take the last.
        files = {f"file{i}": photo for i, photo in enumerate(photos)}
        form = httpx.Request("POST", self.url, files=files)
        self._transport.json(
            "POST",
            f"/api/projects/{project_id}/import",
            content=form.read(),
            content_type=form.headers["Content-Type"],
            repeatable=False,
            timeout=LONG * self._transport.timeout,
        )

    def connect_backend(
        self, project_id: int, url: str, *, title: str, user: str = "", password: str = ""
    ) -> int:
        """Connect an ML backend to a project, in the place of one with this title; its number.
        Raises UserError if Label Studio cannot reach it."""
        found = self.ask_list("GET", f"/api/ml?{urlencode({'project': project_id})}")
        for earlier in self.convert(found, list[_Titled]):
            if earlier.title == title:
                with suppress(NotFoundError):
                    self._transport.json("DELETE", f"/api/ml/{earlier.id}")
        facts: JsonObject = {
            "project": project_id,
            "url": url,
            "title": title,
            "is_interactive": True,
            "auth_method": "BASIC_AUTH" if user or password else "NONE",
        }
        if user or password:
            facts = {**facts, "basic_auth_user": user, "basic_auth_pass": password}
        try:
            answer = self.ask("POST", "/api/ml", body=facts, repeatable=False)
        except ForbiddenError as error:
            if "reserved" not in error.reason:
                raise
            raise UserError(
                f"{self.url} refuses the backend {url}, as it is at a private address: start Label "
                "Studio with ML_BLOCK_LOCAL_IP=false SSRF_PROTECTION_ENABLED=false"
            ) from None
        except ServerFault as fault:
            raise UserError(
                f"{self.url} cannot connect the backend {url} ({fault.reason}): see whether prelabel "
                "serve can be reached there from Label Studio's machine; then run the same command "
                "again"
            ) from fault
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
