"""Words: what belongs together in this photo, learned from this photo alone.

In: features (h, w, D) of patches. Out: features (h, w, E) whose cosine says how often two patches are neighbours.

Patches are sorted into a few hundred visual words (K-means inside the photo). How often two words lie side by side,
against chance, tells which of them make up one thing: the stripes of a zebra, the leaves and the gaps of a tree. The
words' coordinates are the diffusion map (Coifman & Lafon 2006) of that co-occurrence, so sums of them still compare by
cosine. The idea that co-occurrence inside one photo predicts its boundaries is Isola et al. 2014 (crisp boundaries by
pointwise mutual information); merging on it, and on any backbone's features, is ours.
"""

from __future__ import annotations

import numpy as np

NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # of a patch: right, below, both diagonals below
SAMPLE = 6000  # patches that K-means looks at
ROUNDS = 8  # of K-means; more change nothing here
TIME = 2  # steps of the diffusion


def words(values: np.ndarray, count: int, dims: int, rng: np.random.Generator) -> np.ndarray:
    """(h, w, D) -> (h, w, E) with E <= dims."""
    h, w, _ = values.shape
    flat = values.reshape(h * w, -1).astype(np.float32)
    codes = _codes(flat, min(count, h * w), rng).reshape(h, w)
    kinds = int(codes.max()) + 1
    together = np.zeros((kinds, kinds))
    for down, across in NEIGHBOURS:
        here = codes[: h - down, max(0, -across) : w - max(0, across)]
        there = codes[down:, max(0, across) : w + min(0, across)]
        together += np.bincount((here * kinds + there).ravel(), minlength=kinds**2).reshape(kinds, kinds)
    return diffusion(together + together.T, dims)[codes]


def diffusion(together: np.ndarray, dims: int) -> np.ndarray:
    """(K, K) symmetric counts -> (K, E) float32 coordinates, the constant one left out."""
    share = np.sqrt(np.maximum(together.sum(1), 1e-9))
    value, vector = np.linalg.eigh(together / share[:, None] / share[None, :])
    best = np.argsort(-value)[1 : dims + 1]
    if not len(best):  # a photo of one word
        return np.ones((len(together), 1), np.float32)
    return (vector[:, best] / share[:, None] * np.maximum(value[best], 0) ** TIME).astype(np.float32)


def _codes(flat: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) int64: the word of each patch, by K-means from k-means++ seeds."""
    sample = flat[np.sort(rng.permutation(len(flat))[:SAMPLE])]
    centres = _spread(sample, count, rng)
    for _ in range(ROUNDS):
        nearest = _nearest(sample, centres)
        members = np.zeros((len(centres), len(sample)), np.float32)
        members[nearest, np.arange(len(sample))] = 1
        size = members.sum(1)
        centres = np.where(size[:, None] > 0, members @ sample / np.maximum(size, 1)[:, None], centres)
    codes = _nearest(flat, centres)
    return np.unique(codes, return_inverse=True)[1]


def _spread(sample: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """k-means++ (Arthur & Vassilvitskii 2007): each seed drawn by its squared distance to those before."""
    chosen = [int(rng.integers(len(sample)))]
    square = (sample**2).sum(1)
    distance = np.full(len(sample), np.inf, np.float32)
    while len(chosen) < count:
        last = sample[chosen[-1]]
        distance = np.minimum(distance, np.maximum(square - 2 * (sample @ last) + last @ last, 0))
        weight = distance.astype(np.float64).cumsum()
        if weight[-1] <= 0:  # fewer different patches than words asked for
            break
        chosen.append(int(np.searchsorted(weight, rng.random() * weight[-1], side="right").clip(0, len(sample) - 1)))
    return sample[chosen]


def _nearest(flat: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return ((centres**2).sum(1)[None, :] - 2 * (flat @ centres.T)).argmin(1)
