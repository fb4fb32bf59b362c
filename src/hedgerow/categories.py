"""Segments into categories: what a segment looks like as one vector, groups of such vectors, and what new ones are.

In: a forest and features of its photo's patches (`embed`); vectors of many segments (`kmeans`, `fit_categories`). Out:
a vector each; `Categories`, which say of any vector in which group it falls.

MaskContrast (section 3.2 of its protocol, Van Gansbeke et al. 2021) sums unit vectors of a region's pixels, whitens by
PCA and runs K-means from several seeds. So do we. Where we depart: regions are any segments, many a photo; starts are
compared on a part of the vectors, and only the best goes on to all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hedgerow.backbones import FeatureMap
from hedgerow.config import CallerError
from hedgerow.forest import MaskForest
from hedgerow.partition import arrangement_at

PLACES = 4  # points a side of a patch at which regions are looked up
TRIES, PART, PASSES = 4, 256, 20  # starts; vectors a group that compare them; passes over all vectors
ROUND = 1e-6  # a direction of less variance than this share of the largest is noise: whitening would blow it up


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


# ---------------------------------------------------------------------- groups


@dataclass(frozen=True, eq=False)
class Whitening:
    """Vectors (N, D) -> (N, d), uncorrelated and each of variance 1 over what it was fitted to: PCA."""

    mean: np.ndarray
    axes: np.ndarray

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        return np.asarray((vectors - self.mean) @ self.axes, np.float32)


def fit_whitening(vectors: np.ndarray, dims: int = 32) -> Whitening:
    """At most `dims` directions, those of most variance first."""
    mean = vectors.mean(0)
    variance, axes = np.linalg.eigh(np.cov(vectors.T, dtype=np.float64).reshape(vectors.shape[1], -1))
    use = np.argsort(-variance)[:dims]
    use = use[variance[use] > ROUND * max(float(variance.max()), 1e-12)]
    return Whitening(mean, (axes[:, use] / np.sqrt(variance[use])).astype(np.float32))


@dataclass(frozen=True, eq=False)
class Groups:
    """Of K-means: centroids (K, d), the group of each vector (N,), and the sum of squared distances."""

    centroids: np.ndarray
    of: np.ndarray
    inertia: float


def kmeans(vectors: np.ndarray, k: int, seed: int = 0) -> Groups:
    """K groups of vectors (N, d). The same seed gives the same groups.

    Several starts by k-means++ (Arthur & Vassilvitskii 2007) are run on a part of the vectors, the best goes on to all.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    if not 1 <= k <= len(vectors):
        raise CallerError(f"{len(vectors)} segments cannot be sorted into {k} categories: give more photos, or fewer")
    rng = np.random.default_rng(seed)
    part = vectors
    if len(vectors) > 2 * k * PART:
        part = vectors[np.sort(rng.choice(len(vectors), k * PART, replace=False))]
    tries = [_lloyd(part, _spread_start(part, k, rng)) for _ in range(TRIES)]
    best = min(tries, key=lambda groups: groups.inertia)
    return best if part is vectors else _lloyd(vectors, best.centroids)


def nearest(vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) the nearest centroid of each vector, and the squared distance to it."""
    index = _faiss().IndexFlatL2(centroids.shape[1])
    index.add(np.ascontiguousarray(centroids, np.float32))
    squares, found = index.search(np.ascontiguousarray(vectors, np.float32), 1)
    return found[:, 0], squares[:, 0]


def _lloyd(vectors: np.ndarray, start: np.ndarray) -> Groups:
    faiss = _faiss()
    means = faiss.Kmeans(
        vectors.shape[1], len(start), niter=PASSES, max_points_per_centroid=2**31 - 1, min_points_per_centroid=1
    )
    means.train(vectors, init_centroids=start)
    of, squares = nearest(vectors, means.centroids)
    return Groups(means.centroids, of, float(squares.sum(dtype=np.float64)))


def _spread_start(vectors: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """k-means++: each next centre is drawn by its squared distance from those there are."""
    centres = [int(rng.integers(len(vectors)))]
    squares = ((vectors - vectors[centres[0]]) ** 2).sum(1, dtype=np.float64)
    while len(centres) < k:
        total = squares.sum()
        drawn = int(rng.choice(len(vectors), p=squares / total)) if total > 0 else int(rng.integers(len(vectors)))
        centres.append(drawn)
        squares = np.minimum(squares, ((vectors - vectors[drawn]) ** 2).sum(1, dtype=np.float64))
    return vectors[centres]


def _faiss():
    try:
        import faiss
    except ModuleNotFoundError:
        raise CallerError("categories need faiss: install hedgerow with its extra [categories]") from None
    return faiss
