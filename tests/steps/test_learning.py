"""Learning from labelled photos: the weight that is found by leaving photos out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from prelabel.data.masks import Mask, encode_rle
from prelabel.data.records import PatchFeatures
from prelabel.steps.learning import learn
from prelabel.steps.patch_labels import LabelledPhoto, LabelledRegion
from prelabel.steps.taught import Facts, Taught
from prelabel.strategies.registry import make

Float = NDArray[np.float32]
GRID = (6, 8)
DIM = 5


class Photos:
    """Photos with an object each, on a grid of patches of one pixel: what they look like, what the
    levels say, and labels."""

    def __init__(self, n: int, *, classes: Sequence[str] = ("cat", "dog")) -> None:
        self.masks: list[Mask] = []
        self.names = [classes[i % len(classes)] for i in range(n)]
        self.features: dict[str, PatchFeatures] = {}
        rng = np.random.default_rng(0)
        for i in range(n):
            mask = np.zeros(GRID, dtype=np.bool_)
            top, left = rng.integers(0, 3), rng.integers(0, 4)
            mask[top : top + 3, left : left + 4] = True
            vectors = rng.normal(scale=0.2, size=(*GRID, DIM))
            vectors[..., 0] += np.where(mask, 1, -1)
            vectors[..., 1] += np.where(mask, 1 if self.names[i] == classes[0] else -1, 0)
            self.masks.append(mask)
            self.features[str(i)] = PatchFeatures(
                vectors.astype(np.float16), np.zeros(1, np.float16), np.ones(GRID, np.float16)
            )

    def labelled(self, i: int, mask: Mask | None = None, *, vector: bool = False) -> LabelledPhoto:
        """A photo with its true label, or with another mask."""
        drawn = self.masks[i] if mask is None else mask
        if not drawn.any():
            return LabelledPhoto(str(i), ())
        own = np.array([1, 0] if self.names[i] == "cat" else [0, 1], dtype=np.float32)
        region = LabelledRegion(encode_rle(drawn), self.names[i], vector=own if vector else None)
        return LabelledPhoto(str(i), (region,))

    def all(self) -> list[LabelledPhoto]:
        return [self.labelled(i) for i in range(len(self.masks))]

    def learn(
        self,
        labelled: Sequence[LabelledPhoto],
        levels: Callable[[Mask], Float] | None = None,
        learner: str = "ridge",
    ) -> Taught:
        """``levels``: what they say of a photo with a mask; left out, nothing is foreground."""

        def levels_of(digest: str) -> Float:
            mask = self.masks[int(digest)]
            return levels(mask) if levels else np.zeros(GRID, dtype=np.float32)

        return learn(
            labelled,
            learner=make("learner", learner, {}),
            center=np.zeros(DIM, dtype=np.float32),
            features_of=self.features.__getitem__,
            levels_of=levels_of,
            seed=0,
        )


def _true(mask: Mask) -> Float:
    return mask.astype(np.float32)


def _equal(one: Taught, other: Taught) -> bool:
    """Whether everything is equal, to the bit."""
    ones, others = one.to_arrays(), other.to_arrays()
    return (
        one.facts == other.facts
        and ones.keys() == others.keys()
        and all(np.array_equal(ones[name], others[name]) for name in ones)
    )


@pytest.fixture(scope="module")
def photos() -> Photos:
    return Photos(10)


@pytest.mark.parametrize("learner", ["ridge", "knn"])
def test_learn__what_levels_miss(photos: Photos, learner: str) -> None:
    taught = photos.learn(photos.all(), learner=learner)
    facts = taught.facts
    assert (facts.photos, facts.classes) == (10, ("cat", "dog"))
    assert facts.scores["0"] == 0  # the levels find nothing
    assert facts.weight > 0.5
    assert max(facts.scores.values()) > 0.9
    assert facts.scores[f"{facts.weight:g}"] >= 0.9  # an average of weights, not the best of them


@pytest.mark.parametrize("learner", ["ridge", "knn"])
def test_learn__levels_that_are_right_are_believed(photos: Photos, learner: str) -> None:
    facts = photos.learn(photos.all(), _true, learner).facts
    assert facts.scores["0"] == 1
    assert facts.scores[f"{facts.weight:g}"] == 1


@pytest.mark.parametrize("learner", ["ridge", "knn"])
@pytest.mark.parametrize("n", [2, 4, 10])
def test_learn__contradictions_are_not_believed(photos: Photos, learner: str, n: int) -> None:
    inverse = [photos.labelled(i, ~photos.masks[i] if i % 2 else photos.masks[i]) for i in range(n)]
    facts = photos.learn(inverse, lambda mask: 0.2 + 0.6 * _true(mask), learner).facts
    assert facts.scores[f"{facts.weight:g}"] >= facts.scores["0"]


def test_learn__weights_count_by_what_they_were_worth(photos: Photos) -> None:
    empty = np.zeros(GRID, dtype=np.bool_)
    some = [photos.labelled(0), *(photos.labelled(i, empty) for i in (1, 2, 3))]
    facts = photos.learn(some, _true).facts
    assert facts.scores["0.75"] == facts.scores["1"] > facts.scores["0.5"] + 0.1
    weights = [0, 0.25, 0.5, 0.75, 1]
    worth = np.array([facts.scores[f"{weight:g}"] for weight in weights])
    gains = worth - worth[0]
    likely = np.array([1.5, 2, 2, 1, 0.5]) * np.exp(np.sign(gains) * (gains / 0.13) ** 2)
    assert facts.weight == pytest.approx(likely @ weights / likely.sum(), abs=0.01)


def test_learn__one_photo_is_believed_a_little(photos: Photos) -> None:
    taught = photos.learn([photos.labelled(0)])
    assert not taught.facts.scores
    assert 0 < taught.facts.weight <= 0.5
    assert taught.facts.reach > 0  # only of photos like it
    assert taught.learned


def test_learn__without_photos() -> None:
    taught = Photos(0).learn([])
    assert taught.facts.classes == ()
    assert taught.facts.weight == 0
    assert not taught.learned
    assert len(taught.exemplars) == 0


@pytest.mark.parametrize("shape", ["all", "none"])
def test_learn__photos_that_are_wholly_one_thing(photos: Photos, shape: str) -> None:
    mask = np.full(GRID, shape == "all")
    taught = photos.learn([photos.labelled(i, mask) for i in range(4)], _true)
    assert not taught.learned
    assert taught.facts.weight == 0
    assert taught.facts.classes == (("cat", "dog") if shape == "all" else ())


def test_learn__a_photo_wholly_of_one_class_among_others(photos: Photos) -> None:
    labelled = [*photos.all()[:4], photos.labelled(5, np.ones(GRID, dtype=np.bool_))]
    facts = photos.learn(labelled, _true).facts
    assert facts.scores[f"{facts.weight:g}"] >= facts.scores["0"]


def test_learn__one_class_only() -> None:
    photos = Photos(6, classes=["cat"])
    facts = photos.learn(photos.all()).facts
    assert facts.classes == ("cat",)
    assert facts.scores[f"{facts.weight:g}"] > 0.9
    assert not facts.name_scores  # there is nothing to choose from


def test_learn__masks_of_one_pixel(photos: Photos) -> None:
    masks = []
    for mask in photos.masks[:4]:
        one = np.zeros(GRID, dtype=np.bool_)
        one[tuple(np.argwhere(mask)[0])] = True
        masks.append(one)
    taught = photos.learn([photos.labelled(i, mask) for i, mask in enumerate(masks)])
    assert all(np.isfinite(array).all() for array in taught.to_arrays().values())
    assert taught.facts.classes == ("cat", "dog")


def test_learn__nothing_is_learned_without_a_learner(photos: Photos) -> None:
    taught = photos.learn(photos.all(), learner="none")
    assert not taught.learned
    assert taught.facts.weight == 0
    assert taught.facts.classes == ("cat", "dog")


@pytest.mark.parametrize("learner", ["ridge", "knn"])
def test_learn__is_deterministic(photos: Photos, learner: str) -> None:
    labelled = photos.all()
    assert _equal(photos.learn(labelled, learner=learner), photos.learn(labelled, learner=learner))


def test_learn__names_of_regions_by_their_vectors(photos: Photos) -> None:
    labelled = [photos.labelled(i, vector=True) for i in range(10)]
    taught = photos.learn(labelled)
    assert taught.facts.name_scores["0"] == 1  # the nearest exemplar has the right name
    assert np.linalg.norm(taught.exemplars, axis=1) == pytest.approx(np.ones(10))
    assert sorted(taught.exemplar_classes.tolist()) == [0] * 5 + [1] * 5
    assert taught.facts.name_scores[f"{taught.facts.name_weight:g}"] == 1


def test_learn__does_not_look_at_photos_without_labels(photos: Photos) -> None:
    def levels_of(digest: str) -> Float:
        assert int(digest) < 4
        return np.zeros(GRID, dtype=np.float32)

    features = {digest: one for digest, one in photos.features.items() if int(digest) < 4}
    learn(
        photos.all()[:4],
        learner=make("learner", "ridge", {}),
        center=np.zeros(DIM, dtype=np.float32),
        features_of=features.__getitem__,
        levels_of=levels_of,
        seed=0,
    )


def test_learn__nothing_about_photos_of_another_kind(photos: Photos) -> None:
    taught = photos.learn(photos.all())
    levels = np.full(GRID, 0.25, dtype=np.float32)
    points = photos.features["0"].patches.reshape(-1, DIM).astype(np.float32)
    learner = make("learner", "ridge", {})
    _, known = taught.foreground(learner, points, levels)
    assert not np.array_equal(known, levels)
    _, other = taught.foreground(learner, points + np.float32(9), levels)
    assert np.array_equal(other, levels)


def test_learn__touching_objects_as_they_were_drawn() -> None:
    rows, columns = np.mgrid[:20, :20]
    discs = [(rows - 10) ** 2 + (columns - c) ** 2 <= 4.5**2 for c in (6, 13)]
    features, labelled = {}, []
    for i in range(4):
        vectors = np.where((discs[0] | discs[1])[..., None], 1.0, -1.0) * np.ones(DIM)
        features[str(i)] = PatchFeatures(
            vectors.astype(np.float16), np.zeros(1, np.float16), np.ones((20, 20), np.float16)
        )
        parts = [encode_rle(discs[0] & (columns < 10)), encode_rle(discs[1] & (columns >= 10))]
        labelled.append(LabelledPhoto(str(i), tuple(LabelledRegion(p, "cell") for p in parts)))

    def facts_of(labels: list[LabelledPhoto], can_make_more: bool = False) -> Facts:
        return learn(
            labels,
            learner=make("learner", "ridge", {}),
            center=np.zeros(DIM, dtype=np.float32),
            features_of=features.__getitem__,
            levels_of=lambda _: np.zeros((20, 20), dtype=np.float32),
            seed=0,
            can_make_more=can_make_more,
        ).facts

    assert facts_of(labelled).neck > 0
    assert not facts_of(labelled).more_regions
    assert facts_of(labelled, can_make_more=True) == facts_of(labelled)  # the photos are sure
    as_one = encode_rle(discs[0] | discs[1])
    together = [LabelledPhoto(p.digest, (LabelledRegion(as_one, "cell"),)) for p in labelled]
    assert facts_of(together).neck == 0


def test_learn__of_partial_photos_background_is_where_levels_find_nothing_either(
    photos: Photos,
) -> None:
    partial = [replace(photo, complete=False) for photo in photos.all()[:4]]
    everything = photos.learn(partial, lambda mask: np.ones(mask.shape, dtype=np.float32))
    assert not everything.learned  # nobody has said what is background
    taught = photos.learn(partial, _true)
    points = photos.features["5"].patches.reshape(-1, DIM).astype(np.float32)
    p = make("learner", "ridge", {}).predict(taught.learned, points)[:, 1:].sum(axis=1)
    assert np.array_equal(p.reshape(GRID) > 0.5, photos.masks[5])
    # A mask that teaches nothing is not background.
    rest = [
        replace(photo, unknown=(encode_rle(~mask),))
        for photo, mask in zip(partial, photos.masks, strict=False)
    ]
    assert not photos.learn(rest, _true).learned


def test_learn__objects_side_by_side_are_cut_though_no_photo_is_sure_that_it_helps() -> None:
    rows, columns = np.mgrid[:20, :20]
    disc = (rows - 10) ** 2 + (columns - 10) ** 2 <= 6**2
    vectors = np.where(disc[..., None], 1.0, -1.0) * np.ones(DIM)
    features = PatchFeatures(
        vectors.astype(np.float16), np.zeros(1, np.float16), np.ones((20, 20), np.float16)
    )
    halves = [encode_rle(disc & (columns < 10)), encode_rle(disc & (columns >= 10))]
    regions = tuple(LabelledRegion(rle, "half") for rle in halves)
    for can_make_more, neck in ((False, 0), (True, 0.75)):
        facts = learn(
            [LabelledPhoto(str(i), regions) for i in range(4)],
            learner=make("learner", "ridge", {}),
            center=np.zeros(DIM, dtype=np.float32),
            features_of=lambda _: features,
            levels_of=lambda _: np.zeros((20, 20), dtype=np.float32),
            seed=0,
            can_make_more=can_make_more,
        ).facts
        assert (facts.neck, facts.more_regions) == (neck, can_make_more)
