"""Two views of a photo on one grid: what each says of the same places.

In: two `View`s of each photo, and maps over their patches. Out: places of the photo that both show, and what a map says
at them. ViL-Seg's clustering head compares a photo with its transformed version; how the two are laid over each other
the paper does not say. Here places come from a grid over the part that both views show, and maps are read between
patches (bilinear), so that no view is the other's measure.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hedgerow.learn.views import View


def common_places(first: View, second: View, side: int) -> tuple[Tensor, Tensor]:
    """(B, side * side, 2) where in the photo, down and across, the cells of a grid over the overlap have their middles;
    (B,) bool: is there an overlap at all."""
    low = torch.maximum(first.box[:, :2], second.box[:, :2])
    high = torch.minimum(*(view.box[:, :2] + view.box[:, 2:] for view in (first, second)))
    at = (torch.arange(side, device=low.device) + 0.5) / side
    y, x = (low[:, k, None] + (high - low)[:, k, None] * at for k in (0, 1))
    grid = torch.stack([y[:, :, None].expand(-1, -1, side), x[:, None, :].expand(-1, side, -1)], -1)
    return grid.flatten(1, 2), (high > low).all(1)


def read_at(maps: Tensor, view: View, places: Tensor) -> Tensor:
    """(B, C, h, w) maps over a view's patches -> (B, P, C) at places (B, P, 2) of the photo."""
    inside = (places - view.box[:, None, :2]) / view.box[:, None, 2:]
    across = torch.where(view.flip[:, None], 1 - inside[..., 1], inside[..., 1])
    grid = torch.stack([across, inside[..., 0]], -1) * 2 - 1
    found = F.grid_sample(maps, grid[:, None], padding_mode="border", align_corners=False)
    return found[:, :, 0].transpose(1, 2)
