"""Exploring by its definitions: pixel by pixel, pair by pair, partition by partition."""

import heapq
from itertools import combinations

import numpy as np

# ---------------------------------------------------------------------- grains


def flood(heights, labels):
    """Water rises from the seeds: the lowest pixel next, of equals the one that has waited longest."""
    labels = labels.copy()
    rows, columns = labels.shape
    queue = [(heights[y, x], k, y, x) for k, (y, x) in enumerate(np.argwhere(labels >= 0).tolist())]
    heapq.heapify(queue)
    arrived = len(queue)
    while queue:
        level, _, y, x = heapq.heappop(queue)
        for v, u in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)):
            if 0 <= v < rows and 0 <= u < columns and labels[v, u] < 0:
                labels[v, u] = labels[y, x]
                heapq.heappush(queue, (max(level, heights[v, u]), arrived, v, u))
                arrived += 1
    return labels


def borders(labels, relief):
    """{(a, b): gradients met on the way from a pixel of a to one of b beside it, the larger of the two}."""
    met = {}
    rows, columns = labels.shape
    for y in range(rows):
        for x in range(columns):
            for v, u in ((y, x + 1), (y + 1, x)):
                if v < rows and u < columns and labels[y, x] != labels[v, u]:
                    pair = tuple(sorted((int(labels[y, x]), int(labels[v, u]))))
                    met.setdefault(pair, []).append(max(relief[y, x], relief[v, u]))
    return met


def pooled(labels, values):
    """(L, D) mean over the pixels of a label of the patch that each lies in."""
    rows, columns = labels.shape
    h, w, dims = values.shape
    total, pixels = np.zeros((labels.max() + 1, dims)), np.zeros(labels.max() + 1)
    for y in range(rows):
        for x in range(columns):
            total[labels[y, x]] += values[y * h // rows, x * w // columns]
            pixels[labels[y, x]] += 1
    return total / pixels[:, None]


def pieces(mask):
    """Into how many 4-connected pieces a mask falls."""
    left, count = set(map(tuple, np.argwhere(mask).tolist())), 0
    while left:
        count += 1
        stack = [left.pop()]
        while stack:
            y, x = stack.pop()
            for beside in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)):
                if beside in left:
                    left.remove(beside)
                    stack.append(beside)
    return count


# ---------------------------------------------------------------------- words


def together(codes, kinds):
    """(K, K) how often a patch of one word has one of another among its eight neighbours."""
    counts = np.zeros((kinds, kinds))
    h, w = codes.shape
    for y in range(h):
        for x in range(w):
            for v in (y - 1, y, y + 1):
                for u in (x - 1, x, x + 1):
                    if (v, u) != (y, x) and 0 <= v < h and 0 <= u < w:
                        counts[codes[y, x], codes[v, u]] += 1
    return counts


def diffusion_distances(counts, steps):
    """(K, K) squares: how differently two words' walks of so many steps are spread, rare ends weighing more."""
    walk = np.linalg.matrix_power(counts / counts.sum(1, keepdims=True), steps)
    rest = counts.sum(1) / counts.sum()
    return ((walk[:, None] - walk[None]) ** 2 / rest).sum(-1)


# ---------------------------------------------------------------------- candidates


def partitions(tree):
    """Every partition of the trajectory, finest first: node -> its leaves."""
    regions = {leaf: frozenset([leaf]) for leaf in range(tree.leaves)}
    yield dict(regions)
    for k, (a, b) in enumerate(tree.pairs.tolist()):
        regions[tree.leaves + k] = regions.pop(a) | regions.pop(b)
        yield dict(regions)


def crowds(tree):
    """The number of regions in the last partition that has each node."""
    last = {}
    for regions in partitions(tree):
        last |= dict.fromkeys(regions, len(regions))
    return [last[node] for node in range(tree.leaves + len(tree.pairs))]


def neighbours(tree, edges, pairs_from, triples_from):
    """Sets of nodes that touch in some partition small enough; what the tree itself merges is no pair."""
    touching = {frozenset(edge) for edge in edges.tolist()}
    pairs, triples = set(), set()
    for regions in partitions(tree):
        meet = {
            (x, y)
            for x, y in combinations(sorted(regions), 2)
            if any(frozenset((a, b)) in touching for a in regions[x] for b in regions[y])
        }
        if len(regions) <= pairs_from:
            pairs |= meet
        if len(regions) <= triples_from:
            threes = combinations(sorted(regions), 3)
            triples |= {three for three in threes if sum(pair in meet for pair in combinations(three, 2)) >= 2}
    return pairs - {tuple(pair) for pair in tree.pairs.tolist()}, triples


def outline(labels, inside):
    """Sides of pixels between a mask's inside and outside; the frame of the photo has no other side."""
    mask = inside[labels]
    return (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()


def chosen(sets, worth, areas, overlap, most):
    """Greedy non-maximum suppression, one comparison at a time."""
    kept = []
    for row in sorted(range(len(sets)), key=lambda i: (-worth[i], i)):
        if len(kept) < most and all(iou(sets[row], sets[other], areas) <= overlap for other in kept):
            kept.append(row)
    return kept


def iou(a, b, areas):
    return areas[a & b].sum() / areas[a | b].sum()
