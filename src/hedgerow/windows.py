"""A part of a photo that is looked at by itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Window(NamedTuple):
    """A part of a photo; fractions of its height and width."""

    top: float
    left: float
    bottom: float
    right: float

    def of(self, height: int, width: int) -> tuple[slice, slice]:
        """Rows and columns in an array of that size, at least one of each."""
        top, left = int(self.top * height), int(self.left * width)
        bottom, right = max(round(self.bottom * height), top + 1), max(round(self.right * width), left + 1)
        return slice(top, bottom), slice(left, right)

    @property
    def share(self) -> float:
        return (self.bottom - self.top) * (self.right - self.left)

    def cuts(self, labels: np.ndarray, count: int) -> np.ndarray:
        """(count,) bool: which labels of the window's pixels (H, W) touch a side of it that is not the photo's own."""
        touched = np.zeros(count, bool)
        for open_side, line in (
            (self.top > 1e-6, labels[0]),
            (self.left > 1e-6, labels[:, 0]),
            (self.bottom < 1 - 1e-6, labels[-1]),
            (self.right < 1 - 1e-6, labels[:, -1]),
        ):
            if open_side:
                touched[line] = True
        return touched


WHOLE = Window(0, 0, 1, 1)
