"""Covering, Rand index and variation of information against loops and scikit-image, ODS and OIS by hand."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat
from skimage.metrics import variation_of_information

from hedgerow.measure import measure_regions, pool_regions
from references import measure_regions as slow

HALVES = np.repeat([[0, 0, 1, 1]], 4, axis=0)
QUARTERS = HALVES + 2 * HALVES.T
WHOLE = np.zeros((4, 4), int)


@pytest.mark.parametrize("seed", range(8))
def test_equals_the_definitions(seed):
    rng = np.random.default_rng(seed)
    low = -1 if seed % 2 else 0  # with and without void pixels
    levels = rng.integers(-1, 5, (3, 7, 8))
    people = [rng.integers(low, 4, (7, 8)) * int(rng.integers(1, 10**9)) for _ in range(3)]
    people = [np.where(person < 0, -1, person) for person in people]
    photo = measure_regions(levels, people)

    best = np.array([[iou for person in people for _, iou in slow.best_ious(level, person)] for level in levels])
    area = np.array([pixels for person in people for pixels, _ in slow.best_ious(levels[0], person)])
    np.testing.assert_allclose(photo.covered, best @ area)
    np.testing.assert_allclose(photo.covered_best, best.max(0) @ area)
    assert photo.coverable == area.sum()
    np.testing.assert_allclose(photo.rand, [np.mean([slow.rand(m, h) for h in people]) for m in levels])
    np.testing.assert_allclose(photo.variation, [np.mean([slow.variation(m, h) for h in people]) for m in levels])


def test_variation_equals_scikit_image_on_bsds(development_data: Path):
    drawn = loadmat(sorted((development_data / "bsds500/groundTruth/val").glob("*.mat"))[0])["groundTruth"][0]
    people = [person["Segmentation"][0, 0] for person in drawn]
    levels = np.stack([people[0], people[1], people[0].astype(int) * 100 + people[1]])
    photo = measure_regions(levels, people)
    expected = [np.mean([sum(variation_of_information(h.astype(int), m)) for h in people]) for m in levels]
    np.testing.assert_allclose(photo.variation, expected)
    assert (photo.covered <= photo.coverable).all()
    assert 0.5 < photo.covering < 1  # people agree, but not wholly


def test_a_partition_against_itself_is_perfect():
    for labels in (WHOLE, HALVES, QUARTERS):
        photo = measure_regions(labels[None], [labels, labels * 7 + 3])
        assert photo.covering == 1
        np.testing.assert_array_equal(photo.rand, 1)
        np.testing.assert_array_equal(photo.variation, 0)


def test_one_region_against_halves():
    photo = measure_regions(WHOLE[None], [HALVES])
    assert photo.covering == pytest.approx(0.5)
    assert photo.variation == pytest.approx(1)  # one bit: left or right
    assert photo.rand == pytest.approx(2 * 28 / 120)  # the pairs within either half


def test_ods_takes_one_level_for_all_and_ois_each_photos_own():
    levels = np.stack([WHOLE, HALVES, QUARTERS])
    scores = pool_regions([measure_regions(levels, [WHOLE]), measure_regions(levels, [HALVES] * 3)])
    assert scores.covering_ois == 1
    assert scores.rand_ois == 1
    assert scores.variation_ois == 0
    assert scores.covering_level == 1
    assert scores.covering_ods == pytest.approx((0.5 + 3 * 1) / 4)  # pooled over people's pixels
    assert scores.variation_ods == pytest.approx((1 + 0) / 2)  # mean over photos
    assert list(scores.as_dict())[:3] == ["photos", "covering ODS", "covering OIS"]


def test_covering_best_lets_every_region_choose_its_level():
    left = np.where(HALVES == 0, 0, QUARTERS)  # left half whole, right half in two
    scores = pool_regions([measure_regions(np.stack([HALVES, QUARTERS]), [left])])
    assert scores.covering_best == 1
    assert scores.covering_ois == pytest.approx(0.75)


def test_void_pixels_count_for_nobody():
    human = HALVES.copy()
    human[0] = -1
    machine = HALVES.copy()
    machine[0] = 9
    photo = measure_regions(machine[None], [human])
    assert photo.coverable == 12
    assert photo.covering == 1
    assert photo.variation == 0


def test_nothing_drawn_is_undefined_and_left_out_of_the_pool():
    void = np.full((4, 4), -1)
    for people in ([], [void]):
        photo = measure_regions(HALVES[None], people)
        assert np.isnan([photo.covering, *photo.rand, *photo.variation]).all()
        assert np.isnan(pool_regions([photo]).rand_ods)
        assert pool_regions([photo, measure_regions(HALVES[None], [HALVES])]).covering_ods == 1
    assert measure_regions(HALVES[None], [HALVES, void]).covering == 1
    assert pool_regions([]).photos == 0


def test_a_single_pixel_and_a_single_level():
    photo = measure_regions(np.zeros((1, 1, 1), int), [np.full((1, 1), 5)])
    assert (photo.covering, photo.rand[0], photo.variation[0]) == (1, 1, 0)
    assert pickle.loads(pickle.dumps(photo)).coverable == 1


def test_mistakes_are_told():
    with pytest.raises(ValueError, match=r"give one map as map\[None\]"):
        measure_regions(HALVES, [HALVES])
    with pytest.raises(ValueError, match="size of the levels"):
        measure_regions(HALVES[None], [HALVES[:3]])
    one, two = measure_regions(HALVES[None], [HALVES]), measure_regions(np.stack([WHOLE, HALVES]), [HALVES])
    with pytest.raises(ValueError, match=r"same number of levels, got \[1, 2\]"):
        pool_regions([one, two])
