"""MaskForest against its dense twin, its invariants, and the mistakes it must refuse."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedgerow.forest import INSIDE, MaskForest, encode
from references import dense_forest as dense

many = settings(max_examples=60, deadline=None)


@st.composite
def photos_of_masks(draw, most=9):
    """(masks, size): rectangles, some with pixels knocked out, some inside one another, a few repeated."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    masks = []
    for _ in range(draw(st.integers(0, most))):
        if masks and rng.random() < 0.1:
            masks.append(masks[rng.integers(len(masks))].copy())
            continue
        within = masks[rng.integers(len(masks))] if masks and rng.random() < 0.6 else np.ones((height, width), bool)
        (y0, y1), (x0, x1) = np.sort(rng.integers(0, height + 1, 2)), np.sort(rng.integers(0, width + 1, 2))
        mask = np.zeros((height, width), bool)
        mask[y0 : y1 + 1, x0 : x1 + 1] = True
        mask &= within & (rng.random((height, width)) > rng.choice([0, 0.05, 0.4]))
        if not mask.any():
            mask[rng.integers(height), rng.integers(width)] = True
        masks.append(mask)
    return masks, (height, width)


@st.composite
def forests(draw, most=9):
    """A forest and its dense masks; parents are any earlier region that holds enough, scores have ties."""
    masks, size = draw(photos_of_masks(most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    parent = []
    for i, mask in enumerate(masks):
        able = [j for j in range(i) if (mask & masks[j]).sum() >= INSIDE * mask.sum()]
        parent.append(rng.choice(able) if able and rng.random() < 0.8 else -1)
    forest = MaskForest.from_masks(
        masks,
        size=size,
        parent=parent,
        score=rng.choice([0.25, 0.5, 0.75, 1.0], len(masks)),
        source=[f"s{i}" for i in range(len(masks))],
        embedding=rng.normal(size=(len(masks), 3)),
        category=rng.integers(-1, 3, len(masks)),
        name=[f"n{i}" for i in range(len(masks))],
        name_score=rng.random(len(masks)),
    )
    return forest, masks


def check_invariants(forest):
    parent = forest.parent
    assert ((parent >= -1) & (parent < np.arange(len(forest)))).all()
    assert (forest.areas > 0).all()
    assert ((forest.score > 0) & (forest.score <= 1)).all()
    inside = forest.cover()
    for i in range(len(forest)):
        assert parent[i] < 0 or inside[i, parent[i]] >= INSIDE - 1e-6
        assert forest.depth[i] == len(forest.ancestors(i))


# ---------------------------------------------------------------------- reading and comparing


@many
@given(photos_of_masks())
def test_masks_come_back_from_their_run_lengths(made):
    masks, size = made
    forest = MaskForest.from_masks(masks, size=size)
    assert np.array_equal(forest.masks(), np.array(masks, bool).reshape(-1, *size))
    assert forest.areas.tolist() == [mask.sum() for mask in masks]
    assert np.array_equal(forest.boxes, dense.boxes(masks))
    assert all(encode(forest.mask(i)) == forest.rles[i] for i in range(len(forest)))


@many
@given(forests(), st.data())
def test_kinship_is_that_of_the_parents(made, data):
    forest, masks = made
    for i in range(len(forest)):
        assert forest.ancestors(i) == dense.ancestors(forest.parent, i)
        assert forest.descendants(i).tolist() == [j for j in range(len(forest)) if i in forest.ancestors(j)]
        assert forest.children(i).tolist() == [j for j in range(len(forest)) if forest.parent[j] == i]
    x, y = data.draw(st.integers(-2, 13)), data.draw(st.integers(-2, 13))
    on_photo = 0 <= x < forest.size[1] and 0 <= y < forest.size[0]
    held = [i for i in range(len(masks)) if on_photo and masks[i][y, x]]
    assert forest.at(x, y).tolist() == sorted(held, key=lambda i: (masks[i].sum(), i))


@many
@given(forests(), forests())
def test_overlaps_equal_the_dense_ones(made, others):
    forest, masks = made
    other, other_masks = others if others[0].size == forest.size else made
    np.testing.assert_allclose(forest.iou(other), dense.iou(masks, other_masks))
    np.testing.assert_allclose(forest.cover(other), dense.cover(masks, other_masks))


# ---------------------------------------------------------------------- making another


@many
@given(forests(), st.data())
def test_select_keeps_columns_and_gives_orphans_an_heir(made, data):
    forest, masks = made
    rows = set(data.draw(st.lists(st.sampled_from(range(len(forest))), unique=True)) if len(forest) else [])
    chosen = forest.select(rows)
    check_invariants(chosen)
    kept = sorted(rows)
    assert chosen.rles == tuple(forest.rles[i] for i in kept)
    assert chosen.name == tuple(f"n{i}" for i in kept)
    assert chosen.source == tuple(f"s{i}" for i in kept)
    for column in ("score", "embedding", "category", "name_score"):
        assert np.array_equal(getattr(chosen, column), getattr(forest, column)[kept])
    expected = dense.keep(masks, forest.parent, rows)
    assert {i: kept[p] if p >= 0 else -1 for i, p in zip(kept, chosen.parent, strict=True)} == expected
    by_bools = forest.select(np.isin(np.arange(len(forest)), kept))
    assert by_bools.rles == chosen.rles


@many
@given(forests(), st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]), st.integers(0, 10))
def test_suppress_and_best_keep_the_best(made, limit, count):
    forest, masks = made
    thinned = forest.suppress(limit)
    check_invariants(thinned)
    assert thinned.name == tuple(f"n{i}" for i in dense.survivors(masks, forest.score, limit))
    best = forest.best(count)
    check_invariants(best)
    assert len(best) == min(count, len(forest))
    assert sorted(best.score, reverse=True) == sorted(forest.score, reverse=True)[:count]


@many
@given(forests(), st.sampled_from([0.0, 0.5, 1.0, 3.0]))
def test_fading_ranks_later_what_better_regions_show(made, weight):
    forest, masks = made
    forest = replace(forest, score=forest.score.clip(0.01, 0.99))
    faded = forest.fade(weight)
    check_invariants(faded)
    assert faded.score == pytest.approx(dense.faded(masks, forest.score.tolist(), weight), rel=1e-4)
    assert faded.rles == forest.rles
    assert np.array_equal(faded.parent, forest.parent)


def test_a_region_of_its_own_does_not_fade():
    bars = np.zeros((4, 8, 12), bool)
    bars[0, :, :4] = bars[1, :, :3] = bars[2, :, 6:9] = bars[3, :, 7:9] = True
    forest = MaskForest.from_masks(bars, score=[1.0, 0.9, 0.8, 0.3]).fade()
    assert forest.score[[0, 2]] == pytest.approx([1.0, 0.8], abs=2e-6), "even the surest has odds"
    assert forest.score[1] == pytest.approx(9 * np.exp(-(0.75**4)) / (1 + 9 * np.exp(-(0.75**4))), abs=1e-6)
    assert len(MaskForest((8, 8)).fade()) == 0

    twins = MaskForest.from_masks(np.repeat(bars[:1], 3, axis=0), score=[0.6, 0.6, 0.6]).fade(100.0)
    assert twins.score.tolist() == pytest.approx([0.6, 1e-6, 1e-6], rel=1e-4), "never to nothing"


@many
@given(photos_of_masks(12), st.sampled_from([0.85, 0.9, 0.95, 1.0]))
def test_nest_follows_the_covering_rule(made, limit):
    masks, size = made
    flat = MaskForest.from_masks(masks, size=size, name=[str(i) for i in range(len(masks))])
    forest = flat.nest(limit)
    check_invariants(forest)
    row = [int(name) for name in forest.name]  # of each region of the nested forest before nesting
    parent = {row[i]: row[p] if p >= 0 else -1 for i, p in enumerate(forest.parent)}
    assert [parent[i] for i in range(len(masks))] == dense.nest(masks, limit)
    assert sorted(forest.rles) == sorted(flat.rles)


@many
@given(forests(), st.randoms())
def test_from_nested_takes_rows_in_any_order(made, random):
    forest, _ = made
    order = list(range(len(forest)))
    random.shuffle(order)
    place = {row: k for k, row in enumerate(order)} | {-1: -1}
    again = MaskForest.from_nested(
        forest.size,
        [forest.rles[i] for i in order],
        np.array([place[forest.parent[i]] for i in order]),
        name=[forest.name[i] for i in order],
    )
    check_invariants(again)
    whole = {name: again.name[p] if p >= 0 else "" for name, p in zip(again.name, again.parent, strict=True)}
    assert whole == {f"n{i}": f"n{p}" if p >= 0 else "" for i, p in enumerate(forest.parent)}


# ---------------------------------------------------------------------- cutting


@many
@given(forests(), st.integers(0, 10), st.sampled_from([0.1, 0.5, 0.6, 1.0]))
def test_cut_paints_what_the_twin_paints(made, count, score):
    forest, masks = made
    order, strength = dense.opening_order(forest.parent, forest.score)
    by_count = dense.partition(masks, forest.parent, order[:count], forest.size)
    assert np.array_equal(forest.cut(count=count), by_count)
    reached = [i for i, s in zip(order, strength, strict=True) if s >= score]
    assert np.array_equal(forest.cut(score=score), dense.partition(masks, forest.parent, reached, forest.size))


@many
@given(forests(14), st.integers(1, 7))
def test_levels_are_nested_and_named_from_0_up(made, count):
    forest, _ = made
    levels = forest.levels(count)
    assert levels.shape == (count, *forest.size)
    assert levels.dtype == np.int32
    for labels in levels:
        assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    for coarse, fine in pairwise(levels):
        whole = {}
        assert all(whole.setdefault(f, c) == c for f, c in zip(fine.ravel(), coarse.ravel(), strict=True))


# ---------------------------------------------------------------------- handing on


@many
@given(forests(), st.integers(1, 100))
def test_coco_results_name_parents_by_id(made, first):
    forest, _ = made
    results = forest.to_coco("photo", first_id=first)
    assert [r["score"] for r in results] == sorted((r["score"] for r in results), reverse=True)
    assert sorted(r["id"] for r in results) == list(range(first, first + len(forest)))
    for result in results:
        above = forest.parent[result["id"] - first]
        assert result["parent_id"] == (first + above if above >= 0 else None)


def test_coco_results_say_names_and_categories():
    masks = [np.ones((2, 2)), np.eye(2)]
    plain, named = (MaskForest.from_masks(masks, **more) for more in ({}, NAMED))
    assert [result["category_id"] for result in plain.to_coco(category_id=7)] == [7, 7]
    assert not any("name" in result for result in plain.to_coco())
    assert [result["category_id"] for result in named.to_coco(category_id=7)] == [-1, 4]
    assert [(result.get("name"), result.get("name_score")) for result in named.to_coco()] == [
        (None, None),
        ("cat", 0.5),
    ]


NAMED = {"category": [-1, 4], "name": ("", "cat"), "name_score": [0, 0.5], "score": [1, 0.9]}


def test_a_tiny_score_is_not_written_as_0():
    assert MaskForest.from_masks([np.ones((2, 2))], score=[1e-9]).to_coco()[0]["score"] == 1e-6


# ---------------------------------------------------------------------- many, none, and wrong ones


def test_more_masks_than_a_byte_counts():
    forest = MaskForest.from_labels(np.arange(600).reshape(20, 30))
    assert forest.areas.tolist() == [1] * 600
    assert len(forest.nest().suppress(0.5).levels(3)) == 3


def test_from_labels_leaves_out_negative_pixels():
    labels = np.array([[-1, 4, 4], [2, 2, -1]])
    forest = MaskForest.from_labels(labels)
    assert [forest.mask(i).sum() for i in range(len(forest))] == [2, 2]
    assert np.array_equal(forest.mask(0), labels == 2)


@pytest.mark.parametrize("size", [(3, 4), (1, 1)])
def test_an_empty_forest_answers_everything(size):
    forest = MaskForest(size)
    assert len(forest.nest()) == len(forest.suppress(0.5)) == len(forest.best(3)) == len(forest.to_coco()) == 0
    assert forest.iou().shape == forest.cover().shape == (0, 0)
    assert forest.boxes.shape == (0, 4)
    assert forest.masks().shape == (0, *size)
    assert (forest.cut(count=1) == -1).all()
    assert (forest.levels(2) == 0).all()
    assert "0 regions" in repr(forest)


def test_any_value_but_0_is_inside_a_mask():
    values = np.array([[0, 1, 2], [256, 255, 0], [0.5, np.nan, -1]])
    assert np.array_equal(MaskForest.from_masks([values]).mask(0), values != 0)


ONE = encode(np.ones((2, 2)))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: MaskForest((2, 2), [ONE, ONE], parent=[-1, 1]), "parents come before children: segment 1 names 1"),
        (lambda: MaskForest((2, 2), [ONE], parent=[-2]), "parents come before children: segment 0"),
        (lambda: MaskForest((2, 2), [ONE], score=[0.0]), "scores lie in"),
        (lambda: MaskForest((2, 2), [ONE], score=[np.nan]), "scores lie in"),
        (lambda: MaskForest((2, 2), [ONE], score=[1, 1]), "score must have one entry"),
        (lambda: MaskForest((2, 2), [ONE], name=["a", "b"]), "name must have one entry"),
        (lambda: MaskForest((2, 2), [ONE], name=["a"], name_score=[1.5]), "names lie in .* segment 0 has 1.5"),
        (lambda: MaskForest((2, 2), [ONE], name=["a"], name_score=[np.nan]), "scores of names lie in"),
        (lambda: MaskForest((2, 2), [ONE], name=[""], name_score=[0.5]), "are 0 where there is no name: segment 0"),
        (lambda: MaskForest((2, 2), [ONE], name_score=[0.5]), "are 0 where there is no name"),
        (lambda: MaskForest((2, 2), [ONE], name=["a"], name_score=[1, 1]), "name_score must have one entry"),
        (lambda: MaskForest.from_masks([np.zeros((2, 2))]), "no mask may be empty: segment 0"),
        (lambda: MaskForest.from_masks([np.eye(2), np.ones((2, 2))], parent=[-1, 0]), "50.0% inside segment 0"),
        (lambda: MaskForest.from_masks([np.ones((2, 2)), np.ones((3, 2))]), r"shape \(2, 2\), got \(3, 2\)"),
        (lambda: MaskForest.from_masks([np.ones((2, 2))], size=(3, 3)), r"shape \(3, 3\), got \(2, 2\)"),
        (lambda: MaskForest.from_masks([np.ones(2)]), "two dimensions"),
        (lambda: MaskForest.from_masks([]), "size is needed"),
        (lambda: MaskForest.from_nested((2, 2), [ONE, ONE], [1, 0]), "go round in a circle"),
        (lambda: MaskForest.from_nested((2, 2), [ONE, ONE], [-1, 7]), "segment 1 of 2 names 7"),
        (lambda: MaskForest.from_nested((2, 2), [ONE, ONE], [-1, -5]), "segment 1 of 2 names -5"),
        (lambda: MaskForest.from_nested((2, 2), [ONE, ONE], [-1]), "parent must have one entry"),
        (lambda: MaskForest((2, 2), [ONE]).select([-1]), "rows lie in 0 ... 0"),
        (lambda: MaskForest((2, 2), [ONE]).select([1]), "rows lie in 0 ... 0"),
        (lambda: MaskForest((2, 2), [ONE]).select(np.array([True, False])), "one entry for each of the 1"),
        (lambda: MaskForest((2, 2), [ONE]).iou(MaskForest((2, 3))), "one size"),
        (lambda: MaskForest((2, 2), [ONE]).cut(), "either"),
        (lambda: MaskForest((2, 2), [ONE]).levels(0), "at least 1"),
    ],
)
def test_a_mistake_is_told_in_one_line(make, says):
    with pytest.raises(ValueError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_long_chain_of_parents_is_put_in_order_quickly():
    n = 3000
    forest = MaskForest.from_nested((2, 2), [ONE] * n, np.append(np.arange(1, n), -1))
    assert forest.depth.tolist() == list(range(n))


def test_a_row_there_is_not():
    """-1 is the parent of a root, not the last region."""
    forest = MaskForest((2, 2), [ONE])
    for row in (-1, 1):
        with pytest.raises(IndexError, match=rf"rows lie in 0 \.\.\. 0, got {row}"):
            forest.masks([row])
