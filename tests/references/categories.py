"""Slow twins of `hedgerow.categories`: the same said with loops and dense masks."""

import numpy as np

PLACES = 4


def embedding(mask: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The direction of the sum of unit vectors at points, PLACES a side of a patch, that a dense mask holds."""
    h, w, dims = values.shape
    height, width = mask.shape
    total = np.zeros(dims)
    for i in range(h * PLACES):
        for j in range(w * PLACES):
            y, x = int((i + 0.5) * height / (h * PLACES)), int((j + 0.5) * width / (w * PLACES))
            if mask[y, x]:
                patch = values[i // PLACES, j // PLACES].astype(float)
                total += patch / np.linalg.norm(patch)
    return total / np.linalg.norm(total)


def foremost(masks: np.ndarray, scores: np.ndarray, most: int) -> list[int]:
    """Best first, none that shares a tenth of itself or of the other with one taken before."""
    taken: list[int] = []
    for row in sorted(range(len(masks)), key=lambda row: -scores[row]):
        if not 0.01 <= masks[row].mean() <= 0.5:
            continue
        common = [(masks[row] & masks[other]).sum() for other in taken]
        small = [min(masks[row].sum(), masks[other].sum()) for other in taken]
        if all(c <= 0.1 * s for c, s in zip(common, small, strict=True)) and len(taken) < most:
            taken.append(row)
    return taken


def inertia(vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, float]:
    """The nearest centroid of each vector, and the sum of squared distances."""
    of, total = [], 0.0
    for vector in vectors.astype(float):
        squares = [float(((vector - centroid) ** 2).sum()) for centroid in centroids.astype(float)]
        of.append(int(np.argmin(squares)))
        total += min(squares)
    return np.array(of), total
