"""Zooming in: small things are looked at again, enlarged (SOHES's "local re-clustering").

In: small regions of a photo. Out: windows around them, and which regions found inside a window may count.

The paper's sizes are not known: a square of three times the region's longer side, between an eighth and a third of the
photo's shorter side, is our guess; 256 pixels are those of UnSAM's local passes.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from hedgerow.config import Zoom
from hedgerow.explore.grain import Grain
from hedgerow.windows import Window


def windows(boxes: np.ndarray, areas: np.ndarray, size: tuple[int, int], config: Zoom) -> list[Window]:
    """Where to look again: around the first of these regions (boxes (N, 4) [x, y, w, h], best first) that are small."""
    height, width = size
    chosen: list[Window] = []
    short = min(height, width)
    for x, y, w, h in boxes[areas < config.small * height * width]:
        if len(chosen) == config.windows:
            break
        side = float(np.clip(config.context * max(w, h), short / 8, short / 3))
        top = float(np.clip(y + h / 2 - side / 2, 0, height - side))
        left = float(np.clip(x + w / 2 - side / 2, 0, width - side))
        window = Window(top / height, left / width, (top + side) / height, (left + side) / width)
        if all(_iou(window, other) <= config.apart for other in chosen):
            chosen.append(window)
    return chosen


def crop(pixels: np.ndarray, window: Window, side: int) -> np.ndarray:
    """(side, side, 3): the window, enlarged, or reduced where the photo is huge."""
    rows, columns = window.of(*pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels[rows, columns]).resize((side, side), Image.Resampling.BICUBIC))


def whole_inside(grains: Grain, sets: np.ndarray, window: Window, config: Zoom) -> np.ndarray:
    """(N,) bool: which regions are small and end inside the window, or where the photo ends."""
    cut = window.cuts(grains.labels, len(grains.areas))
    share = (sets @ grains.areas) / grains.labels.size * window.share
    return ~(sets & cut).any(1) & (share < config.small)


def _iou(a: Window, b: Window) -> float:
    tall = max(0.0, min(a.bottom, b.bottom) - max(a.top, b.top))
    common = tall * max(0.0, min(a.right, b.right) - max(a.left, b.left))
    return common / (a.share + b.share - common)
