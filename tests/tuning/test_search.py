"""The search: what is taken, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from prelabel.config import Config, load
from prelabel.data.dataset import Dataset
from prelabel.errors import UserError
from prelabel.steps.photos import PhotoSet
from prelabel.storage.progress import Progress, Silent
from prelabel.tuning import search
from prelabel.tuning.leave_out import Score
from prelabel.tuning.recipe_file import check_recipe_file, table_lines, verdict, write_recipe
from prelabel.tuning.search import Tuning, tune
from support.messages import assert_says

Figures = Callable[[Config], tuple[float, float | None]]
SPREAD = {"a": -0.02, "b": 0.0, "c": 0.02}
"""How far photos are from the mean."""


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> Callable[[Figures], Tuning]:
    """A search among settings whose figures a function gives: mean IoU and time saved."""

    def run(figures: Figures, *settings: str) -> Tuning:
        class Known:
            n_photos = len(SPREAD)

            def __init__(self, *_: object) -> None: ...

            def measure(self, config: Config, progress: Progress) -> Score:
                mean, saved = figures(config)
                return Score({name: mean + own for name, own in SPREAD.items()}, saved)

        monkeypatch.setattr(search, "LeaveOut", Known)
        nothing = Dataset(None, (), lambda: iter(()))
        return tune(PhotoSet(Path(), ()), nothing, settings, Silent())

    return run


def _smaller_is_better(config: Config) -> tuple[float, float]:
    return 0.9 - config.regions.threshold, 0.1


def test_tune__takes_the_best_of_each_group_with_those_before(
    tuned: Callable[[Figures], Tuning],
) -> None:
    def figures(config: Config) -> tuple[float, float]:
        low = config.features.size == 336 and config.regions.threshold == 0.3
        return (0.8 if low else 0.4 + 0.1 * (config.features.size == 336)), 0.1

    found = tuned(figures)
    assert found.config == load("default", ["features.size=336", "regions.threshold=0.3"])
    assert found.best.name == "regions.threshold = 0.3"
    assert [row.name for row in found.rows if row.is_taken] == [
        "features.size = 336",
        "regions.threshold = 0.3",
    ]
    (marked,) = (line for line in table_lines(found) if line.endswith("best"))
    assert_says(marked, "regions.threshold = 0.3", "0.800 ± 0.012", "10 %")
    assert_says(verdict(found)[0], "0.80 instead of 0.40", "+0.40 ± 0.00", "3 labelled photos")


def test_tune__nothing_is_better(tuned: Callable[[Figures], Tuning]) -> None:
    found = tuned(lambda config: (0.4 + 0.004 * (config.features.size == 672), 0.1))
    assert found.config == load("default")
    assert found.best is found.rows[0]
    assert not any(row.is_taken for row in found.rows)
    (line,) = verdict(found)
    assert_says(line, "Nothing is better than the default", "3 labelled photos")


def test_tune__is_not_misled_by_one_photo(
    monkeypatch: pytest.MonkeyPatch, tuned: Callable[[Figures], Tuning]
) -> None:
    default = {"a": 0.5, "b": 0.5, "c": 0.5}
    lucky = {"a": 0.9, "b": 0.4, "c": 0.4}  # mean +0.067, standard error 0.167
    gain, error = Score(lucky, None).gain_over(Score(default, None))
    assert gain == pytest.approx(0.2 / 3)
    assert error == pytest.approx(1 / 6)
    rows = [search.Row(name, Score(own, None)) for name, own in (("x", lucky), ("d", default))]
    assert not search._is_better(*rows)


def test_tune__what_saves_less_time_is_not_taken(tuned: Callable[[Figures], Tuning]) -> None:
    found = tuned(lambda c: (0.9 - c.regions.threshold, 0.1 * c.regions.threshold))
    assert found.config.regions.threshold == 0.5
    found = tuned(lambda c: (0.9 - c.regions.threshold, None))  # objects are not told apart
    assert found.config.regions.threshold == 0.3
    assert any("–" in line for line in table_lines(found))


def test_is_better__separators_go_by_the_work_they_spare() -> None:
    photos = {"a": 0.5, "b": 0.5, "c": 0.5}
    best = search.Row("best", Score(photos, 0.1, {"a": 60, "b": 80, "c": 100}))
    spares = Score(photos, 0.2, {"a": 50, "b": 72, "c": 88})  # 10 ± 1.2 seconds
    assert spares.spared_over(best.score or spares) == pytest.approx((10, 2 / 3**0.5))
    assert search._is_better(search.Row("x", spares), best, cuts=True)
    assert not search._is_better(search.Row("x", spares), best)  # the IoU is the same
    lucky = Score(photos, 0.2, {"a": 0, "b": 85, "c": 105})  # 17 ± 22
    assert not search._is_better(search.Row("x", lucky), best, cuts=True)
    little = Score(photos, 0.11, {"a": 59.7, "b": 79.7, "c": 99.7})  # under 0.5 % of the work
    assert not search._is_better(search.Row("x", little), best, cuts=True)
    worse = Score({"a": 0.49, "b": 0.49, "c": 0.49}, 0.2, spares.seconds)
    assert not search._is_better(search.Row("x", worse), best, cuts=True)
    unknown = Score({"a": 0.6, "b": 0.6, "c": 0.6}, None)  # objects are not told apart
    assert unknown.spared_over(spares) is None
    assert search._is_better(search.Row("x", unknown), best, cuts=True)


def test_tune__what_cannot_be_used_is_a_row_with_the_reason(
    tuned: Callable[[Figures], Tuning],
) -> None:
    def figures(config: Config) -> tuple[float, float]:
        if config.features.size == 672:
            raise UserError("not enough\nmemory")
        return 0.4, 0.1

    (line,) = (line for line in table_lines(tuned(figures)) if "672" in line)
    assert "not measured: not enough\\nmemory" in line


def test_tune__the_default_has_to_be_usable(tuned: Callable[[Figures], Tuning]) -> None:
    def figures(config: Config) -> tuple[float, float]:
        raise UserError("no weights")

    with pytest.raises(UserError, match="no weights"):
        tuned(figures)


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["learner.name=knn", "learner.neighbours=5", "features.size=672"],
        ["refiner.name=none", "levels.image_k=[3, 7]", 'classes.labels=["a \\"b\\"", "ü"]'],
        ["backbone.name=color-texture", "regions.threshold=0.35", "fit.seed=7"],
    ],
)
@pytest.mark.parametrize("recipe", ["default", "fast"])
def test_write_recipe__is_read_back(
    tmp_path: Path, tuned: Callable[[Figures], Tuning], recipe: str, settings: list[str]
) -> None:
    found = tuned(_smaller_is_better)
    config = load(recipe, settings)
    file = tmp_path / "new" / "recipe.toml"
    write_recipe(file, Tuning(found.rows, found.best, config, 3))
    assert load(str(file)) == config
    write_recipe(file, found)
    assert load(str(file)) == found.config


def test_check_recipe_file__nothing_that_a_user_made_is_replaced(
    tmp_path: Path, tuned: Callable[[Figures], Tuning]
) -> None:
    file = tmp_path / "recipe.toml"
    check_recipe_file(file)
    write_recipe(file, tuned(_smaller_is_better))
    check_recipe_file(file)
    file.write_text("[features]\nsize = 336\n")
    with pytest.raises(UserError, match="was not written by prelabel tune"):
        check_recipe_file(file)
    with pytest.raises(UserError, match=r"\.toml"):
        check_recipe_file(tmp_path / "recipe.json")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(UserError, match="name a new file"):
        check_recipe_file(tmp_path / "folder.toml")
