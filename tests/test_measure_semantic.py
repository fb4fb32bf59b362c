"""Categories against classes: slow twins, cases whose answer is known, and the awkward ones."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.categories import fit_whitening, kmeans
from hedgerow.measure import (
    PhotoCategories,
    class_of,
    measure_categories,
    measure_probe,
    pool_categories,
    pool_probe,
    region_histograms,
    retrieve,
)
from hedgerow.measure.semantic import iou_table
from references import measure_semantic as slow

SHAPE = (9, 11)


def maps(seed, classes=4, k=4, count=1):
    """Maps of categories that know a little of the labels, void here and there."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, classes, (count, *SHAPE))
    blind = rng.random(labels.shape) < 0.5
    return np.where(blind, rng.integers(0, k, labels.shape), np.maximum(labels, 0) * 7 % k), labels


def tables(found, labels, classes, k):
    return [
        PhotoCategories(str(n), region_histograms(one, own, classes, k))
        for n, (one, own) in enumerate(zip(found, labels, strict=True))
    ]


# ---------------------------------------------------------------------- matching


@given(st.integers(0, 99), st.integers(1, 5), st.integers(1, 5))
def test_one_table_says_what_counting_pixels_says(seed, classes, k):
    found, labels = maps(seed, classes, k)
    table = tables(found, labels, classes, k)[0].pixels
    assert table.sum() == (labels >= 0).sum()
    for label in range(classes):
        for category in range(k):
            assert iou_table(table)[label, category] == pytest.approx(slow.iou(found, labels, category, label))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("classes", "k"), [(4, 4), (3, 6), (5, 2), (1, 3)])
def test_matchings_equal_trying_all_of_them(seed, classes, k):
    found, labels = maps(seed, classes, k, count=2)
    scores = pool_categories(tables(found, labels, classes, k))
    table = iou_table(sum(photo.pixels for photo in tables(found, labels, classes, k)))
    there = len(np.unique(labels[labels >= 0]))
    assert scores.hungarian.miou == pytest.approx(slow.hungarian(table) / there)
    for matching in (scores.hungarian, scores.majority_iou, scores.majority_count):
        expected = slow.remapped(found, labels, matching.classes, classes)
        assert (matching.miou, matching.accuracy) == pytest.approx(expected)
    assert scores.majority_iou.classes == tuple(table.argmax(0))
    counts = [[(found[labels == label] == category).sum() for label in range(classes)] for category in range(k)]
    assert scores.majority_count.classes == tuple(np.argmax(counts, 1))
    assert len({label for label in scores.hungarian.classes if label >= 0}) == min(classes, k)


@pytest.mark.parametrize("k", [3, 4, 7])
def test_names_of_categories_change_nothing(k):
    found, labels = maps(3, 4, k, count=3)
    before = pool_categories(tables(found, labels, 4, k)).as_dict()
    for seed in range(5):
        renamed = np.random.default_rng(seed).permutation(k)[found]
        assert pool_categories(tables(renamed, labels, 4, k)).as_dict() == pytest.approx(before)


def test_embeddings_of_known_classes_are_all_found():
    """The whole path: vectors in four bundles, whitened in the three directions that part them (more would be noise
    blown up to the size of these), sorted, matched; background is what stands out nowhere."""
    rng = np.random.default_rng(0)
    kind = rng.permutation(np.arange(60) % 4)
    vectors = rng.normal(0, 1, (4, 40))[kind] + rng.normal(0, 0.05, (60, 40))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for seed in range(3):
        groups = kmeans(fit_whitening(vectors, 3)(vectors), 4, seed)
        photos = []
        for number, own in enumerate(kind):
            labels = np.zeros(SHAPE, int)
            labels[2:6, 3:8], labels[0, 0] = own + 1, -1
            pixels = region_histograms(np.where(labels > 0, 0, 1), labels, 5, 2)
            photos.append(measure_categories(pixels, np.array([groups.of[number] + 1, 0]), 5))
        scores = pool_categories(photos)
        assert set(scores.as_dict().values()) == {60, 1.0}
        assert sorted(scores.hungarian.classes) == [0, 1, 2, 3, 4]


def test_more_categories_than_classes():
    """Two categories share a class: one to one must miss the smaller, many to one loses nothing."""
    labels = np.repeat([0, 1], [50, 50])[None]
    found = np.repeat([0, 1, 2], [50, 30, 20])[None]
    scores = pool_categories([PhotoCategories("", region_histograms(found, labels, 2, 3))])
    assert scores.hungarian.classes == (0, 1, -1)
    assert scores.hungarian.iou == (1, 0.6)
    assert scores.hungarian.accuracy == 0.8
    assert scores.majority_iou.miou == scores.majority_count.miou == 1


def test_most_of_its_pixels_is_not_greatest_iou():
    """A category that is mostly sky and holds all of a small bird: by pixels it is sky, by IoU it may be the bird."""
    table = np.array([[90, 910], [50, 0]])
    scores = pool_categories([PhotoCategories("", table)])
    assert scores.majority_count.classes == (0, 0)
    assert scores.majority_iou.classes == (1, 0)
    assert scores.hungarian.classes == (1, 0)


def test_void_counts_for_nobody():
    found, labels = maps(5, count=2)
    before = pool_categories(tables(found, labels, 4, 4)).as_dict()
    found[labels < 0] = 3
    assert pool_categories(tables(found, labels, 4, 4)).as_dict() == before


def test_a_class_that_no_photo_shows():
    """Left out, whoever says it; as published it counts 0."""
    table = np.diag([40, 60, 0])
    said = table.copy()
    said[0, 2] = 20
    for pixels, least in ((table, 1.0), (said, (40 / 60 + 1) / 2)):
        photo = PhotoCategories("", pixels)
        assert pool_categories([photo]).hungarian.miou == pytest.approx(least)
        assert np.isnan(pool_categories([photo]).hungarian.iou[2])
        assert pool_categories([photo], absent=0.0).hungarian.miou == pytest.approx(least * 2 / 3)


def test_nothing_to_measure():
    assert np.isnan(pool_categories([]).hungarian.miou)
    nothing = PhotoCategories("void", np.zeros((3, 2), int))
    assert np.isnan(nothing.purity)
    scores = pool_categories([nothing])
    assert np.isnan(scores.hungarian.miou)
    assert np.isnan(scores.majority_count.accuracy)
    assert scores.majority_iou.classes == (-1, -1), "a category that is nowhere stands for nothing"
    full = PhotoCategories("full", np.array([[6, 0], [1, 3], [0, 0]]))
    assert full.purity == 0.9
    assert pool_categories([nothing, full]).as_dict() | {"photos": 1} == pool_categories([full]).as_dict()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(full)).pixels, full.pixels)


def test_regions_of_one_category_are_added():
    pixels = np.array([[3, 4, 5], [1, 0, 2]])
    np.testing.assert_array_equal(measure_categories(pixels, np.array([1, 0, 1]), 3).pixels, [[4, 8, 0], [0, 3, 0]])
    assert measure_categories(np.zeros((2, 0), int), np.zeros(0, int), 3).pixels.shape == (2, 3)


# ---------------------------------------------------------------------- retrieval


def test_the_class_of_a_thing_is_no_ground_and_not_void():
    assert class_of(np.array([90, 0, 4, 5]), (0,)) == 3
    assert class_of(np.array([90, 0, 5, 5]), (0,)) == 2
    assert class_of(np.array([90, 0, 0, 5]), (0, 3)) == -1
    assert class_of(np.zeros(4, int), (0,)) == -1


def test_retrieval_finds_the_most_similar():
    rng = np.random.default_rng(1)
    bank, asked = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in rng.normal(size=(2, 12, 5)))
    classes = rng.integers(1, 4, 12)
    found = retrieve(bank, classes, asked)
    for vector, label in zip(asked, found, strict=True):
        distances = [((vector - other) ** 2).sum() for other in bank]
        assert label == classes[int(np.argmin(distances))]
    assert retrieve(bank, classes, bank).tolist() == classes.tolist()
    assert retrieve(bank, classes, np.zeros((0, 5))).shape == (0,)
    with pytest.raises(ValueError, match="the bank is empty"):
        retrieve(np.zeros((0, 5)), np.zeros(0, int), asked)


@pytest.mark.parametrize("seed", range(3))
def test_regions_with_a_class_each_score_as_the_map_they_paint(seed):
    """What retrieval and K-means count from regions equals measuring a painted map."""
    rng = np.random.default_rng(seed)
    regions, labels = rng.integers(0, 5, SHAPE), rng.integers(-1, 4, SHAPE)
    of = rng.integers(0, 4, 5)
    counted = measure_categories(region_histograms(regions, labels, 4, 5), of, 4)
    np.testing.assert_array_equal(counted.pixels, measure_probe(of[regions], labels, 4).confusion)
    assert pool_probe([measure_probe(of[regions], labels, 4)]).miou >= 0
