"""The dense CRF of Kraehenbuehl and Koltun (2011) as HASSOD uses it, over the permutohedral lattice of Adams (2010).

In: a photo and one share a class and pixel. Out: the class of each pixel after ten rounds of mean field. A peer for
`benchmarks/refine.py`; `tests/test_refine.py` holds it against sums over all pairs of pixels.
"""

import numpy as np
from scipy import sparse

SMOOTH, SMOOTH_WEIGHT = 3.0, 7.0  # HASSOD's: pixels
NEAR, ALIKE, APPEARANCE_WEIGHT = 50.0, 5.0, 10.0  # pixels, grey values
ROUNDS = 10


def dense_crf(pixels: np.ndarray, shares: np.ndarray, rounds: int = ROUNDS) -> np.ndarray:
    """(H, W, 3) uint8 and (H, W, K) -> (H, W) int: HASSOD takes the softmax of one-hot shares for probabilities."""
    height, width, classes = shares.shape
    kernels = [(Gaussian(features), weight) for features, weight in kernels_of(pixels)]
    start = np.log(softmax(shares.reshape(-1, classes).astype(np.float32)))
    return mean_field(start, kernels, rounds).argmax(1).reshape(height, width)


def kernels_of(pixels: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """The two kernels' features (H * W, d), in units of their widths, with their weights."""
    place = np.indices(pixels.shape[:2]).reshape(2, -1).T
    colour = pixels.reshape(-1, 3) / ALIKE
    return [(place / SMOOTH, SMOOTH_WEIGHT), (np.concatenate([place / NEAR, colour], axis=1), APPEARANCE_WEIGHT)]


def mean_field(start: np.ndarray, kernels: list, rounds: int) -> np.ndarray:
    """(P, K) log probabilities -> (P, K) probabilities, with Potts's compatibility: like labels attract."""
    share = softmax(start)
    for _ in range(rounds):
        share = softmax(start + sum(weight * kernel(share) for kernel, weight in kernels))
    return share


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


class Gaussian:
    """Sums over all pixels weighted by exp(-distance ** 2 / 2) of their features, normalised symmetrically."""

    def __init__(self, features: np.ndarray) -> None:
        self.splat, self.neighbours = lattice(features)
        self.norm = 1.0
        self.norm = 1 / np.sqrt(self(np.ones((len(features), 1), np.float32)) + 1e-20)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        points = np.zeros((self.splat.shape[1] + 1, values.shape[1]), np.float32)  # the last: no such point
        points[:-1] = self.splat.T @ (values * self.norm)
        for one, other in self.neighbours:
            points[:-1] += (points[one] + points[other]) / 2
        scale = 1 / (1 + 2.0 ** (1 - len(self.neighbours)))
        return (self.splat @ points[:-1]) * scale * self.norm


def lattice(features: np.ndarray) -> tuple[sparse.csr_matrix, list[tuple[np.ndarray, np.ndarray]]]:
    """(P, d) -> weights (P, M) of each pixel at the corners of its simplex, and each corner's neighbours by axis."""
    count, d = features.shape
    axes = np.zeros((d, d + 1))  # the plane of d + 1 coordinates that sum to 0
    for k in range(d):
        axes[k, : k + 1], axes[k, k + 1] = 1, -(k + 1)
        axes[k] *= (d + 1) * np.sqrt(2 / 3) / np.sqrt((k + 1) * (k + 2))
    high = features @ axes
    base = np.round(high / (d + 1)) * (d + 1)
    excess = np.round(base.sum(1) / (d + 1)).astype(int)
    rank = np.argsort(np.argsort(base - high, axis=1, kind="stable"), axis=1, kind="stable") + excess[:, None]
    base += (d + 1) * ((rank < 0).astype(int) - (rank > d))
    rank += (d + 1) * ((rank < 0).astype(int) - (rank > d))

    sorted_ = np.zeros((count, d + 2))
    np.put_along_axis(sorted_, rank, (high - base) / (d + 1), axis=1)  # from the largest remainder down
    weights = np.empty((count, d + 1))
    weights[:, 1:] = (sorted_[:, :d] - sorted_[:, 1 : d + 1])[:, ::-1]
    weights[:, 0] = 1 - weights[:, 1:].sum(1)

    corner = np.arange(d + 1)[:, None]  # of remainder 0, 1, ... d
    keys = base[:, None, :] + np.where(rank[:, None, :] <= d - corner, corner, corner - (d + 1))
    keys = keys[..., :d].astype(np.int64).reshape(-1, d)
    low = keys.min(0) - (d + 1)
    digits = np.cumprod([1, *(keys.max(0) + (d + 1) - low + 1)[:-1]])
    points, at = np.unique((keys - low) @ digits, return_inverse=True)
    splat = sparse.csr_matrix((weights.ravel().astype(np.float32), at.ravel(), np.arange(count + 1) * (d + 1)))

    neighbours = []
    for axis in range(d + 1):
        step = (np.ones(d, np.int64) - (d + 1) * (np.arange(d) == axis)) @ digits
        neighbours.append((find(points, points + step), find(points, points - step)))
    return splat, neighbours


def find(points: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    at = np.minimum(np.searchsorted(points, wanted), len(points) - 1)
    return np.where(points[at] == wanted, at, len(points))
