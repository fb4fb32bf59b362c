"""Masks as polygons and back: against walking around them by hand, and what always holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hedgerow.config import CallerError
from hedgerow.exchange.outlines import joined, painted, polygons, signed_area, simplified
from hedgerow.forest import encode
from references import outlines as slow

small_masks = arrays(bool, st.tuples(st.integers(1, 8), st.integers(1, 8)))


def rings_of(mask, tolerance=0.0):
    return [ring for piece in polygons(encode(mask), mask.shape, tolerance) for ring in piece.rings]


def turned(ring):
    """A ring from its least corner on: where it starts says nothing."""
    corners = [tuple(map(float, corner)) for corner in ring]
    first = corners.index(min(corners))
    return tuple(corners[first:] + corners[:first])


@settings(max_examples=200, deadline=None)
@given(small_masks)
def test_rings_are_those_of_walking(mask):
    assert sorted(turned(ring) for ring in rings_of(mask)) == sorted(turned(ring) for ring in slow.rings(mask.tolist()))


@settings(max_examples=200, deadline=None)
@given(small_masks)
def test_an_outline_is_the_mask(mask):
    rings = rings_of(mask)
    if not mask.any():
        assert rings == []
        assert painted(rings, mask.shape) is None
        return
    assert painted(rings, mask.shape) == encode(mask)
    assert painted([joined(rings)], mask.shape) == encode(mask)  # bridges hold no pixel
    for ring in rings:
        assert len({tuple(corner) for corner in ring}) == len(ring), "a ring meets itself"


@settings(max_examples=100, deadline=None)
@given(small_masks)
def test_holes_lie_in_their_pieces(mask):
    pieces = polygons(encode(mask), mask.shape)
    assert sum(sum(map(signed_area, piece.rings)) for piece in pieces) == mask.sum()
    for piece in pieces:
        assert signed_area(piece.outer) > 0
        for hole in piece.holes:
            assert signed_area(hole) < 0
            x, y = hole.min(0) + 0.5
            assert slow.is_inside([piece.outer.tolist()], x, y)


@settings(max_examples=100, deadline=None)
@given(st.lists(arrays(np.float64, (5, 2), elements=st.floats(-3, 11, width=16)), min_size=1, max_size=3))
def test_painting_is_looking_at_every_middle(rings):
    size = (7, 9)
    aside = np.sqrt([2, 3]) / 10  # so that no middle lies on a line, or is near one
    rings = [ring + aside for ring in rings]
    expected = np.zeros(size, bool)
    for y, x in np.ndindex(*size):
        expected[y, x] = slow.is_inside([ring.tolist() for ring in rings], x + 0.5, y + 0.5)
    assert painted(rings, size) == (encode(expected) if expected.any() else None)


def test_a_ring_with_a_hole_that_touches_its_rim_at_a_corner():
    mask = np.ones((4, 4), bool)
    mask[1, 1] = mask[0, 0] = False  # they touch at (1, 1): the hole stays a hole
    (piece,) = polygons(encode(mask), mask.shape)
    assert len(piece.holes) == 1
    assert signed_area(piece.holes[0]) == -1
    two = polygons(encode(np.eye(2, dtype=bool)), (2, 2))
    assert [signed_area(piece.outer) for piece in two] == [1, 1]


@pytest.mark.parametrize("tolerance", [0.5, 1.0, 2.5])
def test_corners_that_go_were_within_the_tolerance(tolerance):
    ys, xs = np.mgrid[:80, :90]
    disc = np.hypot(ys - 40, xs - 45) < 30 + 3 * np.sin(np.arctan2(ys - 40, xs - 45) * 5)
    (exact,), (rough,) = rings_of(disc), rings_of(disc, tolerance)
    assert len(rough) < len(exact) * (0.9 if tolerance < 1 else 0.5)
    for corner in exact:
        lines = zip(rough, np.roll(rough, -1, axis=0), strict=True)
        assert min(distance(corner, *line) for line in lines) <= tolerance + 1e-9
    mask = encode(disc)
    again = painted([rough], disc.shape)
    assert abs(area(again, disc.shape) - area(mask, disc.shape)) < tolerance * len(exact)


def distance(point, start, end):
    line = end - start
    along = np.clip((point - start) @ line / (line @ line), 0, 1)
    return np.hypot(*(point - start - along * line))


def area(counts, size):
    from pycocotools import mask as coco

    return int(coco.area({"size": list(size), "counts": counts}))


def test_a_piece_never_vanishes_and_a_hole_may():
    mask = np.ones((9, 9), bool)
    mask[4, 4] = False
    (piece,) = polygons(encode(mask), mask.shape, tolerance=3.0)
    assert piece.holes == ()
    dot = np.zeros((9, 9), bool)
    dot[4, 4] = True
    assert painted(rings_of(dot, tolerance=3.0), dot.shape) == encode(dot)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    assert simplified(square, 0.0) is square
    assert len(simplified(square, 5.0, vanish=True)) == 0


def test_what_lies_outside_of_the_photo_is_cut_off():
    far = np.array([[-5, -5], [50, -5], [50, 50], [-5, 50.0]])
    assert painted([far], (3, 4)) == encode(np.ones((3, 4), bool))
    assert painted([far + 100], (3, 4)) is None
    assert painted([], (3, 4)) is None


def test_an_endless_outline_is_refused():
    zigzag = np.array([[0, 0], [2**20, 1]] * 200, np.float64)
    with pytest.raises(CallerError, match="columns of pixels"):
        painted([zigzag], (2, 2**20))
