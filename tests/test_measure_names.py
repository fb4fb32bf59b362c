"""Names against classes, captions against photos: slow twins, cases worked by hand, and the awkward ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.measure import (
    called,
    constant_table,
    harmonic,
    hits,
    measure_recall,
    name_table,
    pool_names,
    recall_by_chance,
)
from references import measure_names as slow

SHAPE = (9, 11)


def maps(seed, classes, count=1):
    """Labels -1 (void) to C (background), and names -1 (none) to C (no class), that know half of them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, classes + 1, (count, *SHAPE))
    told = np.where(labels == classes, -1, np.maximum(labels, 0))
    return labels, np.where(rng.random(labels.shape) < 0.5, rng.integers(-1, classes + 1, labels.shape), told)


def pooled(labels, told, classes, background):
    return pool_names([name_table(*pair, classes) for pair in zip(labels, told, strict=True)], background)


# ---------------------------------------------------------------------- pixels


def test_a_table_worked_by_hand():
    """Two classes, background 2; a pixel each of right, wrong, unnamed, called what is no class, and void."""
    labels = np.array([[0, 0, 0, 0, 1, 1, 2, 2, 2, -1]])
    told = np.array([[0, 0, 1, -1, 1, 2, -1, 0, 2, 0]])
    table = name_table(labels, told, 2)
    assert table.tolist() == [[2, 1, 1, 0], [0, 1, 0, 1], [1, 0, 1, 1]]
    bare = pool_names([table], background=False)
    assert bare.iou == (2 / 4, 1 / 3), "what is background is not asked for, so its 0 is nobody's mistake"
    assert bare.miou == pytest.approx(5 / 12)
    assert bare.accuracy == 3 / 6
    assert bare.mean_recall == 1 / 2
    whole = pool_names([table], background=True)
    assert whole.iou == (2 / 5, 1 / 3, 1 / 4)
    assert whole.accuracy == 4 / 9
    assert whole.mean_recall == pytest.approx((2 / 4 + 1 / 2 + 1 / 3) / 3)
    assert whole.over([1, 0]) == pytest.approx((2 / 5 + 1 / 3) / 2)


@given(st.integers(0, 199), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_tables_say_what_counting_pixels_says(seed, classes, count, background):
    labels, told = maps(seed, classes, count)
    scores = pooled(labels, told, classes, background)
    asked = classes + background
    named = np.where(told < 0, classes, np.where(told == classes, classes + 1, told))  # the twin has no -1 for a name
    expected = [slow.iou(labels, named, row, asked) for row in range(asked)]
    np.testing.assert_allclose(scores.iou, expected)
    assert scores.miou == pytest.approx(np.nanmean(expected))
    assert (scores.accuracy, scores.mean_recall) == pytest.approx(slow.accuracy(labels, named, asked))


def test_a_class_that_no_photo_shows_is_left_out_even_if_it_is_named():
    labels, told = np.array([[0, 0, 0]]), np.array([[0, 0, 1]])
    scores = pooled([labels], [told], 3, background=False)
    np.testing.assert_array_equal(scores.iou, [2 / 3, np.nan, np.nan])
    assert scores.miou == 2 / 3
    assert np.isnan(scores.over([1, 2]))


def test_nothing_named_and_nothing_labelled():
    labels = np.array([[0, 1, 2, 2]])
    scores = pooled([labels], [np.full((1, 4), -1)], 2, background=True)
    assert scores.iou == (0, 0, 1 / 2)
    assert pooled([labels], [np.full((1, 4), -1)], 2, background=False).miou == 0
    void = pooled([np.full((1, 4), -1)], [np.zeros((1, 4), int)], 2, background=True)
    assert np.isnan([void.miou, void.accuracy, void.mean_recall]).all()
    one = pooled([np.array([[0, -1]])], [np.array([[0, 0]])], 1, background=False)
    assert (one.miou, one.accuracy, one.mean_recall) == (1, 1, 1)


def test_one_name_for_all():
    labels, told = maps(3, 3)
    table = name_table(labels[0], told[0], 3)
    for name in range(3):
        expected = name_table(labels[0], np.full(SHAPE, name), 3)
        np.testing.assert_array_equal(constant_table(table, name), expected)
    np.testing.assert_array_equal(constant_table(table, 3), name_table(labels[0], np.full(SHAPE, -1), 3))


def test_harmonic_mean():
    assert harmonic(0.6, 0.3) == pytest.approx(0.4)
    assert harmonic(0.6, 0.0) == harmonic(0.0, 0.0) == 0
    assert np.isnan(harmonic(np.nan, 0.5))


# ---------------------------------------------------------------------- regions


def test_hits_count_ties_against_us():
    scores = np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2], [0.1, 0.8, 0.1], [1 / 3, 1 / 3, 1 / 3]])
    found = hits(scores, np.array([0, 0, 2, 1]), (1, 2, 3))
    assert found.tolist() == [[True, True, True], [False, True, True], [False, False, True], [False, False, True]]
    assert hits(np.zeros((0, 3)), np.zeros(0, int)).shape == (0, 2)


def test_what_a_region_is_called():
    told = np.array([[0, 0, 1, -1], [-1, -1, 3, 3]])
    whole = np.ones((2, 4), bool)
    assert called(told, whole, 3) == -1, "most is unnamed, or named what is no class"
    assert called(told, whole & (told >= 0) & (told < 3), 3) == 0
    assert called(told, told == 3, 3) == -1
    assert called(told, ~whole, 3) == 0, "nothing at all: the first, as nobody asks"


# ---------------------------------------------------------------------- photos and captions


def test_recall_worked_by_hand():
    """Three photos on axes. The second one's first caption is nearer to the first photo, its second one is its own."""
    photos = np.eye(3, dtype=np.float32)
    captions = np.array([[1, 0, 0], [0.9, 0.1, 0], [0, 0.8, 0.6], [0, 0.6, 0.5]], np.float32)
    found = measure_recall(photos, captions, np.array([0, 1, 1, 2]), (1, 2))
    assert found.captions == {1: 2 / 3, 2: 1.0}, "the third photo's caption comes second for it"
    assert found.photos == {1: 2 / 4, 2: 1.0}
    assert (found.median_caption, found.median_photo) == (1, 1.5)
    assert list(found.as_dict()) == [
        "caption R@1", "caption R@2", "photo R@1", "photo R@2", "median caption", "median photo"
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_recall_equals_looking_through_sorted_lists(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    photos = rng.integers(-2, 3, (7, 3)).astype(np.float32)  # small whole numbers: many ties
    of = np.concatenate([np.arange(7), rng.integers(0, 7, 9)])
    captions = (photos[of] + rng.integers(-1, 2, (16, 3))).astype(np.float32)
    monkeypatch.setattr("hedgerow.measure.names.BLOCK", 7 * 3)  # three captions at a time
    found = measure_recall(photos, captions, of, (1, 3, 5))
    for rank in (1, 3, 5):
        assert (found.captions[rank], found.photos[rank]) == pytest.approx(slow.recall(photos, captions, of, rank))


def test_what_is_alike_is_not_found():
    """Everything the same: nothing is told from anything, whatever order a sort would leave it in."""
    photos, of = np.ones((12, 2), np.float32), np.repeat(np.arange(12), 2)
    found = measure_recall(photos, photos[of], of, (1, 5))
    assert found.captions == {1: 0, 5: 0}
    assert found.photos == {1: 0, 5: 0}
    with pytest.raises(ValueError, match="every photo has at least one caption"):
        measure_recall(photos, photos, np.zeros(12, int))


def test_chance_is_what_an_order_by_lot_recalls():
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(6), [1, 2, 3, 1, 2, 3])
    expected = recall_by_chance(of, (1, 4))
    drawn = []
    for _ in range(600):
        photos, captions = rng.normal(size=(6, 8)), rng.normal(size=(12, 8))
        drawn.append(list(measure_recall(photos, captions, of, (1, 4)).as_dict().values())[:4])
    np.testing.assert_allclose(np.mean(drawn, 0), list(expected.values()), atol=0.03)
    assert recall_by_chance(np.arange(3), (5,)) == {"caption R@5": 1.0, "photo R@5": 1.0}
