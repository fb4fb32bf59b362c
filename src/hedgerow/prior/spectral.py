"""What stands out by a cut of the photo's patches in two: what hangs together with the frame, and what does not.

In: features (h, w, D) of patches. Out: a salience (h, w) in [0, 1], and the masks of patches above its best threshold.

TokenCut (Wang et al. 2022) and Deep Spectral (Melas-Kyriazi et al. 2022) take the second eigenvector of the normalised
cut and must then guess which side of it is the object. On features that know little of things that eigenvector parts
sky from grass, and either guess is near chance (`benchmarks/prior.py` has the row). We depart: the photo's frame is the
ground to begin with, as in saliency by absorbing Markov chains (Jiang et al. 2013) and in biased normalised cuts (Maji
et al. 2011), which weigh all eigenvectors of the same graph by what they say of a seed. A random walk over the patches
ends at the frame; how long it takes from each patch is one dense linear system, and there is no side to guess.
"""

from __future__ import annotations

import numpy as np

from hedgerow.config import Prior
from hedgerow.prior.objects import connected

STEPS = 32  # thresholds tried


def pooled(values: np.ndarray, most: int) -> np.ndarray:
    """(h, w, D) -> at most `most` patches, by means of squares of them; edges that fill no square join the last."""
    h, w, _ = values.shape
    side = 1
    while max(h // side, 1) * max(w // side, 1) > most:
        side += 1
    for axis, length in ((0, h), (1, w)):
        starts = np.arange(max(length // side, 1)) * side
        sizes = np.diff(starts, append=length)
        sums = np.add.reduceat(values, starts, axis)
        values = sums / np.expand_dims(sizes, tuple(k for k in range(3) if k != axis)).astype(np.float32)
    return values


def salience(values: np.ndarray, config: Prior) -> np.ndarray:
    """(h, w, D) -> (h, w) float32: of the time a walk takes from each patch to the frame, the rank, 0 least, 1 most.

    Ranks mean the same in every photo; the times do not.
    """
    h, w, _ = values.shape
    bonds = _bonds(values, config)
    degree = bonds.sum(1)
    ends = np.where(_frame(h, w), degree, 0.0)  # at the frame a walk ends with every second step
    time = np.linalg.solve(np.diag(degree + ends) - bonds, degree)
    _, place, count = np.unique(np.round(time / time.max(), 9), return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count + 1) / 2  # patches of one time share their ranks
    return (rank / max(h * w - 1, 1))[place].reshape(h, w).astype(np.float32)


def cut_out(values: np.ndarray, found: np.ndarray, config: Prior) -> tuple[list[np.ndarray], list[float]]:
    """Masks (h, w) of the connected parts above the threshold of least normalised cut, the surest first, and a score in
    (0, 1] each: the geometric mean of how far its salience is above that of the rest, and how unlike (1 - cosine) the
    rest it is. Parts too small, too large or too unsure are left out."""
    above = found > _threshold(found, _bonds(values, config), config)
    parts = [part for part in connected(above) if config.least <= part.mean() <= config.most and not part.all()]
    scores = [_apart(values, found, part) for part in parts]
    order = [k for k in np.argsort(-np.array(scores), kind="stable") if scores[k] >= max(config.sure, 1e-6)]
    return [parts[k] for k in order], [scores[k] for k in order]


def _apart(values: np.ndarray, found: np.ndarray, part: np.ndarray) -> float:
    one, other = values[part].sum(0, dtype=np.float64), values[~part].sum(0, dtype=np.float64)
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    unlike = 1 - float(one @ other) / lengths if lengths > 0 else 0.0
    higher = float(found[part].mean() - found[~part].mean())
    return min(float(np.sqrt(max(unlike, 0.0) * max(higher, 0.0))), 1.0)


def _threshold(found: np.ndarray, bonds: np.ndarray, config: Prior) -> float:
    """Of those that leave an object of a size it may have, the one whose cut costs least (Shi & Malik 2000).

    Cutting further in what is left (as MaskCut does) found next to nothing more: one threshold does.
    """
    flat, degree = found.ravel(), bonds.sum(1)
    least, best = np.inf, float(np.median(flat))
    for level in np.quantile(flat, 1 - np.linspace(config.least, config.most, STEPS)):
        above = flat > level
        inside, outside = degree[above].sum(), degree[~above].sum()
        if inside <= 0 or outside <= 0:
            continue
        across = bonds[np.ix_(above, ~above)].sum()
        cost = across / inside + across / outside
        if cost < least:
            least, best = cost, float(level)
    return best


def _bonds(values: np.ndarray, config: Prior) -> np.ndarray:
    """(n, n) float64: how much every two patches hang together, none with itself."""
    h, w, dims = values.shape
    unit = values.reshape(h * w, dims).astype(np.float64)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    rows, columns = np.indices((h, w)).reshape(2, h * w) / max(h, w)
    square = (rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2
    bonds = np.exp((unit @ unit.T - 1) / config.softness) * (np.exp(-square / (2 * config.near**2)) + config.far)
    np.fill_diagonal(bonds, 0)
    return bonds + 1e-12  # a photo of one patch has nothing to hang on


def _frame(h: int, w: int) -> np.ndarray:
    """(h * w,) bool: the patches at the photo's edge."""
    frame = np.ones((h, w), bool)
    frame[1:-1, 1:-1] = False
    return frame.ravel()
