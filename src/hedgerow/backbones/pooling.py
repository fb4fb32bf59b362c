"""What a region looks like as one vector: features of a photo's patches, pooled by its forest.

In: a photo, and its forest. Out: features of the photo's patches, at a bounded size; a unit vector a region.

MaskContrast (Van Gansbeke et al. 2021, section 3.3) has one vector a photo: the direction of the sum of its salient
pixels' unit vectors. So are ours, but of any region, many a photo, and from patches, each by the share of it that the
region holds: sums over pixels whose features are resized from patches say the same and take a thousand times as long.
Categories and names stand on the same vectors.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from hedgerow.backbones import Backbone, FeatureMap, feature_map
from hedgerow.backbones.fit import MOST_PATCHES
from hedgerow.forest import MaskForest
from hedgerow.partition import arrangement_at

PLACES = 4  # points a side of a patch at which regions are looked up
SEEN = 640 * 640  # pixels of a photo that a backbone looks at, as many as exploring takes


def look(backbone: Backbone, pixels: np.ndarray) -> FeatureMap:
    """Features of a photo (H, W, 3) uint8 of any size."""
    return feature_map(backbone, bounded(pixels))


def bounded(pixels: np.ndarray) -> np.ndarray:
    """A photo (H, W, 3) uint8 of at most SEEN pixels."""
    height, width = pixels.shape[:2]
    if (scale := np.sqrt(SEEN / (height * width))) >= 1:
        return pixels
    size = max(1, int(width * scale)), max(1, int(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def fitting_size(pixels: np.ndarray, patch: int, size: int) -> int:
    """Of a photo's shorter side: `size`, or less where the photo is so long that its patches would be too many."""
    short, long = sorted(pixels.shape[:2])
    return max(1, min(size, int(patch * np.sqrt(MOST_PATCHES * short / long)) - patch))


def embed(forest: MaskForest, features: FeatureMap) -> MaskForest:
    """The forest with a unit vector a region: the direction of the sum of its patches' unit vectors, each patch by the
    share of it that the region holds. A region that is nowhere, because its patches cancel out, has zeros."""
    h, w, dim = features.values.shape
    unit = unit_rows(features.values.reshape(h * w, dim))
    pieces, holds, kept = arrangement_at(forest.size, forest.rles, (h * PLACES, w * PLACES))
    sums = np.zeros((len(forest), dim), np.float32)
    sums[kept] = holds.astype(np.float32) @ (_points(pieces, holds.shape[1], h, w) @ unit)
    for row in np.setdiff1d(np.arange(len(forest)), kept):  # it slips through between the points
        sums[row] = unit[_middle(forest, row, h, w)]
    return replace(forest, embedding=unit_rows(sums))


def shares(forest: MaskForest, h: int, w: int) -> np.ndarray:
    """(N, h * w) float32: the share of each patch that each region holds; none is all zeros."""
    pieces, holds, kept = arrangement_at(forest.size, forest.rles, (h * PLACES, w * PLACES))
    found = np.zeros((len(forest), h * w), np.float32)
    found[kept] = holds.astype(np.float32) @ _points(pieces, holds.shape[1], h, w) / PLACES**2
    for row in np.setdiff1d(np.arange(len(forest)), kept):
        found[row, _middle(forest, row, h, w)] = 1 / PLACES**2  # less than a point counts as one
    return found


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; a row of zeros stays one."""
    rows = np.asarray(rows, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _points(pieces: np.ndarray, count: int, h: int, w: int) -> np.ndarray:
    """(C, h * w) of each piece of an arrangement in each patch, in points."""
    patch = np.arange(h * w).reshape(h, w).repeat(PLACES, 0).repeat(PLACES, 1)
    points = np.zeros((count, h * w), np.float32)
    np.add.at(points, (pieces.ravel(), patch.ravel()), 1.0)
    return points


def _middle(forest: MaskForest, row: int, h: int, w: int) -> int:
    """The patch in which the middle of a region's box lies."""
    x, y, width, height = forest.boxes[row]
    down, across = (y + height / 2) / forest.size[0], (x + width / 2) / forest.size[1]
    return min(int(down * h), h - 1) * w + min(int(across * w), w - 1)
