"""What a teacher is sure of, as lessons for its student: SOHES's third phase, self-correction.

In: a teacher and views without jitter. Out: what is asked of each view. A constant threshold starves small regions,
whose scores are lower, and the student drifts towards large ones; SOHES has one that depends on size, in a form it does
not publish. Ours rises by area from SMALL of a height, for a speck, to that height, for a thing of a few hundredths of
the view and beyond; the height is a quantile of the scores that the teacher itself gives to large masks, because how
high scores are depends on how long it has learned.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hedgerow.learn.lessons import LEAST, Asked
from hedgerow.learn.networks.devices import rows_of_all
from hedgerow.learn.networks.segmenter import Segmenter

SMALL, STEEP = 3 / 7, 200.0  # of the threshold
SURE, BROAD = 0.65, 0.03  # which quantile of scores it is that large masks must pass, and what share of a view is large
OVERLAP = 0.9  # IoU from which of two masks the less sure goes
COVER = 0.9  # share of a mask inside another that makes it part of it (SOHES's theta_cover, see forest.py)


def threshold(area: Tensor, height: float) -> Tensor:
    """What a mask's score must pass, by its share of the view."""
    return height * (SMALL + (1 - SMALL) * (1 - (1 - area).clamp(min=0) ** STEEP))


def height_of(score: Tensor, area: Tensor) -> float:
    """What large masks must pass, from the scores and areas of all masks of a batch."""
    large = score[area >= BROAD]
    return float(large.quantile(SURE)) if len(large) else 1.0


def weights_at(share: float, done: float) -> tuple[float, float]:
    """How much labels of phase 1 and those of the teacher count: the teacher's only in the last `share` of a run, from
    2 to 3 there, while the others fall from 1 to 0 by half a cosine (HASSOD's; SOHES's are not known)."""
    if share <= 0 or done < 1 - share:
        return 1.0, 0.0
    first = (1 + math.cos(math.pi * (done - 1 + share) / share)) / 2
    return first, 3 - first


@torch.no_grad()
def corrections(teacher: Segmenter, pixels: Tensor, fixed: float | None = None) -> tuple[list[Asked], Tensor]:
    """What is asked of each view, and how many regions of a view on average."""
    seen = teacher(pixels)
    masks = seen.masks.float().flatten(2)
    inside = masks > 0
    score = scores(seen.found.float(), masks)
    area = inside.float().mean(2)
    height = height_of(rows_of_all(score), rows_of_all(area))  # of a whole step, however many processes share it
    least = torch.full_like(area, fixed) if fixed is not None else threshold(area, height)
    asked = [_sure(*one) for one in zip(score, inside, (score >= least) & (inside.sum(2) >= LEAST), strict=True)]
    return asked, torch.tensor([len(one.regions) for one in asked]).float().mean()


def scores(found: Tensor, masks: Tensor) -> Tensor:
    """(..., Q) how likely something was found, times how sure its mask (..., Q, P) is of its own cells
    (Mask2Former's)."""
    inside = masks > 0
    sure = (masks.sigmoid() * inside).sum(-1) / inside.sum(-1).clamp(min=1)
    return found.sigmoid() * sure


def _sure(score: Tensor, inside: Tensor, passed: Tensor) -> Asked:
    """Of one view's masks those that passed, the surer of two that are nearly the same, and who is inside whom."""
    kept = passed.nonzero()[:, 0]
    kept = kept[score[kept].argsort(descending=True)]
    regions = inside[kept].float()
    both = regions @ regions.T
    own = both.diagonal()
    iou = both / (own[:, None] + own[None] - both).clamp(min=1)
    chosen: list[int] = []
    for row in range(len(kept)):
        if not chosen or iou[row, chosen].max() < OVERLAP:
            chosen.append(row)
    both, own = both[chosen][:, chosen], own[chosen]
    cover = both / own[:, None].clamp(min=1)  # row i, column j: share of i inside j
    ancestors = (cover >= COVER) & (cover.T < COVER)
    return Asked(regions[chosen], ancestors, regions[:0])
