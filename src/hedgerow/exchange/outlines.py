"""Masks and their outlines: run lengths to polygons with holes, and back.

In: a mask as COCO's run lengths, or rings. Out: polygons whose corners are corners of pixels, x from the left and y
from the top; the pixel in row 0 and column 0 is the square from (0, 0) to (1, 1). An outline is exact: a pixel belongs
to the mask if its middle lies inside, and `painted` gives the same run lengths again. With a tolerance it is simplified
(Douglas and Peucker 1973), and no corner that goes was further than that from the line that stays.

An outline is followed along the sides of pixels with the mask on its right. Where two pixels of a mask touch at a
corner alone it stays with its own, so pieces are connected by sides, holes by corners as well; a ring that comes by one
corner twice is then cut there. So no ring meets itself, as GeoJSON and others ask; two may touch in single corners.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from hedgerow import rle
from hedgerow.config import CallerError
from hedgerow.native import library

MOST_CROSSINGS = 2**27  # of an outline with columns of pixels; a polygon with more is no outline of a thing


@dataclass(frozen=True, eq=False)
class Polygon:
    """One connected piece of a mask.

    outer  (K, 2) x and y of the corners; the last joins the first; on a screen it runs clockwise
    holes  likewise, counterclockwise
    """

    outer: np.ndarray
    holes: tuple[np.ndarray, ...] = ()

    @property
    def rings(self) -> tuple[np.ndarray, ...]:
        return (self.outer, *self.holes)


def polygons(counts: bytes, size: tuple[int, int], tolerance: float = 0.0) -> list[Polygon]:
    """The pieces of a mask of this (H, W), from left to right; corners are simplified within `tolerance` pixels.

    A piece that would vanish stays as it is, a hole that would is filled.
    """
    window, top, left = _window(counts, size)
    if not window.size:
        return []
    outers: dict[int, np.ndarray] = {}
    holes: dict[int, list[np.ndarray]] = {}
    for piece, found in _rings(window):
        ring = found + np.array([left, top])
        if signed_area(ring) > 0:
            outers[piece] = simplified(ring, tolerance)
        elif len(hole := simplified(ring, tolerance, vanish=True)):
            holes.setdefault(piece, []).append(hole)
    return [Polygon(outer, tuple(holes.get(piece, ()))) for piece, outer in outers.items()]


def painted(rings: Iterable[np.ndarray], size: tuple[int, int]) -> bytes | None:
    """The run lengths of what lies inside of an odd number of rings, as far as a photo of this size goes; None if no
    pixel's middle does."""
    height, width = size
    if not (corners := [np.asarray(ring, np.float64) for ring in rings if len(ring)]):
        return None
    a, b = np.concatenate(corners), np.concatenate([np.roll(ring, -1, axis=0) for ring in corners])
    back = (a[:, 0] > b[:, 0]) | ((a[:, 0] == b[:, 0]) & (a[:, 1] > b[:, 1]))
    # from left to right, whichever way it runs: a side that is gone along twice crosses at the same places, to the bit
    a, b = np.where(back[:, None], b, a), np.where(back[:, None], a, b)
    first, last = (np.clip(np.ceil(end[:, 0] - 0.5), 0, width).astype(np.int64) for end in (a, b))
    crossed = last - first
    total = int(crossed.sum())
    if total > MOST_CROSSINGS:
        raise CallerError(f"an outline crosses {total} columns of pixels; at most {MOST_CROSSINGS} are read")
    edge = np.repeat(np.arange(len(a)), crossed)
    column = first[edge] + np.arange(total) - np.repeat(crossed.cumsum() - crossed, crossed)
    along = (column + 0.5 - a[edge, 0]) / (b[edge, 0] - a[edge, 0])
    y = a[edge, 1] + along * (b[edge, 1] - a[edge, 1])
    # what ends below the photo ends where the next column begins: run lengths go on from column to column
    turns, times = np.unique(
        column * height + np.clip(np.ceil(y - 0.5), 0, height).astype(np.int64), return_counts=True
    )
    turns = turns[(times % 2 == 1) & (turns < height * width)]
    return rle.compressed(np.diff(turns, prepend=0, append=height * width), size) if len(turns) else None


def joined(rings: Sequence[np.ndarray]) -> np.ndarray:
    """(K, 2) rings as a single one, for formats that know neither holes nor pieces.

    Bridges are gone along twice, there and back, so they have no width and hold no pixel.
    """
    path = rings[0]
    for ring in rings[1:]:
        distance, nearest = cKDTree(path).query(ring)
        there = int(distance.argmin())
        here = int(nearest[there])
        path = np.concatenate([path[: here + 1], ring[there:], ring[: there + 1], path[here:]])
    return path


def simplified(ring: np.ndarray, tolerance: float, *, vanish: bool = False) -> np.ndarray:
    """A ring with fewer corners, none farther from it than `tolerance` pixels.

    One of which nothing would be left stays as it is, or is empty with `vanish`.
    """
    if tolerance <= 0:
        return ring
    ring = np.ascontiguousarray(ring, np.float64)
    kept = np.zeros(len(ring), np.uint8)
    kept[[0, int(np.square(ring - ring[0]).sum(1).argmax())]] = 1
    library().hedgerow_simplify(len(ring), ring, tolerance, kept, np.empty(2 * len(ring) + 4, np.int32))
    fewer = ring[kept > 0]
    if len(fewer) > 2 and signed_area(fewer) * signed_area(ring) > 0:
        return fewer
    return fewer[:0] if vanish else ring


def signed_area(ring: np.ndarray) -> float:
    """In pixels; above 0 where the ring runs clockwise on a screen, whose y goes down."""
    x, y = ring.T
    return float(x[:-1] @ y[1:] - x[1:] @ y[:-1] + x[-1] * y[0] - x[0] * y[-1]) / 2


# ---------------------------------------------------------------------- following


def _window(counts: bytes, size: tuple[int, int]) -> tuple[np.ndarray, int, int]:
    """The mask inside of its own box, and the box's top and left; empty where the mask is."""
    runs = rle.lengths(counts)
    ends = runs.cumsum()
    starts, ends = ends[0::2][: len(runs) // 2], ends[1::2]
    starts, ends = starts[ends > starts], ends[ends > starts]
    if not len(starts):
        return np.zeros((0, 0), bool), 0, 0
    left, right = int(starts[0]) // size[0], int(ends[-1] - 1) // size[0] + 1
    band = rle.band(runs, size[0], left, right)
    rows = np.flatnonzero(band.any(1))
    return band[rows[0] : rows[-1] + 1], int(rows[0]), left


def _rings(mask: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Rings, each with the number of its piece; corners where nothing turns are left out."""
    mask = np.ascontiguousarray(mask, np.uint8)
    padded = np.pad(mask, 1)
    room = int(sum(np.count_nonzero(np.diff(padded, axis=axis)) for axis in (0, 1)))  # sides, each a corner at most
    corners, ends, pieces = np.empty((room, 2), np.int32), np.empty(room, np.int32), np.empty(room, np.int32)
    count = library().hedgerow_rings(*mask.shape, mask, room, corners, ends, pieces)
    if count < 0:
        raise MemoryError("no memory for the outlines of a mask")
    starts = np.append(0, ends[:count])
    for piece, start, end in zip(pieces[:count].tolist(), starts, ends[:count], strict=False):
        yield piece, corners[start:end].astype(np.float64)
