"""What a backbone sees, as colours: alike where its features are alike.

In: features (h, w, D) of several photos. Out: a picture (h, w, 3) of each. The three directions in which the patches of
all photos together differ most are red, green and blue, so that one colour means one thing in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hedgerow.config import CallerError

CUT = 0.02  # share of the patches, at either end of a direction, that are drawn as the end: a few would grey the rest


def feature_colours(maps: Sequence[np.ndarray]) -> list[np.ndarray]:
    """(h, w, D) each -> (h, w, 3) uint8 each."""
    if not maps or any(one.ndim != 3 or one.shape[2] != maps[0].shape[2] for one in maps):
        raise CallerError(f"features are (h, w, D), D the same in all, got {[one.shape for one in maps]}")
    flat = np.concatenate([one.reshape(-1, one.shape[2]) for one in maps]).astype(np.float64)
    flat -= flat.mean(0)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    values, vectors = np.linalg.eigh(flat.T @ flat)
    found = flat @ vectors[:, np.argsort(-values)[:3]]
    found = np.pad(found, ((0, 0), (0, 3 - found.shape[1])))
    found *= np.where((found**3).sum(0) < 0, -1, 1)  # a direction has no sign: the longer tail is bright
    low, high = np.quantile(found, (CUT, 1 - CUT), axis=0)
    shown = (255 * np.clip((found - low) / np.maximum(high - low, 1e-12), 0, 1)).round().astype(np.uint8)
    ends = np.cumsum([one.shape[0] * one.shape[1] for one in maps])
    return [part.reshape(*one.shape[:2], 3) for part, one in zip(np.split(shown, ends[:-1]), maps, strict=True)]
