"""Are the parts found parts of the right wholes: recall and precision of ancestor pairs against nested labels.

In: a predicted `MaskForest` and the labelled, nested one of the same photo (a person and her garments). Out: a small
record a photo (`measure_hierarchy`), so that photos can be measured in parallel, and the scores of all records together
(`pool_hierarchy`), pooled over pairs.

No paper measures this: SOHES scores its ancestor head only through masks. A pair is (whole, part), any number of
generations apart, so a level that one forest has and the other lacks costs nothing by itself.

1. Matching. Labelled and predicted regions of IoU >= 0.5 are assigned one to one, greatest total IoU (Hungarian). One
   to one because a forest holds near copies: were any copy allowed to speak for a region, a forest that nests every
   copy differently would be right whatever it says. Relations have no say in the choice, for that would flatter recall.
   Of exact copies the better-scored one speaks.
2. Recall. Of the labelled pairs, the share whose two regions were both found and whose predictions stand in the same
   relation. `related_recall` is the share among pairs both of whose regions were found, which sets relating apart from
   finding (`region_recall`).
3. Precision. Of the predicted pairs both of whose regions are matched, the share that is labelled. Other predicted
   pairs are not judged: labels name only some parts.

Beside the forest's own parents stands what overlaps alone would say of the same matched regions (SOHES: B
is an ancestor of A if B covers 90 % of A and A does not cover 90 % of B): a learned relation should beat that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from hedgerow.forest import COVER, MaskForest

FOUND = 0.5  # least IoU of a labelled region and the prediction that speaks for it


@dataclass(frozen=True)
class PhotoHierarchy:
    """One photo's counts.

    regions, found              labelled regions, and those with a prediction
    pairs, found_pairs          labelled ancestor pairs, and those of two found regions
    claimed, right              predicted pairs between matched regions, and those labelled
    claimed_cover, right_cover  the same for pairs told from overlaps alone
    """

    name: str
    regions: int
    found: int
    pairs: int
    found_pairs: int
    claimed: int
    right: int
    claimed_cover: int
    right_cover: int

    @property
    def f(self) -> float:
        """F of this photo's pairs, nan when there is no pair on either side: sort by it to see the worst first."""
        return _f(self.right, self.claimed, self.pairs)


@dataclass(frozen=True)
class HierarchyScores:
    """Scores over photos; nan where nothing was there to count. `_cover` is what overlaps alone would give."""

    photos: int
    pairs: int
    recall: float
    precision: float
    f: float
    region_recall: float
    related_recall: float
    recall_cover: float
    precision_cover: float
    f_cover: float

    def as_dict(self) -> dict[str, float]:
        """Names to print, in order, and their values."""
        return {
            "photos": self.photos,
            "pairs": self.pairs,
            "pair recall": self.recall,
            "pair precision": self.precision,
            "pair F": self.f,
            "regions found": self.region_recall,
            "pair recall if both found": self.related_recall,
            "pair recall by overlap": self.recall_cover,
            "pair precision by overlap": self.precision_cover,
            "pair F by overlap": self.f_cover,
        }


def measure_hierarchy(found: MaskForest, truth: MaskForest, *, name: str = "") -> PhotoHierarchy:
    """Compare a predicted forest with the labelled one."""
    mine, theirs = _match(found, truth)
    labelled = _ancestry(truth)
    matched = labelled[np.ix_(theirs, theirs)]
    claimed = _ancestry(found)[np.ix_(mine, mine)]
    covers = _covering(found.select(mine))
    return PhotoHierarchy(
        name=name,
        regions=len(truth),
        found=len(theirs),
        pairs=int(labelled.sum()),
        found_pairs=int(matched.sum()),
        claimed=int(claimed.sum()),
        right=int((claimed & matched).sum()),
        claimed_cover=int(covers.sum()),
        right_cover=int((covers & matched).sum()),
    )


def pool_hierarchy(photos: Iterable[PhotoHierarchy]) -> HierarchyScores:
    """The scores of all photos together, each pair counting once."""
    photos = list(photos)
    total = {of: sum(getattr(photo, of) for photo in photos) for of in _COUNTS}
    return HierarchyScores(
        photos=len(photos),
        pairs=total["pairs"],
        recall=_share(total["right"], total["pairs"]),
        precision=_share(total["right"], total["claimed"]),
        f=_f(total["right"], total["claimed"], total["pairs"]),
        region_recall=_share(total["found"], total["regions"]),
        related_recall=_share(total["right"], total["found_pairs"]),
        recall_cover=_share(total["right_cover"], total["pairs"]),
        precision_cover=_share(total["right_cover"], total["claimed_cover"]),
        f_cover=_f(total["right_cover"], total["claimed_cover"], total["pairs"]),
    )


_COUNTS = ("regions", "found", "pairs", "found_pairs", "claimed", "right", "claimed_cover", "right_cover")


def _match(found: MaskForest, truth: MaskForest) -> tuple[np.ndarray, np.ndarray]:
    """Rows of predicted regions, ascending, and of the labelled regions they speak for."""
    iou = found.iou(truth)
    place = np.argsort(np.argsort(-found.score, kind="stable"))
    tie = 1e-9 * (1 - place / max(len(found), 1))  # far below any difference of two IoUs that means something
    rows, columns = linear_sum_assignment(np.where(iou >= FOUND, iou + tie[:, None], 0), maximize=True)
    good = iou[rows, columns] >= FOUND
    return rows[good], columns[good]


def _ancestry(forest: MaskForest) -> np.ndarray:
    """(N, N) bool: is the row's region an ancestor of the column's, any number of generations apart?"""
    above = np.zeros((len(forest), len(forest)), bool)
    for i, parent in enumerate(forest.parent):  # parents stand before children, so one pass is enough
        if parent >= 0:
            above[:, i] = above[:, parent]
            above[parent, i] = True
    return above


def _covering(forest: MaskForest) -> np.ndarray:
    """(N, N) bool: does the row's region cover the column's and not the other way round?"""
    covered = forest.cover() >= COVER
    return covered.T & ~covered


def _share(part: int, whole: int) -> float:
    return part / whole if whole else np.nan


def _f(right: int, claimed: int, pairs: int) -> float:
    """Harmonic mean of precision and recall: 0, not undefined, when there are pairs and nothing is claimed."""
    return _share(2 * right, claimed + pairs)
