"""What is known of a fitted model without its tensors: the file ``model.json`` in its folder."""

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

SCHEMA = 1
FILE = "model.json"


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What is known of a fitted model without its tensors; see `FittedModel`."""

    config: Config
    backbone: Mapping[str, object]
    origins: Mapping[str, str]
    n_photos: int
    code: Code = field(default_factory=dict)

    @cached_property
    def code_now(self) -> Code:
        """Digests of the code that answers: what is installed now."""
        return code_now(self.config)

    @property
    def vectors_origin(self) -> str:
        """What the vectors of regions are made by now."""
        return vectors_origin(self.config, self.backbone, self.code_now)

    @classmethod
    def read(cls, folder: Path) -> ModelFacts:
        """Read a model's folder; whether its strategies are installed is not looked at.

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
    """``model.json``; ``tensors`` names the file beside it. Models of older versions have no
    ``code``."""

    schema: int
    version: str
    tensors: str
    backbone: dict[str, object]
    origins: dict[str, str]
    n_photos: int
    config: dict[str, object]
    code: dict[str, str] = {}

    @classmethod
    def read(cls, folder: Path) -> SavedModel:
        """From a model's folder; the tensors are not touched. Raises UserError."""
        try:
            facts = json.loads((folder / FILE).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UserError(
                f"{str(folder)!r} holds no fitted model (no {FILE}): prelabel fit PHOTOS --out DIR"
            ) from error
        except (OSError, ValueError) as error:
            raise UserError(f"{folder / FILE} is damaged ({error}): fit again") from error
        schema = facts.get("schema") if isinstance(facts, dict) else None
        if schema != SCHEMA:
            raise UserError(
                f"{folder / FILE} has schema {schema}, this version reads {SCHEMA}: "
                "fit again, or use the version of prelabel that wrote it"
            )
        try:
            return msgspec.convert(facts, SavedModel)
        except msgspec.ValidationError as error:
            raise UserError(f"{folder / FILE} is damaged ({error}): fit again") from error
