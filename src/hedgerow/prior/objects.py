"""Masks into a prior: a flat forest of objects that share no pixel, without crumbs.

In: masks, the surest first, and their scores. Out: a `MaskForest` of roots in that order; it may be empty.

MaskContrast leaves out blobs of less than 1 % of the photo (its README fills contours; connected components, neighbours
touching at a corner too, come to the same). It has one object a photo; here are several, and a pixel that two of them
hold belongs to the surer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import ndimage

from hedgerow.forest import MaskForest, encode

CORNERS = np.ones((3, 3), bool)  # of a pixel's eight neighbours all are


def objects(
    size: tuple[int, int], masks: Iterable[np.ndarray], score: Sequence[float], source: str, least: float
) -> MaskForest:
    """What is left of each mask (H, W) bool when surer ones and pieces below `least` of the photo are taken away."""
    taken = np.zeros(size, bool)
    texts, scores = [], []
    for mask, worth in zip(masks, score, strict=True):
        left = _without_crumbs(mask & ~taken, least * taken.size)
        if left.any():
            taken |= left
            texts.append(encode(left))
            scores.append(worth)
    return MaskForest(size, tuple(texts), score=np.array(scores, np.float32), source=(source,) * len(texts))


def union(forest: MaskForest) -> np.ndarray:
    """(H, W) bool: where any object is."""
    held = np.zeros(forest.size, bool)
    for row in range(len(forest)):
        held |= forest.mask(row)
    return held


def connected(mask: np.ndarray) -> list[np.ndarray]:
    """The connected parts of a mask, the largest first."""
    places, count = ndimage.label(mask, CORNERS)
    areas = np.bincount(places.ravel(), minlength=count + 1)[1:]
    return [places == 1 + place for place in np.argsort(-areas, kind="stable")]


def _without_crumbs(mask: np.ndarray, least: float) -> np.ndarray:
    places, _ = ndimage.label(mask, CORNERS)
    large = np.bincount(places.ravel()) >= least
    large[0] = False
    return large[places]
