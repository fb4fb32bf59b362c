"""What classes do categories stand for that nobody named, and how well: clusters matched with classes, and retrieval.

In: the pixels of each class that each region of a photo holds (`region_histograms`), and each region's category. Out: a
small record a photo (`measure_categories`), and the scores of all photos together (`pool_categories`). One table of
pixels, classes by categories, holds all that any matching needs: maps of a whole data set are never kept.

MaskContrast (Van Gansbeke et al. 2021) matches 21 categories with 21 classes one to one so that the sum of IoU is
greatest (Kuhn 1955), and any other number of categories each to the class of greatest IoU, which it calls majority
vote. Here all three readings come by name: one to one, each category to the class of greatest IoU, and each to the
class of most of its pixels. Where we depart: a class that no photo shows is left out of the mean, and counts 0 only
where it is asked for as published.

Retrieval (the same paper): a segment takes the class of the most similar one in a bank of labelled segments.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True, eq=False)
class PhotoCategories:
    """One photo's labelled pixels, (C, K): row what they are, column the category they were given."""

    name: str
    pixels: np.ndarray

    @property
    def purity(self) -> float:
        """Share that is right if each category stands for its commonest class here, nan where nothing is labelled: sort
        by it to see the worst first."""
        total = self.pixels.sum()
        return float(self.pixels.max(0, initial=0).sum() / total) if total else np.nan


@dataclass(frozen=True)
class Matching:
    """Categories read as classes.

    classes   the class of each category, -1 where it stands for none
    miou      mean of `iou`, which has a number a class, nan for those left out
    accuracy  share of labelled pixels that are right
    """

    classes: tuple[int, ...]
    miou: float
    accuracy: float
    iou: tuple[float, ...]


@dataclass(frozen=True)
class CategoryScores:
    """All photos together, under each of the three matchings."""

    photos: int
    hungarian: Matching
    majority_iou: Matching
    majority_count: Matching

    def as_dict(self) -> dict[str, float]:
        """Names to print, in order, and their values."""
        return {
            "photos": self.photos,
            "mIoU Hungarian": self.hungarian.miou,
            "mIoU majority (IoU)": self.majority_iou.miou,
            "mIoU majority (count)": self.majority_count.miou,
            "accuracy Hungarian": self.hungarian.accuracy,
            "accuracy majority (count)": self.majority_count.accuracy,
        }


# ---------------------------------------------------------------------- clusters


def region_histograms(regions: np.ndarray, labels: np.ndarray, classes: int, count: int) -> np.ndarray:
    """(H, W) region of each pixel, 0 ... count - 1, and (H, W) class, -1 where void -> (C, R) pixels."""
    known = labels >= 0
    pairs = labels[known].astype(np.int64) * count + regions[known]
    return np.bincount(pairs, minlength=classes * count).reshape(classes, count)


def measure_categories(pixels: np.ndarray, of: np.ndarray, k: int, *, name: str = "") -> PhotoCategories:
    """Regions' pixels (C, R) and the category of each region (R,), 0 ... k - 1."""
    table = np.zeros((k, len(pixels)), np.int64)
    np.add.at(table, of, pixels.T)
    return PhotoCategories(name, table.T)


def pool_categories(photos: Iterable[PhotoCategories], absent: float = np.nan) -> CategoryScores:
    """The scores of all photos together. `absent` is what a class counts that no photo shows: nan leaves it out."""
    tables = [photo.pixels for photo in photos]
    table = np.sum(tables, axis=0) if tables else np.zeros((0, 0), np.int64)
    iou = iou_table(table)
    hungarian = np.full(table.shape[1], -1)
    rows, columns = linear_sum_assignment(-iou)
    hungarian[columns] = rows
    used = table.any(0)
    by_iou, by_count = (
        np.where(used, worth.argmax(0) if len(worth) else -1, -1) for worth in (iou, table)
    )  # a tie goes to the class that stands first
    return CategoryScores(len(tables), *(_read(table, classes, absent) for classes in (hungarian, by_iou, by_count)))


def iou_table(table: np.ndarray) -> np.ndarray:
    """(C, K) pixels -> (C, K) intersection over union of each class with each category; 0 where both are nowhere."""
    union = table.sum(1, keepdims=True) + table.sum(0, keepdims=True) - table
    return table / np.maximum(union, 1)


def _read(table: np.ndarray, classes: np.ndarray, absent: float) -> Matching:
    """The scores when category k is class classes[k]. What a category without a class holds is missed, and is nobody
    else's mistake."""
    count = len(table)
    told = np.zeros((count + 1, count), np.int64)  # the last row: no class
    np.add.at(told, classes, table.T)
    told = told[:-1].T
    right, there = np.diag(told), table.sum(1)
    iou = np.where(there > 0, right / np.maximum(there + told.sum(0) - right, 1), absent)
    counted = iou[~np.isnan(iou)]
    return Matching(
        classes=tuple(classes.tolist()),
        miou=float(counted.mean()) if len(counted) else np.nan,
        accuracy=float(right.sum() / there.sum()) if there.sum() else np.nan,
        iou=tuple(iou.tolist()),
    )


# ---------------------------------------------------------------------- retrieval


def class_of(pixels: np.ndarray, grounds: Sequence[int]) -> int:
    """The commonest class of a region's labelled pixels (C,) that is no mere ground, -1 where there is none."""
    things = pixels.copy()
    things[list(grounds)] = 0
    return int(things.argmax()) if things.any() else -1


def retrieve(bank: np.ndarray, classes: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(M, D) unit vectors of known class (M,), and (N, D) -> (N,) class of the most similar one, by cosine."""
    if not len(bank):
        raise ValueError("retrieval needs a labelled segment to find, the bank is empty")
    return classes[(vectors @ bank.T).argmax(1)]
