"""The outlines that a forest's regions vote for, drawn: what the outliner learns from.

In: a forest. Out: a small square map, 0 where nothing ends, 255 where the photo is parted first.

Regions are noisy one by one and overlap; what they agree on is an ultrametric contour map (`hedgerow.partition`), and
this is the mean of a few levels of it, coarse to fine. An outline that only the finest levels have is faint.
"""

from __future__ import annotations

import numpy as np

from hedgerow.forest import MaskForest
from hedgerow.partition import arrangement_at, levels_of

LEVELS = 10


def drawn(forest: MaskForest, side: int) -> np.ndarray:
    """(side, side) uint8; the photo is squashed to a square."""
    pieces, inside, rows = arrangement_at(forest.size, forest.rles, (side, side))
    strength = np.zeros((side, side), np.float32)
    for level in levels_of(pieces, inside, forest.score[rows], LEVELS):
        ends = np.zeros((side, side), bool)
        for axis in range(2):
            here, there = (np.s_[1:], np.s_[:-1]) if axis == 0 else (np.s_[:, 1:], np.s_[:, :-1])
            apart = level[here] != level[there]
            ends[here] |= apart  # on both sides: an outline is two pixels wide, and does not slip through a view
            ends[there] |= apart
        strength += ends
    return (255 / LEVELS * strength).astype(np.uint8)
