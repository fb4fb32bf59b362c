"""How well does a partition match human partitions: covering, Rand index, variation of information.

In: nested label maps of a photo, coarse to fine, and the partitions several people drew of it. Out: a small record a
photo (`measure_regions`), so that photos can be measured in parallel, and the scores of all records together
(`pool_regions`).

The protocol is the BSDS500 region benchmark (Arbelaez, Maire, Fowlkes, Malik, PAMI 2011, section 3.1). Three measures:

covering      every human region is given its best IoU with a machine region; mean by area
Rand index    share of pixel pairs that machine and human both join or both part, mean over people ("probabilistic")
variation     of information, in bits: entropy left in either partition once the other is known; less is better

each at the one level that is best for the whole data set (ODS) and at each photo's own best level (OIS). Covering is
pooled over pixels, as the benchmark's code does; the other two are means over photos. `covering_best` takes every human
region at its own best level. All three come from one table of overlaps a level and person.

Where we depart: pixels a person left void (label below 0) count for nobody; BSDS500 has none. Machine labels below 0
are one more region, as in `MaskForest.levels`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class PhotoRegions:
    """One photo's measures at each of L levels.

    covered       (L,) float, pixels of human regions times their best IoU, summed over regions and people
    covered_best  float, the same with each region at its own best level
    coverable     int, pixels of human regions, summed over people; 0 when nobody drew anything
    rand          (L,) float, Rand index, mean over people
    variation     (L,) float, variation of information in bits, mean over people
    """

    name: str
    covered: np.ndarray
    covered_best: float
    coverable: int
    rand: np.ndarray
    variation: np.ndarray

    @property
    def covering(self) -> float:
        """Covering at this photo's best level, nan when nobody drew anything: sort by it to see the worst first."""
        return float(self.covered.max()) / self.coverable if self.coverable else np.nan


@dataclass(frozen=True)
class RegionScores:
    """Scores over the photos somebody drew; nan when there is none. Levels count from 0, coarsest first."""

    photos: int = 0
    covering_ods: float = np.nan
    covering_ois: float = np.nan
    covering_best: float = np.nan
    rand_ods: float = np.nan
    rand_ois: float = np.nan
    variation_ods: float = np.nan
    variation_ois: float = np.nan
    covering_level: int = -1
    rand_level: int = -1
    variation_level: int = -1

    def as_dict(self) -> dict[str, float]:
        """Names to print, in order, and their values."""
        return {
            "photos": self.photos,
            "covering ODS": self.covering_ods,
            "covering OIS": self.covering_ois,
            "covering best": self.covering_best,
            "Rand index ODS": self.rand_ods,
            "Rand index OIS": self.rand_ois,
            "variation ODS": self.variation_ods,
            "variation OIS": self.variation_ois,
        }


def measure_regions(levels: np.ndarray, partitions: Sequence[np.ndarray], *, name: str = "") -> PhotoRegions:
    """Compare (L, H, W) integer label maps with the (H, W) label maps of several people."""
    check_levels(levels, partitions)
    drawn = [np.asarray(human).ravel() for human in partitions]
    people = [_number(human, human >= 0) for human in drawn if (human >= 0).any()]
    machines = [_number(np.maximum(level.ravel(), -1)) for level in np.asarray(levels)]
    tables = [[_Overlap(machine, human) for human in people] for machine in machines]

    area = [row.human_area for row in tables[0]]
    iou = [np.stack([row[p].best_iou() for row in tables]) for p in range(len(people))]  # (L, regions) a person
    nobody = np.full(len(tables), np.nan)
    return PhotoRegions(
        name=name,
        covered=np.array(sum((best @ pixels for best, pixels in zip(iou, area, strict=True)), np.zeros(len(tables)))),
        covered_best=float(sum(best.max(0) @ pixels for best, pixels in zip(iou, area, strict=True))),
        coverable=int(sum(pixels.sum() for pixels in area)),
        rand=np.mean([[t.rand() for t in row] for row in tables], axis=1) if people else nobody,
        variation=np.mean([[t.variation() for t in row] for row in tables], axis=1) if people else nobody,
    )


def pool_regions(photos: Iterable[PhotoRegions]) -> RegionScores:
    """The scores of all photos together; every photo needs the same number of levels."""
    photos = [photo for photo in photos if photo.coverable]
    if not photos:
        return RegionScores()
    check_same_levels([len(photo.covered) for photo in photos])
    pixels = sum(photo.coverable for photo in photos)
    covering = np.sum([photo.covered for photo in photos], axis=0) / pixels
    rand = np.stack([photo.rand for photo in photos])
    variation = np.stack([photo.variation for photo in photos])
    return RegionScores(
        photos=len(photos),
        covering_ods=float(covering.max()),
        covering_ois=float(sum(photo.covered.max() for photo in photos) / pixels),
        covering_best=float(sum(photo.covered_best for photo in photos) / pixels),
        rand_ods=float(rand.mean(0).max()),
        rand_ois=float(rand.max(1).mean()),
        variation_ods=float(variation.mean(0).min()),
        variation_ois=float(variation.min(1).mean()),
        covering_level=int(covering.argmax()),
        rand_level=int(rand.mean(0).argmax()),
        variation_level=int(variation.mean(0).argmin()),
    )


def check_levels(levels: np.ndarray, people: Sequence[np.ndarray]) -> None:
    """Levels are (L, H, W), L >= 1, and what people drew is (H, W)."""
    shape = np.shape(levels)
    if len(shape) != 3 or not shape[0]:
        raise ValueError(f"levels are label maps (L, H, W), at least one, got shape {shape}: give one map as map[None]")
    for human in people:
        if np.shape(human) != shape[1:]:
            raise ValueError(f"what people drew has the size of the levels {shape[1:]}, got shape {np.shape(human)}")


def check_same_levels(counts: Sequence[int]) -> None:
    """A level best for all photos exists only if all have as many."""
    if len(set(counts)) > 1:
        raise ValueError(f"all photos need the same number of levels, got {sorted(set(counts))}")


def _number(labels: np.ndarray, known: Any = True) -> np.ndarray:
    """(P,) labels as 0 ... R-1 in label order, -1 where not `known`. Counting is ten times faster than sorting."""
    known = np.broadcast_to(known, labels.shape)
    low, high = int(labels[known].min()), int(labels[known].max())
    if high - low > 4 * len(labels):  # ids from elsewhere may be huge: then counting would cost the memory
        return np.where(known, np.searchsorted(np.unique(labels[known]), labels), -1)
    shifted = np.where(known, labels.astype(np.int64) - low, 0)
    place = np.cumsum(np.bincount(shifted[known], minlength=high - low + 1) > 0) - 1
    return np.where(known, place[shifted], -1)


class _Overlap:
    """Pixels that each machine region shares with each human region: the table all three measures are read from.

    Only cells with a pixel are kept: a fine level has thousands of regions, each touching a few human ones.
    """

    def __init__(self, machine: np.ndarray, human: np.ndarray) -> None:
        if human.min() < 0:
            machine, human = machine[human >= 0], human[human >= 0]
        across = int(human.max()) + 1
        table = np.bincount(machine * across + human)
        filled = np.flatnonzero(table)
        self.machine, self.human = np.divmod(filled, across)
        self.pixels = table[filled]
        self.machine_area = np.bincount(machine)
        self.human_area = np.bincount(human)

    def best_iou(self) -> np.ndarray:
        """(R,) for each human region, its best IoU with a machine region."""
        union = self.machine_area[self.machine] + self.human_area[self.human] - self.pixels
        best = np.zeros(len(self.human_area))
        np.maximum.at(best, self.human, self.pixels / union)
        return best

    def rand(self) -> float:
        """Share of pixel pairs on which both agree; 1 for a single pixel, which has no pair to disagree on."""
        joined, by_machine, by_human = (_pairs(n) for n in (self.pixels, self.machine_area, self.human_area))
        every = _pairs(self.pixels.sum())
        return 1 - (by_machine + by_human - 2 * joined) / every if every else 1.0

    def variation(self) -> float:
        """H(machine) + H(human) - 2 I(machine; human) = 2 H(both) - H(machine) - H(human), in bits."""
        joint, machine, human = (_entropy(n) for n in (self.pixels, self.machine_area, self.human_area))
        return max(0.0, 2 * joint - machine - human)  # rounding alone may lead below 0


def _pairs(pixels: np.ndarray) -> float:
    pixels = np.asarray(pixels, np.float64)
    return float((pixels * (pixels - 1) / 2).sum())


def _entropy(pixels: np.ndarray) -> float:
    share = pixels[pixels > 0] / pixels.sum()
    return float(-(share * np.log2(share)).sum())
