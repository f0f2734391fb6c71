"""Separators on values worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from prelabel.data.records import PatchMaps
from prelabel.strategies.protocols import MoreRegions, Separator, Splitter
from prelabel.strategies.registry import make
from prelabel_plugins.separators.hierarchy import choose_nodes
from prelabel_plugins.separators.merging import Merging, merge_patches

Float = NDArray[np.float32]
LETTERS = """
    aaab..
    aabb.c
    aabb.c
"""
DIRECTIONS = {".": (0, 0), "a": (1, 0), "b": (0, 1), "c": (0.8, 0.6)}


def _letters(text: str) -> NDArray[np.str_]:
    return np.array([list(line) for line in text.split()])


def _vectors(letters: NDArray[np.str_]) -> Float:
    return np.array([[DIRECTIONS[c] for c in row] for row in letters], dtype=np.float32)


def _merged(text: str, *, similar: float, smallest: float = 0.0) -> list[str]:
    """The regions of the patches, a digit each."""
    letters = _letters(text)
    found = merge_patches(letters != ".", _vectors(letters), similar, smallest)
    return ["".join(str(n) for n in row) for row in found.tolist()]


def _separate(
    separator: Separator,
    refined: ArrayLike,
    vectors: Float,
    image: NDArray[np.uint8] | None = None,
) -> NDArray[np.int32]:
    """Of a black photo, if of none."""
    refined = np.array(refined, dtype=np.float32)
    ones = np.ones(vectors.shape[:2], dtype=np.float32)
    patches = PatchMaps(
        foreground=ones,
        vectors=vectors,
        raw=vectors.astype(np.float16),
        attention=ones,
        clusters=np.zeros((1, *ones.shape), dtype=np.int16),
    )
    if image is None:
        image = np.zeros((*refined.shape, 3), dtype=np.uint8)
    return separator.separate(refined, threshold=0.5, patches=patches, image=image)


def test_merge_patches__different_directions_stay_apart() -> None:
    assert _merged(LETTERS, similar=0.4) == ["111200", "112203", "112203"]
    assert _merged(LETTERS, similar=-1) == ["111100", "111102", "111102"]


def test_merge_patches__the_most_similar_first_and_by_means_and_border() -> None:
    # c lies between: its cosine is 0.8 with a and 0.6 with b. It joins a; the mean of both, (1.8, 0.6),
    # has a cosine of 0.32 with b, at the border c's own with b is 0.6: 0.46 between the two regions.
    assert _merged("acb", similar=0.47) == ["112"]
    assert _merged("acb", similar=0.45) == ["111"]


def test_merge_patches__borders_of_merged_regions_are_added_up() -> None:
    # All a join, then c joins them (0.8). Of b with (4.8, 0.6): 0.124 of means, and at the border
    # 0.6 with c above and 0 with a beside it, 0.3 on average: 0.212 between the two regions.
    assert _merged("aac aab", similar=0.22) == ["111", "112"]
    assert _merged("aac aab", similar=0.2) == ["111", "111"]


def test_merge_patches__what_is_small_goes_to_the_most_similar_neighbour() -> None:
    assert _merged("aabbcb", similar=0.9) == ["112234"]
    assert _merged("aabbcb", similar=0.9, smallest=0.3) == ["112222"]
    assert _merged("a.bbb", similar=0.9, smallest=0.9) == ["10222"]  # nothing is near


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(-1, 1), st.floats(0, 0.9))
def test_merge_patches__regions_are_connected(seed: int, similar: float, smallest: float) -> None:
    rng = np.random.default_rng(seed)
    inside = rng.random((5, 7)) < 0.7
    found = merge_patches(inside, rng.normal(size=(5, 7, 3)).astype(np.float32), similar, smallest)
    assert ((found > 0) == inside).all()
    for number in range(1, found.max() + 1):
        own = (found == number).astype(np.int32)
        parts = _separate(make("separator", "connected", {}), own, np.ones((5, 7, 1), np.float32))
        assert parts.max() >= 1
        reached = np.zeros_like(own)
        reached[tuple(np.argwhere(own)[0])] = 1
        for _ in range(own.size):
            grown = reached.copy()
            grown[1:] |= reached[:-1]
            grown[:-1] |= reached[1:]
            grown[:, 1:] |= reached[:, :-1]
            grown[:, :-1] |= reached[:, 1:]
            reached = grown & own
        assert (reached == own).all()


def test_merge__each_pixel_of_the_foreground_has_a_region() -> None:
    refined = np.zeros((24, 40))
    refined[4:20, :30] = 1  # three patches wide, of which two are a, one is b
    refined[22:, 35:] = 0.6  # too little to be a patch
    vectors = _vectors(_letters("aabb aabb aabb".replace(" ", "\n")))
    found = _separate(make("separator", "merge", {}), refined, vectors)
    assert ((found > 0) == (refined > 0.5)).all()
    assert np.unique(found).tolist() == [0, 1, 2, 3]
    assert len(np.unique(found[4:20, :19])) == 1
    assert len(np.unique(found[4:20, 22:30])) == 1


@pytest.mark.parametrize("edge", [17, 20, 23])
def test_merge__the_cut_is_at_the_edge_in_the_photo(edge: int) -> None:
    refined = np.ones((24, 40), dtype=np.float32)
    image = np.full((24, 40, 3), 60, dtype=np.uint8)
    image[:, edge:] = (200, 90, 30)
    vectors = _vectors(_letters("aabb aabb aabb".replace(" ", "\n")))
    found = _separate(make("separator", "merge", {}), refined, vectors, image)
    cuts = [int(np.flatnonzero(np.diff(row))[0]) + 1 for row in found]
    assert found.max() == 2
    assert max(abs(cut - edge) for cut in cuts) <= 1


def test_merge__parts_that_do_not_touch_stay_apart() -> None:
    refined = [[1, 0, 1], [1, 0, 1], [1, 0, 1]]
    found = _separate(make("separator", "merge", {}), refined, np.ones((1, 1, 2), np.float32))
    assert found.tolist() == [[1, 0, 2]] * 3


def test_watershed__two_discs_that_overlap() -> None:
    rows, columns = np.mgrid[:40, :60]
    discs = [(rows - 20) ** 2 + (columns - x) ** 2 <= 100 for x in (20, 36)]
    refined = np.logical_or(*discs)
    vectors = np.ones((2, 3, 1), dtype=np.float32)
    assert _separate(make("separator", "connected", {}), refined, vectors).max() == 1
    # The outlines meet 6 from the axis: the neck is 0.6 of the radius.
    assert _separate(make("separator", "watershed", {"neck": 0.5}), refined, vectors).max() == 1
    found = _separate(make("separator", "watershed", {"neck": 0.85}), refined, vectors)
    assert found.max() == 2
    assert found[20, 20] != found[20, 36]
    assert ((found > 0) == refined).all()


ON_GROUND = """
    aaaaaa
    abbbaa
    abbbaa
    aaaaaa
"""


def _maps(text: str, *clusterings: str, foreground: ArrayLike | None = None) -> PatchMaps:
    """Patches of these letters. ``clusterings``: of the same, a letter a cluster; else one by the same
    letters. ``foreground``: else 1 on each ``b``."""
    letters = _letters(text)
    clusters = [np.vectorize(ord)(_letters(c)) for c in clusterings or (text,)]
    p = letters == "b" if foreground is None else foreground
    ones = np.ones(letters.shape, dtype=np.float32)
    vectors = _vectors(letters)
    runs = np.array(clusters, np.int16)
    return PatchMaps(np.array(p, np.float32), vectors, vectors.astype(np.float16), ones, runs)


def _digits(numbers: NDArray[np.int32]) -> list[str]:
    return ["".join(str(n) for n in row) for row in numbers.tolist()]


def test_choose_nodes__the_score_by_hand() -> None:
    maps = _maps(ON_GROUND)
    expected = ["000000", "011100", "011100", "000000"]
    # P and the agreement are 1, and 6 of 24 patches have a mean attention of 1: 0.25 ** 0.25 = 0.7071.
    assert _digits(choose_nodes(maps, 0.707)) == expected
    assert not choose_nodes(maps, 0.708).any()
    more = replace(maps, attention=np.full((4, 6), 2, dtype=np.float32))  # 0.5 ** 0.25 = 0.8409
    assert _digits(choose_nodes(more, 0.840)) == expected
    assert not choose_nodes(more, 0.841).any()


def test_choose_nodes__the_agreement_of_several_clusterings() -> None:
    # The second clustering has b and four patches more: an IoU of 0.6; the third sees no difference:
    # 6 / 24 = 0.25. The mean is 0.6167, which times 0.7071 is 0.436.
    wider = "aaaaaa bbbbba bbbbba aaaaaa"
    maps = _maps(ON_GROUND, ON_GROUND, wider, "aaaaaa " * 4)
    assert choose_nodes(maps, 0.436).max() == 1
    assert not choose_nodes(maps, 0.437).any()


def test_choose_nodes__only_connected_parts_of_clusters_count() -> None:
    # The cluster of b has a part of as many patches elsewhere, which does not lower the agreement.
    maps = _maps("bbaabb bbaabb aaaaaa aaaaaa")
    score = (4 / 24) ** 0.25
    assert _digits(choose_nodes(maps, score - 0.001))[:2] == ["110022"] * 2
    assert not choose_nodes(maps, score + 0.001).any()


def test_choose_nodes__the_best_first_and_no_two_that_overlap() -> None:
    # Two of three clusterings find b and c apart: c has (1 + 1 + 0.6) / 3 × (6 / 28) ** 0.25 = 0.590,
    # both (0.6 + 0.6 + 1) / 3 × (10 / 28) ** 0.25 = 0.567, b 0.492. If one does: both 0.670, c 0.499.
    text = "....... .bbccc. .bbccc. ......."
    together = text.replace("c", "b")
    foreground = _letters(text) != "."
    apart = choose_nodes(_maps(text, text, text, together, foreground=foreground), 0.3)
    assert _digits(apart) == ["0000000", "0221110", "0221110", "0000000"]
    one = choose_nodes(_maps(text, text, together, together, foreground=foreground), 0.3)
    assert _digits(one) == ["0000000", "0111110", "0111110", "0000000"]


def test_choose_nodes__an_object_outside_of_the_foreground() -> None:
    maps = _maps(ON_GROUND, foreground=np.full((4, 6), 0.3))
    # 0.3 × 0.7071 = 0.2121; the ground has 0.3 × (18 / 24) ** 0.25 = 0.279.
    assert _digits(choose_nodes(maps, 0.212)) == ["111111", "122211", "122211", "111111"]
    assert _digits(choose_nodes(maps, 0.213)) == ["111111", "100011", "100011", "111111"]


def test_hierarchy_zoom__cuts_the_photo_as_hierarchy_and_crops_as_zoom() -> None:
    maps = _maps(ON_GROUND)
    image = np.zeros((32, 48, 3), dtype=np.uint8)
    refined = np.zeros((32, 48), dtype=np.float32)
    names = ("hierarchy", "hierarchy-zoom")
    coarse, zoomed = (
        make("separator", name, {}).separate(refined, threshold=0.5, patches=maps, image=image)
        for name in names
    )
    assert coarse.max() == 1
    assert np.array_equal(coarse, zoomed)
    mask = np.ones((8, 16), dtype=np.bool_)
    vectors = _vectors(_letters("aabb aabb"))
    crops = {"within": 0.4, "piece": 0.2}
    found = [
        make("separator", name, crops).split(
            mask, vectors=vectors, image=np.zeros((8, 16, 3), np.uint8)
        )
        for name in ("zoom", "hierarchy-zoom")
    ]
    assert found[0].max() == 2
    assert np.array_equal(*found)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 5), st.integers(1, 5))
def test_merging__each_merger_is_of_two_regions_that_are_there(
    seed: int, height: int, width: int
) -> None:
    vectors = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    alive = set(range(height * width))
    mergers = Merging(np.ones((height, width), dtype=np.bool_), vectors).down_to(-np.inf)
    for i, j in mergers:
        assert {i, j} <= alive
        assert i != j
        alive.remove(j)
    assert len(alive) == 1


def test_hierarchy__follows_the_edge_in_the_photo_and_not_the_foreground() -> None:
    maps = _maps(ON_GROUND)
    image = np.full((32, 48, 3), 60, dtype=np.uint8)
    image[8:24, 6:34] = (
        200,
        90,
        30,
    )  # patches have 8 pixels: two more to the left and to the right
    found = make("separator", "hierarchy", {}).separate(
        np.zeros((32, 48), dtype=np.float32), threshold=0.5, patches=maps, image=image
    )
    assert found.max() == 1
    row = np.flatnonzero(found[16])
    assert abs(row[0] - 6) <= 1
    assert abs(row[-1] - 33) <= 1


def _split(
    letters: str, mask: NDArray[np.bool_] | None = None, **changes: float
) -> NDArray[np.int32]:
    """Of a black crop in which a patch has 4 × 4 pixels."""
    vectors = _vectors(_letters(letters))
    height, width = 4 * vectors.shape[0], 4 * vectors.shape[1]
    mask = np.ones((height, width), dtype=np.bool_) if mask is None else mask
    separator = make("separator", "zoom", {"within": 0.4, "piece": 0.2, **changes})
    assert isinstance(separator, Splitter)
    image = np.zeros((height, width, 3), dtype=np.uint8)
    return separator.split(mask, vectors=vectors, image=image)


def test_zoom__pieces_show_different_things() -> None:
    found = _split("aabb aabb aabb aabb")
    assert np.unique(found).tolist() == [1, 2]
    assert (found[:, :6] == 1).all()
    assert (found[:, 10:] == 2).all()
    assert (_split("aaaa aaaa") == 1).all()
    # c and b: a cosine of 0.6 of means and along the border
    assert _split("ccbb ccbb", within=0.61).max() == 2
    assert _split("ccbb ccbb", within=0.59).max() == 1


def test_zoom__pieces_are_of_the_region_alone() -> None:
    mask = np.zeros((16, 16), dtype=np.bool_)
    mask[4:12, :] = True  # above and below, the crop shows other things
    found = _split("bbbb aaaa aaaa bbbb", mask)
    assert np.array_equal(found, mask.astype(np.int32))
    found = _split("bbbb aabb aabb aaaa", mask)
    assert np.array_equal(found > 0, mask)
    assert found.max() == 2


def test_zoom__a_piece_is_not_too_small_even_where_it_touches_no_other() -> None:
    assert _split("aaab aaaa aaaa").max() == 1  # 1 of 12 patches
    assert _split("aaab aaaa aaaa", piece=0.08).max() == 2
    mask = np.ones((12, 16), dtype=np.bool_)
    mask[:, 8:12] = False
    mask[4:, 12:] = False  # of 7 patches one is alone
    found = _split("aaab aaaa aaaa", mask)
    assert np.array_equal(found, mask.astype(np.int32))
    assert _split("aaab bbab aaab", mask, piece=0.1).max() == 3


def test_zoom__cuts_the_photo_as_merge_does() -> None:
    rng = np.random.default_rng(0)
    refined = rng.random((24, 40)).astype(np.float32)
    vectors = rng.normal(size=(3, 5, 4)).astype(np.float32)
    merged = _separate(make("separator", "merge", {"similar": 0.3}), refined, vectors)
    zoomed = _separate(make("separator", "zoom", {"similar": 0.3}), refined, vectors)
    assert np.array_equal(zoomed, merged)


@pytest.mark.parametrize("name", ["merge", "zoom"])
def test_with_more_regions__what_was_one_comes_apart(name: str) -> None:
    vectors = _vectors(_letters("ccbb ccbb ccbb ccbb"))  # a cosine of 0.6
    separator = make("separator", name, {"similar": 0.56})
    assert isinstance(separator, MoreRegions)
    more = separator.with_more_regions()
    assert isinstance(separator, Separator)
    assert _separate(separator, np.ones((16, 16)), vectors).max() == 1
    assert _separate(more, np.ones((16, 16)), vectors).max() == 2


def test_with_more_regions__in_crops_too() -> None:
    separator = make("separator", "zoom", {"similar": 0.99, "within": 0.55})
    assert isinstance(separator, MoreRegions)
    more = separator.with_more_regions()
    vectors, image = _vectors(_letters("ccbb ccbb")), np.zeros((8, 16, 3), dtype=np.uint8)
    mask = np.ones((8, 16), dtype=np.bool_)
    assert isinstance(separator, Splitter)
    assert separator.split(mask, vectors=vectors, image=image).max() == 1
    assert isinstance(more, Splitter)
    assert more.split(mask, vectors=vectors, image=image).max() == 2
    assert replace(more, within=0.55) == replace(separator, similar=1.0)  # type: ignore[type-var]


def test_separators__the_threshold_itself_is_background() -> None:
    for name in ("connected", "merge", "watershed", "zoom"):
        found = _separate(
            make("separator", name, {}), [[0.5, 0.500001]], np.ones((1, 1, 1), np.float32)
        )
        assert found.tolist() == [[0, 1]]


def _separate_clusters(
    clusters: ArrayLike,
    side: int,
    *,
    smallest: float,
    refined: ArrayLike | None = None,
    run: int = 0,
) -> NDArray[np.int32]:
    """Regions of one clustering's patches, ``side`` pixels wide, of a photo without edges; ``run`` is
    its place behind others where all is one cluster."""
    of_patches = np.array(clusters, dtype=np.int16)
    height, width = of_patches.shape[0] * side, of_patches.shape[1] * side
    ones = np.ones(of_patches.shape, dtype=np.float32)
    runs = np.stack([np.zeros_like(of_patches)] * run + [of_patches])
    settings = {"clustering": run, "smallest": smallest}
    separator: Separator = make("separator", "clusters", settings)
    return separator.separate(
        np.array(np.ones((height, width)) if refined is None else refined, dtype=np.float32),
        threshold=0.5,
        patches=PatchMaps(ones, ones[..., None], ones[..., None].astype(np.float16), ones, runs),
        image=np.zeros((height, width, 3), dtype=np.uint8),
    )


@pytest.mark.parametrize("run", [0, 2])
def test_clusters__connected_parts_of_each_cluster_cover_the_photo(run: int) -> None:
    found = _separate_clusters([[7, 7, 3, 3, 7, 7]] * 4, 8, smallest=0, run=run)
    assert found.shape == (32, 48)
    assert found[:, [4, 24, 44]].tolist() == [[2, 1, 3]] * 32  # cluster 3 comes before cluster 7
    assert set(np.unique(found)) == {1, 2, 3}


def test_clusters__beyond_the_last_is_the_last() -> None:
    settings = {"clustering": 5}
    separator: Separator = make("separator", "clusters", settings)
    ones = np.ones((2, 2), dtype=np.float32)
    clusters = np.array([[[0, 0], [0, 0]], [[0, 1], [0, 1]]], dtype=np.int16)
    maps = PatchMaps(ones, ones[..., None], ones[..., None].astype(np.float16), ones, clusters)
    image = np.zeros((16, 16, 3), dtype=np.uint8)
    found = separator.separate(
        np.ones((16, 16), dtype=np.float32), threshold=0.5, patches=maps, image=image
    )
    assert found[0, [0, 15]].tolist() == [1, 2]


def test_clusters__what_is_small_goes_to_its_surroundings() -> None:
    clusters = np.zeros((6, 6), dtype=np.int16)
    clusters[2:4, 2:4] = 1
    assert _separate_clusters(clusters, 8, smallest=0).max() == 2
    assert (_separate_clusters(clusters, 8, smallest=0.2) == 1).all()
    clusters[2:4, 2:4], clusters[4, 4] = 0, 1  # of a single patch no pixel is certain
    assert (_separate_clusters(clusters, 8, smallest=0) == 1).all()


def test_clusters__only_foreground() -> None:
    refined = np.zeros((16, 32))
    refined[:, :8] = refined[:, 24:] = 1
    found = _separate_clusters([[4, 4, 4, 4]] * 2, 8, smallest=0, refined=refined)
    assert found[0, [0, 12, 31]].tolist() == [1, 0, 2]
    assert _separate_clusters([[4, 4]], 8, smallest=0, refined=np.zeros((8, 16))).max() == 0


def test_clusters__follow_the_edge_of_the_photo() -> None:
    """The photo changes four pixels to the right of where the patches do."""
    separator: Separator = make("separator", "clusters", {})
    ones = np.ones((4, 4), dtype=np.float32)
    clusters = np.array([[[0, 0, 1, 1]] * 4], dtype=np.int16)
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    image[:, 36:] = 200
    found = separator.separate(
        np.ones((64, 64), dtype=np.float32),
        threshold=0.5,
        patches=PatchMaps(
            ones, ones[..., None], ones[..., None].astype(np.float16), ones, clusters
        ),
        image=image,
    )
    assert (found[:, :35] == 1).all()
    assert (found[:, 38:] == 2).all()


def test_largest__by_hand() -> None:
    refined = np.array([[1, 0, 0.9, 0.9], [1, 0, 0.9, 0], [0, 0, 0, 0]])
    separator: Separator = make("separator", "largest", {})
    vectors = np.zeros((3, 4, 1), dtype=np.float32)
    assert _separate(separator, refined, vectors).tolist() == [[0, 0, 1, 1], [0, 0, 1, 0], [0] * 4]
    assert _separate(separator, np.zeros((3, 4)), vectors).max() == 0
