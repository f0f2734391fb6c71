"""The cost model: seconds of an annotator's work, without pre-labels and with them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

import pydantic
from pydantic import Field

from prelabel.errors import UserError
from prelabel.overrides import parse_override
from prelabel.storage.text import nearest, what_was_expected


class Costs(pydantic.BaseModel):
    """The cost model: seconds, in the ``[costs]`` section of a TOML file.

    ``draw``: an object's mask from nothing. 79.2 is COCO's: 22 worker hours for 1 000 polygon masks
    (Lin et al. 2014, "Microsoft COCO", section 4).
    ``touch_up``: mending a mask. A third of drawing: machine-aided masks took a third of the time
    of polygons on COCO (Benenson, Popov and Ferrari 2019, "Large-scale interactive object
    segmentation with human annotators"), which is near to this work but not the same.
    ``keep``: looking at a mask that is good, and leaving it. ``delete``: a region that is no
    object. ``relabel``: a region with the wrong class. ``photo``: looking for what was missed.
    These four are chosen, not measured: put your own team's in their place.

    Without pre-labels every object is drawn, and nothing else is counted.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    draw: float = Field(default=79.2, gt=0, le=86400)
    touch_up: float = Field(default=26.4, ge=0, le=86400)
    keep: float = Field(default=2.0, ge=0, le=86400)
    delete: float = Field(default=2.0, ge=0, le=86400)
    relabel: float = Field(default=2.0, ge=0, le=86400)
    photo: float = Field(default=5.0, ge=0, le=86400)

    def seconds(
        self,
        *,
        kept: int,
        touched_up: int,
        redrawn: int,
        false_regions: int,
        wrong_class: int,
        photos: int,
    ) -> tuple[float, float]:
        """Seconds of work without and with pre-labels, from counts of objects, regions, photos."""
        without = self.draw * (kept + touched_up + redrawn)
        with_them = (
            self.keep * kept
            + self.touch_up * touched_up
            + self.draw * redrawn
            + self.delete * false_regions
            + self.relabel * wrong_class
            + self.photo * photos
        )
        return without, with_them

    def stated(self) -> str:
        """The constants on one line."""
        return ", ".join(f"{name} {value:g} s" for name, value in self.model_dump().items())


def load_costs(file: Path | None = None, overrides: Iterable[str] = ()) -> Costs:
    """The defaults, a TOML file's ``[costs]`` over them, and ``costs.name=value`` over both.
    Raises UserError."""
    values: dict[str, object] = {}
    if file is not None:
        try:
            sections = tomllib.loads(file.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError, OSError) as error:
            raise UserError(f"--config {str(file)!r} cannot be read: {error}") from error
        for section in sections:
            if section != "costs":
                raise UserError(f"{file}: no section {section!r}; known: costs")
        if not isinstance(sections.get("costs", {}), dict):
            raise UserError(f"{file}: costs is not a section, expected [costs] with settings")
        values.update(sections.get("costs", {}))
    for override in overrides:
        section, name, value = parse_override(override, lambda: {"costs": Costs.model_fields})
        if section != "costs":
            raise UserError(f"--set {override!r}: expected costs.name=value, as in costs.draw=60")
        values[name] = value
    for name in values:
        if name not in Costs.model_fields:
            raise UserError(f"costs has no setting {name!r}{nearest(name, Costs.model_fields)}")
    try:
        return Costs.model_validate(values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["costs", *(str(part) for part in first["loc"])])
        reason = what_was_expected([str(first["msg"])])
        raise UserError(f"{where} = {first['input']!r}: {reason}") from error
