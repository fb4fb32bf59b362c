"""What is learned from, against the published equations worked by hand or in loops."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from hedgerow.learn.losses import CONTRAST, SHARPNESS, contrast, distillation, spread, targets, views_agree


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---------------------------------------------------------------------- self-distillation


def test_targets_are_centred_and_sharpened():
    """DINO: softmax((scores - centre) / temperature). Of two scores 0.1 apart at 0.05, e^2 against 1."""
    found = targets(torch.tensor([[0.3, 0.1]]), torch.tensor([0.1, 0.0]), 0.05)
    assert found.tolist()[0] == pytest.approx([math.e**2 / (1 + math.e**2), 1 / (1 + math.e**2)], rel=1e-6)


def test_distillation_by_hand():
    """Cross-entropy of (1/4, 3/4) against a student of scores 0.1 ln 2 apart, which are probabilities 2/3 and 1/3."""
    student = torch.tensor([[SHARPNESS * math.log(2), 0.0]])
    expected = -(0.25 * math.log(2 / 3) + 0.75 * math.log(1 / 3))
    assert distillation(student, torch.tensor([[0.25, 0.75]])).item() == pytest.approx(expected, rel=1e-6)


def test_distillation_from_itself_is_the_entropy():
    scores = rows(5, 7)
    target = targets(scores, torch.zeros(7), SHARPNESS)
    entropy = torch.special.entr(target).sum(-1).mean()
    assert distillation(scores, target).item() == pytest.approx(entropy.item(), rel=1e-5)


def test_rows_count_by_their_weight():
    student, target = rows(3, 4), rows(3, 4, seed=1).softmax(-1)
    each = [distillation(student[i : i + 1], target[i : i + 1]).item() for i in range(3)]
    weighed = distillation(student, target, torch.tensor([1.0, 0.0, 3.0]))
    assert weighed.item() == pytest.approx((each[0] + 3 * each[2]) / 4, rel=1e-6)
    assert distillation(student[:0], target[:0], torch.zeros(0)).item() == 0


def test_no_view_is_compared_with_itself():
    """Of 2 large and 3 small views each large one has 4 partners: 8 pairs, as in DINO's code."""
    student, target = [rows(2, 5, seed=i) for i in range(5)], [rows(2, 5, seed=9 + i).softmax(-1) for i in range(2)]
    pairs = [distillation(student[j], target[i]).item() for i in range(2) for j in range(5) if i != j]
    assert len(pairs) == 8
    assert views_agree(student, target).item() == pytest.approx(np.mean(pairs), rel=1e-6)
    alone = views_agree([student[0].requires_grad_(), student[1]], target)
    alone.backward()
    assert alone.item() == pytest.approx(np.mean([pairs[0], pairs[4]]), rel=1e-6)


def test_nothing_of_the_teachers_gets_a_gradient():
    scores = rows(4, 6).requires_grad_()
    assert not targets(scores, torch.zeros(6), 0.04).requires_grad
    keys = F.normalize(rows(4, 3), dim=-1).requires_grad_()
    queries = F.normalize(rows(4, 3, seed=1), dim=-1).requires_grad_()
    contrast(queries, keys, torch.arange(4), torch.ones(4, dtype=torch.bool)).backward()
    assert keys.grad is None
    assert queries.grad.abs().sum() > 0


# ---------------------------------------------------------------------- keeping apart


def test_spread_by_hand():
    """Three vectors in a plane at 0, 60 and 180 degrees: nearest ones are 1, 1 and sqrt(3) away."""
    angle = torch.tensor([0.0, math.pi / 3, math.pi])
    vectors = 5 * torch.stack([angle.cos(), angle.sin()], 1)
    assert spread(vectors).item() == pytest.approx(-math.log(math.sqrt(3)) / 3, abs=1e-5)


def test_spread_is_the_same_in_company():
    vectors = rows(6, 4)
    halves = [spread(vectors[k : k + 3], vectors, k).item() for k in (0, 3)]
    assert np.mean(halves) == pytest.approx(spread(vectors).item(), rel=1e-6)


# ---------------------------------------------------------------------- contrasting


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_contrast_equals_loops(seed):
    rng = np.random.default_rng(seed)
    count, own, among = int(rng.integers(2, 9)), int(rng.integers(0, 3)), float(rng.choice([0, 0.1, 1]))
    keys = F.normalize(rows(count + own + 2, 4, seed=seed), dim=-1)
    queries = F.normalize(rows(count, 4, seed=seed + 1), dim=-1)
    photo, valid = torch.from_numpy(rng.integers(0, 3, len(keys))), torch.from_numpy(rng.uniform(size=len(keys)) < 0.8)
    valid[own] = True
    total, counted = 0.0, 0
    for i in range(count):
        if not valid[own + i]:
            continue
        rivals = 0.0
        for j in range(len(keys)):
            weight = 1.0 if j == own + i or photo[j] != photo[own + i] else among
            rivals += weight * bool(valid[j]) * math.exp(float(queries[i] @ keys[j]) / CONTRAST)
        total -= float(queries[i] @ keys[own + i]) / CONTRAST - math.log(rivals)
        counted += 1
    found = contrast(queries, keys, photo, valid, own=own, among=among)
    assert found.item() == pytest.approx(total / counted, rel=1e-4, abs=1e-5)


def test_contrast_of_perfect_and_of_blind_queries():
    """Twelve keys at right angles: each found, nearly 0; all alike, the logarithm of how many there are."""
    keys, photo, valid = torch.eye(12), torch.arange(12), torch.ones(12, dtype=torch.bool)
    assert contrast(keys, keys, photo, valid).item() == pytest.approx(
        math.log(1 + 11 * math.exp(-1 / CONTRAST)), rel=1e-3
    )
    blind = torch.full((12, 12), 12**-0.5)
    assert contrast(blind, blind, photo, valid).item() == pytest.approx(math.log(12), rel=1e-5)
    assert contrast(keys, keys, photo, ~valid).item() == 0
