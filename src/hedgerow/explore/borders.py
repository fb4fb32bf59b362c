"""Borders that the whole photo agrees on.

In: grains and their features. Out: a strength for each border between two grains.

A border in one place is often weak where the object it belongs to is plain from its other sides. The eigenvectors of
the grains' graph (normalised cuts, Shi & Malik 2000) change little inside a thing and much at its outline, all around
it; how much they change across a border, each weighted by 1 / sqrt(eigenvalue), is added to the local strength, as
gPb does with its spectral part (Arbelaez et al. 2011, section 3.2), there from learned cues, here from unlearned ones.
"""

from __future__ import annotations

import numpy as np

from hedgerow.config import Borders
from hedgerow.explore.grain import Grain


def borders(grain: Grain, features: np.ndarray, config: Borders) -> np.ndarray:
    """(m,) float32 strengths, in units of the photo's mean border."""
    return (grain.strengths + agreed(grain, features, config)).astype(np.float32)


def agreed(grain: Grain, features: np.ndarray, config: Borders) -> np.ndarray:
    """(m,) float64: what is added to a border's local strength, in the same units."""
    if config.spectral == 0 or len(grain.areas) < 3:  # of two grains there is nothing global to know
        return np.zeros(len(grain.strengths))
    change = _change(grain, _unlikeness(grain, features) + config.local * grain.strengths, config)
    return config.spectral * change / max(float(change.mean()), 1e-9)


def _unlikeness(grain: Grain, features: np.ndarray) -> np.ndarray:
    """(m,) 1 - cosine across each border."""
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    return 1 - (unit[grain.edges[:, 0]] * unit[grain.edges[:, 1]]).sum(1)


def _change(grain: Grain, cost: np.ndarray, config: Borders) -> np.ndarray:
    """(m,) how far apart the graph's eigenvectors see the two sides of each border."""
    from scipy.sparse import csr_array, diags_array
    from scipy.sparse.linalg import eigsh

    count, (a, b) = len(grain.areas), grain.edges.T
    weight = np.exp(-cost.astype(np.float64) / config.softness) * np.sqrt(grain.lengths) + 1e-4
    graph = csr_array((np.tile(weight, 2), (np.concatenate([a, b]), np.concatenate([b, a]))), shape=(count, count))
    degree = np.maximum(graph.sum(1), 1e-9)
    scale = diags_array(1 / np.sqrt(degree))
    most = min(config.vectors + 1, count - 1)
    # a fixed start makes the same photo give the same vectors; a plain one of ones can be an eigenvector itself
    start = np.random.default_rng(0).random(count)
    value, vector = eigsh(scale @ graph @ scale, k=most, which="LA", tol=1e-3, v0=start)
    use = np.argsort(-value)[1:]
    vector = vector[:, use] / np.sqrt(degree)[:, None] / np.sqrt(np.maximum(1 - value[use], 1e-4))
    return np.linalg.norm(vector[a] - vector[b], axis=1)
