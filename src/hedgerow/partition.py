"""Partitions of a photo's pixels: who touches whom, and nested partitions that overlapping regions vote for.

In: label maps, or masks as run lengths with a score each. Out: pairs of touching labels; label maps, coarse to fine.

Regions of a forest overlap where two readings of a photo compete, so no order of painting them one over the other
makes good partitions. Instead each region votes for its outline: the border between two pixels is as strong as the
regions that hold just one of them. Merging the smallest pieces across the weakest border first, with the mean strength
of a common border, gives one hierarchy (an ultrametric contour map, Arbelaez et al. 2011, section 4, where contours
come from a learned detector; here from regions).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hedgerow import rle
from hedgerow.merge import MergeTree, merge_graph

VOTE_SPREAD = 10.0  # a border of this many mean votes counts as log(1 + 10 * 10), not as 10 times the mean


def voted_levels(size: tuple[int, int], masks: Sequence[bytes], score: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """`count` maps (H, W) int32, nested, coarse to fine, each one's labels 0..n-1; n grows by a constant factor."""
    return levels_of(*arrangement(size, masks), score, count)


def levels_of(pieces: np.ndarray, inside: np.ndarray, score: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """The same of the pieces of an `arrangement`."""
    tree = voted_tree(pieces, inside, score)
    finest = min(inside.shape[1], max(len(score), 2))
    for level in range(count):
        regions = finest if count == 1 else round(2 * (finest / 2) ** (level / (count - 1)))
        yield tree.labels(count=max(1, regions))[pieces]


def voted_tree(pieces: np.ndarray, inside: np.ndarray, score: np.ndarray) -> MergeTree:
    """The order in which the pieces of an `arrangement` merge by the votes of the masks."""
    edges, lengths = touching(pieces)
    odds = np.clip(score, 1e-3, 1 - 1e-3).astype(np.float64)
    votes = _votes(inside, edges, odds / (1 - odds))
    votes = np.log1p(VOTE_SPREAD * votes / max(float(votes.mean()) if len(votes) else 0.0, 1e-12))
    flat = np.ones((inside.shape[1], 1), np.float32)
    return merge_graph(flat, edges, lengths=lengths, strengths=votes, feature=0, border=1)


def arrangement(size: tuple[int, int], masks: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The pieces into which overlapping masks cut the photo: (H, W) int32 labels 0..C-1, and (N, C) bool: which masks
    hold which piece."""
    return _arranged(size, _turns(masks))


def arrangement_at(
    size: tuple[int, int], masks: Sequence[bytes], shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`arrangement` at the pixels of a picture of `shape`, and the rows of the masks that have any there."""
    if tuple(size) == tuple(shape):
        return *arrangement(size, masks), np.arange(len(masks))
    ys, xs = sampled(size, shape)
    if shape[0] > size[0] or shape[1] > size[1]:  # columns come twice: runs cannot be walked in their order
        pieces, inside = arrangement(size, masks)
        return pieces[ys[:, None], xs], inside, np.arange(len(masks))
    places = (xs[:, None] * size[0] + ys).ravel()  # in the order of runs, column by column
    turns, rows = [], []
    for row, turn in enumerate(_turns(masks)):
        found, times = np.unique(np.searchsorted(places, turn), return_counts=True)
        seen = found[(times % 2 == 1) & (found < len(places))]  # a run between two places turns twice: not at all
        if len(seen):
            turns.append(seen)
            rows.append(row)
    return *_arranged(shape, turns), np.array(rows, np.int64)


def _turns(masks: Sequence[bytes]) -> list[np.ndarray]:
    """Of each mask where zeros end, ones end, zeros end ... column by column; no place stands twice."""
    runs, counts = rle.lengths_of_all(masks)
    turns = np.split(runs, np.cumsum(counts))[:-1]
    for turn in turns:
        turn.cumsum(out=turn)
    return turns


def _arranged(size: tuple[int, int], turns: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Each mask adds a random number of its own to its pixels; pixels of one sum are held by the same masks, but for a
    chance of about pixels^2 / 2^64."""
    height, width = size
    step = np.zeros(height * width + 1, np.uint64)
    marks = np.random.default_rng(0).integers(1, 2**64, len(turns), np.uint64, endpoint=False)
    for mark, turn in zip(marks, turns, strict=True):
        step[turn[0::2]] += mark
        step[turn[1::2]] -= mark
    starts = np.flatnonzero(step[:-1])  # of runs of one sum: far fewer than pixels
    starts = np.union1d(starts, [0]) if height * width else starts
    sums, first, kinds = np.unique(np.cumsum(step[starts]), return_index=True, return_inverse=True)
    pieces = np.repeat(kinds.astype(np.int32), np.diff(starts, append=height * width))
    inside = np.zeros((len(turns), len(sums)), bool)
    for row, turn in zip(inside, turns, strict=True):
        row[:] = np.searchsorted(turn, starts[first], side="right") % 2 == 1
    return np.ascontiguousarray(pieces.reshape(width, height).T), inside


def sampled(size: tuple[int, ...], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The rows and the columns of a photo of `size` that a picture of `shape` shows: each pixel's middle."""
    ys, xs = (((np.arange(n) + 0.5) * full / n).astype(int) for n, full in zip(shape[:2], size, strict=True))
    return ys, xs


def touching(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(m, 2) int32 pairs a < b of labels that share a side of a pixel, in order, and (m,) how many sides they share."""
    edges, place = meetings(labels)
    return edges, np.bincount(place, minlength=len(edges)).astype(np.float32)


def meetings(labels: np.ndarray, values: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """As `touching`, and for each shared side the row of its pair; with values (H, W), the larger of its two pixels."""
    count = int(labels.max()) + 1
    right, below = (np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])
    pairs, heights = [], []
    for here, there in (right, below):
        a, b = labels[here], labels[there]
        apart = a != b
        a, b = a[apart].astype(np.int64), b[apart].astype(np.int64)
        pairs.append(np.minimum(a, b) * count + np.maximum(a, b))
        if values is not None:
            heights.append(np.maximum(values[here][apart], values[there][apart]))
    pair, place = np.unique(np.concatenate(pairs), return_inverse=True)
    edges = np.stack([pair // count, pair % count], axis=1).astype(np.int32)
    return (edges, place) if values is None else (edges, place, np.concatenate(heights))


def _votes(inside: np.ndarray, edges: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(m,) weight of the masks that hold just one of the two pieces."""
    votes = np.zeros(len(edges))
    for row, own in zip(inside, weight, strict=True):
        votes += own * (row[edges[:, 0]] != row[edges[:, 1]])
    return votes
