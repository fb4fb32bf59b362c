"""A photo into a set of masks, a score each, and who contains whom, in one pass: SOHES's segmenter, sized for a CPU.

In: normalised pixels (B, 3, H, W), H and W multiples of 32. Out: `Seen`, Q queries a photo: logits that a query has
found something, mask logits on a grid of 4 pixels, and logits that one query's mask contains another's.

A backbone's maps go into a feature pyramid; queries read it by masked cross-attention, layer by layer, each looking
only where its mask was so far (Mask2Former, Cheng et al. 2022, section 3.2). The ancestor head is SOHES's,
whose inside is not published: two projections of each query, as part and as whole, and their product.

Departures. Attention is dense, not deformable, so the network exports to ONNX with free height and width. Queries are
not learned one by one: each starts from what the photo shows in a cell of nested grids (16 x 16 cells, 8 x 8, ... the
whole photo), so that it knows from the first step where to look and how large a thing to expect; learned queries spend
most of a training on finding that out. Its mask is what is like the query, and like the middle of its cell, within a
window about the cell: a polynomial of the second degree that starts as a disc. Without the window queries take hundreds
of steps to tell here from there (LOG.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hedgerow.learn.networks.maps import Maps, MapsTrunk, trunk_with_maps

ROUGH = 2  # cells a side of a mask that are one of a glimpse
DISC = (-2.0, 0.0, 0.0, -1.0, -1.0, 0.0)  # the form of a window before anything is learned, see `_windows`
RARE = 0.01  # how likely a query finds something, and one contains another, before anything is learned


@dataclass(frozen=True)
class SegmenterConfig:
    """`grids`: cells a side of the nested grids whose cells queries start from; `dim` of queries and maps."""

    trunk: MapsTrunk
    dim: int = 128
    layers: int = 3
    heads: int = 4
    grids: tuple[int, ...] = (16, 8, 4, 2, 1)

    @property
    def queries(self) -> int:
        return sum(side * side for side in self.grids)


class Glimpse(NamedTuple):
    """Logits of queries on their way: found (B, Q), masks (B, Q, H / 8, W / 8)."""

    found: Tensor
    masks: Tensor


class Seen(NamedTuple):
    """Logits: found (B, Q), masks (B, Q, H / 4, W / 4), contains (B, Q, Q), row i, column j that mask j contains i."""

    found: Tensor
    masks: Tensor
    contains: Tensor


class Segmenter(nn.Module):
    """Calling it gives what queries see in the end; `every` also what they saw before each layer, for learning."""

    def __init__(self, config: SegmenterConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config, dim = config, config.dim
        self.trunk = trunk_with_maps(config.trunk, generator)
        self.maps = Maps(config.trunk, dim)
        self.start = nn.Linear(dim, dim)
        self.whole = nn.Linear(dim, dim)
        self.level = nn.Parameter(torch.zeros(len(config.grids), dim))
        self.layers = nn.ModuleList(_Layer(dim, config.heads) for _ in range(config.layers))
        self.norm = nn.LayerNorm(dim)
        self.found = nn.Linear(dim, 1)
        self.mask = _mlp(dim, dim)
        self.window = nn.Linear(dim, 6)
        self.part, self.container = _mlp(dim, dim), _mlp(dim, dim)
        self.bias = nn.Parameter(torch.tensor([_logit(RARE)]))  # a row of one: rows can be shared out
        for module in [module for part in self.children() if part is not self.trunk for module in part.modules()]:
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.xavier_uniform_(module.weight.data.flatten(1), generator=generator)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.level, std=0.02, generator=generator)
        nn.init.constant_(self.found.bias, _logit(RARE))
        nn.init.normal_(self.window.weight, std=0.02, generator=generator)
        self.window.bias.data = torch.tensor(DISC)

    def forward(self, pixels: Tensor) -> Seen:
        return self.every(pixels)[1]

    def every(self, pixels: Tensor) -> tuple[list[Glimpse], Seen]:
        maps = self.maps(self.trunk, pixels)
        rough = F.avg_pool2d(maps[0], ROUGH)  # masks of the mean are the mean of masks
        queries, places = self._queries(maps)
        cells = _cells(self.config.grids, queries)
        seeds = self._seeds(maps[0])
        glimpses = []
        for number, layer in enumerate(self.layers):
            glimpses.append(Glimpse(*self._masks(self.norm(queries), rough, cells, seeds)))
            memory = maps[1:][-1 - number % 3]  # coarse to fine, and again
            queries = layer(queries, places, memory, _unseen(glimpses[-1].masks, memory))
        queries = self.norm(queries)
        contains = self.part(queries) @ self.container(queries).transpose(1, 2) / math.sqrt(queries.shape[-1])
        return glimpses, Seen(*self._masks(queries, maps[0], cells, seeds), contains + self.bias)

    def _queries(self, maps: list[Tensor]) -> tuple[Tensor, Tensor]:
        """What queries start from, and where they are: (B, Q, D) each."""
        count, dim = maps[0].shape[:2]
        contents, places = [], []
        for number, side in enumerate(self.config.grids):
            source = maps[2] if side > 8 else maps[3]
            cells = F.interpolate(source, size=(side, side), mode="bilinear", align_corners=False)
            contents.append(cells.flatten(2).transpose(1, 2) + self.level[number])
            places.append(positions(side, side, dim, cells))
        whole = self.whole(maps[3].mean((2, 3)))[:, None]
        return self.start(torch.cat(contents, 1)) + whole, torch.cat(places).expand(count, -1, -1)

    def _seeds(self, pixels: Tensor) -> Tensor:
        """(B, Q, D): what the finest map has in the middle of each query's cell."""
        grids = (
            F.interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False) for side in self.config.grids
        )
        return torch.cat([grid.flatten(2) for grid in grids], 2).transpose(1, 2)

    def _masks(self, queries: Tensor, pixels: Tensor, cells: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        like = torch.einsum("bqd,bdhw->bqhw", self.mask(queries) + seeds, pixels) / math.sqrt(pixels.shape[1])
        return self.found(queries)[..., 0], like + _windows(self.window(queries), cells, pixels)


class _Layer(nn.Module):
    """Queries look at the photo where their masks are, then at each other, then think."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(3))
        self.look, self.talk = _Attention(dim, heads), _Attention(dim, heads)
        self.think = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, queries: Tensor, places: Tensor, memory: Tensor, unseen: Tensor) -> Tensor:
        h, w = memory.shape[-2:]
        values = memory.flatten(2).transpose(1, 2)
        keys = values + positions(h, w, values.shape[-1], values)
        q = self.norms[0](queries)
        queries = queries + self.look(q + places, keys, values, unseen)
        q = self.norms[1](queries)
        queries = queries + self.talk(q + places, q + places, q)
        return queries + self.think(self.norms[2](queries))


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor, unseen: Tensor | None = None) -> Tensor:
        """`unseen` (B, Q, K) bool: what a query may not look at."""
        parts = (self.q(queries), self.k(keys), self.v(values))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if unseen is not None:
            scores = scores.masked_fill(unseen[:, None], -1e4)
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


def _unseen(masks: Tensor, memory: Tensor) -> Tensor:
    """(B, Q, h * w) bool: where a query's mask is not; one whose mask is nowhere may look everywhere."""
    masks = F.interpolate(masks.detach(), size=memory.shape[-2:], mode="bilinear", align_corners=False).flatten(2)
    outside = masks < 0
    return outside & ~outside.all(-1, keepdim=True)


def _cells(grids: tuple[int, ...], like: Tensor) -> Tensor:
    """(Q, 3): the middle (x, y) of each query's cell, and its side, in shares of the photo's sides."""
    cells = []
    for side in grids:
        middles = (torch.arange(side, device=like.device, dtype=like.dtype) + 0.5) / side
        y, x = middles[:, None].expand(side, side), middles[None].expand(side, side)
        cells.append(torch.stack([x, y, torch.full_like(x, 1 / side)], -1).flatten(0, 1))
    return torch.cat(cells)


def _windows(form: Tensor, cells: Tensor, like: Tensor) -> Tensor:
    """(B, Q, h, w): a hill about each query's cell, so that a mask keeps to its place: of the six numbers of `form`
    (B, Q, 6) a second-degree polynomial of x and y, counted in the cell's sides from its middle.

    Multiplied out to one of x and y in the photo: six small maps serve all queries.
    """
    h, w = like.shape[-2:]
    x, y, side = cells.unbind(1)
    one, across, down, across2, down2, both = (form / torch.stack([side**k for k in (0, 1, 1, 2, 2, 2)], 1)).unbind(2)
    plain = torch.stack(
        [
            one - across * x - down * y + across2 * x**2 + down2 * y**2 + both * x * y,
            across - 2 * across2 * x - both * y,
            down - 2 * down2 * y - both * x,
            across2,
            down2,
            both,
        ],
        2,
    )
    v = ((torch.arange(h, device=like.device, dtype=like.dtype) + 0.5) / h)[:, None].expand(h, w)
    u = ((torch.arange(w, device=like.device, dtype=like.dtype) + 0.5) / w)[None].expand(h, w)
    return torch.einsum("bqk,khw->bqhw", plain, torch.stack([torch.ones_like(u), u, v, u * u, v * v, u * v]))


def positions(h: int, w: int, dim: int, like: Tensor) -> Tensor:
    """(h * w, D): sines and cosines of where in the photo the cells of a grid are, in shares of its sides."""
    pace = math.pi * 2.0 ** torch.arange(dim // 4, device=like.device, dtype=like.dtype).div(dim / 4 / 7)
    y = (torch.arange(h, device=like.device, dtype=like.dtype) + 0.5) / h
    x = (torch.arange(w, device=like.device, dtype=like.dtype) + 0.5) / w
    down = (y[:, None] * pace)[:, None].expand(-1, w, -1)
    across = (x[:, None] * pace)[None].expand(h, -1, -1)
    return torch.cat([down.sin(), down.cos(), across.sin(), across.cos()], -1).flatten(0, 1)


def _mlp(dim: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, out))


def _logit(share: float) -> float:
    return math.log(share / (1 - share))
