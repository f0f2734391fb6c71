"""The model class for label-studio-ml's own server, whose 1.0.9 and main branch differ.

It runs there from a ``model.py`` that holds ``from prelabel.label_studio.server.ml_model import
PrelabelModel``; `prelabel serve` does without it. The main branch keeps its small database in the
working folder unless ``MODEL_DIR`` is set.

Importing 1.0.9 makes "spawn" the start method of all processes of multiprocessing.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
from collections.abc import Sequence
from threading import Lock
from typing import Any, ClassVar, Protocol

from prelabel.errors import UserError
from prelabel.extras import install_command
from prelabel.storage.files import data_folder
from prelabel.storage.json import JsonObject


class Service(Protocol):
    """The backend. Several threads may call it at once.

    ``name``: of the project, "id.timestamp" or "id", whichever is known, and "" if neither is.
    """

    def version(self, name: str) -> str:
        """The live model's version, at once: /setup has 3 seconds. It is the first request about a
        project, so a new project is not an error."""
        ...

    def answers(
        self,
        name: str,
        tasks: Sequence[JsonObject],
        label_xml: str,
        context: JsonObject | None = None,
    ) -> list[bytes]:
        """One JSON text for each task: ``[]`` if it is not ready or has failed, else one
        prediction ``{"result": [...], "score": ..., "model_version": ...}``.

        ``name``: "" if only the tasks name the project. ``label_xml``: "" if it is not known.
        ``context``: an interactive click or box.
        """
        ...

    def event(self, action: str, payload: JsonObject) -> JsonObject:
        """Take in a webhook's event, such as ``ANNOTATION_CREATED``; returns JSON. ``payload``:
        the webhook's body without the action."""
        ...


def _base_class() -> Any:
    """The library's base class. Raises UserError if the library is missing."""
    default = str(data_folder() / "label-studio-ml")
    unset = "MODEL_DIR" not in os.environ
    try:
        if unset:  # the main branch opens a database there when it is imported
            os.environ["MODEL_DIR"] = default
        return importlib.import_module("label_studio_ml.model").LabelStudioMLBase
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == "label_studio_ml"
        found = "is missing" if absent else f"cannot be imported ({error})"
        raise UserError(f"label-studio-ml {found}: {install_command('serve')}") from error
    finally:
        if unset:  # 1.0.9's server reads it too, and has an option of its own for it
            os.environ.pop("MODEL_DIR", None)


_Base = _base_class()
_PER_PROJECT = "project_id" in inspect.signature(_Base.__init__).parameters
"""Whether the library has an instance for each project: the main branch does, 1.0.9 does not."""
_MAKING = Lock()


class PrelabelModel(_Base):  # type: ignore[misc, valid-type]  # known when imported
    """A project's pseudo-masks, as label-studio-ml asks for them."""

    service: ClassVar[Service | None] = None
    """Shared by all instances; ``default_service()`` makes it when it is first needed."""

    TRAIN_EVENTS = (
        "ANNOTATION_CREATED",
        "ANNOTATION_UPDATED",
        "ANNOTATION_DELETED",
        "PROJECT_UPDATED",
        "START_TRAINING",
    )

    def __init__(
        self,
        project_id: str | int | None = None,
        label_config: str | None = None,
        **settings: Any,
    ) -> None:
        """``project_id``: "id.timestamp" or "id"; 1.0.9's server does not tell it.
        ``settings``: the base class's own, such as 1.0.9's ``train_output`` and ``hostname``.
        """
        # A request that names no project comes as "None" from the main branch's server.
        self.project = "" if project_id in (None, "None") else str(project_id)
        if _PER_PROJECT:
            settings["project_id"] = self.project
        super().__init__(label_config=label_config, **settings)

    def setup(self) -> None:
        """The main branch calls this for each instance; its /setup says the version set here."""
        version = self.version
        if self.get("model_version") != version:  # each set() is a write to the disk
            self.set("model_version", version)

    @property
    def version(self) -> str:
        """The live model's version."""
        return _service().version(self.project)

    def predict(
        self,
        tasks: Sequence[JsonObject],
        context: JsonObject | None = None,
        **_unused: Any,
    ) -> list[Any]:
        """One prediction for each task, a dict; ``[]`` for one that is not ready or has failed."""
        answers = _service().answers(self.project, tasks, self.label_config or "", context or None)
        return [json.loads(answer) for answer in answers]

    def fit(
        self,
        *args: Any,
        event: str | None = None,
        data: JsonObject | None = None,
        **_unused: Any,
    ) -> dict[str, object]:
        """Hand an event to the service and return what it says.

        The main branch calls ``fit(event, data)``; 1.0.9 calls ``fit(tasks, event=…, data=…)``, and
        from its old /train ``fit(tasks, workdir)``, which holds no event and does nothing.
        """
        if args and isinstance(args[0], str):
            event, data = (*args, data)[:2]
        return dict(_service().event(event, data or {})) if event else {}


def _service() -> Service:
    """The service of this process, made if there is none yet."""
    with _MAKING:
        if PrelabelModel.service is None:
            from prelabel.label_studio.server.service import default_service

            PrelabelModel.service = default_service()
        return PrelabelModel.service
