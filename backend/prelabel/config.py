"""All settings, validated. A recipe is a named set of them: a TOML file beside others."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast, overload

import pydantic
from pydantic import Field

from prelabel.errors import UserError
from prelabel.overrides import parse_override, settings_named, toml
from prelabel.storage.text import nearest, what_was_expected
from prelabel.strategies import registry
from prelabel.strategies.protocols import (
    Backbone,
    BlockClusterer,
    Clusterer,
    Consistency,
    Embedder,
    Foreground,
    Learner,
    Refiner,
    Separator,
)
from prelabel.strategies.registry import KINDS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class StrategyChoice(pydantic.BaseModel):
    """A strategy's name; its other settings lie beside it and are checked by the strategy.

    Attributes:
        name: as `prelabel plugins list` shows it.
    """

    model_config = pydantic.ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def settings(self) -> dict[str, object]:
        """Everything but the name."""
        return dict(self.model_extra or {})


Ks = Annotated[tuple[Annotated[int, Field(ge=2, le=256)], ...], Field(min_length=1, max_length=8)]


MOST_SIZE = 2048
Size = Annotated[int, Field(ge=28, le=MOST_SIZE)]
Sizes = Annotated[tuple[Size, ...], Field(min_length=2, max_length=4)]
OneOrMoreSizes = Annotated[
    Annotated[Size, pydantic.Tag("one")] | Annotated[Sizes, pydantic.Tag("several")],
    pydantic.Discriminator(lambda size: "several" if isinstance(size, list | tuple) else "one"),
]


class Features(_Section):
    """How photos are seen.

    Attributes:
        size: in pixels; a photo is seen at its own aspect ratio with the area of size × size.
            Larger finds smaller objects and costs more. Several, as in [448, 896], are merged on the
            finest grid of patches, and cost as much as all of them; the first one's CLS token is the
            photo's.
    """

    size: OneOrMoreSizes = 448

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes, one or several."""
        return self.size if isinstance(self.size, tuple) else (self.size,)

    @pydantic.field_validator("size")
    @classmethod
    def _differ(cls, size: int | tuple[int, ...]) -> int | tuple[int, ...]:
        if isinstance(size, tuple) and len(set(size)) < len(size):
            raise ValueError("expected sizes that differ")
        return size


class Levels(_Section):
    """The clusterings of patches.

    Attributes:
        dataset_k: numbers of clusters over all photos, one clustering for each.
        category_k: the same within a group of similar photos.
        image_k: the same within one photo.
        photos_per_group: photos are gathered into about n / photos_per_group groups.
        max_groups: the largest number of groups.
        min_group: groups of fewer photos are merged into others.
        patches_per_cluster: sampled patches for each cluster of a clustering's largest k (faiss
            takes 256); more is steadier and slower.
    """

    dataset_k: Ks = (8, 16, 32, 64)
    category_k: Ks = (4, 8, 16, 32)
    image_k: Ks = (3, 4, 5)
    photos_per_group: int = Field(default=20, ge=2)
    max_groups: int = Field(default=64, ge=1)
    min_group: int = Field(default=10, ge=1)
    patches_per_cluster: int = Field(default=512, ge=8)


class Regions(_Section):
    """What becomes a region.

    Attributes:
        threshold: P(foreground) above which a pixel is foreground; lower gives larger regions.
        min_area: regions under this share of the photo are dropped and counted.
        max_frame: so are those on more than this share of the photo's outermost pixels; 1 keeps
            objects that fill a photo from side to side.
        min_hole: holes under this share of their region are filled; 0 keeps them all.
        min_part: separate parts under this share of their region are left out; 0 keeps them all.
        min_score: regions with a lower score are dropped and counted; 0 keeps them all. For sets in
            which many photos show no object.
    """

    threshold: float = Field(default=0.5, gt=0, lt=1)
    min_area: float = Field(default=0.002, ge=0, lt=1)
    max_frame: float = Field(default=0.9, gt=0, le=1)
    min_hole: float = Field(default=0.01, ge=0, lt=1)
    min_part: float = Field(default=0.01, ge=0, lt=1)
    min_score: float = Field(default=0.0, ge=0, lt=1)


class Classes(_Section):
    """The clustering of regions.

    Attributes:
        count: number of classes; 0 is twice as many as ``labels``, or, without labels,
            sqrt(regions / 2). "auto" is as many as there are dense groups of similar regions (PCA,
            then HDBSCAN); regions that are like none of them stay without a class.
        labels: the names that annotators will use, where they are known.
    """

    count: Annotated[int, Field(ge=0, le=10_000)] | Literal["auto"] = 0
    labels: tuple[str, ...] = ()


class Fit(_Section):
    """What `fit` looks at.

    Attributes:
        photos: the largest number of photos to fit on; of more, a sample is drawn, and of their
            patches another (``levels.patches_per_cluster``). 0 is all photos and every one of their
            patches, read from the disk several times: for a clusterer that has ``fit_blocks``, as
            spherical-kmeans has.
        seed: of everything that is drawn.
        finer: with labels whose median object covers fewer than 9 patches, try twice ``features.size``
            as well, and use both if that is clearly better on labelled photos that are left out. Not
            with several sizes.
    """

    photos: int = Field(default=2000, ge=0)
    seed: int = Field(default=0, ge=0, lt=2**31)
    finer: bool = False


class Config(_Section):
    """Every setting of a run. Sections named like a kind of strategy choose one by name.

    Attributes:
        backbone: photos to patch features.
        features: the size at which photos are seen.
        clusterer: points to clusters; all clusterings use it.
        foreground: the rule that gives clusters a P(foreground).
        levels: numbers of clusters and sizes of groups.
        consistency: combines the levels into one P(foreground).
        learner: labelled photos to what patches are foreground and of which class.
        refiner: sharpens P(foreground) along the photo's edges.
        separator: foreground to regions that may touch.
        regions: what becomes a region.
        embedder: regions to vectors.
        classes: how many classes.
        fit: sample and seed.

    Example:
        >>> from prelabel import config, fit
        >>> settings = config.load("fast", ["features.size=336", "refiner.name=dense-crf"])
        >>> settings.features.size
        336
        >>> model = fit("photos/", settings)
    """

    backbone: StrategyChoice = StrategyChoice(name="timm")
    features: Features = Features()
    clusterer: StrategyChoice = StrategyChoice(name="spherical-kmeans")
    foreground: StrategyChoice = StrategyChoice(name="attention")
    levels: Levels = Levels()
    consistency: StrategyChoice = StrategyChoice(name="mean")
    learner: StrategyChoice = StrategyChoice(name="ridge")
    refiner: StrategyChoice = StrategyChoice(name="guided-filter")
    separator: StrategyChoice = StrategyChoice(name="connected")
    regions: Regions = Regions()
    embedder: StrategyChoice = StrategyChoice(name="region-cls")
    classes: Classes = Classes()
    fit: Fit = Fit()

    @property
    def strategy_names(self) -> dict[str, str]:
        """The name of the strategy that each section chooses."""
        choices = ((section, getattr(self, section)) for section in type(self).model_fields)
        return {s: choice.name for s, choice in choices if isinstance(choice, StrategyChoice)}

    @overload
    def strategy(self, section: Literal["backbone"]) -> Backbone: ...
    @overload
    def strategy(self, section: Literal["clusterer"]) -> Clusterer: ...
    @overload
    def strategy(self, section: Literal["foreground"]) -> Foreground: ...
    @overload
    def strategy(self, section: Literal["consistency"]) -> Consistency: ...
    @overload
    def strategy(self, section: Literal["learner"]) -> Learner: ...
    @overload
    def strategy(self, section: Literal["refiner"]) -> Refiner: ...
    @overload
    def strategy(self, section: Literal["separator"]) -> Separator: ...
    @overload
    def strategy(self, section: Literal["embedder"]) -> Embedder: ...
    @overload
    def strategy(self, section: str) -> object: ...

    def strategy(self, section: str) -> object:
        """The strategy that a section chooses, with its settings. Raises UserError."""
        choice: StrategyChoice = getattr(self, section)
        return registry.make(section, choice.name, choice.settings)

    def with_strategy(self, section: str, strategy: object) -> Config:
        """The same with all settings of the given strategy, which the section has chosen."""
        settings = dataclasses.asdict(cast("DataclassInstance", strategy))
        choice = {"name": getattr(self, section).name, **settings}
        return self.model_copy(update={section: StrategyChoice.model_validate(choice)})

    def image_level(self) -> Config:
        """The same for regions from each photo alone, without a fitted model.

        With no other photos to compare with, clusters are scored by the border rule.
        """
        return self.model_copy(update={"foreground": StrategyChoice(name="border")})

    def digest(self, *sections: str) -> str:
        """16 hex digits over the named sections, or over all."""
        settings = self.model_dump(mode="json")
        chosen = {s: settings[s] for s in sections} if sections else settings
        text = json.dumps(chosen, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def to_toml(self) -> str:
        """The whole config as TOML that ``load`` reads back."""
        lines = []
        for section, values in self.model_dump(mode="json").items():
            lines.append(f"[{section}]")
            lines += [f"{k} = {toml(v)}" for k, v in values.items()]
            lines.append("")
        return "\n".join(lines)


def load(recipe: str = "default", overrides: Iterable[str] = ()) -> Config:
    """A recipe by name or file, with ``section.name=value`` overrides. Raises UserError.

    `choose_recipe` finds the one that suits photos.
    """
    return _changed(_checked(_read_recipe(recipe)), overrides)


def change(config: Config, overrides: Iterable[str]) -> Config:
    """The same with ``section.name=value`` overrides. Raises UserError."""
    return _changed(config.model_dump(), overrides)


def _changed(settings: dict[str, dict[str, object]], overrides: Iterable[str]) -> Config:
    for override in overrides:
        _override(settings, override)
    return validate(settings)


def validate(settings: Mapping[str, object]) -> Config:
    """Settings by section to a Config; every strategy's settings are checked too."""
    sections = _checked(settings)
    for section, values in sections.items():
        default = Config.model_fields[section].default
        if isinstance(default, StrategyChoice):  # without a name, settings are for the default one
            values.setdefault("name", default.name)
    try:
        config = Config.model_validate(sections)
    except pydantic.ValidationError as error:
        first, *others = error.errors()
        loc = first["loc"]
        places = [part for part in loc[2:] if isinstance(part, int)]  # in a list; else of a union
        where = ".".join(str(part) for part in (*loc[:2], *places))
        kinds = [other for other in others if other["loc"][:2] == loc[:2] and not places]
        reason = what_was_expected(str(own["msg"]) for own in (first, *kinds))
        raise UserError(f"{where} = {first['input']!r}: {reason}") from error
    for section in KINDS:
        if section in Config.model_fields:
            config.strategy(section)
    if config.fit.photos == 0 and not isinstance(config.strategy("clusterer"), BlockClusterer):
        raise UserError(
            f"fit.photos = 0 needs a clusterer that takes patches in blocks (fit_blocks), which "
            f"{config.clusterer.name} does not: set clusterer.name=spherical-kmeans, or fit.photos to "
            "the number of photos to draw"
        )
    return config


AUTO = "auto"
"""In the place of a recipe's name: the one that suits the photos."""


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    folder = files("prelabel.recipes")
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def recipe_text(name: str) -> str:
    """A packaged recipe's file. Raises UserError for an unknown name, and for ``auto``."""
    if name == AUTO:
        raise UserError(
            "recipe 'auto' is chosen by photos, which only prelabel run and prelabel fit do (in Python: "
            "choose_recipe): 'prelabel fit PHOTOS --recipe auto --out DIR' says which one it is; name "
            "that one here"
        )
    if name not in recipe_names():
        raise UserError(f"no recipe is named {name!r}{nearest(name, recipe_names())}")
    return (files("prelabel.recipes") / f"{name}.toml").read_text(encoding="utf-8")


def _read_recipe(recipe: str) -> dict[str, object]:
    is_file = recipe.endswith(".toml") or "/" in recipe
    if is_file and not Path(recipe).is_file():
        raise UserError(f"recipe {recipe!r}: no such file")
    try:
        text = Path(recipe).read_text(encoding="utf-8-sig") if is_file else recipe_text(recipe)
        return tomllib.loads(text)
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(f"recipe {recipe!r} cannot be read: {error}") from error


def _override(settings: dict[str, dict[str, object]], override: str) -> None:
    section, name, value = parse_override(override, known_settings)
    _checked({section: {}})
    current = settings.get(section, {})
    default = Config.model_fields[section].default
    if name == "name" and value != current.get("name", getattr(default, "name", None)):
        current = {}  # another strategy: the recipe's settings for the old one do not apply
    settings[section] = {**current, name: value}


def _checked(settings: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """Settings by section, once their names are known to be right. Raises UserError."""
    sections: dict[str, dict[str, object]] = {}
    for section, values in settings.items():
        if section not in Config.model_fields:
            raise UserError(f"no section {section!r}{nearest(section, Config.model_fields)}")
        if not isinstance(values, Mapping):
            raise UserError(f"{section} = {values!r}: expected a section [{section}] with settings")
        sections[section] = dict(values)
        default = Config.model_fields[section].default
        if isinstance(default, StrategyChoice):
            continue  # the strategy knows its own settings
        known = type(default).model_fields
        for name in values:
            if name not in known:
                raise UserError(f"{section} has no setting {name!r}{_meant(name, known)}")
    return sections


def _meant(name: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown setting: the nearest one of its section, else of any."""
    hint = nearest(name, known)
    if "did you mean" not in hint and (elsewhere := settings_named(name, known_settings())):
        return f"; did you mean {' or '.join(elsewhere)}?"
    return hint


def known_settings() -> dict[str, list[str]]:
    """The names of all settings by section; for strategies, those of the default one."""
    known: dict[str, list[str]] = {}
    for section, field in Config.model_fields.items():
        if isinstance(field.default, StrategyChoice):
            strategy = registry.load(section, field.default.name)
            known[section] = [own.name for own in dataclasses.fields(strategy)]
        else:
            known[section] = list(type(field.default).model_fields)
    return known
