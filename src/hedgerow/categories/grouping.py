"""Groups of vectors: PCA, whitening, K-means, and how many groups there are.

In: vectors (N, D) of many segments. Out: the group of each, and what says in which group new ones fall.

MaskContrast (Van Gansbeke et al. 2021, as its code clusters) whitens by PCA and runs K-means from several seeds. Where
we depart: categories come of PCA alone, since whitening told classes of COCO apart less well (adjusted mutual
information of 21 groups 0.104, of PCA 0.110); of many vectors, starts are compared on a part, and only the best goes on
to all; it ends when a pass gains little, less than another seed makes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hedgerow.categories.late import faiss
from hedgerow.config import CallerError

PART, DRAWN = 128, 16  # vectors a group that compare starts; centres drawn of which one is taken
PASSES, AT_ONCE = 40, 2  # passes at most, and before asking what the last one gained
MANY = 20_000  # vectors from which a pass takes so long that it matters
FEW_TRIES, FINE = 4, 1e-4  # below that: starts, and the relative gain of a pass for which there is one more
TRIES, ENOUGH = 2, 2e-3  # and from there on
HALVINGS, NEARLY = 4, 0.02  # over which agreement is averaged; less than that it differs from seed to seed
ROUND = 1e-6  # a direction of less variance than this share of the largest is noise: whitening would blow it up


@dataclass(frozen=True, eq=False)
class Projection:
    """Vectors (N, D) -> (N, d): in the directions in which those it was fitted to differ most, the first of most."""

    mean: np.ndarray
    axes: np.ndarray

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        return np.asarray((vectors - self.mean) @ self.axes, np.float32)


def fit_pca(vectors: np.ndarray, dims: int = 32) -> Projection:
    """At most `dims` directions at right angles; distances stay what they are but for what is left out."""
    mean, axes, _ = _directions(vectors, dims)
    return Projection(mean, axes.astype(np.float32))


def fit_whitening(vectors: np.ndarray, dims: int = 32) -> Projection:
    """The same, each brought to variance 1. It takes many more vectors than directions: where there are as few, all
    are as far from each other."""
    mean, axes, variance = _directions(vectors, dims)
    return Projection(mean, (axes / np.sqrt(variance)).astype(np.float32))


def _directions(vectors: np.ndarray, dims: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean, the directions (D, d) and the variance in each."""
    mean = np.asarray(vectors.mean(0), np.float32)
    if len(vectors) < 2:
        return mean, np.eye(vectors.shape[1])[:, :dims], np.ones(min(dims, vectors.shape[1]))
    variance, axes = np.linalg.eigh(np.cov(vectors.T, dtype=np.float64).reshape(vectors.shape[1], -1))
    use = np.argsort(-variance)[:dims]
    use = use[variance[use] > ROUND * max(float(variance.max()), 1e-12)]
    use = use if len(use) else np.argsort(-variance)[:1]  # all are one and the same
    return mean, axes[:, use], np.maximum(variance[use], 1e-12)


@dataclass(frozen=True, eq=False)
class Groups:
    """Of K-means: centroids (K, d), the group of each vector (N,), and the sum of squared distances."""

    centroids: np.ndarray
    of: np.ndarray
    inertia: float


def kmeans(vectors: np.ndarray, k: int, seed: int = 0) -> Groups:
    """K groups of vectors (N, d). The same seed gives the same groups.

    Several starts by greedy k-means++ (Arthur & Vassilvitskii 2007) are run, of many vectors on a part, and the best
    goes on to all.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    if not 1 <= k <= len(vectors):
        told = f"{len(vectors)} segments cannot be sorted into {k} categories"
        raise CallerError(f"{told}: give more photos, or a smaller -k")
    rng = np.random.default_rng(seed)
    tries, enough = (TRIES, ENOUGH) if len(vectors) >= MANY else (FEW_TRIES, FINE)
    part = vectors
    if len(vectors) >= max(MANY, 2 * k * PART):
        part = vectors[np.sort(rng.choice(len(vectors), k * PART, replace=False))]
    starts = [_lloyd(part, _spread_start(part, k, rng), enough) for _ in range(tries)]
    best = min(starts, key=lambda groups: groups.inertia)
    return best if part is vectors else _lloyd(vectors, best.centroids, enough)


def nearest(vectors: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) the nearest centroid of each vector, and the squared distance to it."""
    index = faiss().IndexFlatL2(centroids.shape[1])
    index.add(np.ascontiguousarray(centroids, np.float32))
    squares, found = index.search(np.ascontiguousarray(vectors, np.float32), 1)
    return found[:, 0], np.maximum(squares[:, 0], 0)


def _lloyd(vectors: np.ndarray, centroids: np.ndarray, enough: float) -> Groups:
    """Passes until one gains little. faiss says before each what the sum of squares is."""
    passes, told = 0, AT_ONCE * [0.0]
    means = faiss().Kmeans(
        vectors.shape[1], len(centroids), niter=AT_ONCE, max_points_per_centroid=2**31 - 1, min_points_per_centroid=1
    )
    while passes < PASSES and len(told) == AT_ONCE and (passes == 0 or told[-2] - told[-1] > enough * told[-1]):
        means.train(vectors, init_centroids=centroids)
        centroids, told = means.centroids, means.obj.tolist()
        passes += len(told)
    of, squares = nearest(vectors, centroids)
    return Groups(centroids, of, float(squares.sum(dtype=np.float64)))


def _spread_start(vectors: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Greedy k-means++: each next centre is drawn by its squared distance from those there are; of some drawn the one
    that leaves the least is taken. With fewer, groups that lie apart are missed among many in many dimensions."""
    lengths = np.einsum("nd,nd->n", vectors, vectors)
    centres = [int(rng.integers(len(vectors)))]
    squares = _squares(vectors, lengths, np.array(centres))[0]
    while len(centres) < k:
        below = np.cumsum(squares)
        if below[-1] <= 0:  # fewer different vectors than groups
            centres.append(int(rng.integers(len(vectors))))
            continue
        some = np.minimum(np.searchsorted(below, rng.random(DRAWN) * below[-1], side="right"), len(vectors) - 1)
        left = np.minimum(_squares(vectors, lengths, some), squares)
        best = int(left.sum(1).argmin())
        centres.append(int(some[best]))
        squares = left[best]
    return vectors[centres]


def _squares(vectors: np.ndarray, lengths: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(M, N) squared distances of all vectors from some of them; its own is exactly 0, so that none is drawn twice."""
    squares = lengths[rows, None] + lengths - 2 * (vectors[rows] @ vectors.T)
    squares[np.arange(len(rows)), rows] = 0
    return np.maximum(squares, 0).astype(np.float64)


# ---------------------------------------------------------------------- how many


def agreements(
    vectors: np.ndarray, counts: Sequence[int], seed: int = 0, watch: Callable = lambda items, _: items
) -> dict[int, float]:
    """How well two halves of the vectors, grouped apart, agree on so many groups: how both group one half, as the
    adjusted Rand index (Hubert & Arabie 1985), which is 1 for the same groups and 0 for chance; mean of a few halvings.

    Groups that are there are found in either half; lines drawn through a crowd fall elsewhere (Lange et al. 2004). The
    simplified silhouette found made groups as well, and of photos' segments always told of two.
    """
    scores = {}
    for k in watch(counts, len(counts)):
        told = []
        for halving in range(HALVINGS):
            order = np.random.default_rng([seed, halving]).permutation(len(vectors))
            one, other = vectors[order[::2]], vectors[order[1::2]]
            told.append(rand_index(nearest(other, kmeans(one, k, seed).centroids)[0], kmeans(other, k, seed).of))
        scores[k] = float(np.mean(told))
    return scores


def choose_k(scores: Mapping[int, float]) -> int:
    """The largest number on which halves agree nearly as well as on any."""
    return max(k for k, score in scores.items() if score >= max(scores.values()) - NEARLY)


def rand_index(one: np.ndarray, other: np.ndarray) -> float:
    """How well two groupings of the same things agree, adjusted for chance: of pairs, how many are together in both."""
    table = np.zeros((int(one.max()) + 1, int(other.max()) + 1))
    np.add.at(table, (one, other), 1)
    together, rows, columns = (float((n * (n - 1) / 2).sum()) for n in (table, table.sum(1), table.sum(0)))
    pairs = len(one) * (len(one) - 1) / 2
    chance, most = rows * columns / max(pairs, 1), (rows + columns) / 2
    return (together - chance) / (most - chance) if most > chance else 1.0
