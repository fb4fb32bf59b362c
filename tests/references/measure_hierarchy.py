"""Ancestor pairs by walking up from every region, the matching by trying every one."""

from itertools import permutations

import numpy as np


def pairs(forest):
    """All (whole, part)."""
    return {(above, i) for i in range(len(forest)) for above in forest.ancestors(i)}


def covering_pairs(forest):
    """All (whole, part) by overlap alone: the whole covers 90 % of the part and not the other way round."""
    masks = forest.masks()
    inside = [[(a & b).sum() / a.sum() >= 0.9 for b in masks] for a in masks]  # row in column
    n = range(len(forest))
    return {(b, a) for a in n for b in n if inside[a][b] and not inside[b][a]}


def match(found, truth):
    """Labelled region -> predicted region, of IoU >= 0.5, greatest total IoU, by trying every way."""
    iou = found.iou(truth)
    rows = list(range(len(found))) + [None] * len(truth)
    best, chosen = -1.0, {}
    for way in permutations(rows, len(truth)):
        taken = {g: d for g, d in enumerate(way) if d is not None and iou[d, g] >= 0.5}
        total = sum(iou[d, g] for g, d in taken.items())
        if total > best + 1e-12:
            best, chosen = total, taken
    return chosen


def counts(found, truth):
    """(found regions, pairs, pairs of found regions, claimed, right, claimed by cover, right by cover)."""
    speaks = match(found, truth)
    labelled = pairs(truth)
    mapped = {(speaks[a], speaks[b]) for a, b in labelled if a in speaks and b in speaks}
    matched = set(speaks.values())
    claimed, covers = (
        {(a, b) for a, b in relation if a in matched and b in matched}
        for relation in (pairs(found), covering_pairs(found))
    )
    right = [len(claimed & mapped), len(covers & mapped)]
    return np.array([len(speaks), len(labelled), len(mapped), len(claimed), right[0], len(covers), right[1]])
