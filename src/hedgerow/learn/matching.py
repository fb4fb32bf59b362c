"""What a set of queries found against what there is: who is matched with whom, and the losses of the matched.

In: mask logits (Q, P) of a photo's queries at P places, logits that each found something (Q,), and its regions (T, P),
0 or 1, with their ancestors (T, T). Out: pairs, and one number a loss. All as Mask2Former has it (Cheng et al. 2022,
sections 3.1 and 3.3, after DETR, Carion et al. 2020), with one class, and the ancestor loss of SOHES.

Departures. Places are all cells of the masks, which are few here, not a sample of 12,544. A query that is matched with
nothing, but has found a region that is known and was not asked for, counts for nothing: regions are many more than
queries, and those asked for are a choice among them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

FOUND, CROSS, DICE = 2.0, 5.0, 5.0  # Mask2Former's weights, in the matching and in the loss
NOTHING = 0.1  # weight of a query that is to find nothing: Mask2Former's
KNOWN = 0.5  # IoU with a region that was not asked for from which a query has found that


@dataclass(frozen=True)
class Pairs:
    """Query q[k] is matched with region t[k]; every region has one where there are enough queries."""

    q: Tensor
    t: Tensor


@torch.no_grad()
def match(found: Tensor, masks: Tensor, regions: Tensor) -> Pairs:
    """The matching of least cost (Hungarian method, scipy's)."""
    cost = FOUND * -found.sigmoid()[:, None] + CROSS * cross_entropies(masks, regions) + DICE * dices(masks, regions)
    q, t = linear_sum_assignment(cost.float().cpu().numpy())
    return Pairs(*(torch.from_numpy(side).to(masks.device) for side in (q, t)))


def cross_entropies(masks: Tensor, regions: Tensor) -> Tensor:
    """(Q, T) mean binary cross-entropy of every query's mask against every region."""
    no = F.softplus(masks)  # and softplus(-masks) = no - masks
    return (no.sum(1)[:, None] - masks @ regions.T) / masks.shape[1]


def dices(masks: Tensor, regions: Tensor) -> Tensor:
    """(Q, T) 1 - dice of every query's mask against every region (Milletari et al. 2016, with 1 added as in DETR)."""
    share = masks.sigmoid()
    both = 2 * share @ regions.T
    return 1 - (both + 1) / (share.sum(1)[:, None] + regions.sum(1)[None] + 1)


def mask_losses(masks: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy and 1 - dice of matched masks (M, P), both summed over the M."""
    cross = F.binary_cross_entropy_with_logits(masks, regions, reduction="none").mean(1)
    share = masks.sigmoid()
    dice = 1 - (2 * (share * regions).sum(1) + 1) / (share.sum(1) + regions.sum(1) + 1)
    return cross.sum(), dice.sum()


def found_loss(found: Tensor, pairs: Pairs, spared: Tensor) -> Tensor:
    """Binary cross-entropy over queries, those that are to find nothing weighing NOTHING; `spared` (Q,) bool count for
    nothing. A weighted mean, as CrossEntropyLoss with weights is."""
    wanted = torch.zeros_like(found)
    wanted[pairs.q] = 1
    weight = torch.where(wanted > 0, 1.0, torch.where(spared, 0.0, NOTHING))
    entropy = F.binary_cross_entropy_with_logits(found, wanted, reduction="none")
    return (entropy * weight).sum() / weight.sum().clamp(min=1e-6)


@torch.no_grad()
def spared(masks: Tensor, pairs: Pairs, others: Tensor) -> Tensor:
    """(Q,) bool: queries without a pair that have found one of the `others` (N, P)."""
    inside = (masks > 0).float()
    both = inside @ others.T
    union = inside.sum(1)[:, None] + others.sum(1)[None] - both
    near = (both / union.clamp(min=1)).amax(1) >= KNOWN if len(others) else torch.zeros(len(masks)).bool()
    near = near.to(masks.device)
    near[pairs.q] = False
    return near


def ancestor_loss(contains: Tensor, pairs: Pairs, ancestors: Tensor) -> Tensor:
    """Binary cross-entropy over ordered pairs of matched queries: does the second's region contain the first's? Those
    that do, a few in a hundred, weigh as much as those that do not.

    `ancestors` (T, T) bool: row i, column j that region j is an ancestor of region i.
    """
    logits = contains[pairs.q][:, pairs.q]
    wanted = ancestors[pairs.t][:, pairs.t]
    apart = ~torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    entropy = F.binary_cross_entropy_with_logits(logits, wanted.to(logits.dtype), reduction="none")
    halves = [entropy[kind & apart] for kind in (wanted, ~wanted)]
    told = [half.mean() for half in halves if half.numel()]
    return torch.stack(told).mean() if told else logits.sum() * 0
