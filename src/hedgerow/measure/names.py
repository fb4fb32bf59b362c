"""How well are names given: to pixels, to regions whose outline is known, and captions to photos.

In: maps of classes and of names; the names of regions; cosines of photos and captions. Out: small records a photo, and
the scores of all of them together.

Of names there are two readings, as in all tables of open vocabularies (GroupViT, Xu et al. 2022; TCL, Cha et al. 2023).
*Without background* every pixel is given one of the names, and pixels that are none of the classes are not asked for:
VOC20, Context59, COCO-Stuff. *With background* pixels may stay unnamed, and that is what background is: VOC21,
Context60, COCO-Object. IoU is of pixels of all photos together. A class that no photo shows is left out of the means.

Classes may be parted into those seen in learning and those unseen, as zero-shot segmenting does; learning from captions
has seen none, and the parts serve to compare. Their harmonic mean is 2SU / (S + U) (Xian et al. 2017).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

RANKS = (1, 5, 10)  # at which captions and photos are recalled
BLOCK = 2**24  # cosines compared at a time
DIGITS = 6  # of a cosine: sums taken in another order differ beyond, and the same caption of two photos is a tie


# ---------------------------------------------------------------------- pixels


def name_table(labels: np.ndarray, told: np.ndarray, classes: int) -> np.ndarray:
    """Two maps (H, W) -> (C + 1, C + 2) pixels: row what they are, column what they are called.

    labels  a class, C for background, -1 for void, which counts nowhere
    told    a class, -1 for no name, C for a name that is no class; columns C and C + 1
    """
    known = labels >= 0
    called = np.where(told < 0, classes, np.where(told >= classes, classes + 1, told))
    pairs = labels[known].astype(np.int64) * (classes + 2) + called[known]
    return np.bincount(pairs, minlength=(classes + 1) * (classes + 2)).reshape(classes + 1, classes + 2)


@dataclass(frozen=True)
class NameScores:
    """Of pixels, all photos together.

    miou        mean of `iou`, which has a number a class (with background, one more), nan for those left out
    accuracy    share of labelled pixels that are right
    mean_recall mean over classes of the share of their pixels that is right
    """

    miou: float
    accuracy: float
    mean_recall: float
    iou: tuple[float, ...]

    def over(self, rows: Collection[int]) -> float:
        """Mean IoU over some of the classes."""
        return _mean(np.array(self.iou)[sorted(rows)])


def pool_names(tables: Iterable[np.ndarray], background: bool) -> NameScores:
    """The scores of `name_table`s together; without background its pixels are not asked for."""
    table = np.sum(list(tables), axis=0)
    classes = len(table) - 1
    asked = classes + background
    rows = table[:asked]
    right, there = np.diagonal(rows)[:asked], rows.sum(1)
    union = there + rows.sum(0)[:asked] - right
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = np.where(there > 0, right / union, np.nan)
        recall = np.where(there > 0, right / there, np.nan)
    accuracy = float(right.sum() / there.sum()) if there.sum() else np.nan
    return NameScores(_mean(iou), accuracy, _mean(recall), tuple(iou.tolist()))


def constant_table(table: np.ndarray, column: int) -> np.ndarray:
    """What a `name_table` would be if all pixels were called one thing."""
    told = np.zeros_like(table)
    told[:, column] = table.sum(1)
    return told


def harmonic(seen: float, unseen: float) -> float:
    """Of two mean IoUs; 0 where either is."""
    return 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0


def _mean(values: np.ndarray) -> float:
    counted = values[~np.isnan(values)]
    return float(counted.mean()) if len(counted) else np.nan


# ---------------------------------------------------------------------- regions


def hits(scores: np.ndarray, classes: np.ndarray, ranks: Sequence[int] = (1, 5)) -> np.ndarray:
    """(N, K) scores of names, (N,) the right one -> (N, len(ranks)) bool: is it among the best so many?

    A tie counts against us: what scores all names alike has found none.
    """
    own = np.take_along_axis(scores, classes[:, None], 1)
    before = (scores >= own).sum(1) - 1  # itself
    return before[:, None] < np.asarray(ranks)


def called(told: np.ndarray, mask: np.ndarray, classes: int) -> int:
    """What most pixels of a region are called on a map of names, -1 where most have none of them."""
    votes = np.bincount(np.where((told >= 0) & (told < classes), told, classes)[mask], minlength=classes + 1)
    best = int(votes.argmax())
    return best if best < classes else -1


# ---------------------------------------------------------------------- photos and captions


@dataclass(frozen=True)
class Recall:
    """Share of photos one of whose captions is among the best k, and of captions whose photo is; and the median place
    of the best, 1 the first."""

    captions: dict[int, float]
    photos: dict[int, float]
    median_caption: float
    median_photo: float

    def as_dict(self) -> dict[str, float]:
        """Names to print, in order, and their values."""
        told = {f"caption R@{rank}": value for rank, value in self.captions.items()}
        told |= {f"photo R@{rank}": value for rank, value in self.photos.items()}
        return told | {"median caption": self.median_caption, "median photo": self.median_photo}


def measure_recall(photos: np.ndarray, captions: np.ndarray, of: np.ndarray, ranks: Sequence[int] = RANKS) -> Recall:
    """(N, E) and (M, E) unit vectors, and (M,) the photo that each caption is of; every photo has one or more.

    Ties count against us: a caption that is as near as a right one stands before it.
    """
    count = len(photos)
    if not count or set(of.tolist()) != set(range(count)):
        raise ValueError("every photo has at least one caption, and every caption a photo")
    own = np.round(np.einsum("me,me->m", captions, photos[of]), DIGITS)
    best = np.full(count, -np.inf, own.dtype)
    np.maximum.at(best, of, own)
    before_caption, before_photo = np.zeros(count, np.int64), np.zeros(len(captions), np.int64)
    step = max(1, BLOCK // count)
    for start in range(0, len(captions), step):
        rows = slice(start, start + step)
        near = np.round(captions[rows] @ photos.T, DIGITS)  # (some, N)
        near[np.arange(len(near)), of[rows]] = -np.inf
        before_photo[rows] = (near >= own[rows, None]).sum(1)
        before_caption += (near >= best).sum(0)
    return Recall(
        {rank: float((before_caption < rank).mean()) for rank in ranks},
        {rank: float((before_photo < rank).mean()) for rank in ranks},
        float(np.median(before_caption)) + 1,
        float(np.median(before_photo)) + 1,
    )


def recall_by_chance(of: np.ndarray, ranks: Sequence[int] = RANKS) -> dict[str, float]:
    """What an order by lot recalls, on average: of a photo with c of M captions, 1 - C(M - c, k) / C(M, k)."""
    counts, total = np.bincount(of), len(of)
    told = {}
    for rank in ranks:
        missed = [comb(total - int(own), rank) / comb(total, rank) if rank <= total else 0.0 for own in counts]
        told[f"caption R@{rank}"] = 1 - float(np.mean(missed))
    return told | {f"photo R@{rank}": min(rank / len(counts), 1.0) for rank in ranks}
