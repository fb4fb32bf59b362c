"""Refining masks of coarse cells: against a slow twin, on made shapes, and where there is nothing to refine."""

import sys
import weakref
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco
from scipy import ndimage

from hedgerow.explore.refine import refine, refine_labels
from hedgerow.native import library
from references import refine as slow


def decoded(texts, pixels):
    return [coco.decode({"size": list(pixels.shape[:2]), "counts": text}).astype(bool) for text in texts]


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def shapes(height=240, width=320):
    """A disc, a ring and a star on a ground, as labels; none of their edges lies on a cell's."""
    y, x = np.mgrid[:height, :width]
    labels = np.zeros((height, width), np.int32)
    labels[np.hypot(y - 70.3, x - 83.1) < 45.7] = 1
    labels[np.abs(np.hypot(y - 158, x - 237) - 47) < 18.3] = 2
    angle = np.arctan2(y - 160, x - 90)
    labels[np.hypot(y - 160, x - 90) < 38 + 12 * np.cos(5 * angle)] = 3
    return labels


def photo(labels, noise=12, seed=0):
    rng = np.random.default_rng(seed)
    colours = np.array([(90, 110, 70), (170, 80, 60), (80, 90, 160), (200, 190, 120)])
    return np.clip(colours[labels] + rng.normal(0, noise, (*labels.shape, 3)), 0, 255).astype(np.uint8)


def coverage(mask, cell):
    """Share of each cell that is inside."""
    h, w = mask.shape[0] // cell, mask.shape[1] // cell
    return mask[: h * cell, : w * cell].reshape(h, cell, w, cell).mean((1, 3)).astype(np.float32)


def enlarged(cells, cell):
    return np.kron(cells, np.ones((cell, cell), bool))


# ---------------------------------------------------------------------- against the slow twin


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_equals_the_slow_twin(seed):
    rng = np.random.default_rng(seed)
    height, width, h, w = (int(rng.integers(low, high)) for low, high in ((1, 30), (1, 30), (1, 8), (1, 8)))
    soft = ndimage.gaussian_filter(rng.normal(size=(height, width, 3)), (2, 2, 0), mode="wrap")
    pixels = np.clip(128 + 300 * soft, 0, 255).astype(np.uint8)
    share = ndimage.gaussian_filter(rng.uniform(size=(h, w)), 0.7).astype(np.float32)
    share = np.float32(share > 0.5) if seed % 2 else share
    inside, before = slow.refine(pixels, share)
    clear = np.abs(inside - 0.5) > 1e-3  # single against double precision
    now = inside >= 0.5
    (text,), (kept,) = refine(pixels, [share])
    assert (decoded([text], pixels)[0] == now)[clear].all()
    either = (now | before).sum()
    if clear.all():
        assert kept == bool(either and (now & before).sum() >= max(0.5 * either, 1))


@pytest.mark.parametrize("length", [1, 2, 3, 17])
def test_two_sweeps_solve_a_line(length):
    rng = np.random.default_rng(length)
    bonds = rng.exponential(5, (4, length)).astype(np.float32)
    ahead, back = np.empty_like(bonds), np.empty_like(bonds)
    library().hedgerow_pull(4, length, bonds, ahead, back)
    for line in range(4):
        values = rng.normal(size=length)
        solved = values.copy()
        slow.settle(solved, np.ones(length, bool), ahead[line], back[line])
        np.testing.assert_allclose(solved, slow.inverse(bonds[line]) @ values, atol=1e-4)


# ---------------------------------------------------------------------- made shapes


@pytest.mark.parametrize("cell", [8, 16])
def test_cells_become_shapes(cell):
    labels = shapes()
    pixels = photo(labels)
    truth = [labels == value for value in (1, 2, 3)]
    cells = np.stack([coverage(mask, cell) >= 0.5 for mask in truth])
    texts, kept = refine(pixels, cells)
    assert kept.all()
    for mask, found, start in zip(truth, decoded(texts, pixels), cells, strict=True):
        assert iou(found, mask) > 0.95
        assert iou(found, mask) > iou(enlarged(start, cell), mask) + 0.02


def test_soft_masks_at_a_quarter():
    labels = shapes()
    masks = np.stack([ndimage.gaussian_filter(coverage(labels == value, 4), 1.5) for value in (1, 2, 3)])
    for value, found in enumerate(decoded(refine(photo(labels), masks)[0], labels[..., None]), 1):
        assert iou(found, labels == value) > 0.95


def test_partition():
    labels = shapes()
    shares = np.stack([coverage(labels == value, 16) for value in range(4)])
    cells = np.array([7, -1, 300, 12])[shares.argmax(0)]
    found = refine_labels(photo(labels), cells)
    assert found.shape == labels.shape
    for value, name in enumerate((7, -1, 300, 12)):
        assert iou(found == name, labels == value) > 0.95


def test_a_flat_photo_changes_little():
    """Without edges and colours to go by, masks stay where the cells are; they do not shrink."""
    cells = [coverage(shapes() == value, 16) >= 0.5 for value in (1, 2, 3)]
    pixels = np.full((240, 320, 3), 128, np.uint8)
    for start, found in zip(cells, decoded(refine(pixels, cells)[0], pixels), strict=True):
        assert iou(found, enlarged(start, 16)) > 0.9


def test_the_far_side_of_a_mask_is_left_alone():
    """More than two cells from its border nothing is touched, whatever the colours say."""
    cells = np.zeros((15, 20), bool)
    cells[3:12, 4:16] = True
    pixels = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    (found,) = decoded(refine(pixels, [cells])[0], pixels)
    assert found[5 * 16 : 10 * 16, 6 * 16 : 14 * 16].all()
    assert not found[:16].any()
    assert not found[:, 18 * 16 :].any()


# ---------------------------------------------------------------------- what stays


def test_a_region_of_which_little_is_left_goes():
    """One cell of a ground that goes on all around it; the half of the photo with that ground stays."""
    labels = np.zeros((96, 96), np.int32)
    labels[:, 49:] = 1
    cells = np.zeros((2, 6, 6), bool)
    cells[0, 2, 1] = True
    cells[1, :, :3] = True
    texts, kept = refine(photo(labels), cells)
    speck, half = decoded(texts, labels[..., None])
    assert not speck.any()
    assert iou(half, labels == 0) > 0.99
    assert kept.tolist() == [False, True]


def test_keep_iou_is_a_threshold():
    labels = shapes()
    cells = [coverage(labels == value, 16) >= 0.5 for value in (1, 2, 3)]
    assert not refine(photo(labels), cells, keep_iou=1.0)[1].any()
    assert refine(photo(labels), cells, keep_iou=0.0)[1].all()


@pytest.mark.parametrize("seed", range(8))
def test_a_part_of_a_larger_photo(seed):
    """Refined in a window that shows it reduced: the same mask, its pixels repeated, where the window lies."""
    rng = np.random.default_rng(seed)
    pixels = photo(shapes(60, 80), seed=seed)
    cells = ndimage.gaussian_filter(rng.uniform(size=(12, 16)), 1) > 0.5
    (alone,), _ = refine(pixels, [cells])
    top, left, down, across = (int(number) for number in rng.integers(0, 9, 4))
    place = slice(top, top + 60 + 20 * down), slice(left, left + 80 + 7 * across)
    size = place[0].stop + 3 * (seed % 3), place[1].stop + 5 * (seed % 2)
    (text,), _ = refine(pixels, [cells], size=size, place=place)
    expected = np.zeros(size, bool)
    rows, columns = (
        np.arange(60 + 20 * down) * 60 // (60 + 20 * down),
        np.arange(80 + 7 * across) * 80 // (80 + 7 * across),
    )
    expected[place] = decoded([alone], pixels)[0][np.ix_(rows, columns)]
    assert np.array_equal(coco.decode({"size": list(size), "counts": text}).astype(bool), expected)


# ---------------------------------------------------------------------- the same every time, a mask at a time


def test_same_every_time_and_in_any_company():
    labels = shapes()
    pixels, masks = photo(labels), np.stack([coverage(labels == value, 8) for value in (1, 2, 3)])
    texts, kept = refine(pixels, masks)
    assert texts == refine(pixels, masks)[0]
    assert texts == refine(pixels, (mask for mask in masks))[0]
    assert texts == tuple(refine(pixels, [mask])[0][0] for mask in masks)
    assert texts == refine(np.asfortranarray(pixels), masks.astype(np.float64))[0]
    assert kept.dtype == bool
    assert np.array_equal(refine_labels(pixels, masks.argmax(0)), refine_labels(pixels, masks.argmax(0)))


def test_masks_are_not_gathered():
    given = []

    def masks():
        for _ in range(20):
            mask = np.zeros((6, 8), np.float32)
            mask[2:4, 2:5] = 1
            given.append(weakref.ref(mask))
            assert sum(one() is not None for one in given) <= 2
            yield mask

    assert len(refine(np.zeros((48, 64, 3), np.uint8), masks())[0]) == 20


# ---------------------------------------------------------------------- where there is little


def test_nothing_to_refine():
    pixels = photo(shapes(48, 64))
    texts, kept = refine(pixels, np.zeros((0, 6, 8), bool))
    assert texts == ()
    assert kept.shape == (0,)
    texts, kept = refine(pixels, np.stack([np.zeros((6, 8)), np.ones((6, 8))]))
    nothing, everything = decoded(texts, pixels)
    assert not nothing.any()
    assert everything.all()
    assert kept.tolist() == [False, True]
    assert (refine_labels(pixels, np.full((6, 8), 5)) == 5).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (101, 67)])
@pytest.mark.parametrize("cells", [(1, 1), (1, 4), (5, 1), (7, 5), (64, 64)])
def test_odd_sizes(size, cells):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    masks = rng.uniform(size=(3, *cells)) < 0.5
    texts, kept = refine(pixels, masks)
    assert [mask.shape for mask in decoded(texts, pixels)] == [size] * 3
    assert kept.shape == (3,)
    labels = rng.integers(0, 3, cells)
    assert set(np.unique(refine_labels(pixels, labels))) <= set(np.unique(labels))


def test_mistakes_are_told():
    pixels = np.zeros((48, 64, 3), np.uint8)
    with pytest.raises(ValueError, match=r"photo is \(H, W, 3\) uint8"):
        refine(pixels[..., 0], [np.zeros((6, 8))])
    with pytest.raises(ValueError, match=r"photo is \(H, W, 3\) uint8"):
        refine_labels(pixels / 255, np.zeros((6, 8), int))
    with pytest.raises(ValueError, match="one size"):
        refine(pixels, [np.zeros((6, 8)), np.zeros((6, 9))])
    with pytest.raises(ValueError, match="one size"):
        refine(pixels, np.zeros((6, 8)))
    with pytest.raises(ValueError, match="sigmoid"):
        refine(pixels, [np.full((6, 8), -3.0)])
    with pytest.raises(ValueError, match="sigmoid"):
        refine(pixels, [np.full((6, 8), np.nan)])
    with pytest.raises(ValueError, match="whole numbers"):
        refine_labels(pixels, np.zeros((6, 8)))


# ---------------------------------------------------------------------- the peer of the benchmark


def test_the_benchmarks_dense_crf_sums_over_all_pairs(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent.parent / "benchmarks"), *sys.path])
    import dense_crf as peer

    labels = shapes()[20:140:5, 30:150:5] > 0
    pixels = photo(labels.astype(int), noise=3)
    cells = np.repeat(np.repeat(labels[::6, ::6], 6, 0), 6, 1)
    shares = np.stack([~cells, cells], -1).reshape(-1, 2).astype(np.float32)
    start, kernels = np.log(peer.softmax(shares)), peer.kernels_of(pixels)
    exact = slow.dense_crf(start, kernels, 3)
    found = peer.mean_field(start, [(peer.Gaussian(features), weight) for features, weight in kernels], 3)
    assert (found.argmax(1) == exact.argmax(1)).mean() > 0.97
    assert np.abs(found - exact).mean() < 0.05
    assert np.array_equal(
        peer.dense_crf(pixels, shares.reshape(*labels.shape, 2), 3), found.argmax(1).reshape(labels.shape)
    )
