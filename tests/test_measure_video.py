"""Following masks, J and F: slow twins, cases worked by hand, and the awkward ones."""

import pickle

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import disk

from hedgerow.config import Follow
from hedgerow.measure import Follower, FrameMasks, measure_frame, pool_video
from hedgerow.measure.video import _voted, boundary_f, outline, over_time, region_j
from references import measure_video as slow

SIZE = (60, 80)


def square(top, left, side=20, size=SIZE):
    mask = np.zeros(size, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def blobs(seed, size=SIZE):
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=size), 4) > 0.03


# ---------------------------------------------------------------------- J and F


@pytest.mark.parametrize("seed", range(4))
def test_j_and_f_equal_pixels_and_disks(seed):
    found, painted = blobs(seed), blobs(seed) ^ blobs(seed + 10) & blobs(seed + 20)
    pixels = [(a and b, a or b) for a, b in zip(found.ravel(), painted.ravel(), strict=True)]
    assert region_j(found, painted) == pytest.approx(sum(a for a, _ in pixels) / sum(b for _, b in pixels))
    np.testing.assert_array_equal(outline(found), slow.outline(found))
    assert boundary_f(found, painted) == pytest.approx(slow.boundary_f(found, painted))
    assert boundary_f(found, painted) < 1


def test_f_equals_widening_by_scikit_images_disk():
    """At 480p the boundary may be 8 pixels off."""
    found, painted = square(100, 200, 150, (480, 854)), square(104, 212, 145, (480, 854))
    wide = [ndimage.binary_dilation(outline(mask), disk(8)) for mask in (found, painted)]
    precision = (outline(found) & wide[1]).sum() / outline(found).sum()
    recall = (outline(painted) & wide[0]).sum() / outline(painted).sum()
    assert boundary_f(found, painted) == pytest.approx(2 * precision * recall / (precision + recall))
    assert 0.4 < boundary_f(found, painted) < 0.9


def test_identical_masks_have_all():
    for mask in (square(5, 5), blobs(0), np.zeros(SIZE, bool), np.ones(SIZE, bool)):
        assert region_j(mask, mask) == boundary_f(mask, mask) == 1


def test_shifted_masks_by_hand():
    """A diagonal of 100 pixels allows one: a square that moves by one keeps its F; by five it keeps of an outline of 80
    pixels 17 of each of two sides, and one beside each."""
    assert region_j(square(10, 10), square(11, 10)) == pytest.approx(19 / 21)
    assert boundary_f(square(10, 10), square(11, 10)) == 1
    assert region_j(square(10, 10), square(15, 10)) == pytest.approx(15 / 25)
    assert boundary_f(square(10, 10), square(15, 10)) == pytest.approx(36 / 80)
    assert region_j(square(0, 0), square(30, 30)) == boundary_f(square(0, 0), square(30, 30)) == 0


def test_nothing_found_and_nothing_to_find():
    nothing, something = np.zeros(SIZE, bool), square(10, 10)
    for pair in ((nothing, something), (something, nothing)):
        assert region_j(*pair) == boundary_f(*pair) == 0
    whole = np.ones(SIZE, bool)
    assert boundary_f(whole, nothing) == 1, "neither has a boundary"
    assert region_j(whole, nothing) == 0


def test_mean_recall_and_decay_over_time():
    assert over_time([0.9] * 4 + [0.7] * 4 + [0.4] * 4 + [0.1] * 4) == pytest.approx((0.525, 0.5, 0.86 - 0.16))
    assert over_time([0.5, 0.6]) == pytest.approx((0.55, 0.5, 0.5 - 0.6))
    assert over_time([0.3]) == pytest.approx((0.3, 0, 0))


def test_quarters_are_those_of_the_benchmark():
    """69 frames: its bins are 1-18, 18-35, 35-52, 52-69, counted from one."""
    row = np.random.default_rng(0).random(69)
    assert over_time(row)[2] == pytest.approx(row[:18].mean() - row[51:].mean())
    row = np.random.default_rng(0).random(58)  # 1, 15.25, 29.5, 43.75, 58: a half goes up
    assert over_time(row)[2] == pytest.approx(row[:15].mean() - row[43:].mean())


def test_films_and_objects_are_pooled_by_object():
    frames = [FrameMasks("", "one", {1: 1.0, 2: 0.0}, {1: 1.0, 2: 0.5})] * 5
    frames += [FrameMasks("", "two", {1: 0.5}, {1: 0.8})] * 90
    scores = pool_video(frames)
    assert scores.as_dict() == pytest.approx(
        {
            "objects": 3,
            "J&F": (0.5 + 2.3 / 3) / 2,
            "J mean": 0.5,
            "J recall": 1 / 3,
            "J decay": 0,
            "F mean": 2.3 / 3,
            "F recall": 2 / 3,
            "F decay": 0,
        }
    )
    assert np.isnan(pool_video([]).j_mean)
    assert np.isnan(pool_video([FrameMasks("", "", {}, {})]).as_dict()["J&F"])
    assert np.isnan(FrameMasks("", "", {}, {}).mean)


def test_a_frame_is_measured_object_by_object():
    painted, found = np.zeros(SIZE, int), np.zeros(SIZE, int)
    painted[square(5, 5)], painted[square(5, 50)] = 3, 7
    found[square(5, 5)], found[square(30, 50)] = 3, 7
    frame = measure_frame(found, painted, [3, 7, 9], film="f", name="f/1")
    assert frame.j == {3: 1.0, 7: 0.0, 9: 1.0}, "an object that is gone is right to be nowhere"
    assert frame.mean == pytest.approx(4 / 6)
    assert pickle.loads(pickle.dumps(frame)).f == frame.f


# ---------------------------------------------------------------------- following


@pytest.mark.parametrize(("radius", "top"), [(0, 5), (1, 3), (3, 7), (50, 4), (50, 999)])
@pytest.mark.parametrize("grid", [(4, 5), (1, 1), (13, 14)])
def test_voting_equals_looking_at_every_patch(grid, radius, top):
    if grid == (13, 14) and radius not in (1, 3):
        pytest.skip("the twin is slow")
    rng = np.random.default_rng(radius)
    frames = rng.normal(size=(3, *grid, 4)).astype(np.float32)
    frames /= np.linalg.norm(frames, axis=3, keepdims=True)
    shares = rng.dirichlet(np.ones(3), (2, *grid)).astype(np.float32)
    context = list(zip(frames[1:], shares, strict=True))
    found = _voted(frames[0], context, Follow(radius=radius, top=top, temperature=0.2))
    np.testing.assert_allclose(found, slow.voted(frames[0], context, radius, top, 0.2), atol=1e-5)
    np.testing.assert_allclose(found.sum(2), 1, atol=1e-5)


def film(count, step, size=(64, 96), noise=0.05):
    """Features of a ground and of two things that move; every patch of a thing looks alike."""
    rng = np.random.default_rng(0)
    looks = rng.normal(size=(3, 6))
    for number in range(count):
        objects = np.zeros(size, int)
        objects[8:32, 8 + step * number : 32 + step * number] = 2
        objects[40:56, 72 - step * number : 88 - step * number] = 5
        cells = np.searchsorted([0, 2, 5], objects[4::8, 4::8])
        yield looks[cells] + rng.normal(0, noise, (*cells.shape, 6)), objects


def test_things_are_followed_by_their_looks():
    frames = list(film(8, 8))
    follower = Follower(*frames[0])
    for values, objects in frames[1:]:
        found = follower.labels(follower.soft(follower.follow(values)))
        assert (found == objects).mean() > 0.98
        assert set(np.unique(found)) == {0, 2, 5}


def test_what_moves_beyond_the_radius_is_lost():
    frames = list(film(3, 24))
    lost = {}
    for radius in (1, 4):
        follower = Follower(*frames[0], Follow(radius=radius))
        masks = [follower.labels(follower.soft(follower.follow(values))) for values, _ in frames[1:]]
        lost[radius] = region_j(masks[-1] == 2, frames[-1][1] == 2)
    assert lost[1] < 0.3
    assert lost[4] > 0.95


def test_frames_before_are_what_follows_something_that_changes():
    """Its look turns little by little until it is that of nothing in the first frame."""
    rng = np.random.default_rng(1)
    ground, one, other = np.linalg.qr(rng.normal(size=(6, 6)))[0][:3]
    objects = np.zeros((64, 96), int)
    objects[16:48, 32:64] = 1
    cells = objects[4::8, 4::8] > 0
    turned = [np.cos(t) * one + np.sin(t) * other for t in np.linspace(0, np.pi / 2 + 0.4, 12)]
    frames = [np.where(cells[..., None], look, 0.9 * ground + 0.1 * other) for look in turned]
    js = {}
    for before in (0, 3):
        follower = Follower(frames[0], objects, Follow(frames=before, top=3))
        for values in frames[1:]:
            soft = follower.follow(values)
        js[before] = region_j(soft[..., 1] > 0.5, cells)
    assert js[0] < 0.1
    assert js[3] == 1


def test_fine_cells_are_averaged_to_patches():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(8, 12, 4))
    objects = np.zeros((64, 96), int)
    objects[:32, :40] = 1
    coarse = Follower(values, objects)
    fine = Follower(values.repeat(2, 0).repeat(2, 1), objects)
    np.testing.assert_allclose(fine.first[0], coarse.first[0], atol=1e-6)
    assert fine.follow(values.repeat(3, 0).repeat(3, 1)).shape == coarse.follow(values).shape == (8, 12, 2)
    assert coarse.first[1][0, 0].tolist() == [0, 1]
    odd = Follower(rng.normal(size=(13, 17, 4)), np.ones((50, 63), int))
    assert odd.first[0].shape == (6, 8, 4)


def test_a_frame_of_one_patch_and_an_object_that_fills_it():
    follower = Follower(np.ones((1, 1, 3)), np.full((5, 7), 4))
    soft = follower.soft(follower.follow(np.zeros((1, 1, 3))))
    assert soft.shape == (2, 5, 7)
    assert follower.names.tolist() == [0, 4]
