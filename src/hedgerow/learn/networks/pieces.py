"""A batch that a network looks at in pieces: the step of the whole batch, in the memory of a piece.

Losses that contrast need all of a batch at once, so the gradients of pieces cannot just be added up. Instead only what
the network says of a piece is kept on the way forward; on the way back, when the loss of all is known, it looks at each
piece once more (gradient caching: Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited
setup"). A step takes a quarter to a half longer for it (`benchmarks/accumulate.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torch.utils.checkpoint import checkpoint


def in_pieces(network: nn.Module, look: Callable[..., Any], count: int, *rows: Tensor | None) -> Any:
    """What `look`, of that network, says of `count` pieces of some rows, put together again. Every tensor that it takes
    and gives has a row an item."""
    total = len(next(one for one in rows if one is not None))
    if count <= 1 or total <= 1:
        return look(*rows)
    said = []
    for start in range(0, total, size := -(-total // count)):
        piece = [None if one is None else one[start : start + size] for one in rows]
        if torch.is_grad_enabled():
            said.append(
                checkpoint(look, *piece, use_reentrant=False, context_fn=lambda: (nullcontext(), _once(network)))
            )
        else:
            said.append(look(*piece))
    return tree_map(lambda *parts: torch.cat(parts), *said)


class InPieces(nn.Module):
    """A network that is called, and looks at what it is given in pieces."""

    def __init__(self, network: nn.Module, count: int) -> None:
        super().__init__()
        self.network, self.count = network, count

    def forward(self, pixels: Tensor) -> Any:
        return in_pieces(self.network, self.network, self.count, pixels)


@contextmanager
def _once(network: nn.Module) -> Iterator[None]:
    """What a piece does to statistics of a batch norm it has done the first time."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
