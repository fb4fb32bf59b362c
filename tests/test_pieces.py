"""A batch in pieces against the batch at once."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from hedgerow.learn.networks.pieces import in_pieces
from hedgerow.learn.networks.pyramid import Pyramid, PyramidConfig


@pytest.fixture
def network():
    form = PyramidConfig(widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), dim=12)
    return Pyramid(form, torch.Generator().manual_seed(0))


def contrasted(vector, patches):
    """A loss that no piece can know by itself."""
    return (vector @ vector.T).logsumexp(1).sum() + patches.square().mean()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9])
def test_gradients_are_those_of_the_batch(network, count):
    pixels = torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    other = deepcopy(network)
    contrasted(*network.eval().look(pixels)).backward()
    contrasted(*in_pieces(other.eval(), lambda rows, hidden: other.look(rows), count, pixels, None)).backward()
    for (name, mine), theirs in zip(network.named_parameters(), other.parameters(), strict=True):
        assert torch.allclose(mine.grad, theirs.grad, rtol=1e-3, atol=1e-5), name


def test_only_a_piece_is_held(network):
    """What autograd keeps between the way forward and the way back."""
    pixels = torch.randn(8, 3, 32, 32)

    def kept(count):
        held = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: held.append(tensor.numel()) or tensor, lambda x: x
        ):
            contrasted(*in_pieces(network, network.look, count, pixels))
        return sum(held)

    assert kept(4) < kept(1) / 4


def test_statistics_count_a_piece_once(network):
    pixels = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    other = deepcopy(network)
    for piece in pixels.split(2):
        other.look(piece)
    contrasted(*in_pieces(network, network.look, 2, pixels)).backward()
    norm, theirs = network.neck.normalization, other.neck.normalization
    assert torch.equal(norm.running_mean, theirs.running_mean)
    assert torch.equal(norm.running_var, theirs.running_var)
    assert norm.momentum == theirs.momentum > 0
