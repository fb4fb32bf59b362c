"""Objects in their photo: themselves as they are, a line around each, what is around them pale.

In: pixels (H, W, 3) uint8 RGB and a flat forest, the surest object first. Out: (h, w, 3) uint8 RGB. The line of the
surest is red, that of the next one orange, and so on: what a person looks at first is whether the first is right.
"""

from __future__ import annotations

import numpy as np

from hedgerow.draw.sheets import Pixels, checked, edges_of, line_along, shrunk
from hedgerow.forest import MaskForest
from hedgerow.partition import sampled

PALE = 0.4  # how much of what is around objects is left
WIDTH = 7.0  # of lines in a picture 1000 pixels long: still two pixels on a sheet
LINES = np.array([(214, 39, 40), (255, 127, 14), (44, 160, 44), (31, 119, 180), (148, 103, 189)], np.float32)


def outlined(pixels: Pixels, forest: MaskForest) -> np.ndarray:
    """The photo with its objects; where nothing stands out, all of it pale."""
    photo = shrunk(checked(pixels, forest.size))
    ys, xs = sampled(forest.size, photo.shape)
    shown = np.full(photo.shape, 255, np.float32)
    shown += PALE * (photo - shown)
    masks = [forest.mask(row)[ys[:, None], xs] for row in range(len(forest))]
    for mask in masks:
        shown[mask] = photo[mask]
    unit = max(max(photo.shape[:2]) / 1000, 0.75)
    for row in reversed(range(len(masks))):  # where lines cross, that of the surest is seen
        ink = line_along(edges_of(masks[row]), WIDTH * unit)[..., None]
        shown += ink * (LINES[row % len(LINES)] - shown)
    return np.clip(shown, 0, 255).astype(np.uint8)
