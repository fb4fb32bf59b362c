"""A trunk's maps from fine to coarse, for what is learned of pixels and not of patches.

In: a trunk and normalised pixels (B, 3, H, W), H and W multiples of 32. Out: maps at 4, 8, 16 and 32 pixels.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Generator, Tensor, nn

from hedgerow.learn.networks.pyramid import Pyramid, PyramidConfig
from hedgerow.learn.networks.vit import ViT, ViTConfig

MapsTrunk = PyramidConfig | ViTConfig  # whose trunks have maps
STRIDES = (4, 8, 16, 32)  # pixels of a cell of the maps
FINE = 32  # channels between the pixels and the finest map


def trunk_with_maps(config: MapsTrunk, generator: Generator | None) -> Pyramid | ViT:
    return Pyramid(config, generator) if isinstance(config, PyramidConfig) else ViT(config, generator)


class Maps(nn.Module):
    """A trunk's maps at STRIDES, all of one width; the finest sums up all coarser ones and what the pixels themselves
    say: a trunk has learned to see past colour and exact places, which is what the edges of masks need."""

    def __init__(self, trunk: MapsTrunk, dim: int) -> None:
        super().__init__()
        widths = trunk.widths if isinstance(trunk, PyramidConfig) else (trunk.dim,) * len(STRIDES)
        self.lateral = nn.ModuleList(nn.Conv2d(width, dim, 1) for width in widths)
        self.smooth = nn.ModuleList(nn.Conv2d(dim, dim, 3, padding=1, groups=dim) for _ in widths)
        self.norm = nn.ModuleList(nn.GroupNorm(1, dim) for _ in widths)
        self.fine = nn.Sequential(
            nn.Conv2d(3, FINE, 3, stride=2, padding=1), nn.GELU(), nn.Conv2d(FINE, dim, 3, stride=2, padding=1)
        )

    def forward(self, trunk: Pyramid | ViT, pixels: Tensor) -> list[Tensor]:
        """(B, D, H / s, W / s) for each stride s."""
        found = trunk.stages(pixels) if isinstance(trunk, Pyramid) else _scaled(trunk, pixels)
        above: Tensor | None = None
        maps: list[Tensor] = []
        for stage, lateral, smooth, norm in reversed(
            list(zip(found, self.lateral, self.smooth, self.norm, strict=True))
        ):
            here = lateral(stage)
            if len(maps) == len(STRIDES) - 1:
                here = here + self.fine(pixels)
            if above is not None:
                here = here + F.interpolate(above, size=here.shape[-2:], mode="bilinear", align_corners=False)
            above = norm(here + smooth(here))
            maps.append(above)
        return maps[::-1]


def _scaled(trunk: ViT, pixels: Tensor) -> list[Tensor]:
    """A transformer's one map at every stride (ViTDet's simple pyramid, Li et al. 2022, without weights of its own)."""
    h, w = (side // trunk.config.patch for side in pixels.shape[-2:])
    patches = trunk.look(pixels)[1].transpose(1, 2).unflatten(2, (h, w))
    sizes = [(pixels.shape[-2] // stride, pixels.shape[-1] // stride) for stride in STRIDES]
    return [F.interpolate(patches, size=size, mode="bilinear", align_corners=False) for size in sizes]
