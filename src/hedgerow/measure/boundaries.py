"""How well do the boundaries of a partition match those people drew: boundary precision, recall and F.

In: nested label maps of a photo, coarse to fine, and the boundary maps several people drew of it. Out: a small record a
photo (`measure_boundaries`), so that photos can be measured in parallel, and the scores of all records together
(`pool_boundaries`).

The protocol is the BSDS500 boundary benchmark (Martin, Fowlkes, Malik, PAMI 2004; Arbelaez et al., PAMI 2011, section
3.1). A level's boundary is thinned to one pixel and matched one to one with each person's, no further than 0.0075 of
the photo's diagonal. Recall counts boundary pixels of people that found a partner, summed over people; precision counts
machine pixels that found one with anybody. F at the level best for the whole data set (ODS) is read, like the
benchmark's, between levels too; F at each photo's own best level (OIS) pools those levels' counts; AP is the area under
the pooled curve, 0 beyond the recalls that the levels reach: without very coarse and very fine levels it stays low.

Where we depart: the benchmark draws some six random far partners for each pixel and solves the assignment in rounded
costs (Goldberg's CSA); we solve the same problem exactly: most pairs first, then least total distance. Recall is the
same but for that noise. The distance decides which pixel of several is taken, which precision depends on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from hedgerow.measure.regions import check_levels, check_same_levels

REACH = 0.0075  # how far apart partners may lie, as a share of the diagonal: the benchmark's maxDist


@dataclass(frozen=True, eq=False)
class PhotoBoundaries:
    """One photo's boundary pixels at each of L levels.

    found, found_right  (L,) int, pixels of the machine, and those with a partner in anybody's drawing
    drawn, drawn_met    int and (L,) int, pixels people drew, summed over people, and those with a partner
    """

    name: str
    found: np.ndarray
    found_right: np.ndarray
    drawn: int
    drawn_met: np.ndarray

    @property
    def f(self) -> float:
        """F at this photo's best level, nan when nobody drew a boundary: sort by it to see the worst first."""
        return float(_f(*_rates(self)).max()) if self.drawn else np.nan


@dataclass(frozen=True, eq=False)
class BoundaryScores:
    """Scores over photos, nan when nobody drew a boundary; the pooled curve, (L,) precision and recall, beside."""

    photos: int
    f_ods: float = np.nan
    precision_ods: float = np.nan
    recall_ods: float = np.nan
    f_ois: float = np.nan
    precision_ois: float = np.nan
    recall_ois: float = np.nan
    ap: float = np.nan
    precision: np.ndarray = field(default_factory=lambda: np.zeros(0))
    recall: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def as_dict(self) -> dict[str, float]:
        """Names to print, in order, and their values."""
        return {
            "photos": self.photos,
            "boundary F ODS": self.f_ods,
            "boundary precision ODS": self.precision_ods,
            "boundary recall ODS": self.recall_ods,
            "boundary F OIS": self.f_ois,
            "boundary AP": self.ap,
        }


def measure_boundaries(levels: np.ndarray, boundaries: Sequence[np.ndarray], *, name: str = "") -> PhotoBoundaries:
    """Match the boundaries of (L, H, W) label maps with the (H, W) bool boundary maps of several people.

    Maps that come as partitions become boundary maps by `trace`, which gives BSDS500's own to the pixel.
    """
    check_levels(levels, boundaries)
    people = [np.asarray(person, bool) for person in boundaries]
    reach = REACH * float(np.hypot(*np.shape(levels)[1:]))
    found, found_right, drawn_met = np.zeros((3, len(levels)), np.int64)
    for k, level in enumerate(levels):
        machine = trace(level)
        right = np.zeros_like(machine)
        for person in people:
            taken, met = correspond(machine, person, reach)
            right |= taken
            drawn_met[k] += met.sum()
        found[k], found_right[k] = machine.sum(), right.sum()
    return PhotoBoundaries(name, found, found_right, int(sum(person.sum() for person in people)), drawn_met)


def pool_boundaries(photos: Iterable[PhotoBoundaries]) -> BoundaryScores:
    """The scores of all photos together; every photo needs the same number of levels."""
    photos = list(photos)
    if not any(photo.drawn for photo in photos):
        return BoundaryScores(len(photos))
    check_same_levels([len(photo.found) for photo in photos])
    precision, recall = _rates(_summed(photos))
    best = [_at(photo, int(_f(*_rates(photo)).argmax())) for photo in photos]
    (precision_ois,), (recall_ois,) = _rates(_summed(best))
    precision_ods, recall_ods = _best_between(precision, recall)
    return BoundaryScores(
        photos=len(photos),
        f_ods=float(_f(precision_ods, recall_ods)),
        precision_ods=float(precision_ods),
        recall_ods=float(recall_ods),
        f_ois=float(_f(precision_ois, recall_ois)),
        precision_ois=float(precision_ois),
        recall_ois=float(recall_ois),
        ap=_area(precision, recall),
        precision=precision,
        recall=recall,
    )


def trace(labels: np.ndarray) -> np.ndarray:
    """(H, W) bool, the boundary of a label map, one pixel thin: pixels whose 2x2 block down and right meets two labels.

    This is the benchmark's reduction of contours between pixels to the pixel grid, then its thinning.
    """
    block = np.pad(labels, ((0, 1), (0, 1)), mode="edge")
    corner, right, below, across = block[:-1, :-1], block[:-1, 1:], block[1:, :-1], block[1:, 1:]
    return thin((corner != right) | (corner != below) | (right != across) | (below != across))


def thin(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool, worn down to lines one pixel thin, connected as before: Matlab's bwmorph(..., 'thin', Inf).

    Lam, Lee and Suen, PAMI 1992, page 879. Only the pixels still standing are looked at.
    """
    height, width = mask.shape[0] + 2, mask.shape[1] + 2
    padded = np.zeros((height, width), bool)  # not np.pad, which keeps Matlab's column order: `flat` must be a view
    padded[1:-1, 1:-1] = mask
    flat = padded.reshape(-1)
    around = np.array([1, 1 - width, -width, -1 - width, -1, width - 1, width, width + 1])  # x1 is east, then leftwards
    standing, before = np.flatnonzero(flat), -1
    while len(standing) != before:
        before = len(standing)
        for removable in _removable():
            gone = removable[flat[standing[:, None] + around] @ (1 << np.arange(8))]
            flat[standing[gone]] = False
            standing = standing[~gone]
    return padded[1:-1, 1:-1]


@cache
def _removable() -> tuple[np.ndarray, np.ndarray]:
    """Two tables (256,) bool, one a half-step: may a pixel go, given which of its eight neighbours stand?"""
    x1, x2, x3, x4, x5, x6, x7, x8 = (np.arange(256) >> np.arange(8)[:, None] & 1).astype(bool)
    odd, even, after = np.array([x1, x3, x5, x7]), np.array([x2, x4, x6, x8]), np.array([x3, x5, x7, x1])
    one_line = (~odd & (even | after)).sum(0) == 1
    sides = np.minimum((odd | even).sum(0), (even | after).sum(0))
    stays = one_line & (sides >= 2) & (sides <= 3)
    return stays & ~((x2 | x3 | ~x8) & x1), stays & ~((x6 | x7 | ~x4) & x5)


def correspond(machine: np.ndarray, human: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Two (H, W) bool: the pixels of each map that got a partner, one to one, at most `reach` pixels apart.

    As many pairs as can be and, of all ways to that, one of least total distance.
    """
    met = np.zeros((2, machine.size), bool)
    pairs, distance = _pairs_within(machine, human, reach)
    if pairs.size:
        for side, pixels in zip(met, _assign(pairs, distance), strict=True):
            side[pixels] = True
    return met[0].reshape(machine.shape), met[1].reshape(machine.shape)


def _pairs_within(machine: np.ndarray, human: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """(2, E) flat indices of a machine and a human pixel in reach of each other, and (E,) their distance."""
    margin = int(reach)
    place = np.full(machine.size, -1).reshape(machine.shape)
    place[human] = np.flatnonzero(human)
    place = np.pad(place, margin, constant_values=-1)
    rows, columns = np.nonzero(machine)
    pairs, distances = [], []
    for dy in range(-margin, margin + 1):
        for dx in range(-margin, margin + 1):
            if (distance := float(np.hypot(dy, dx))) > reach:
                continue
            other = place[rows + margin + dy, columns + margin + dx]
            there = np.flatnonzero(other >= 0)
            pairs.append(np.stack([rows[there] * machine.shape[1] + columns[there], other[there]]))
            distances.append(np.full(len(there), distance))
    return np.concatenate(pairs, axis=1), np.concatenate(distances)


def _assign(pairs: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of the best one-to-one choice among the pairs, (K,) of the first kind and (K,) of the second.

    The solver wants a partner for each row, so each row may also take a column of its own that stands for staying
    alone, dearer than all distances together. Its time grows with the rows: those are the kind of fewer pixels.
    """
    kinds = [np.unique(pixels, return_inverse=True) for pixels in pairs]
    turned = len(kinds[0][0]) > len(kinds[1][0])
    (one, row), (two, column) = kinds[::-1] if turned else kinds
    alone = np.arange(len(one))
    price = distance + 1  # a pair at distance 0 would be no pair to a sparse array
    price = np.append(price, np.full(len(one), price.max() * (len(one) + 1)))
    row = np.append(row, alone).astype(np.int32)  # scipy 1.11 takes no wider index
    column = np.append(column, len(two) + alone).astype(np.int32)
    table = csr_array((price, (row, column)), shape=(len(one), len(two) + len(one)))
    row, column = min_weight_full_bipartite_matching(table)
    met = column < len(two)
    chosen = one[row[met]], two[column[met]]
    return chosen[::-1] if turned else chosen


def _rates(counts: PhotoBoundaries) -> tuple[np.ndarray, np.ndarray]:
    """(L,) precision and recall; 0 where nothing was found or drawn, as in the benchmark."""
    return counts.found_right / np.maximum(counts.found, 1), counts.drawn_met / max(counts.drawn, 1)


def _f(precision: Any, recall: Any) -> Any:
    return 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)


def _summed(photos: Sequence[PhotoBoundaries]) -> PhotoBoundaries:
    found, found_right, drawn_met = (
        sum(getattr(p, of) for p in photos) for of in ("found", "found_right", "drawn_met")
    )
    return PhotoBoundaries("", found, found_right, sum(photo.drawn for photo in photos), drawn_met)


def _at(photo: PhotoBoundaries, level: int) -> PhotoBoundaries:
    one = slice(level, level + 1)
    return PhotoBoundaries(photo.name, photo.found[one], photo.found_right[one], photo.drawn, photo.drawn_met[one])


def _best_between(precision: np.ndarray, recall: np.ndarray) -> tuple[float, float]:
    """Precision and recall at the best F on the straight lines from level to level, a hundred steps each."""
    place = np.linspace(0, len(recall) - 1, 99 * (len(recall) - 1) + 1)
    between = [np.interp(place, np.arange(len(recall)), rate) for rate in (precision, recall)]
    best = int(_f(*between).argmax())
    return float(between[0][best]), float(between[1][best])


def _area(precision: np.ndarray, recall: np.ndarray) -> float:
    """Area under precision over recall, read at 0, 0.01 ... 1; beyond the least and greatest recall it is 0."""
    recall, first = np.unique(recall, return_index=True)
    if len(recall) < 2:
        return 0.0
    return float(np.interp(np.linspace(0, 1, 101), recall, precision[first], left=0, right=0).sum() * 0.01)
