"""Several backbones side by side: what one does not see, another may.

In: RGB pixels (B, H, W, 3) uint8. Out: features (B, h, w, D) float32, those of all parts one behind the other on the
finest of their grids. In each photo, each part is moved to a mean of 0 and brought to a mean square length of 1, so
that none outshouts the others by its units: distances between patches weigh all parts alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

SUPERVISIONS = ("none", "captions", "labels")  # from the least to the most that people gave


class BesideBackbone:
    """See `hedgerow.backbones.Backbone`; it learned from whatever any of its parts learned from."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = tuple(parts)
        self.name = "+".join(part.name for part in parts)
        self.supervision = max((part.supervision for part in parts), key=SUPERVISIONS.index)
        weights = [part.weights_sha256 for part in parts if part.weights_sha256]
        self.weights_sha256 = hashlib.sha256("+".join(weights).encode()).hexdigest() if weights else None

    def features(self, pixels: np.ndarray) -> np.ndarray:
        maps = [_even(part.features(pixels)) for part in self.parts]
        finest = max((one.shape[1:3] for one in maps), key=lambda grid: grid[0] * grid[1])
        return np.concatenate([_at(one, *finest) for one in maps], axis=-1)


def _even(values: np.ndarray) -> np.ndarray:
    """Mean 0 and mean square length 1 over each photo's patches; a part that sees the same everywhere says nothing."""
    values = values - values.mean((1, 2), keepdims=True)
    length = np.sqrt(np.square(values).sum(-1).mean((1, 2)))[:, None, None, None]
    return values / np.maximum(length, 1e-6)


def _at(values: np.ndarray, h: int, w: int) -> np.ndarray:
    """(B, h', w', D) on a grid h x w that spans the same photo, bilinear between the middles of cells."""
    for axis, count in ((1, h), (2, w)):
        have = values.shape[axis]
        if have == count:
            continue
        place = np.clip((np.arange(count) + 0.5) * have / count - 0.5, 0, have - 1)
        low = np.minimum(place.astype(int), max(have - 2, 0))
        share = (place - low).astype(np.float32).reshape([-1 if k == axis else 1 for k in range(4)])
        high = np.minimum(low + 1, have - 1)
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return values
