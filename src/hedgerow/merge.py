"""Merging regions bottom-up, cheapest pair of neighbours first: global clustering of SOHES, phase 1.

Comes in: a map of patch features, or any graph of regions with a feature each. Goes out: a `MergeTree`, the whole
order of merging, from which a partition at any threshold or of any count is read without merging again.

The price of a pair is 1 - cosine of the two SUMS of features, as published. We depart in this: a price may also weigh
how strong the border between two regions is and how large they are (`merge_graph`), which merging superpixels needs;
and prices are compared in steps of 2^-20, equal ones in the order of the edges, so the result does not hang on
rounding. The work is done in native/merge.c.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hedgerow.native import library

MOST_REGIONS, MOST_EDGES = 2**29, 2**31 - 1  # the kernel numbers them in 32 bits


@dataclass(frozen=True, eq=False)
class MergeTree:
    """The whole order of merging: a forest at any granularity.

    leaves    the number of regions given; they are nodes 0 .. leaves - 1
    pairs     (M, 2) int32, the two nodes that each merge joins, the lower first; merge k makes node leaves + k
    prices    (M,) float32, what each merge cost, in the order in which they happened
    products  how many products of two features it took: what the time is made of
    """

    leaves: int
    pairs: np.ndarray
    prices: np.ndarray
    products: int = 0

    def __repr__(self) -> str:
        return f"MergeTree({self.leaves} leaves, {len(self.pairs)} merges)"

    # ------------------------------------------------------------------ partitions

    @cached_property
    def heights(self) -> np.ndarray:
        """(M,) float32, ascending: the dearest merge up to and including each.

        A merge can make a pair that is cheaper than all before it, so prices go up and down. SOHES takes the regions
        of level t when first the cheapest pair costs more than t, and never goes back up a level: what merges later
        at a lower price belongs to the levels after. So merge k is part of level t if its height is at most t.
        """
        return np.maximum.accumulate(self.prices)

    def regions(self, *, threshold: float | None = None, count: int | None = None) -> np.ndarray:
        """(R,) the nodes that stand side by side, ascending: at level `threshold` (a price), or when `count` are left.

        A graph in several pieces never gets down to fewer regions than pieces.
        """
        alive = self.leaves + self._merges_done(threshold, count)
        parent = self.parent[:alive]
        return np.flatnonzero((parent == -1) | (parent >= alive)).astype(np.int32)

    def labels(self, *, threshold: float | None = None, count: int | None = None) -> np.ndarray:
        """(leaves,) int32, the row of each leaf's region in `regions(...)`."""
        nodes = self.regions(threshold=threshold, count=count)
        along = np.argsort(self.start[nodes]).astype(np.int32)  # every region is one run of the leaf order
        labels = np.empty(self.leaves, np.int32)
        labels[self.order] = np.repeat(along, self.sizes[nodes[along]])
        return labels

    def partitions(self, thresholds: Sequence[float]) -> np.ndarray:
        """(T, leaves) int32, `labels` at each threshold (a price); of two, the lower one is nested in the higher."""
        rows = [self.labels(threshold=threshold) for threshold in thresholds]
        return np.array(rows, np.int32).reshape(len(rows), self.leaves)

    def snapshots(self, cosines: Sequence[float]) -> np.ndarray:
        """(T, leaves) int32: SOHES's levels, all from one trajectory, theta_merge for theta_merge.

        A pair merges as long as its cosine is at least theta, which is price <= 1 - theta where the cosine is all of
        the price. Given in descending order as SOHES does, the levels go from parts to wholes.
        """
        return self.partitions([1 - theta for theta in cosines])

    def _merges_done(self, threshold: float | None, count: int | None) -> int:
        if (threshold is None) == (count is None):
            raise ValueError("a partition needs either threshold=... or count=...")
        if threshold is not None:
            return int(np.searchsorted(self.heights, threshold, side="right"))
        if count is None or count < 1:
            raise ValueError(f"a partition has at least one region, got count={count}")
        return min(max(self.leaves - count, 0), len(self.pairs))

    # ------------------------------------------------------------------ nodes

    @property
    def parent(self) -> np.ndarray:
        """(nodes,) int32, the node that each node merged into; -1 where it never did. Children before parents."""
        return self._layout[0]

    @property
    def start(self) -> np.ndarray:
        """(nodes,) int32: the leaves of node i are order[start[i]:stop[i]]."""
        return self._layout[1]

    @property
    def stop(self) -> np.ndarray:
        """(nodes,) int32, see `start`."""
        return self._layout[2]

    @cached_property
    def order(self) -> np.ndarray:
        """(leaves,) int32, the leaves in an order in which those of every node stand together."""
        return np.argsort(self.start[: self.leaves]).astype(np.int32)

    @property
    def sizes(self) -> np.ndarray:
        """(nodes,) int32, how many leaves each node has."""
        return self.stop - self.start

    def members(self, node: int) -> np.ndarray:
        """The leaves of one node."""
        return self.order[self.start[node] : self.stop[node]]

    def totals(self, values: np.ndarray) -> np.ndarray:
        """(nodes, ...) float64: values (leaves, ...), such as areas or features, summed over each node's leaves."""
        values = np.asarray(values, np.float64)
        upto = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values[self.order], axis=0)])
        return upto[self.stop] - upto[self.start]

    @cached_property
    def _layout(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        nodes = self.leaves + len(self.pairs)
        parent, start, stop = np.empty(nodes, np.int32), np.empty(nodes, np.int32), np.empty(nodes, np.int32)
        library().hedgerow_lay_out(self.leaves, len(self.pairs), self.pairs, parent, start, stop)
        return parent, start, stop


def merge_grid(features: np.ndarray) -> MergeTree:
    """SOHES's global clustering: patches of a map (h, w, D), 4-neighbours, highest cosine of summed features first.

    Leaf y * w + x is the patch in row y and column x.
    """
    features = np.asarray(features)
    if features.ndim != 3:
        raise ValueError(f"a map of features has three dimensions (h, w, D), got shape {features.shape}")
    height, width, channels = features.shape
    return _merge(features.reshape(height * width, channels), grid_edges(height, width))


def merge_graph(
    features: np.ndarray,
    edges: np.ndarray,
    *,
    areas: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    strengths: np.ndarray | None = None,
    feature: float = 1.0,
    border: float = 0.0,
    size: float = 0.0,
) -> MergeTree:
    """Merge the regions of any graph. The price of the pair (i, j) is

        (feature * (1 - cosine of the summed features) + border * mean strength of the border) * min(area) ** size

    features   (n, D), one row a region; a row of zeros has cosine 0 to all. D may be 0 where feature is 0
    edges      (m, 2) pairs of neighbours in any order; a pair given twice is one border of both lengths
    areas      (n,) sizes, 1 if not given
    lengths    (m,) of the borders, 1 if not given; the mean strength of a merged border weighs by them
    strengths  (m,) of the borders, 0 if not given: how much speaks against merging across

    Of equally priced pairs the earlier edge goes first; when two borders become one, it keeps the earlier place.
    """
    features, edges = np.asarray(features), _checked_edges(np.asarray(edges), len(features))
    if features.ndim != 2:
        raise ValueError(f"features have two dimensions (n, D), got shape {features.shape}")
    n, m = len(features), len(edges)
    for name, weight in (("feature", feature), ("border", border), ("size", size)):
        if not 0 <= weight < np.inf:
            raise ValueError(f"the weight {name} is a number of at least 0, got {weight}")
    areas = _positive("areas", areas, n, 1.0)
    lengths = _positive("lengths", lengths, m, 1.0)
    strengths = _positive("strengths", strengths, m, 0.0, zero=True)
    edges, lengths, weights = _without_repeats(edges, n, lengths, lengths * strengths)
    return _merge(
        features, edges, areas=areas, lengths=lengths, weights=weights, feature=feature, border=border, size=size
    )


def grid_edges(height: int, width: int) -> np.ndarray:
    """(m, 2) int32, the pairs of 4-neighbours of a grid: left-right ones in raster order, then top-bottom ones."""
    place = np.arange(height * width, dtype=np.int32).reshape(height, width)
    beside = np.stack([place[:, :-1].ravel(), place[:, 1:].ravel()], axis=1)
    below = np.stack([place[:-1].ravel(), place[1:].ravel()], axis=1)
    return np.concatenate([beside, below])


def _merge(
    features: np.ndarray,
    edges: np.ndarray,
    *,
    areas: np.ndarray | None = None,
    lengths: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    feature: float = 1.0,
    border: float = 0.0,
    size: float = 0.0,
) -> MergeTree:
    n, m, most = len(features), len(edges), max(len(features) - 1, 0)
    if n > MOST_REGIONS or m > MOST_EDGES:
        raise ValueError(f"at most {MOST_REGIONS} regions and {MOST_EDGES} edges can be merged, got {n} and {m}")
    sums = _scaled_copy(features)
    areas, lengths, weights = (np.ones(0) if column is None else column for column in (areas, lengths, weights))
    pairs, prices, products = np.empty((most, 2), np.int32), np.empty(most, np.float32), ctypes.c_int64()
    merges = library().hedgerow_merge(
        n, sums.shape[1], sums, areas, m, edges, lengths, weights, feature, border, size, pairs, prices, products
    )
    if merges < 0:
        raise MemoryError(f"no memory left to merge {n} regions of {sums.shape[1]} features along {m} edges")
    return MergeTree(n, pairs[:merges], prices[:merges], products.value)


def _scaled_copy(features: np.ndarray) -> np.ndarray:
    """A copy in single precision, the largest value between 1/2 and 1: cosines stay, squares cannot overflow."""
    if not np.issubdtype(features.dtype, np.floating) or features.dtype == np.float16:
        features = features.astype(np.float32)
    if not features.size:
        return np.zeros(features.shape, np.float32)
    peak = max(features.max(), -features.min())
    if not np.isfinite(peak):
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise ValueError(f"features must be finite numbers: region {row} has NaN or infinity")
    scale = features.dtype.type(np.ldexp(1.0, min(-int(np.frexp(peak)[1]), 126)))  # powers of 2 round nothing
    return np.multiply(features, scale, order="C").astype(np.float32, copy=False)


def _checked_edges(edges: np.ndarray, n: int) -> np.ndarray:
    if edges.size == 0:
        return np.zeros((0, 2), np.int32)
    if edges.ndim != 2 or edges.shape[1] != 2 or not np.issubdtype(edges.dtype, np.integer):
        raise ValueError(f"edges are whole numbers (m, 2), got {edges.dtype} of shape {edges.shape}")
    bad = np.flatnonzero((edges < 0).any(1) | (edges >= n).any(1) | (edges[:, 0] == edges[:, 1]))
    if len(bad):
        raise ValueError(f"an edge joins two of the {n} regions: edge {bad[0]} is {edges[bad[0]].tolist()}")
    return np.ascontiguousarray(edges, np.int32)


def _positive(name: str, values: np.ndarray | None, count: int, default: float, zero: bool = False) -> np.ndarray:
    column = np.full(count, default) if values is None else np.array(values, np.float64)
    if column.shape != (count,):
        raise ValueError(f"{name} must have {count} entries, got shape {column.shape}")
    bad = np.flatnonzero(~((column >= 0) & (zero | (column > 0)) & (column < np.inf)))
    if len(bad):
        raise ValueError(f"{name} must be {'0 or more' if zero else 'above 0'}: entry {bad[0]} is {column[bad[0]]}")
    return column


def _without_repeats(edges: np.ndarray, n: int, *columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """Edges given twice become one, in the place of the first; their columns add up."""
    pair = edges.min(axis=1).astype(np.int64) * n + edges.max(axis=1)
    _, first, inverse = np.unique(pair, return_index=True, return_inverse=True)
    if len(first) == len(edges):
        return (edges, *columns)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    return (edges[np.sort(first)], *(np.bincount(place[inverse], column) for column in columns))
