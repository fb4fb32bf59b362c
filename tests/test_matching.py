"""Matching of queries and regions, and its losses: against all permutations, by hand, and against transformers."""

from itertools import permutations

import numpy as np
import pytest
import torch

from hedgerow.learn.matching import (
    CROSS,
    DICE,
    FOUND,
    NOTHING,
    Pairs,
    ancestor_loss,
    cross_entropies,
    dices,
    found_loss,
    mask_losses,
    match,
    spared,
)


def some(queries, regions, places=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    masks = 3 * torch.randn(queries, places, generator=generator)
    truth = (torch.rand(regions, places, generator=generator) < 0.3).float()
    return torch.randn(queries, generator=generator), masks, truth


@pytest.mark.parametrize(("queries", "regions"), [(6, 3), (5, 5), (3, 5), (4, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_no_permutation_costs_less(queries, regions, seed):
    found, masks, truth = some(queries, regions, seed=seed)
    cost = FOUND * -found.sigmoid()[:, None] + CROSS * cross_entropies(masks, truth) + DICE * dices(masks, truth)
    pairs = match(found, masks, truth)
    assert len(pairs.q) == min(queries, regions)
    if queries >= regions:
        least = min(sum(cost[q, t] for t, q in enumerate(order)) for order in permutations(range(queries), regions))
    else:
        least = min(sum(cost[q, t] for q, t in enumerate(order)) for order in permutations(range(regions), queries))
    assert cost[pairs.q, pairs.t].sum() == pytest.approx(float(least), abs=1e-5)


def test_costs_are_those_of_transformers():
    from transformers.models.mask2former import modeling_mask2former as theirs

    _, masks, truth = some(7, 4)
    assert torch.allclose(
        cross_entropies(masks, truth), theirs.pair_wise_sigmoid_cross_entropy_loss(masks, truth), atol=1e-5
    )
    assert torch.allclose(dices(masks, truth), theirs.pair_wise_dice_loss(masks, truth), atol=1e-5)
    cross, dice = mask_losses(masks[:4], truth)
    assert cross / 4 == pytest.approx(float(theirs.sigmoid_cross_entropy_loss(masks[:4], truth, 4)), abs=1e-5)
    assert dice / 4 == pytest.approx(float(theirs.dice_loss(masks[:4], truth, 4)), abs=1e-5)


def test_masks_by_hand():
    """One place in doubt, one surely right, one surely wrong."""
    masks, region = torch.tensor([[0.0, 50.0, 50.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    cross, dice = mask_losses(masks, region)
    assert cross == pytest.approx((np.log(2) + 0 + 50) / 3)
    assert dice == pytest.approx(1 - (2 * 1.5 + 1) / (2.5 + 2 + 1))


def test_found_by_hand():
    """Of four queries one is matched, one has found what was not asked for, two found nothing."""
    found = torch.tensor([2.0, 1.0, 0.0, -1.0])
    pairs = Pairs(torch.tensor([0]), torch.tensor([0]))
    loss = found_loss(found, pairs, torch.tensor([False, True, False, False]))
    expected = np.log1p(np.exp(-2)) + NOTHING * (np.log(2) + np.log1p(np.exp(-1)))
    assert loss == pytest.approx(expected / (1 + 2 * NOTHING))


def test_who_is_spared():
    masks = torch.tensor([[9.0, 9, -9, -9], [9, 9, -9, -9], [-9, -9, 9, 9], [-9, -9, -9, -9]])
    others = torch.tensor([[1.0, 1, 1, 0], [0, 0, 0, 1]])
    pairs = Pairs(torch.tensor([1]), torch.tensor([0]))
    assert spared(masks, pairs, others).tolist() == [True, False, True, False]  # IoU 2/3; matched; 1/2; nothing
    assert spared(masks, pairs, others[:0]).tolist() == [False] * 4


def test_ancestors_by_hand():
    """A in B in C: A's are B and C, B's is C; matched in another order, beside a query that is not matched."""
    ancestors = torch.tensor([[0, 1, 1], [0, 0, 1], [0, 0, 0]]).bool()
    pairs = Pairs(torch.tensor([3, 0, 2]), torch.tensor([0, 1, 2]))
    contains = torch.full((4, 4), -1.0)
    contains[3, 0] = contains[3, 2] = contains[0, 2] = 2.0
    contains[1] = contains[:, 1] = 100.0
    loss = ancestor_loss(contains, pairs, ancestors)
    assert loss == pytest.approx((np.log1p(np.exp(-2)) + np.log1p(np.exp(-1))) / 2)
    assert ancestor_loss(contains.T, pairs, ancestors) > loss
    one = Pairs(torch.tensor([0]), torch.tensor([0]))
    assert ancestor_loss(contains, one, ancestors) == 0
    flat = ancestor_loss(contains, pairs, torch.zeros(3, 3).bool())
    assert flat == pytest.approx((3 * np.log1p(np.exp(2)) + 3 * np.log1p(np.exp(-1))) / 6)
