"""Names, slowly: one region, one name, one pixel at a time."""

from __future__ import annotations

import math

import numpy as np


def probabilities(vector: np.ndarray, ways: list[list[np.ndarray]], background: list[np.ndarray], scale: float):
    """Of each name, then of each word of the background; `ways` are the unit vectors of each name's words. The ways to
    say a name are answers each for itself, and their probabilities add up."""
    odds = [[math.exp(scale * float(vector @ way)) for way in words] for words in ways]
    odds += [[math.exp(scale * float(vector @ word))] for word in background]
    return [sum(some) / sum(map(sum, odds)) for some in odds]


def name_map(masks: np.ndarray, score: np.ndarray, told: list[str], sure: np.ndarray, names: list[str]) -> np.ndarray:
    """(H, W): each pixel counts the votes of the regions that hold it."""
    labels = np.full(masks.shape[1:], -1)
    for y, x in np.ndindex(labels.shape):
        votes = [0.0] * (len(names) + 1)  # the last for none
        for mask, own, name, certain in zip(masks, score, told, sure, strict=True):
            if mask[y, x]:
                place, much = (names.index(name), float(certain)) if name else (len(names), 0.6)
                votes[place] += float(own) * much**2 / float(mask.sum()) ** 0.6
        if max(votes[:-1]) > votes[-1]:
            labels[y, x] = int(np.argmax(votes[:-1]))
    return labels
