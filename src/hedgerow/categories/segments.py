"""Which regions of a forest are its photo's segments.

In: a forest. Out: the rows of the few that stand for the photo.
"""

from __future__ import annotations

import numpy as np

from hedgerow.forest import MaskForest

SPECK, WHOLE = (
    0.01,
    0.5,
)  # shares of the photo: smaller regions fill few patches, larger ones are a ground with all on it
SHARED = 0.1  # of the smaller of two segments may lie in the other
LOOKED_AT = 300  # best regions that segments are chosen from


def foremost(forest: MaskForest, most: int) -> np.ndarray:
    """Rows of the photo's segments: the best-scored regions of which no two overlap, `most` of them, best first.

    Where none is of a size to be one, as in a photo in which nothing stands out, the best region stands for it.
    """
    order = np.argsort(-forest.score, kind="stable")
    share = forest.areas[order] / (forest.size[0] * forest.size[1])
    fit = order[(share >= SPECK) & (share <= WHOLE)][:LOOKED_AT]
    if not len(fit):
        return order[:1]
    rows = np.sort(fit)  # `select` keeps that order
    inside = forest.select(rows).cover()
    apart = np.maximum(inside, inside.T) <= SHARED
    taken: list[int] = []
    for place in np.searchsorted(rows, fit):
        if apart[place, taken].all():
            taken.append(int(place))
            if len(taken) == most:
                break
    return rows[taken]
