"""Levels side by side."""

from __future__ import annotations

import numpy as np

from hedgerow.config import CallerError
from hedgerow.draw.sheets import GAP, LONGEST, Pixels, checked, contact_sheet, shrunk, with_contours
from hedgerow.partition import sampled


def level_strip(pixels: Pixels, levels: np.ndarray, *, most: int = 5) -> np.ndarray:
    """The photo, then at most `most` of its levels (L, H, W) from coarse to fine, each region in its mean colour."""
    if levels.ndim != 3 or not len(levels):
        raise CallerError(f"levels are of shape (L, H, W) with L of at least 1, got {levels.shape}")
    pixels = checked(pixels, levels.shape[1:])
    chosen = np.unique(np.linspace(0, len(levels) - 1, min(most, len(levels))).round().astype(int))
    photo = shrunk(pixels, (LONGEST - GAP) // (len(chosen) + 1) - GAP)
    ys, xs = sampled(levels.shape[1:], photo.shape)
    panels, captions = [photo], ["photo"]
    for level in chosen:
        labels = np.unique(levels[level][ys[:, None], xs], return_inverse=True)[1].reshape(photo.shape[:2])
        # thin contours: fine levels would be all contour
        panels.append(with_contours(_means(photo, labels)[labels], [labels], [0.8], [1.0]))
        regions = int(levels[level].max()) + 1
        captions.append(f"{regions} regions" if regions > 1 else "1 region")
    return contact_sheet(panels, captions, columns=len(panels))


def _means(photo: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K, 3) the mean colour of each region."""
    pixels = np.bincount(labels.ravel())
    sums = [np.bincount(labels.ravel(), photo[..., channel].ravel()) for channel in range(3)]
    return np.stack(sums, 1) / pixels[:, None]
