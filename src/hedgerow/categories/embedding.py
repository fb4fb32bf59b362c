"""What a segment looks like as one vector, and which regions of a forest are its photo's segments.

In: a forest, and features of its photo's patches. Out: a unit vector a region; the rows of the few that stand for the
photo.

MaskContrast (Van Gansbeke et al. 2021, section 3.3) has one vector a photo: the direction of the sum of its salient
pixels' unit vectors. So are ours, but of any region, many a photo, and from patches, each by the share of it that the
region holds: sums over pixels whose features are resized from patches say the same and take a thousand times as long.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from hedgerow.backbones import Backbone, FeatureMap, feature_map
from hedgerow.forest import MaskForest
from hedgerow.partition import arrangement_at

PLACES = 4  # points a side of a patch at which regions are looked up
SEEN = 640 * 640  # pixels of a photo that a backbone looks at, as many as exploring takes
SPECK, WHOLE = (
    0.01,
    0.5,
)  # shares of the photo: smaller regions fill few patches, larger ones are a ground with all on it
SHARED = 0.1  # of the smaller of two segments may lie in the other
LOOKED_AT = 300  # best regions that segments are chosen from


def look(backbone: Backbone, pixels: np.ndarray) -> FeatureMap:
    """Features of a photo (H, W, 3) uint8 of any size."""
    height, width = pixels.shape[:2]
    if (scale := np.sqrt(SEEN / (height * width))) < 1:
        size = max(1, int(width * scale)), max(1, int(height * scale))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
    return feature_map(backbone, pixels)


def embed(forest: MaskForest, features: FeatureMap) -> MaskForest:
    """The forest with a unit vector a region: the direction of the sum of its patches' unit vectors, each patch by the
    share of it that the region holds. A region that is nowhere, because its patches cancel out, has zeros."""
    h, w, dim = features.values.shape
    unit = unit_rows(features.values.reshape(h * w, dim))
    pieces, holds, kept = arrangement_at(forest.size, forest.rles, (h * PLACES, w * PLACES))
    patch = np.arange(h * w).reshape(h, w).repeat(PLACES, 0).repeat(PLACES, 1)
    share = np.zeros((holds.shape[1], h * w), np.float32)  # of each piece in each patch, in points
    np.add.at(share, (pieces.ravel(), patch.ravel()), 1.0)
    sums = np.zeros((len(forest), dim), np.float32)
    sums[kept] = holds.astype(np.float32) @ (share @ unit)
    for row in np.setdiff1d(np.arange(len(forest)), kept):  # it slips through between the points
        x, y, width, height = forest.boxes[row]
        down, across = (y + height / 2) / forest.size[0], (x + width / 2) / forest.size[1]
        sums[row] = unit[min(int(down * h), h - 1) * w + min(int(across * w), w - 1)]
    return replace(forest, embedding=unit_rows(sums))


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; a row of zeros stays one."""
    rows = np.asarray(rows, np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def foremost(forest: MaskForest, most: int) -> np.ndarray:
    """Rows of the photo's segments: the best-scored regions of which no two overlap, `most` of them, best first.

    Where none is of a size to be one, as in a photo in which nothing stands out, the best region stands for it.
    """
    order = np.argsort(-forest.score, kind="stable")
    share = forest.areas[order] / (forest.size[0] * forest.size[1])
    fit = order[(share >= SPECK) & (share <= WHOLE)][:LOOKED_AT]
    if not len(fit):
        return order[:1]
    rows = np.sort(fit)  # `select` keeps that order
    inside = forest.select(rows).cover()
    apart = np.maximum(inside, inside.T) <= SHARED
    taken: list[int] = []
    for place in np.searchsorted(rows, fit):
        if apart[place, taken].all():
            taken.append(int(place))
            if len(taken) == most:
                break
    return rows[taken]
