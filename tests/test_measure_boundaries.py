"""Boundary tracing against BSDS500's own maps, thinning against scikit-image, matching against a dense solver."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat
from skimage.morphology import thin as skimage_thin

from hedgerow.measure import correspond, measure_boundaries, pool_boundaries, thin, trace
from hedgerow.measure.boundaries import PhotoBoundaries, _assign, _pairs_within
from references import measure_boundaries as slow

HALVES = np.repeat([[0, 0, 0, 1, 1, 1]], 6, axis=0)
WHOLE = np.zeros((6, 6), int)


def test_tracing_gives_bsds500s_boundaries_to_the_pixel(development_data: Path):
    for file in sorted((development_data / "bsds500/groundTruth/val").glob("*.mat"))[:8]:
        for person in loadmat(file)["groundTruth"][0]:
            np.testing.assert_array_equal(trace(person["Segmentation"][0, 0]), person["Boundaries"][0, 0].astype(bool))


@pytest.mark.parametrize("seed", range(10))
def test_tracing_is_the_contour_of_the_doubled_grid_thinned(seed):
    rng = np.random.default_rng(seed)
    labels = np.kron(rng.integers(0, 3, (4, 5)), np.ones((rng.integers(1, 4), rng.integers(1, 4)), int))
    np.testing.assert_array_equal(trace(labels), skimage_thin(slow.contour(labels)))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 1.0])
def test_thinning_equals_scikit_image(order, share):
    mask = np.asarray(np.random.default_rng(1).random((30, 40)) < share, order=order)
    before = mask.copy()
    np.testing.assert_array_equal(thin(mask), skimage_thin(mask))
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("seed", range(20))
def test_matching_has_most_pairs_and_least_distance(seed):
    rng = np.random.default_rng(seed)
    machine, human = rng.random((2, 14, 17)) < rng.choice([0.05, 0.2, 0.4], (2, 1, 1))
    reach = float(rng.choice([0.5, 1.0, 2.3, 4.3]))
    count, total = slow.most_pairs(machine, human, reach)
    one, two = correspond(machine, human, reach)
    assert one.sum() == two.sum() == count
    assert not (one & ~machine).any()
    assert not (two & ~human).any()
    pairs, distance = _pairs_within(machine, human, reach)
    if count:
        a, b = (np.stack(np.unravel_index(pixels, machine.shape)) for pixels in _assign(pairs, distance))
        gap = np.hypot(*(a - b))
        assert gap.max() <= reach
        assert gap.sum() == pytest.approx(total)


def test_matching_equals_trying_every_way():
    rng = np.random.default_rng(0)
    for _ in range(30):
        machine, human = np.zeros((2, 5, 5), bool)
        machine.flat[rng.choice(25, 4, replace=False)] = True
        human.flat[rng.choice(25, 5, replace=False)] = True
        one, two = np.argwhere(machine), np.argwhere(human)
        near = np.linalg.norm(one[:, None] - two[None], axis=-1) <= 1.5
        most = max(sum(near[i, j] for i, j in enumerate(way)) for way in permutations(range(5), 4))
        assert correspond(machine, human, 1.5)[0].sum() == most


def test_perfect_boundaries_score_one():
    photo = measure_boundaries(HALVES[None], [trace(HALVES)] * 2)
    scores = pool_boundaries([photo])
    assert photo.f == scores.f_ods == scores.f_ois == scores.recall_ods == scores.precision_ods == 1
    assert photo.drawn == 2 * photo.found[0] == 12


def test_precision_asks_anybody_and_recall_everybody():
    quarters = HALVES + 2 * HALVES.T
    photo = measure_boundaries(quarters[None], [trace(HALVES), trace(HALVES.T), np.zeros((6, 6), bool)])
    assert photo.found_right[0] == photo.found[0]
    assert photo.drawn_met[0] == photo.drawn


def test_no_boundary_found_or_none_drawn():
    nothing = np.zeros((6, 6), bool)
    missed = measure_boundaries(WHOLE[None], [trace(HALVES)])
    assert (missed.found[0], missed.f, pool_boundaries([missed]).f_ods, pool_boundaries([missed]).ap) == (0, 0, 0, 0)
    for people in ([], [nothing]):
        idle = measure_boundaries(HALVES[None], people)
        assert np.isnan([idle.f, pool_boundaries([idle]).f_ods, pool_boundaries([idle]).ap]).all()
    false = measure_boundaries(HALVES[None], [nothing])
    both = pool_boundaries([false, measure_boundaries(HALVES[None], [trace(HALVES)])])
    assert (both.precision_ods, both.recall_ods) == (0.5, 1)
    assert pool_boundaries([]).photos == 0


def test_ods_ois_and_ap_by_hand():
    count = np.array
    one = PhotoBoundaries("", found=count([10, 40]), found_right=count([10, 20]), drawn=20, drawn_met=count([10, 20]))
    two = PhotoBoundaries("", found=count([10, 20]), found_right=count([0, 20]), drawn=20, drawn_met=count([0, 20]))
    scores = pool_boundaries([one, two])
    np.testing.assert_allclose(scores.precision, [10 / 20, 40 / 60])
    np.testing.assert_allclose(scores.recall, [10 / 40, 1])
    assert scores.f_ods == pytest.approx(2 * (2 / 3) / (1 + 2 / 3))
    # at its best level (of equal F the coarser) the first photo has 10 of 10 right and 10 of 20 met
    assert scores.f_ois == pytest.approx(2 * 1 * 0.75 / 1.75)
    steps = np.arange(25, 101) / 100
    assert scores.ap == pytest.approx(np.sum(1 / 2 + (steps - 0.25) / 0.75 * (2 / 3 - 1 / 2)) * 0.01)


def test_f_is_read_between_levels_too():
    count = np.array
    photo = PhotoBoundaries(
        "", found=count([10, 100]), found_right=count([10, 10]), drawn=100, drawn_met=count([10, 100])
    )
    assert pool_boundaries([photo]).f_ods == pytest.approx(0.55, abs=1e-3)  # about half way
    assert photo.f == pytest.approx(2 * 0.1 / 1.1)


def test_mistakes_are_told():
    with pytest.raises(ValueError, match=r"give one map as map\[None\]"):
        measure_boundaries(HALVES, [HALVES])
    with pytest.raises(ValueError, match="size of the levels"):
        measure_boundaries(HALVES[None], [HALVES[:3]])
    one, two = (measure_boundaries(levels, [trace(HALVES)]) for levels in ([HALVES], [WHOLE, HALVES]))
    with pytest.raises(ValueError, match="same number of levels"):
        pool_boundaries([one, two])
