"""Colour and place, nothing else: the floor that other backbones are measured against. Not meant for segmenting.

In: RGB pixels (B, H, W, 3) uint8. Out: (B, h, w, 8) float32, one vector a cell of 8x8 pixels: mean of L, a and b,
their standard deviations, all in hundredths so that they weigh about as much as the rest, then row and column of the
cell's centre in 0..1. What these tell of a photo, no network has learned.
"""

from __future__ import annotations

import numpy as np

from hedgerow.backbones.fit import fitted, resized
from hedgerow.colour import lab

CELL = 8
DIMS = 8


class ColourBackbone:
    """The backbone that knows nothing of shapes."""

    name = "colour"
    supervision = "none"
    weights_sha256 = None

    def __init__(self, *, size: int | None = None, square: bool = False) -> None:
        self.size, self.square = size, square

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """(B, H, W, 3) uint8 -> (B, h, w, 8) float32."""
        height, width = fitted(pixels.shape[1], pixels.shape[2], CELL, self.size, self.square, most=None)
        h, w = height // CELL, width // CELL
        found = np.zeros((len(pixels), h, w, DIMS), np.float32)
        found[..., 6], found[..., 7] = np.meshgrid((np.arange(h) + 0.5) / h, (np.arange(w) + 0.5) / w, indexing="ij")
        for place, photo in zip(found, pixels, strict=True):
            cells = lab(resized(photo, height, width)).reshape(h, CELL, w, CELL, 3) / 100
            place[..., :3], place[..., 3:6] = cells.mean((1, 3)), cells.std((1, 3))
        return found
