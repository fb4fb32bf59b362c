"""Ancestor pairs against trying every matching, and the awkward cases by hand."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hedgerow.forest import MaskForest
from hedgerow.measure import measure_hierarchy, pool_hierarchy
from references import measure_hierarchy as slow

SIZE = (20, 20)
PERSON, TOP, POCKET, HAT = (0, 0, 20, 10), (4, 0, 8, 10), (5, 2, 3, 3), (0, 0, 4, 10)  # y, x, height, width


@pytest.mark.parametrize("seed", range(25))
def test_equals_trying_every_matching(seed):
    rng = np.random.default_rng(seed)
    truth, found = _random_nest(rng, 4), _random_nest(rng, 5)
    both = [*found.masks(), *truth.masks()[:2]]  # so that some regions are found at all
    found = MaskForest.from_masks(both, score=rng.permutation(7) / 7 + 0.1).nest()
    photo = measure_hierarchy(found, truth)
    got = [
        photo.found,
        photo.pairs,
        photo.found_pairs,
        photo.claimed,
        photo.right,
        photo.claimed_cover,
        photo.right_cover,
    ]
    np.testing.assert_array_equal(got, slow.counts(found, truth))


def test_a_forest_against_itself_is_perfect():
    truth = _forest([PERSON, TOP, POCKET, HAT], [-1, 0, 1, 0])
    scores = _scores(truth, truth)
    assert scores.pairs == 4  # the pocket has two wholes
    assert (scores.recall, scores.precision, scores.f, scores.region_recall, scores.related_recall) == (1,) * 5
    assert (scores.recall_cover, scores.precision_cover, scores.f_cover) == (1,) * 3


def test_a_missing_generation_costs_nothing_but_itself():
    truth = _forest([PERSON, TOP, POCKET], [-1, 0, 1])
    scores = _scores(_forest([PERSON, POCKET], [-1, 0]), truth)
    assert scores.recall == pytest.approx(1 / 3)
    assert (scores.related_recall, scores.precision) == (1, 1)
    more = _forest([PERSON, (0, 0, 16, 10), TOP, POCKET], [-1, 0, 1, 2])  # a level nobody labelled
    assert _scores(more, truth).f == 1


def test_flat_regions_find_but_do_not_relate():
    truth = _forest([PERSON, TOP, HAT], [-1, 0, 0])
    scores = _scores(_forest([PERSON, TOP, HAT], [-1, -1, -1]), truth)
    assert (scores.recall, scores.f, scores.related_recall, scores.region_recall) == (0, 0, 0, 1)
    assert np.isnan(scores.precision)  # nothing was claimed
    assert (scores.recall_cover, scores.precision_cover, scores.f_cover) == (1, 1, 1)


def test_a_relation_the_labels_deny_costs_precision_and_an_unlabelled_region_does_not():
    truth = _forest([PERSON, TOP, POCKET], [-1, 0, 0])  # labelled as sisters
    scores = _scores(_forest([PERSON, TOP, POCKET], [-1, 0, 1]), truth)
    assert scores.recall == 1
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.f == pytest.approx(0.8)
    known = _forest([PERSON, TOP], [-1, 0])
    assert _scores(_forest([PERSON, TOP, POCKET], [-1, 0, 1]), known).precision == 1


def test_copies_do_not_speak_and_of_exact_ones_the_better_scored_does():
    truth = _forest([PERSON, TOP], [-1, 0])
    for score, recall in (((0.9, 0.5, 0.7), 0), ((0.5, 0.9, 0.7), 1), ((0.9, 0.9, 0.7), 0)):  # of ties the earlier
        copies = _forest([PERSON, PERSON, TOP], [-1, -1, 1], score=np.array(score))
        assert _scores(copies, truth).recall == recall


def test_one_prediction_speaks_for_one_region_only():
    nearly = (0, 0, 16, 10)  # IoU 0.8 with the person, who wears one thing only
    truth = _forest([PERSON, nearly], [-1, 0])
    photo = measure_hierarchy(_forest([PERSON], [-1]), truth)
    assert (photo.found, photo.found_pairs, photo.right) == (1, 0, 0)


def test_nothing_predicted_nothing_to_find_and_no_pair():
    truth, nothing, flat = _forest([PERSON, TOP], [-1, 0]), MaskForest(SIZE), _forest([PERSON, TOP], [-1, -1])
    missed = _scores(nothing, truth)
    assert (missed.recall, missed.f, missed.region_recall) == (0, 0, 0)
    assert np.isnan([missed.precision, missed.related_recall]).all()
    assert np.isnan([_scores(truth, nothing).f, _scores(nothing, nothing).f, pool_hierarchy([]).recall]).all()
    assert np.isnan(_scores(truth, flat).recall)
    assert (_scores(truth, flat).precision, _scores(truth, flat).f) == (0, 0)


def test_photos_pool_pair_by_pair():
    truth = _forest([PERSON, TOP, POCKET], [-1, 0, 1])
    small = _forest([PERSON, HAT], [-1, 0])
    photos = [measure_hierarchy(truth, truth), measure_hierarchy(MaskForest(SIZE), small, name="worst")]
    assert pool_hierarchy(photos).recall == pytest.approx(3 / 4)
    assert min(photos, key=lambda photo: photo.f).name == "worst"
    assert pickle.loads(pickle.dumps(photos[0])) == photos[0]
    assert pool_hierarchy(photos).as_dict()["pairs"] == 4


def test_people_and_what_they_wear(development_data: Path):
    file = sorted((development_data / "clothing/masks").glob("*.png"))[0]
    labels = np.array(Image.open(file))
    worn = [labels == v for v in np.unique(labels) if v]
    truth = MaskForest.from_masks([labels > 0, *worn], parent=[-1] + [0] * len(worn))
    assert _scores(truth, truth).f == 1
    assert _scores(truth.nest(), truth).recall == pytest.approx(1)


def _scores(found, truth):
    return pool_hierarchy([measure_hierarchy(found, truth)])


def _forest(boxes, parent, **columns):
    masks = np.zeros((len(boxes), *SIZE), bool)
    for mask, (y, x, h, w) in zip(masks, boxes, strict=True):
        mask[y : y + h, x : x + w] = True
    return MaskForest.from_masks(masks, parent=parent, **columns)


def _random_nest(rng, count):
    masks = np.zeros((count, *SIZE), bool)
    for mask in masks:
        y, x = rng.integers(0, 12, 2)
        mask[y : y + rng.integers(3, 20), x : x + rng.integers(3, 20)] = True
    return MaskForest.from_masks(masks).nest()
