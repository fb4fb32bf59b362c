"""A forest as a partition: each pixel in one region or in none, for formats that hold nothing else.

In: a forest, and how fine it is cut. Out: labels, and a forest of roots that do not overlap, best-scored first. Where
parts have room beside each other in their wholes, as in a forest made by hand, the regions are the forest's own, opened
in the order of a granularity slider. Where they compete, that would leave scraps; they vote instead, as for levels
(`hedgerow.partition`), and each piece is called what the region that it fits best is called.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np

from hedgerow.config import CallerError
from hedgerow.forest import MaskForest
from hedgerow.partition import arrangement, voted_tree

LEVELS = 12  # of which `level` is one, as files of levels have them
CROWDED = 1.1  # of a whole: parts that fill more than this lie over each other


@dataclass(frozen=True)
class Cut:
    """How fine a forest is cut: into about `count` regions, or as its `level`, 1 (coarse) to 12 (fine), is."""

    count: int = 50
    level: int | None = None

    def __post_init__(self) -> None:
        if self.level is not None and not 1 <= self.level <= LEVELS:
            raise CallerError(f"levels go from 1 to {LEVELS}, got {self.level}")
        if self.count < 1:
            raise CallerError(f"a partition has at least 1 region, got {self.count}")


def partition(forest: MaskForest, cut: Cut) -> tuple[np.ndarray, MaskForest]:
    """(H, W) int32 labels 0..N-1, or -1, and the forest of those N: what each pixel shows of it."""
    if not len(forest):
        return np.full(forest.size, -1, np.int32), forest
    if cut.level is not None:
        labels = next(islice(forest.each_level(LEVELS), cut.level - 1, None))
        rows = _fitting(forest, labels)
    elif agrees(forest):
        labels, rows = forest.cut(count=cut.count), np.arange(len(forest))
    else:
        labels = _voted(forest, cut.count)
        rows = _fitting(forest, labels)
    seen = np.unique(labels[labels >= 0])
    order = seen[np.lexsort((seen, -forest.score[rows[seen]]))]
    number = np.full(int(labels.max()) + 2, -1, np.int32)  # the last is that of -1
    number[order] = np.arange(len(order))
    labels = number[labels]
    shown = rows[order]
    flat = MaskForest.from_labels(
        labels,
        score=forest.score[shown],
        source=tuple(forest.source[row] for row in shown),
        category=None if forest.category is None else forest.category[shown],
        name=None if forest.name is None else tuple(forest.name[row] for row in shown),
        name_score=None if forest.name_score is None else forest.name_score[shown],
    )
    return labels, flat


def agrees(forest: MaskForest) -> bool:
    """Do parts have room beside each other in their wholes, as in a forest made by hand or a flat set?"""
    room = np.append(forest.areas, forest.size[0] * forest.size[1])
    filled = np.bincount(forest.parent + 1, forest.areas, len(room))
    return bool((np.roll(filled, -1) <= CROWDED * room).all())


def _voted(forest: MaskForest, count: int) -> np.ndarray:
    """What regions vote for; -1 where none of them lies."""
    pieces, inside = arrangement(forest.size, forest.rles)
    bare = ~inside.any(0)
    labels = voted_tree(pieces, inside, forest.score).labels(count=count + int(bare.any()))
    return np.where(bare, -1, labels)[pieces].astype(np.int32)


def _fitting(forest: MaskForest, labels: np.ndarray) -> np.ndarray:
    """Of each label the row of the region that it fits best; labels that are not there have row 0."""
    there = np.unique(labels[labels >= 0])
    rows = np.zeros(int(there.max()) + 1, np.int64)
    rows[there] = MaskForest.from_labels(labels).iou(forest).argmax(1)
    return rows
