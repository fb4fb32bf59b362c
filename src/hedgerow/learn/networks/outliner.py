"""Where things end, seen in one pass: how strongly the regions of a forest would vote for an outline at each pixel.

In: normalised pixels (B, 3, H, W), H and W multiples of 32. Out: logits (B, H / 2, W / 2).

A trunk's maps (`maps.py`) say what is where, and two filters on the pixels exactly where it ends. Networks that find
contours are of this form (HED, Xie & Tu 2015), there learned from contours that people drew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Generator, Tensor, nn

from hedgerow.learn.networks.decoder import draw_weights
from hedgerow.learn.networks.maps import FINE, Maps, MapsTrunk, trunk_with_maps

STRIDE = 2  # pixels of a cell of what it says
OFTEN = 0.1  # how strong an outline is, before anything is learned


@dataclass(frozen=True)
class OutlinerConfig:
    """`dim`: channels of the maps."""

    trunk: MapsTrunk
    dim: int = 48


class Outliner(nn.Module):
    def __init__(self, config: OutlinerConfig, generator: Generator | None = None) -> None:
        super().__init__()
        self.config, dim = config, config.dim
        self.trunk = trunk_with_maps(config.trunk, generator)
        self.maps = Maps(config.trunk, dim)
        self.fine = nn.Sequential(nn.Conv2d(3, FINE, 5, stride=2, padding=2), nn.GELU(), nn.Conv2d(FINE, dim, 1))
        self.join = nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1), nn.GroupNorm(1, dim), nn.GELU())
        self.outline = nn.Conv2d(dim, 1, 1)
        for part in (self.maps, self.fine, self.join, self.outline):
            draw_weights(part, generator)
        nn.init.constant_(self.outline.bias, math.log(OFTEN / (1 - OFTEN)))  # type: ignore[arg-type]

    def forward(self, pixels: Tensor) -> Tensor:
        fine = self.fine(pixels)
        coarse = self.maps(self.trunk, pixels)[0]
        both = fine + F.interpolate(coarse, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        return self.outline(both + self.join(both))[:, 0]
