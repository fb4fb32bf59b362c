"""How much do features of patches tell of what people see: a linear probe, and matching parts between photos.

In: features (h, w, D) of a photo's patches, its painted labels (H, W), -1 where void. The patch grid spans the labels
from edge to edge. Out: small records a photo or pair, and the scores of all of them together.

Linear probe (Alain & Bengio 2016; on patches for segmentation as in DINOv2, Oquab et al. 2024, section 7.4): frozen
features, one linear layer to the classes, IoU a class. Where we depart: the layer is multinomial logistic regression
solved to its optimum by L-BFGS, not by stochastic steps whose rate and number would have to be tuned; it learns from
the histogram of labels in each patch, not from the commonest one. That is the likelihood of the pixels themselves, and
a pole that wins the majority of no patch is still learned. Features are standardised, so that their units do not
matter. The weight decay is the one that tells labels of held-out photos best, going from strong to weak for as long as
they are told better. Classes are scored bilinearly between patches, as in DINOv2.

Part matching (as Amir et al. 2022 and others match key points, here for painted labels): a point of one photo goes to
the point of another whose patch is most similar by cosine; right if both have one label. Points, not patches, are drawn
from the labels, so that backbones with coarse and fine patches answer the same questions, and each label of a photo
gives as many, so that chance is one in the number of labels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

DECAYS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)  # tried in this order
PLAIN_DECAY = 1e-3  # where no photo can be held out; colour comes to it on CamVid, texture to ten times that
STEPS = 500  # of L-BFGS at most
ENOUGH = 1e-7  # relative gain of a step below which it ends; the data are float32
STRIP = 64  # rows of pixels scored at a time: 150 classes of a large photo would take gigabytes
POINTS = 32  # of a label; one painted with fewer pixels is a slip of the brush


# ---------------------------------------------------------------------- linear probe


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear layer, standardising folded in: scores (..., K) = values @ weights + offset, of K `classes`."""

    weights: np.ndarray
    offset: np.ndarray
    classes: np.ndarray
    decay: float

    def labels(self, values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """(h, w, D) features -> (H, W) class of each pixel."""
        scores = (values @ self.weights + self.offset).transpose(2, 0, 1)  # classes first: argmax then is quick
        found = np.zeros(size, np.intp)
        for rows, strip in strips(scores, size):
            found[rows] = strip.argmax(0)
        return self.classes[found]


@dataclass(frozen=True, eq=False)
class PhotoProbe:
    """One photo's pixels, (C, C): row what they are, column what the probe says."""

    name: str
    confusion: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share of pixels that are right, nan where nothing is labelled: sort by it to see the worst first."""
        return _share(np.trace(self.confusion), self.confusion.sum())


@dataclass(frozen=True)
class ProbeScores:
    """Scores over all pixels together. `iou` has a number a class, nan for one that no photo shows; `miou` is the mean
    of the others, those that the probe never saw included, at 0."""

    photos: int
    miou: float
    accuracy: float
    iou: tuple[float, ...]

    def as_dict(self) -> dict[str, float]:
        """Names to print, in order, and their values."""
        return {"photos": self.photos, "mIoU": self.miou, "pixel accuracy": self.accuracy}


def strips(scores: np.ndarray, size: tuple[int, int]) -> Iterator[tuple[slice, np.ndarray]]:
    """(C, h, w) scores of patches, bilinearly at the size (H, W) of a photo: some rows of it, and (C, rows, W)."""
    (top, bottom, down), (left, right, across) = (
        _between(*sides) for sides in zip(scores.shape[1:], size, strict=True)
    )
    for start in range(0, size[0], STRIP):
        rows = slice(start, start + STRIP)
        share = down[rows, None]
        strip = scores[:, top[rows]] * (1 - share) + scores[:, bottom[rows]] * share
        yield rows, strip[..., left] * (1 - across) + strip[..., right] * across


def label_histograms(labels: np.ndarray, grid: tuple[int, int], classes: int) -> np.ndarray:
    """(H, W) -> (h, w, C) pixels of each class in each patch; void counts nowhere."""
    (height, width), (h, w) = labels.shape, grid
    patch = _cells(height, h)[:, None] * w + _cells(width, w)
    known = labels >= 0
    counts = np.bincount(patch[known] * classes + labels[known], minlength=h * w * classes)
    return counts.reshape(h, w, classes)


def fit_probe(values: np.ndarray, counts: np.ndarray, held_out: np.ndarray, decays: Sequence[float] = DECAYS) -> Probe:
    """The linear layer that tells the labels of these patches.

    values    (N, D) features
    counts    (N, C) labelled pixels of each class
    held_out  (N,) bool: patches of the photos that choose the decay; then all are learned from
    """
    seen = np.flatnonzero(counts.sum(0))
    if not len(seen):
        raise ValueError("a probe needs labelled pixels to learn from, all are void")
    centre, spread = values.mean(0, dtype=np.float64), values.std(0, dtype=np.float64)
    spread = np.where(spread > 1e-6 * np.maximum(1, np.abs(centre)), spread, 1.0)  # else it is constant, up to rounding
    standard = ((values - centre) / spread).astype(values.dtype)
    shares = counts[:, seen] / counts.sum()
    decay = _chosen(standard, shares, held_out, decays)
    weights, offset = _fitted(standard, shares, decay)
    weights = weights / spread[:, None]
    return Probe(weights.astype(values.dtype), (offset - centre @ weights).astype(values.dtype), seen, decay)


def measure_probe(found: np.ndarray, labels: np.ndarray, classes: int, *, name: str = "") -> PhotoProbe:
    """Compare a map of classes with the labels, void left out."""
    known = labels >= 0
    table = np.bincount(labels[known] * classes + found[known], minlength=classes**2)
    return PhotoProbe(name, table.reshape(classes, classes))


def pool_probe(photos: Iterable[PhotoProbe]) -> ProbeScores:
    """The scores of all photos together."""
    tables = [photo.confusion for photo in photos]
    table = np.sum(tables, axis=0) if tables else np.zeros((0, 0), int)
    there = table.sum(1) > 0
    right = np.diag(table)
    iou = np.full(len(table), np.nan)
    iou[there] = right[there] / (table.sum(0) + table.sum(1) - right)[there]
    return ProbeScores(
        photos=len(tables),
        miou=float(iou[there].mean()) if there.any() else np.nan,
        accuracy=_share(right.sum(), table.sum()),
        iou=tuple(iou.tolist()),
    )


def _chosen(values: np.ndarray, shares: np.ndarray, held_out: np.ndarray, decays: Sequence[float]) -> float:
    """The decay under which the rest tells the held-out patches best; classes the rest has never seen are left out."""
    learned, told = shares[~held_out], shares[held_out]
    both = (learned.sum(0) > 0) & (told.sum(0) > 0)
    if not both.any():
        return PLAIN_DECAY
    seen = learned.sum(0) > 0
    learned, told = learned[:, seen], np.where(both, told, 0)[:, seen]
    start, best, least = None, decays[0], np.inf
    for decay in decays:
        start = _fitted(values[~held_out], learned / learned.sum(), decay, start)
        loss = _loss(np.concatenate([start[0].ravel(), start[1]]), values[held_out], told / told.sum(), 0.0)[0]
        if loss >= least:
            break
        best, least = decay, loss
    return best


def _fitted(
    values: np.ndarray, shares: np.ndarray, decay: float, start: tuple[np.ndarray, np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(D, K) weights and (K,) offset of least loss."""
    dims, classes = values.shape[1], shares.shape[1]
    before = np.zeros((dims + 1) * classes) if start is None else np.concatenate([start[0].ravel(), start[1]])
    end = minimize(
        _loss,
        before,
        (values, shares, decay),
        method="L-BFGS-B",
        jac=True,
        options={"maxiter": STEPS, "ftol": ENOUGH, "gtol": 1e-6, "maxcor": 20},
    )
    return end.x[:-classes].reshape(dims, classes), end.x[-classes:]


def _loss(flat: np.ndarray, values: np.ndarray, shares: np.ndarray, decay: float) -> tuple[float, np.ndarray]:
    """Cross-entropy in nats a pixel, with the decay, and its gradient. Shares (N, K) sum to 1 over all."""
    classes = shares.shape[1]
    weights, offset = flat[:-classes].reshape(-1, classes), flat[-classes:]
    scores = values @ weights.astype(values.dtype) + offset
    scores -= scores.max(1, keepdims=True)
    told = np.exp(scores)
    total = told.sum(1, keepdims=True)
    loss = float((shares * (np.log(total) - scores)).sum() + decay / 2 * (weights**2).sum())
    slope = shares.sum(1, keepdims=True) * (told / total) - shares
    down = values.T @ slope.astype(values.dtype) + decay * weights
    return loss, np.concatenate([down.ravel(), slope.sum(0)])


def _between(patches: int, pixels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each pixel of a side the patches before and after its centre, and how far it is on the way; edges hold."""
    place = ((np.arange(pixels) + 0.5) * patches / pixels - 0.5).clip(0, patches - 1)
    before = np.floor(place).astype(np.intp)
    return before, np.minimum(before + 1, patches - 1), (place - before).astype(np.float32)


def _cells(pixels: int, patches: int) -> np.ndarray:
    """The patch that holds each pixel's centre."""
    return (2 * np.arange(pixels) + 1) * patches // (2 * pixels)


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole else np.nan


# ---------------------------------------------------------------------- part matching


@dataclass(frozen=True, eq=False)
class PhotoParts:
    """Points of one photo: (N, D) features of their patches at length 1, (N,) labels."""

    name: str
    values: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class PairParts:
    """What part of one photo's points found their label in another, mean over labels; nan where they share none."""

    name: str
    accuracy: float
    chance: float
    labels: int


@dataclass(frozen=True)
class PartScores:
    """Means over the pairs that share a label."""

    pairs: int
    accuracy: float
    chance: float

    def as_dict(self) -> dict[str, float]:
        """Names to print, in order, and their values."""
        return {"pairs": self.pairs, "part matching": self.accuracy, "chance": self.chance}


def draw_points(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N, 2) rows and columns, as many of each label, in an order that says nothing."""
    flat = labels.ravel()
    drawn = [np.zeros(0, np.intp)]
    for label in np.unique(flat[flat >= 0]):
        places = np.flatnonzero(flat == label)
        if len(places) >= POINTS:
            drawn.append(rng.choice(places, POINTS, replace=False))
    return np.stack(np.divmod(rng.permutation(np.concatenate(drawn)), labels.shape[1]), axis=1)


def look_at_points(values: np.ndarray, labels: np.ndarray, points: np.ndarray, *, name: str = "") -> PhotoParts:
    """What the features (h, w, D) say of some points of the labels (H, W)."""
    rows, columns = points.T
    h, w, _ = values.shape
    here = values[_cells(labels.shape[0], h)[rows], _cells(labels.shape[1], w)[columns]]
    length = np.linalg.norm(here, axis=1, keepdims=True)
    return PhotoParts(name, here / np.where(length > 0, length, 1), labels[rows, columns])


def choose_pairs(count: int, others: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Each of so many photos with some others, drawn at random; all pairs where there are few."""
    pairs: list[tuple[int, int]] = []
    for photo in range(count):
        drawn = rng.permutation(max(count - 1, 0))[:others]
        pairs += [(photo, int(other) + (int(other) >= photo)) for other in drawn]
    return pairs


def measure_parts(asked: PhotoParts, other: PhotoParts, grounds: Collection[int] = ()) -> PairParts:
    """Match the points of one photo into another. Labels that are mere `grounds` are not asked for, but may mislead."""
    name = f"{asked.name} in {other.name}"
    offered, chance = np.unique(other.labels, return_counts=True)
    shared = [label for label in np.unique(asked.labels) if label in offered and label not in grounds]
    if not shared:
        return PairParts(name, np.nan, np.nan, 0)
    nearest = other.labels[(asked.values @ other.values.T).argmax(1)]
    right = [np.mean(nearest[asked.labels == label] == label) for label in shared]
    by_chance = chance[np.isin(offered, shared)] / len(other.labels)
    return PairParts(name, float(np.mean(right)), float(by_chance.mean()), len(shared))


def pool_parts(pairs: Iterable[PairParts]) -> PartScores:
    """The scores of all pairs together."""
    told = [pair for pair in pairs if pair.labels]
    if not told:
        return PartScores(0, np.nan, np.nan)
    accuracy, chance = (float(np.mean([getattr(pair, name) for pair in told])) for name in ("accuracy", "chance"))
    return PartScores(len(told), accuracy, chance)
