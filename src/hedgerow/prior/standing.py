"""Which regions of a forest stand out in their photo.

In: a forest, features (h, w, D) of its photo's patches and, where there is one, a salience (h, w). Out: a few regions
as objects of their own, the surest first, with a score in (0, 1].

The score is the geometric mean of plain cues, all of one weight, none of them learned:

    apart       exp(-c^2 / 2), c = pixels at the photo's frame / sqrt(area): boundary connectivity (Zhu et al. 2014)
    surround    unlike what lies around it: 1 - cosine with the rest of a box of twice its own box's area (Alexe et al.
                2012, colour contrast)
    ground      unlike the photo's frame: 1 - cosine
    central     its middle is near the photo's: exp(-d^2 / (2 x 0.25^2)), d in sides of the photo
    lasting     the forest's own score: it outlives merging, is compact and has structure
    large       sqrt(area / photo): of what stands out equally, the larger
    salient     where a salience is given: how far its mean inside is above the mean outside

All of it is computed on a picture of 128 pixels, by the pieces into which regions cut the photo.
"""

from __future__ import annotations

import numpy as np

from hedgerow.config import Prior
from hedgerow.forest import MaskForest
from hedgerow.partition import arrangement_at
from hedgerow.prior.objects import objects

SIDE = 128  # pixels of the longer side of the picture that regions are compared on
CENTRAL = 0.25  # sides of the photo; a wide Gaussian, as photographers centre loosely
FAINT = 1e-3  # least value of a cue: none may rule a region out alone
NOTHING = 1e-5  # of the other's length: what is left of a difference of equal sums


def stand_out(forest: MaskForest, values: np.ndarray, found: np.ndarray | None, most: int, config: Prior) -> MaskForest:
    """At most `most` objects; none where no region is sure enough."""
    seen = _Seen(forest)
    score = standing(seen, forest, values, found)
    chosen = _choose(seen, score, most, config)
    masks = (forest.mask(row) for row in seen.rows[chosen])
    return objects(forest.size, masks, score[chosen].tolist(), "both" if found is not None else "forest", config.least)


class _Seen:
    """A forest on a small picture: who holds which piece of it.

    rows    (N,) of the forest, those that are seen at this size
    pieces  (h, w), and holds (N, C) bool: which regions hold which piece
    areas   (N,) pixels of the picture
    """

    def __init__(self, forest: MaskForest) -> None:
        scale = min(1.0, SIDE / max(forest.size))
        self.size = (max(1, round(forest.size[0] * scale)), max(1, round(forest.size[1] * scale)))
        self.pieces, self.holds, self.rows = arrangement_at(forest.size, forest.rles, self.size)
        self.areas = self.sums(np.ones((1, 1, 1)))[:, 0]

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(h', w', D) of any grid over the photo -> (h, w, D)."""
        rows, columns = (np.arange(new) * old // new for new, old in zip(self.size, values.shape, strict=False))
        return values[rows[:, None], columns]

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(h', w', D) of any grid over the photo -> (N, D): sums over each region's pixels."""
        rows = self.spread(values).reshape(self.pieces.size, -1)
        totals = np.stack([np.bincount(self.pieces.ravel(), row, self.holds.shape[1]) for row in rows.T], axis=1)
        return self.holds.astype(np.float32) @ totals.astype(np.float32)


def standing(seen: _Seen, forest: MaskForest, values: np.ndarray, found: np.ndarray | None) -> np.ndarray:
    """(N,) in (0, 1]: how much each region that is seen stands out."""
    height, width = seen.size
    frame = np.ones((height, width, 1))
    frame[1:-1, 1:-1] = 0
    y, x = (np.indices((height, width)) + 0.5) / np.array([height, width])[:, None, None] - 0.5
    contact, down, across = seen.sums(np.concatenate([frame, y[..., None], x[..., None]], axis=2)).T
    inside = seen.sums(values)
    cues = [
        np.exp(-((contact / np.sqrt(seen.areas)) ** 2) / 2),
        _unlike(inside, _around(seen, forest, values) - inside),
        _unlike(inside, (seen.spread(values) * frame).sum((0, 1))[None]),
        np.exp(-(down**2 + across**2) / seen.areas**2 / (2 * CENTRAL**2)),
        forest.score[seen.rows],
        np.sqrt(seen.areas / frame.size),
    ]
    if found is not None:
        within = seen.sums(found[..., None])[:, 0]
        outside = (seen.spread(found).sum() - within) / np.maximum(frame.size - seen.areas, 1)
        cues.append(within / seen.areas - outside)
    return np.exp(np.mean([np.log(np.clip(cue, FAINT, 1)) for cue in cues], axis=0))


def _around(seen: _Seen, forest: MaskForest, values: np.ndarray) -> np.ndarray:
    """(N, D) sums over each region's box, made twice as large about its middle, where it lies in the photo."""
    height, width = seen.size
    total = np.zeros((height + 1, width + 1, values.shape[2]))
    total[1:, 1:] = seen.spread(values).cumsum(0, dtype=np.float64).cumsum(1)
    x, y, wide, high = (forest.boxes[seen.rows] * np.tile((width, height), 2) / np.tile(forest.size[::-1], 2)).T
    grown = (np.sqrt(2) - 1) / 2
    left, right = np.round([x - grown * wide, x + (1 + grown) * wide]).astype(int).clip(0, width)
    top, bottom = np.round([y - grown * high, y + (1 + grown) * high]).astype(int).clip(0, height)
    return total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left]


def _unlike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """1 - cosine of rows; of nothing, 0: what has no surroundings does not differ from them."""
    lengths = np.linalg.norm(one, axis=1), np.linalg.norm(other, axis=1)
    something = np.minimum(*lengths) > NOTHING * np.maximum(*lengths)
    return np.where(something, 1 - (one * other).sum(1) / np.maximum(lengths[0] * lengths[1], 1e-12), 0.0)


def _choose(seen: _Seen, score: np.ndarray, most: int, config: Prior) -> np.ndarray:
    """Rows of the surest regions of a fair size that lie side by side, by falling score."""
    share = seen.areas / seen.pieces.size
    fair = np.flatnonzero((share >= config.least) & (share <= config.most) & (score >= config.sure))
    pixels = np.bincount(seen.pieces.ravel(), minlength=seen.holds.shape[1])
    chosen: list[int] = []
    for row in fair[np.argsort(-score[fair], kind="stable")]:
        if len(chosen) == most or score[row] < config.beside * score[chosen[0] if chosen else row]:
            break
        common = np.array([pixels[seen.holds[row] & seen.holds[other]].sum() for other in chosen])
        smaller = np.minimum(seen.areas[row], seen.areas[chosen])
        if (common <= config.overlap * smaller).all():  # neither part of a surer object nor the whole of one
            chosen.append(int(row))
    return np.array(chosen, np.int64)
