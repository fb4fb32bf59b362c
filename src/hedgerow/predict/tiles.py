"""Tiles of a large photo, and regions that seams cut sewn together again.

In: what was found in each tile, tiles overlapping by a quarter. Out: regions of the photo. What touches a side that a
tile has inside the photo was cut there: it is joined with what the tile beyond has of it, if the two agree where both
tiles look, and dropped if nothing does. What is larger than tiles is seen in the photo as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from pycocotools import mask as coco

from hedgerow.forest import MaskForest
from hedgerow.rle import unions
from hedgerow.windows import Window

OVERLAP = 0.25  # of a tile's side, that it shares with the next
AGREE = 0.5  # IoU, where two tiles overlap, from which two regions are one


@dataclass(frozen=True)
class Tile:
    """What was found in a window of the photo, at its full size.

    labels     (H, W) of the window's pixels, and at which row and column of the photo it begins
    inside     (Q, L) bool, which region holds which label
    score      (Q,)
    torn       (Q,) bool, which regions touch a side of the window that is not the photo's own
    """

    labels: np.ndarray
    top: int
    left: int
    inside: np.ndarray
    score: np.ndarray
    torn: np.ndarray

    def texts(self, size: tuple[int, int]) -> tuple[bytes, ...]:
        """Its regions as run lengths of a photo of that size."""
        return unions(self.labels, self.inside, size, self.top, self.left)


def tiles(size: tuple[int, int], side: int) -> list[Window]:
    """Squares of `side` pixels that cover a photo, row by row; none where one would cover it."""
    height, width = size
    if side >= max(height, width):
        return []
    tops, lefts = (_starts(length, side) for length in (height, width))
    tall, wide = min(side, height), min(side, width)
    return [
        Window(top / height, left / width, (top + tall) / height, (left + wide) / width)
        for top in tops
        for left in lefts
    ]


def _starts(length: int, side: int) -> list[int]:
    count = max(1, int(np.ceil((length - side) / (side * (1 - OVERLAP)))) + 1)
    return np.linspace(0, max(length - side, 0), count).round().astype(int).tolist()


def sewn(seen: list[Tile], size: tuple[int, int]) -> MaskForest:
    """The regions of all tiles in the photo of that size, roots all of them."""
    texts = [text for tile in seen for text in tile.texts(size)]
    score = np.concatenate([tile.score for tile in seen])
    whole = np.concatenate([~tile.torn for tile in seen])
    first = np.cumsum([0, *(len(tile.inside) for tile in seen)])
    group = np.arange(len(texts))  # the smallest row of what belongs together
    for one, other in combinations(range(len(seen)), 2):
        for i, j in _same(seen[one], seen[other]):
            a, b = group[first[one] + i], group[first[other] + j]
            group[group == max(a, b)] = min(a, b)
            whole[[first[one] + i, first[other] + j]] = True
    rows = [np.flatnonzero(group == head) for head in np.unique(group[whole])]
    return MaskForest(
        size,
        tuple(texts[own[0]] if len(own) == 1 else _union([texts[row] for row in own], size) for own in rows),
        score=np.array([score[own].mean() for own in rows], np.float32),
        source=("tile",) * len(rows),
    )


def _same(one: Tile, other: Tile) -> list[tuple[int, int]]:
    """Which torn regions of two tiles are one: each the best for the other, where both tiles look."""
    top, left = max(one.top, other.top), max(one.left, other.left)
    bottom = min(tile.top + tile.labels.shape[0] for tile in (one, other))
    right = min(tile.left + tile.labels.shape[1] for tile in (one, other))
    if top >= bottom or left >= right or not one.torn.any() or not other.torn.any():
        return []
    a, b = (
        tile.labels[top - tile.top : bottom - tile.top, left - tile.left : right - tile.left].ravel().astype(np.int64)
        for tile in (one, other)
    )
    mine, theirs = np.flatnonzero(one.torn), np.flatnonzero(other.torn)
    p, q = one.inside[mine].astype(np.float64), other.inside[theirs].astype(np.float64)
    pairs, pixels = np.unique(a * q.shape[1] + b, return_counts=True)
    common = (p[:, pairs // q.shape[1]] * pixels) @ q[:, pairs % q.shape[1]].T
    areas = p @ np.bincount(a, minlength=p.shape[1]), q @ np.bincount(b, minlength=q.shape[1])
    iou = common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1)
    best, back = iou.argmax(1), iou.argmax(0)
    return [(int(mine[i]), int(theirs[j])) for i, j in enumerate(best) if back[j] == i and iou[i, j] >= AGREE]


def _union(texts: list[bytes], size: tuple[int, int]) -> bytes:
    return coco.merge([{"size": list(size), "counts": text} for text in texts])["counts"]
