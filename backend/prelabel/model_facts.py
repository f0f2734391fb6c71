"""What ``model.json`` in a fitted model's folder holds: everything but the tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import msgspec
from pydantic import ValidationError

from prelabel.config import Config
from prelabel.errors import UserError
from prelabel.model_code import Code, code_now, vectors_origin
from prelabel.storage.files import read_file

SCHEMA = 1
FILE = "model.json"


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """A fitted model without its tensors; see `FittedModel` for the fields."""

    config: Config
    backbone: Mapping[str, object]
    origins: Mapping[str, str]
    n_photos: int
    code: Code = field(default_factory=dict)

    @cached_property
    def code_now(self) -> Code:
        """Digests of the installed code that predicts."""
        return code_now(self.config)

    @property
    def vectors_origin(self) -> str:
        """The origin of the vectors that are computed now, as ``<space>-<code>``; see `model_code`."""
        return vectors_origin(self.config, self.backbone, self.code_now)

    @classmethod
    def read(cls, folder: Path) -> ModelFacts:
        """Read a model's folder, without checking that its strategies are installed.

        Raises:
            UserError: there is no model, or it is damaged.
        """
        saved = SavedModel.read(folder)
        try:
            config = Config.model_validate(saved.config)
        except ValidationError as error:
            raise UserError(f"{folder / FILE} is damaged (its config): fit again") from error
        return cls(
            config=config,
            backbone=saved.backbone,
            origins=saved.origins,
            n_photos=saved.n_photos,
            code=saved.code,
        )


class SavedModel(msgspec.Struct):
    """``model.json``. ``tensors``: the file beside it. ``code``: missing in models that an older
    prelabel wrote. ``taught``: the facts of what labels have taught, if there were any."""

    schema: int
    version: str
    tensors: str
    backbone: dict[str, object]
    origins: dict[str, str]
    n_photos: int
    config: dict[str, object]
    code: dict[str, str] = {}
    taught: dict[str, object] | None = None

    @classmethod
    def read(cls, folder: Path) -> SavedModel:
        """Read the file in a model's folder. Raises UserError."""
        try:
            facts = json.loads(read_file(folder / FILE).decode("utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UserError(
                f"{str(folder)!r} holds no fitted model (no {FILE}): prelabel fit PHOTOS --out DIR"
            ) from error
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{folder / FILE} is damaged ({error}): fit again") from error
        schema = facts.get("schema") if isinstance(facts, dict) else None
        if schema != SCHEMA:
            raise UserError(
                f"{folder / FILE} has schema {schema}, this version reads {SCHEMA}: "
                "fit again, or use the version of prelabel that wrote it"
            )
        try:
            return msgspec.convert(facts, SavedModel)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:  # a lone surrogate
            raise UserError(f"{folder / FILE} is damaged ({error}): fit again") from error
