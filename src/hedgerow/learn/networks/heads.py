"""Heads that learning puts on a token, and takes off again when the backbone is used.

In: tokens (..., D). Out: vectors of length 1 (..., E), or cosines with prototypes (..., K). DINO's head (Caron et al.
2021, appendix C): three layers and a narrow neck. A temperature outside makes scores of the cosines.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NECK = 128  # DINO has 256 for 65,536 prototypes; ours are a tenth as many


class Projector(nn.Module):
    """(..., D) -> (..., NECK) of length 1."""

    def __init__(self, dim: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        hidden = 3 * dim
        self.layers = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, NECK)
        )
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight, generator=generator)
                nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.normalize(self.layers(tokens), dim=-1)


class PrototypeHead(nn.Module):
    """(..., D) -> (..., K)."""

    def __init__(self, dim: int, prototypes: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.projector = Projector(dim, generator)
        self.prototypes = nn.Parameter(torch.empty(prototypes, NECK))
        nn.init.normal_(self.prototypes, generator=generator)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.projector(tokens) @ F.normalize(self.prototypes, dim=-1).T
