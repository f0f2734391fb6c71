"""Recipes and overrides to a validated config, and back to a file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from prelabel import config
from prelabel.config import Config, load
from prelabel.errors import UserError
from support.messages import assert_says


def _needs(name: str) -> None:
    if name == "paper":
        pytest.importorskip("pydensecrf", reason="pydensecrf is not installed (no compiler)")


@pytest.mark.parametrize("name", ["default", "fast", "paper"])
def test_load__every_recipe(name: str) -> None:
    _needs(name)
    assert name in config.recipe_names()
    written = tomllib.loads(config.recipe_text(name))
    loaded = load(name).model_dump(mode="json")
    for section, values in written.items():
        for key, value in values.items():
            assert loaded[section][key] == value


def test_load__what_sets_the_recipes_apart() -> None:
    # Without a compiler there is no dense-crf; the rest of the recipe is of use all the same.
    default, fast, paper = load("default"), load("fast"), load("paper", ["refiner.name=none"])
    assert default.embedder.name == paper.embedder.name == "region-cls"
    assert fast.embedder.name == "region-pool"
    assert (default.consistency.name, paper.consistency.name) == ("mean", "vote")
    assert default.refiner.name == "guided-filter"
    assert tomllib.loads(config.recipe_text("paper"))["refiner"] == {"name": "dense-crf"}
    assert [len(ks) for ks in (paper.levels.dataset_k, paper.levels.category_k)] == [1, 1]
    assert default.backbone.settings["feature"] == "key"


def test_load__a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[features]\nsize = 336\n[refiner]\nname = "none"\n')
    assert load(str(file)).features.size == 336
    assert load(str(file)).refiner.name == "none"


def test_load__overrides() -> None:
    loaded = load(
        "default",
        [
            "features.size=336",
            "levels.image_k = [3, 6]",
            "regions.threshold=0.4",
            "classes.labels=['a dog', 'cat']",
            "backbone.name=color-texture",
            "backbone.patch=8",
            "fit.seed=1",
            "fit.seed=2",
        ],
    )
    assert loaded.features.size == 336
    assert loaded.levels.image_k == (3, 6)
    assert loaded.regions.threshold == 0.4
    assert loaded.classes.labels == ("a dog", "cat")
    assert loaded.strategy("backbone").patch == 8
    assert loaded.fit.seed == 2  # the last one counts


def test_load__text_needs_no_quotes() -> None:
    assert load("default", ["backbone.weights=/a b/x=y.pth"]).backbone.settings["weights"] == (
        "/a b/x=y.pth"
    )
    quoted = load("default", ['backbone.weights="stand-in"'])
    assert quoted.backbone.settings["weights"] == "stand-in"


def test_load__another_strategy_drops_the_recipes_settings() -> None:
    # The recipe says backbone.feature = "key", which color-texture does not have.
    loaded = load("default", ["backbone.name=color-texture"])
    assert loaded.backbone.settings == {}
    same = load("default", ["backbone.name=timm"])
    assert same.backbone.settings == {"feature": "key"}


def test_load__one_size_and_several(tmp_path: Path) -> None:
    assert load("default").features.sizes == (448,)
    several = load("default", ["features.size=[448, 896]"])
    assert several.features.sizes == (448, 896)
    (tmp_path / "own.toml").write_text(several.to_toml())
    assert load(str(tmp_path / "own.toml")) == several
    assert several.digest() != load("default", ["features.size=[896, 448]"]).digest()


def test_load__settings_without_a_name_are_for_the_default_strategy() -> None:
    loaded = load("fast", ["clusterer.restarts=5"])
    assert loaded.clusterer.name == "spherical-kmeans"
    assert loaded.clusterer.settings == {"restarts": 5}


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("feature.size=336", ("'feature'", "'features'")),  # what is not there, what is near
        ("features.sise=336", ("features", "'sise'", "'size'")),
        ("features.size=large", ("features.size = 'large'",)),
        ("features.size=3", ("features.size = 3",)),
        ("features.size=[448]", ("features.size = [448]", "at least 2")),
        ("features.size=[448, 3]", ("features.size.1 = 3",)),
        ("features.size=[448, 448]", ("features.size = [448, 448]: expected sizes that differ",)),
        ("features.size=[448, 'big']", ("features.size.1 = 'big'",)),
        ("levels.image_k=[]", ("levels.image_k = []",)),
        ("levels.image_k=[1]", ("levels.image_k.0 = 1",)),
        ("regions.threshold=1.5", ("regions.threshold = 1.5",)),
        ("refiner.name=guided-filer", ("refiner", "'guided-filer'", "'guided-filter'")),
        ("refiner.name=7", ("refiner.name = 7",)),
        ("refiner.radios=0.1", ("refiner", "'guided-filter'", "'radios'", "'radius'")),
        ("refiner.radius=wide", ("refiner.radius = 'wide'",)),
        ("backbone.feature=keys", ("backbone.feature = 'keys'",)),
        ("features.size", ("features.size", "section.name=value")),
        ("size=3", ("size=3", "section.name=value")),
        (".size=3", (".size=3", "section.name=value")),
        ("features.=3", ("features.=3", "section.name=value")),
        ("features.size=" + "9" * 5000, ("features.size = '9",)),  # more digits than Python reads
        ("features.size=" + "[" * 5000, ("features.size = '[",)),
        # Far from every name, the known ones are listed.
        ("embedder.name=xyz", ("embedder", "'xyz'", "region-cls, region-pool")),
        ("consistency.weight=1", ("consistency", "'mean'", "'weight'", "none")),
        ("zzz.size=1", ("'zzz'", "backbone, classes, ")),
    ],
)
def test_load__wrong_overrides(override: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as raised:
        load("default", [override])
    assert_says(raised.value, *parts)


@pytest.mark.parametrize(
    "override",
    [
        *("refiner.radius=0", "refiner.radius=0.6", "refiner.radius=nan", "refiner.epsilon=0"),
        *("refiner.rounds=0", "refiner.sharpness=inf", "foreground.clip=2", "foreground.clip=0"),
        *("clusterer.restarts=0", "clusterer.iterations=0", "backbone.patch=1"),
        *("embedder.size=27", "embedder.margin=-0.1"),
    ],
)
def test_load__a_strategys_setting_out_of_its_range(override: str) -> None:
    path, _, value = override.partition("=")
    with pytest.raises(UserError, match=rf"^{path} = {value}(\.0)?: expected "):
        load("default", ["backbone.name=color-texture", override])


def test_load__all_patches_need_a_clusterer_that_takes_blocks() -> None:
    assert load("default", ["fit.photos=0"]).fit.photos == 0
    with pytest.raises(UserError) as raised:
        load("default", ["fit.photos=0", "clusterer.name=minibatch-kmeans"])
    assert_says(
        raised.value, "fit.photos = 0", "minibatch-kmeans", "clusterer.name=spherical-kmeans"
    )
    with pytest.raises(UserError, match=r"fit\.photos"):
        load("default", ["fit.photos=-1"])


def test_load__minibatch_kmeans_ranges() -> None:
    with pytest.raises(UserError, match=r"^clusterer\.batch_size = 0: expected "):
        load("default", ["clusterer.name=minibatch-kmeans", "clusterer.batch_size=0"])


@pytest.mark.parametrize("value", ["iterations=0", "w_bi=-1", "sxy_pos=0", "srgb=0"])
def test_load__dense_crf_ranges(value: str) -> None:
    pytest.importorskip("pydensecrf", reason="pydensecrf is not installed (no compiler)")
    with pytest.raises(UserError, match=r"^refiner\.\w+ = .*: expected "):
        load("default", ["refiner.name=dense-crf", f"refiner.{value}"])


def test_load__an_override_leaves_the_rest_of_its_section(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        "[regions]\nthreshold = 0.3\nmin_area = 0.1\n"
        '[refiner]\nname = "guided-filter"\nradius = 0.1'
    )
    loaded = load(str(file), ["regions.min_area=0.2", "refiner.rounds=2"])
    assert (loaded.regions.threshold, loaded.regions.min_area) == (0.3, 0.2)
    assert loaded.refiner.settings == {"radius": 0.1, "rounds": 2}
    assert load(str(file), ["refiner.name=none"]).refiner.settings == {}


def test_load__unknown_recipe() -> None:
    with pytest.raises(UserError, match=r"'defualt'.*'default'"):
        load("defualt")
    with pytest.raises(UserError, match=r"nowhere/mine\.toml"):
        load("nowhere/mine.toml")


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        (b"[features", ("cannot be read",)),
        (b"\xff\xfe\x00", ("cannot be read",)),
        (b"features = 3", ("[features]",)),
        (b"[feature]\nsize = 3", ("'feature'", "'features'")),
        (b"[features]\nsize = true", ("features.size", "True")),
    ],
)
def test_load__wrong_files(tmp_path: Path, written: bytes, parts: tuple[str, ...]) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(written)
    with pytest.raises(UserError) as raised:
        load(str(file))
    assert_says(raised.value, *parts)


def test_load__a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[features]\nsize = 112\n", encoding="utf-8-sig")
    assert load(str(file)).features.size == 112


@pytest.mark.parametrize("name", ["default", "fast", "paper"])
def test_to_toml__comes_back(tmp_path: Path, name: str) -> None:
    _needs(name)
    first = load(name, ["classes.labels=['ü \"x\"', 'a\\nb']", "regions.min_area=1e-05"])
    (tmp_path / "config.toml").write_text(first.to_toml(), encoding="utf-8")
    assert load(str(tmp_path / "config.toml")) == first


LETTERS = st.characters(exclude_categories=["Cs"])


@example(labels=["\x7f", "\x00", "\u2028", "\U0001f408"])
@given(labels=st.lists(st.text(LETTERS), max_size=3))
@settings(max_examples=50)
def test_to_toml__any_label_comes_back(labels: list[str]) -> None:
    first = Config.model_validate({"classes": {"labels": labels}})
    assert config.validate(tomllib.loads(first.to_toml())) == first


def test_with_strategy__spells_every_setting_out(tmp_path: Path) -> None:
    first = load("default", ["backbone.name=color-texture", "backbone.patch=8"])
    spelled = first.with_strategy("backbone", first.strategy("backbone"))
    assert spelled.backbone.settings == {"patch": 8}
    assert load("default", ["clusterer.restarts=5"]).clusterer.settings == {"restarts": 5}
    full = load("default", ["clusterer.restarts=5"])
    full = full.with_strategy("clusterer", full.strategy("clusterer"))
    assert set(full.clusterer.settings) >= {"restarts", "iterations"}
    (tmp_path / "full.toml").write_text(full.to_toml(), encoding="utf-8")
    assert load(str(tmp_path / "full.toml")) == full


def test_digest__changes_with_what_it_covers() -> None:
    one, two = load("default"), load("default", ["classes.count=5"])
    assert one.digest() != two.digest()
    assert one.digest("levels", "features") == two.digest("levels", "features")
    assert one.digest() == load("default").digest()


def test_config__is_frozen() -> None:
    with pytest.raises(ValidationError):
        load("default").features.size = 3


def test_load__a_section_that_is_not_one_says_so(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text("levels = 3\n")
    with pytest.raises(UserError, match=r"levels = 3: expected a section \[levels\]"):
        load(str(recipe), ["levels.image_k=[3]"])


@pytest.mark.parametrize("text", ["[features]\nsize = " + "9" * 5000, "x = " + "[" * 5000, "\0"])
def test_load__a_recipe_that_cannot_be_read(text: str, tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=r"r\.toml' cannot be read"):
        load(str(file))
