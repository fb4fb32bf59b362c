"""The slow, obvious twin of MaskForest: dense masks, loops, nothing clever."""

import math

import numpy as np

from hedgerow.forest import INSIDE


def boxes(masks):
    """[x, y, w, h] of each mask."""
    found = []
    for mask in masks:
        ys, xs = np.nonzero(mask)
        found.append([xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1])
    return np.array(found, float).reshape(len(masks), 4)


def iou(masks, others):
    return np.array([[(a & b).sum() / (a | b).sum() for b in others] for a in masks]).reshape(len(masks), len(others))


def cover(masks, others):
    """The share of each mask that lies inside each of the others."""
    return np.array([[(a & b).sum() / a.sum() for b in others] for a in masks]).reshape(len(masks), len(others))


def ancestors(parent, i):
    path = []
    while parent[i] >= 0:
        i = parent[i]
        path.append(i)
    return path


def keep(masks, parent, rows):
    """{row: its parent} for the rows kept: the nearest kept ancestor, passing over one that holds too little of it.

    A parent that stays is the parent still. One that goes hands its place to the next one up of the new forest.
    """
    kept = {}
    for i in sorted(rows):
        path = [j for j in ancestors(parent, i) if j in rows]
        above = path[0] if path else -1
        while above >= 0 and above != parent[i] and (masks[i] & masks[above]).sum() / masks[i].sum() < INSIDE:
            above = kept[above]
        kept[i] = above
    return kept


def survivors(masks, score, limit):
    """Greedy suppression: best first, whoever overlaps a kept one by more than the limit goes."""
    kept = []
    for i in sorted(range(len(masks)), key=lambda i: (-score[i], i)):
        if all((masks[i] & masks[j]).sum() / (masks[i] | masks[j]).sum() <= limit for j in kept):
            kept.append(i)
    return sorted(kept)


def faded(masks, score, weight):
    """Whoever has the most left comes next, and takes of the others by how much it shows of them."""
    left = {i: math.log(one / (1 - one)) for i, one in enumerate(score)}
    last = {}
    while left:
        best = max(left, key=lambda i: (left[i], -i))
        last[best] = left.pop(best)
        for i in left:
            left[i] -= weight * ((masks[i] & masks[best]).sum() / (masks[i] | masks[best]).sum()) ** 4
    return [1 / (1 + math.exp(-last[i])) for i in range(len(masks))]


def nest(masks, limit):
    """The parent of each mask: the smallest that covers it and is not covered by it, the earliest of equals."""
    share = cover(masks, masks)
    parent = []
    for a in range(len(masks)):
        above = [b for b in range(len(masks)) if share[a, b] >= max(limit, INSIDE) and share[b, a] < limit]
        parent.append(min(above, key=lambda b: (masks[b].sum(), b), default=-1))
    return parent


def opening_order(parent, score):
    """The surest first, but no part before one of its wholes has opened."""
    strength = [one if parent[i] < 0 else None for i, one in enumerate(score)]
    while None in strength:
        for i in range(len(score)):
            above = [strength[j] for j in ancestors(parent, i)]
            if strength[i] is None and None not in above:
                strength[i] = min(score[i], max(above))
    order = sorted(range(len(score)), key=lambda i: (-strength[i], i))
    return order, [strength[i] for i in order]


def partition(masks, parent, opened, size):
    """Open regions one after another, each where its nearest opened ancestor shows; always from a blank page."""
    labels = np.full(size, -1)
    done = {-1}
    for i in opened:
        above = next((j for j in ancestors(parent, i) if j in done), -1)
        for y, x in np.ndindex(*size):
            if masks[i][y, x] and labels[y, x] == above:
                labels[y, x] = i
        done.add(i)
    return labels


def same_partition(one, other):
    """Whether two label maps part the pixels alike, whatever the labels are called."""
    pairs = set(zip(one.ravel().tolist(), other.ravel().tolist(), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
