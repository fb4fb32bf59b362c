"""Pieces, who touches whom, and the levels that regions vote for, against loops over pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hedgerow.forest import MaskForest, encode
from hedgerow.partition import arrangement, meetings, touching, voted_levels

SIZE = (6, 7)
masks_of_a_photo = st.lists(arrays(bool, SIZE).filter(np.any), max_size=5)


@settings(max_examples=60, deadline=None)
@given(masks_of_a_photo)
def test_pieces_are_where_the_same_masks_lie(masks):
    pieces, inside = arrangement(SIZE, [encode(mask) for mask in masks])
    assert np.array_equal(np.unique(pieces), np.arange(inside.shape[1]))
    for here in np.ndindex(*SIZE):
        assert [mask[here] for mask in masks] == inside[:, pieces[here]].tolist()
        for there in np.ndindex(*SIZE):
            alike = all(mask[here] == mask[there] for mask in masks)
            assert (pieces[here] == pieces[there]) == alike


@settings(max_examples=60, deadline=None)
@given(arrays(np.int32, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, 4)))
def test_touching_pairs_are_counted(labels):
    heights = np.arange(labels.size, dtype=float).reshape(labels.shape)
    sides: dict[tuple[int, int], list[float]] = {}
    for y, x in np.ndindex(*labels.shape):
        for v, u in ((y, x + 1), (y + 1, x)):
            if v < labels.shape[0] and u < labels.shape[1] and labels[y, x] != labels[v, u]:
                pair = tuple(sorted((int(labels[y, x]), int(labels[v, u]))))
                sides.setdefault(pair, []).append(max(heights[y, x], heights[v, u]))
    edges, lengths = touching(labels)
    assert [tuple(edge) for edge in edges.tolist()] == sorted(sides)
    assert lengths.tolist() == [len(sides[pair]) for pair in sorted(sides)]
    _, place, values = meetings(labels, heights)
    for row, pair in enumerate(sorted(sides)):
        assert sorted(values[place == row]) == sorted(sides[pair])


def test_levels_follow_the_votes():
    """A thing that all regions agree on opens first, then the better of two parts, then the other."""
    whole, left, right = np.zeros((3, *SIZE), bool)
    whole[1:5, 1:6] = left[1:5, 1:3] = right[1:5, 4:6] = True
    forest = MaskForest.from_masks([whole, left, right], parent=[-1, 0, 0], score=[0.9, 0.7, 0.4])
    levels = forest.levels(3)
    assert np.array_equal(levels[0] == levels[0, 2, 2], whole)  # two regions: the thing and the ground
    assert [len(np.unique(level)) for level in levels] == [2, 2, 3]
    assert np.array_equal(levels[2] == levels[2, 2, 1], left)


def test_more_votes_for_a_border_keep_it_longer():
    """Two halves agreed on by three regions outlast a stripe that one region sees, however the stripe lies."""
    half, stripe = np.zeros((2, *SIZE), bool)
    half[:, :3] = stripe[2:4] = True
    masks = [encode(half), encode(~half), encode(half | (np.arange(7) < 3)), encode(stripe)]
    levels = np.stack(list(voted_levels(SIZE, masks, np.full(4, 0.5), 2)))
    assert np.array_equal(levels[0] == levels[0, 0, 0], half)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_levels_of_nothing_are_one_region(count):
    assert (np.stack(list(voted_levels(SIZE, [], np.zeros(0), count))) == 0).all()


def test_sure_scores_do_not_silence_the_others():
    whole, part = np.zeros((2, *SIZE), bool)
    whole[:, :4] = part[:2, :4] = True
    forest = MaskForest.from_masks([whole, part], parent=[-1, 0], score=[1.0, 1.0])
    assert len(np.unique(forest.levels(4)[-1])) == 2
    assert len(np.unique(list(voted_levels(SIZE, [*forest.rles, encode(~whole)], np.ones(3), 4))[-1])) == 3
