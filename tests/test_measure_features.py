"""Probe and part matching against slow twins, cases whose answer is known, and the awkward ones."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import check_grad

from hedgerow.measure import (
    PhotoParts,
    Probe,
    choose_pairs,
    draw_points,
    fit_probe,
    label_histograms,
    look_at_points,
    measure_parts,
    measure_probe,
    pool_parts,
    pool_probe,
)
from hedgerow.measure.features import DECAYS, PLAIN_DECAY, POINTS, _loss
from references import measure_features as slow


def patches(seed, count=60, dims=3, classes=4):
    """Features that tell a little of their labels, and pixels of each label."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, classes, count)
    values = rng.normal(0, 1, (count, dims)) + 1.5 * rng.normal(0, 1, (classes, dims))[kind]
    counts = rng.integers(0, 3, (count, classes))
    counts[np.arange(count), kind] += 6
    return values, counts


def standard(values):
    return (values - values.mean(0)) / values.std(0)


# ---------------------------------------------------------------------- histograms and maps


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_histograms_equal_counting_pixels(h, w, height, width, seed):
    labels = np.random.default_rng(seed).integers(-1, 3, (height, width))
    counts = label_histograms(labels, (h, w), 3)
    np.testing.assert_array_equal(counts, slow.histograms(labels, (h, w), 3))
    assert counts.sum() == (labels >= 0).sum()


@pytest.mark.parametrize(("grid", "size"), [((3, 4), (12, 16)), ((2, 5), (7, 11)), ((1, 1), (4, 3)), ((5, 5), (4, 90))])
def test_scores_are_mixed_between_the_four_patches_around_a_pixel(grid, size):
    rng = np.random.default_rng(1)
    probe = Probe(np.eye(3), np.zeros(3), np.array([2, 5, 7]), 0.0)
    values = rng.normal(size=(*grid, 3))
    np.testing.assert_array_equal(probe.labels(values, size), probe.classes[slow.label_map(values, size)])


def test_strips_do_not_show():
    values = np.random.default_rng(2).normal(size=(9, 4, 3))
    probe = Probe(np.eye(3), np.zeros(3), np.arange(3), 0.0)
    np.testing.assert_array_equal(probe.labels(values, (150, 8)), slow.label_map(values, (150, 8)))


# ---------------------------------------------------------------------- the probe


@pytest.mark.parametrize("seed", range(4))
def test_the_gradient_is_that_of_the_loss(seed):
    values, counts = patches(seed)
    shares, flat = counts / counts.sum(), np.random.default_rng(seed).normal(size=4 * 4)
    error = check_grad(lambda f: _loss(f, values, shares, 0.1)[0], lambda f: _loss(f, values, shares, 0.1)[1], flat)
    assert error < 1e-6
    expected = slow.objective(flat[:-4].reshape(3, 4), flat[-4:], values, counts, 0.1)
    assert _loss(flat, values, shares, 0.1)[0] == pytest.approx(expected)


@pytest.mark.parametrize("decay", [1.0, 1e-1, 1e-2])
def test_equals_gradient_descent(decay):
    values, counts = patches(5)
    values = 7 + 3 * values  # units do not matter
    probe = fit_probe(values, counts, np.arange(60) % 2 == 0, (decay,))
    weights, offset = slow.fit(standard(values), counts, decay)
    expected = standard(values) @ weights + offset
    found = values @ probe.weights + probe.offset
    assert np.abs(softmax(found) - softmax(expected)).max() < 2e-3
    assert probe.decay == decay


def softmax(scores):
    told = np.exp(scores - scores.max(1, keepdims=True))
    return told / told.sum(1, keepdims=True)


def test_features_that_say_nothing_leave_the_frequencies():
    _, counts = patches(6)
    values = np.full((60, 2), 3.7, np.float32)
    probe = fit_probe(values, counts, np.arange(60) < 30)
    told = softmax(values[:1].astype(float) @ probe.weights + probe.offset)[0]
    np.testing.assert_allclose(told, counts.sum(0) / counts.sum(), atol=2e-3)


def test_what_is_linear_is_learned_whatever_its_units():
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(400, 5)) * [1e-4, 1e4, 1, 1, 1] + [0, 1e5, 0, 0, 0]).astype(np.float32)
    kind = (values[:, 0] > 0).astype(int) + 2 * (values[:, 1] > 1e5)
    probe = fit_probe(values, np.eye(4, dtype=int)[kind] * 9, rng.random(400) < 0.5)
    assert (probe.classes[(values @ probe.weights + probe.offset).argmax(1)] == kind).mean() > 0.97


def test_the_decay_is_the_one_that_tells_held_out_photos_best():
    """Many features of pure noise want a strong one, few that tell all a weak one."""
    rng = np.random.default_rng(3)
    kind = rng.integers(0, 2, 200)
    counts, held_out = np.eye(2, dtype=int)[kind], np.arange(200) % 2 == 0
    noise = fit_probe(rng.normal(size=(200, 80)), counts, held_out)
    clear = fit_probe((kind + rng.normal(0, 0.05, 200))[:, None], counts, held_out)
    assert noise.decay >= 0.1
    assert clear.decay <= 1e-4
    losses = []
    for decay in DECAYS[:4]:
        values, counts = patches(7)
        weights, offset = slow.fit(standard(values)[:30], counts[:30], decay, steps=4000)
        losses.append(slow.objective(weights, offset, standard(values)[30:], counts[30:], 0))
    assert fit_probe(*patches(7), np.arange(60) >= 30, DECAYS[:4]).decay == DECAYS[int(np.argmin(losses))]


def test_thin_things_are_learned_though_they_win_no_patch():
    """Poles take 3 of 8 pixels where the feature is 1: their score is highest nowhere, yet right."""
    values = np.repeat([[0.0], [1.0]], 50, axis=0)
    counts = np.repeat([[8, 0], [5, 3]], 50, axis=0)
    probe = fit_probe(values, counts, np.arange(100) % 2 == 0, (1e-6,))
    assert softmax(values @ probe.weights + probe.offset)[-1] == pytest.approx([5 / 8, 3 / 8], abs=0.01)


def test_a_class_missing_in_training_is_never_said_and_costs_its_share():
    values, counts = patches(8)
    counts[:, 2] = 0
    probe = fit_probe(values, counts, np.arange(60) % 2 == 0)
    assert probe.classes.tolist() == [0, 1, 3]
    found = probe.labels(values.reshape(6, 10, 3), (12, 20))
    assert 2 not in found
    labels = np.where(np.arange(240).reshape(12, 20) < 100, 2, found)
    scores = pool_probe([measure_probe(found, labels, 4)])
    assert scores.iou[2] == 0
    assert scores.miou == pytest.approx(slow.miou(found, labels, 4))
    assert scores.accuracy == pytest.approx(140 / 240)


def test_a_class_in_one_half_only_does_not_choose_the_decay():
    values, counts = patches(9)
    counts[:30, 3] = 0  # only held-out photos show it
    probe = fit_probe(values, counts, np.arange(60) >= 30)
    assert probe.classes.tolist() == [0, 1, 2, 3]
    alone = fit_probe(values, counts, np.zeros(60, bool))
    assert alone.decay == PLAIN_DECAY


def test_nothing_to_learn_from():
    with pytest.raises(ValueError, match="all are void"):
        fit_probe(np.zeros((3, 2)), np.zeros((3, 4), int), np.zeros(3, bool))
    with pytest.raises(ValueError, match="all are void"):
        fit_probe(np.zeros((0, 2)), np.zeros((0, 4), int), np.zeros(0, bool))


@pytest.mark.parametrize("seed", range(8))
def test_iou_equals_sets_of_pixels(seed):
    rng = np.random.default_rng(seed)
    labels, found = rng.integers(-1, 5, (2, 8, 9)), rng.integers(0, 6, (2, 8, 9))
    photos = [
        measure_probe(f, one, 6, name=str(place)) for place, (f, one) in enumerate(zip(found, labels, strict=True))
    ]
    scores = pool_probe(photos)
    assert scores.miou == pytest.approx(slow.miou(found, labels, 6))
    assert np.isnan(scores.iou[5])  # it is nowhere; saying it costs the others
    assert scores.accuracy == pytest.approx((found == labels).sum() / (labels >= 0).sum())
    assert photos[1].accuracy == pytest.approx((found == labels)[1].sum() / (labels[1] >= 0).sum())
    assert scores.as_dict() == {"photos": 2, "mIoU": scores.miou, "pixel accuracy": scores.accuracy}
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(photos[0])).confusion, photos[0].confusion)


def test_photos_that_are_all_void_count_for_nothing():
    void, full = np.full((4, 5), -1), np.zeros((4, 5), int)
    nothing = measure_probe(full, void, 3)
    assert np.isnan(nothing.accuracy)
    assert np.isnan(pool_probe([nothing]).miou)
    assert np.isnan(pool_probe([]).miou)
    assert pool_probe([nothing, measure_probe(full, full, 3)]).miou == 1


# ---------------------------------------------------------------------- part matching


def random_parts(rng, labels=4, count=40, dims=5):
    values = rng.normal(size=(count, dims))
    return PhotoParts("", values / np.linalg.norm(values, axis=1, keepdims=True), rng.integers(0, labels, count))


@pytest.mark.parametrize("seed", range(10))
def test_matching_equals_comparing_every_two_points(seed):
    rng = np.random.default_rng(seed)
    asked, other = random_parts(rng), random_parts(rng, labels=3)
    for grounds in ((), (0,)):
        found = measure_parts(asked, other, grounds)
        assert found.accuracy == pytest.approx(slow.match(asked, other, grounds))
        assert found.labels == 3 - len(grounds)
        shares = [np.mean(other.labels == label) for label in range(3) if label not in grounds]
        assert found.chance == pytest.approx(np.mean(shares))


def test_points_are_as_many_of_each_label_and_lie_on_it():
    labels = np.full((40, 50), -1)
    labels[:20], labels[20:30, :25], labels[39, : POINTS - 1] = 0, 4, 7
    points = draw_points(labels, np.random.default_rng(0))
    on = labels[tuple(points.T)]
    assert {label: (on == label).sum() for label in set(on.tolist())} == {0: POINTS, 4: POINTS}  # 7 is too little
    assert len({tuple(point) for point in points.tolist()}) == 2 * POINTS
    assert len(set(on[:POINTS].tolist())) == 2, "the order says nothing of the label"
    assert draw_points(np.full((9, 9), -1), np.random.default_rng(0)).shape == (0, 2)


def test_a_point_has_the_features_of_the_patch_that_holds_it():
    values = np.arange(1.0, 13).reshape(2, 3, 2)
    labels = np.arange(6).reshape(2, 3).repeat(4, 0).repeat(5, 1)
    points = np.array([(0, 0), (3, 4), (3, 5), (4, 4), (7, 14)])
    seen = look_at_points(values, labels, points)
    expected = values.reshape(6, 2)[[0, 0, 1, 3, 5]]
    np.testing.assert_allclose(seen.values, expected / np.linalg.norm(expected, axis=1, keepdims=True))
    assert seen.labels.tolist() == [0, 0, 1, 3, 5]
    assert not look_at_points(np.zeros((1, 1, 2)), labels, points).values.any()


def test_a_constant_backbone_matches_by_chance():
    rng = np.random.default_rng(0)
    labels = np.zeros((60, 60), int)
    labels[:20, :20], labels[30:, 30:], labels[:20, 30:] = 1, 2, 3
    photos = [look_at_points(np.ones((6, 6, 4)), labels, draw_points(labels, rng)) for _ in range(40)]
    scores = pool_parts(measure_parts(photos[a], photos[b], (0,)) for a, b in choose_pairs(40, 39, rng))
    assert scores.pairs == 40 * 39
    assert scores.chance == pytest.approx(0.25)
    assert scores.accuracy == pytest.approx(0.25, abs=0.06)


def test_labels_of_one_photo_only_are_not_asked_for_but_mislead():
    east, north = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    one = PhotoParts("one", np.concatenate([east, north]), np.array([1, 2]))
    other = PhotoParts("other", np.concatenate([north, east]), np.array([1, 3]))
    found = measure_parts(one, other)
    assert (found.name, found.labels, found.accuracy, found.chance) == ("one in other", 1, 0, 0.5)
    assert measure_parts(one, one).accuracy == 1
    apart = measure_parts(one, PhotoParts("", east, np.array([9])))
    assert apart.labels == 0
    assert np.isnan(apart.accuracy)
    nothing = PhotoParts("", np.zeros((0, 2)), np.zeros(0, int))
    assert measure_parts(nothing, one).labels == measure_parts(one, nothing).labels == 0
    assert pool_parts([apart, found]).as_dict() == {"pairs": 1, "part matching": 0, "chance": 0.5}
    assert np.isnan(pool_parts([apart]).accuracy)
    assert np.isnan(pool_parts([]).chance)


@given(st.integers(0, 8), st.integers(1, 9), st.integers(0, 99))
def test_pairs_are_of_two_photos_and_of_each_with_as_many(count, others, seed):
    pairs = choose_pairs(count, others, np.random.default_rng(seed))
    assert len(set(pairs)) == len(pairs) == count * min(others, max(count - 1, 0))
    assert all(one != other and 0 <= other < count for one, other in pairs)
    assert pairs == choose_pairs(count, others, np.random.default_rng(seed))
