"""What the segmenter is shown and asked: views of photos, and their regions in them.

In: a `Bank` with forests. Out, where the bank lies: for a step a `Lesson`: views of some photos, and in each view the
regions that are asked for, who of them is inside whom, and regions that are known but not asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hedgerow.learn.bank import Bank
from hedgerow.learn.forests import ancestors_of
from hedgerow.learn.views import Draws, View, cut, middles

CELL = 4  # pixels of a view in a cell of its masks: the segmenter's finest map
LEAST, MOST = 4, 0.95  # cells of a region in a view, and share of the view, that make it worth asking for


@dataclass(frozen=True)
class Asked:
    """Of one view: regions (T, P), others (O, P), 0 or 1 at its P cells; ancestors (T, T) bool, row inside column."""

    regions: Tensor
    ancestors: Tensor
    others: Tensor


@dataclass(frozen=True)
class Lesson:
    """A step's views, what is asked of each, and where a teacher looks as well the same views in the photos' own
    colours, (B, 3, V, V)."""

    view: View
    asked: list[Asked]
    plain: Tensor | None = None


def lesson(
    bank: Bank,
    rows: Tensor,
    draws: Draws,
    seeds: Tensor,
    *,
    size: int,
    share: tuple[float, float],
    most: int,
    plain: bool = False,
) -> Lesson:
    """Views `size` pixels a side that cover a `share` of some photos, at most `most` regions asked for in each.

    Those asked for are drawn, the sure more often than the others; `seeds` (B,) are of these draws.
    """
    forests = bank.forests
    assert forests is not None
    photos, shape, device = bank.photos[rows], bank.shape[rows], bank.photos.device
    draws = draws.of(slice(None), device)
    view = cut(photos, shape, draws, size=size, share=share, kind=3)
    own = cut(photos, shape, draws.plain(), size=size, share=share, kind=3).pixels if plain else None
    side = size // CELL
    asked = []
    for places, row, seed in zip(middles(view, side), rows.tolist(), seeds.tolist(), strict=True):
        area = forests.areas(row, places).cpu()
        there = ((area >= LEAST) & (area <= MOST * len(places))).nonzero()[:, 0]
        drawn = forests.draw(row, most, torch.Generator().manual_seed(seed), among=there)
        rest = torch.ones(len(there), dtype=torch.bool)
        rest[drawn] = False
        chosen, others = (forests.at(row, places, some.to(device)).float() for some in (there[drawn], there[rest]))
        inside = torch.from_numpy(ancestors_of(forests.parent[row], there[drawn].numpy()))
        asked.append(Asked(chosen, inside.to(device), others))
    return Lesson(view, asked, own)
