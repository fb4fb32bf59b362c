"""Masks followed through a film by features alone, and how well they lie: region J and boundary F.

In: the first frame's objects and features (h, w, D) of every frame (`Follower`); masks found and painted, object by
object (`measure_frame`). Out: soft masks; a small record a frame, and the scores of all frames together (`pool_video`).

Following is label propagation as in DINO's evaluation (Caron et al. 2021, section 4.2.2), after Jabri et al. 2020: each
patch looks at patches near its place in the first frame and in a few frames before, and takes the mean label of the
most similar ones, weighted by exp(cosine / temperature). Nothing is learned. Where we depart: a patch of the first
frame has the share of it that an object takes, not the label of its middle.

J and F are those of the DAVIS benchmark (Perazzi et al. 2016, section 4): J is intersection over union; F weighs
precision and recall of the boundary pixels, met within 0.008 of the diagonal. Of each: the mean over frames, `recall`,
the share of frames above one half, and `decay`, what is lost from the first quarter of the frames to the last. As in
the benchmark the first frame, which was given, and the last are not measured.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from hedgerow.config import Follow
from hedgerow.measure.features import label_histograms

REACH = 0.008  # how far apart boundaries may lie, as a share of the diagonal
QUARTERS = 4  # parts of a film that decay is told from
PATCH = 8  # pixels: what finer cells are averaged to
TILE = 12  # patches a side that are followed together


# ---------------------------------------------------------------------- following


class Follower:
    """Soft masks of one film, frame by frame. Begins with the first frame's features (h, w, D) and its map of objects
    (H, W), 0 where none is."""

    def __init__(self, values: np.ndarray, objects: np.ndarray, config: Follow | None = None) -> None:
        self.config = config or Follow()
        self.size = (objects.shape[0], objects.shape[1])
        self.names = np.unique(np.append(objects, 0))  # background first
        unit, kinds = _unit(values, self.size), np.searchsorted(self.names, objects)
        pixels = label_histograms(kinds, unit.shape[:2], len(self.names))
        self.first = (unit, (pixels / np.maximum(pixels.sum(2, keepdims=True), 1)).astype(np.float32))
        self.recent: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=self.config.frames)

    def follow(self, values: np.ndarray) -> np.ndarray:
        """The next frame's features -> (h, w, O) share of each object in each patch, background first."""
        unit = _unit(values, self.size)
        shares = _voted(unit, [self.first, *self.recent], self.config)
        self.recent.append((unit, shares))
        return shares

    def soft(self, shares: np.ndarray) -> np.ndarray:
        """(h, w, O) -> (O, H, W), bilinear between patches. Each object's shares are stretched to 0 ... 1 first, as in
        DINO's evaluation: what votes of many leave faint is still the likeliest place of it."""
        low, high = shares.min((0, 1)), shares.max((0, 1))
        stretched = (shares - low) / np.where(high > low, high - low, 1)
        return np.stack([_enlarged(one, self.size) for one in np.moveaxis(stretched, 2, 0)])

    def labels(self, soft: np.ndarray) -> np.ndarray:
        """(O, H, W) -> (H, W) objects, by their numbers in the first frame."""
        return self.names[soft.argmax(0)]


def _voted(unit: np.ndarray, context: Sequence[tuple[np.ndarray, np.ndarray]], config: Follow) -> np.ndarray:
    """(h, w, D) -> (h, w, O): each patch's most similar ones near its place in all frames of the context vote. Done
    tile by tile: all pairs of patches of two frames would be many times as many as those near each other."""
    h, w, _ = unit.shape
    voted = np.zeros((h, w, context[0][1].shape[2]), np.float32)
    for top in range(0, h, TILE):
        for left in range(0, w, TILE):
            tile = slice(top, top + TILE), slice(left, left + TILE)
            near = tuple(slice(max(side.start - config.radius, 0), side.stop + config.radius) for side in tile)
            voted[tile] = _voted_in(tile, near, unit, context, config)
    return voted


def _voted_in(
    tile: tuple[slice, ...],
    near: tuple[slice, ...],
    unit: np.ndarray,
    context: Sequence[tuple[np.ndarray, np.ndarray]],
    config: Follow,
) -> np.ndarray:
    places, others = (
        np.argwhere(np.ones(unit[part].shape[:2], bool)) + [side.start for side in part] for part in (tile, near)
    )
    far = (np.abs(places[:, None] - others) > config.radius).any(2)
    asked = unit[tile].reshape(len(places), -1)
    patches = np.concatenate([values[near].reshape(len(others), -1) for values, _ in context])
    shares = np.concatenate([told[near].reshape(len(others), -1) for _, told in context])
    likeness = asked @ patches.T
    np.copyto(likeness.reshape(len(places), -1, len(others)), -np.inf, where=far[:, None])
    best, rows = np.zeros((len(places), min(config.top, likeness.shape[1])), np.intp), np.arange(len(places))
    cosines = np.zeros(best.shape, np.float32)
    for k in range(best.shape[1]):  # the best, the best of the rest ...: for a few, far quicker than parting all
        best[:, k] = likeness.argmax(1)
        cosines[:, k] = likeness[rows, best[:, k]]
        likeness[rows, best[:, k]] = -np.inf
    weight = np.exp((cosines - cosines.max(1, keepdims=True)) / config.temperature)
    mean = (shares[best] * (weight / weight.sum(1, keepdims=True))[..., None]).sum(1)
    return mean.reshape(*unit[tile].shape[:2], -1)


def _unit(values: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """(h, w, D) at length 1; cells finer than `PATCH` pixels are averaged first, so that a radius means as much and
    time is spent on what others see as well."""
    for axis in (0, 1):
        have = values.shape[axis]
        want = min(have, max(1, round(size[axis] / PATCH)))
        starts = np.arange(want) * have // want
        sums = np.add.reduceat(values, starts, axis=axis)
        counts = np.diff(np.append(starts, have)).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        values = sums / counts
    return (values / np.maximum(np.linalg.norm(values, axis=2, keepdims=True), 1e-12)).astype(np.float32)


def _enlarged(shares: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) -> (H, W), bilinear between the middles of patches; beyond those at the edge nothing changes."""
    for axis in (0, 1):
        have, want = shares.shape[axis], size[axis]
        place = ((np.arange(want) + 0.5) * have / want - 0.5).clip(0, have - 1)
        low = np.minimum(place.astype(int), max(have - 2, 0))
        share = (place - low).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        shares = shares.take(low, axis) * (1 - share) + shares.take(np.minimum(low + 1, have - 1), axis) * share
    return shares


# ---------------------------------------------------------------------- J and F


@dataclass(frozen=True, eq=False)
class FrameMasks:
    """One frame's masks, J and F of each object by its number."""

    name: str
    film: str
    j: dict[int, float]
    f: dict[int, float]

    @property
    def mean(self) -> float:
        """J and F together, nan where no object is followed: sort by it to see the worst first."""
        return float(np.mean([*self.j.values(), *self.f.values()])) if self.j else np.nan


@dataclass(frozen=True)
class VideoScores:
    """Means over the objects of all films; nan where there is none."""

    objects: int
    j_mean: float = np.nan
    j_recall: float = np.nan
    j_decay: float = np.nan
    f_mean: float = np.nan
    f_recall: float = np.nan
    f_decay: float = np.nan

    def as_dict(self) -> dict[str, float]:
        """Names to print, in order, and their values."""
        return {
            "objects": self.objects,
            "J&F": (self.j_mean + self.f_mean) / 2,
            "J mean": self.j_mean,
            "J recall": self.j_recall,
            "J decay": self.j_decay,
            "F mean": self.f_mean,
            "F recall": self.f_recall,
            "F decay": self.f_decay,
        }


def measure_frame(
    found: np.ndarray, painted: np.ndarray, objects: Iterable[int], *, film: str = "", name: str = ""
) -> FrameMasks:
    """Two maps of objects (H, W), 0 where none is, for the objects that are followed."""
    pairs = {number: (found == number, painted == number) for number in objects}
    j = {number: region_j(*pair) for number, pair in pairs.items()}
    return FrameMasks(name, film, j, {number: boundary_f(*pair) for number, pair in pairs.items()})


def pool_video(frames: Iterable[FrameMasks]) -> VideoScores:
    """The scores of all frames together, each film's in its order and without its first and last."""
    films: dict[str, list[FrameMasks]] = {}
    for frame in frames:
        films.setdefault(frame.film, []).append(frame)
    told = []
    for film in films.values():
        for number in film[0].j:
            columns = ([getattr(frame, kind)[number] for frame in film] for kind in ("j", "f"))
            told.append([score for column in columns for score in over_time(column)])
    return VideoScores(len(told), *np.mean(told, axis=0).tolist()) if told else VideoScores(0)


def region_j(found: np.ndarray, painted: np.ndarray) -> float:
    """Intersection over union of two masks (H, W); 1 where both are empty."""
    union = np.count_nonzero(found | painted)
    return np.count_nonzero(found & painted) / union if union else 1.0


def boundary_f(found: np.ndarray, painted: np.ndarray) -> float:
    """How well the boundaries of two masks (H, W) meet; 1 where neither has any.

    The benchmark widens each boundary by a disk and counts what of the other lies inside; a distance says the same.
    """
    reach = np.ceil(REACH * np.hypot(*found.shape))
    one, other = outline(found), outline(painted)
    if not one.any() or not other.any():
        return float(one.any() == other.any())
    precision = (ndimage.distance_transform_edt(~other)[one] <= reach).mean()
    recall = (ndimage.distance_transform_edt(~one)[other] <= reach).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def outline(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool, pixels that differ from the one to the right, below, or both: the benchmark's boundary."""
    block = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    corner = block[:-1, :-1]
    return (corner != block[:-1, 1:]) | (corner != block[1:, :-1]) | (corner != block[1:, 1:])


def over_time(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, recall and decay of one object's frames. Quarters share the frames at their ends, as in the benchmark."""
    row = np.asarray(values, float)
    ends = np.floor(np.linspace(1, len(row), QUARTERS + 1) + 0.5 + 1e-10).astype(int) - 1
    decay = row[ends[0] : ends[1] + 1].mean() - row[ends[-2] : ends[-1] + 1].mean()
    return float(row.mean()), float((row > 0.5).mean()), float(decay)
