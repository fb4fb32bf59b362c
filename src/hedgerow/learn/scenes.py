"""Made scenes: regions of some photos pasted into others, parts into wholes, so that masks and parents are exact.

In: a `Lesson`. Out: one in which some of the views are scenes, and of these only what was pasted is asked for; regions
of the photo below are spared. Labels of photos are guesses, these are not, and they cost no label either.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from hedgerow.learn.lessons import CELL, LEAST, Asked, Lesson

PASTED = 5  # things in a scene
SIZES = (0.02, 0.3)  # share of a view that a region worth pasting takes
SCALE = (0.6, 1.3)
FILLED = 0.4  # share of its box that a region worth pasting fills
NESTED = 0.5  # how often something is pasted into the thing before
SOFT = 0.15  # how far from 0.5 an edge blends, in the mask's share


def made_scenes(lesson: Lesson, places: Tensor, beside: list[Lesson], seeds: Tensor) -> Lesson:
    """The views of a lesson at these places as scenes. What is pasted comes from the view itself and from those that
    stand `beside`, in each of them in the same order as `places`; `seeds` (B,) are of what is drawn."""
    pixels, asked = lesson.view.pixels.clone(), list(lesson.asked)
    for number, place in enumerate(places.tolist()):
        views = [_things(lesson, place), *(_things(other, number) for other in beside)]
        if things := [thing for some in views for thing in some]:
            generator = torch.Generator().manual_seed(int(seeds[number]))
            pixels[place], asked[place] = _scene(lesson.view.pixels[place], asked[place], things, generator)
    return replace(lesson, view=replace(lesson.view, pixels=pixels), asked=asked)


@dataclass(frozen=True)
class _Thing:
    """A region of a view that is worth pasting, in its box: view (3, V, V), cells (V / CELL, V / CELL) 0 or 1."""

    view: Tensor
    cells: Tensor
    box: tuple[slice, slice]

    def cut(self) -> tuple[Tensor, Tensor]:
        """Pixels (3, h, w) and shares (1, h, w)."""
        rows, columns = (slice(side.start * CELL, side.stop * CELL) for side in self.box)
        colours = self.view[:, rows, columns]
        share = F.interpolate(self.cells[self.box][None, None], scale_factor=CELL, mode="bilinear", align_corners=False)
        return colours, share[0]


def _things(lesson: Lesson, number: int) -> list[_Thing]:
    """Neither too small nor too large, neither rags nor frames."""
    view, regions = lesson.view.pixels[number], lesson.asked[number].regions
    side = view.shape[-1] // CELL
    cells = regions.unflatten(1, (side, side))
    spans = [_span(cells.amax(across)) for across in (2, 1)]
    lengths = (stop - start for start, stop in spans)
    fill = cells.sum((1, 2)) / math.prod(lengths)
    share = cells.mean((1, 2))
    fair = (share >= SIZES[0]) & (share <= SIZES[1]) & (fill >= FILLED)
    boxes = torch.stack([end for span in spans for end in span], 1)[fair].tolist()  # the device waits once
    rows = fair.nonzero()[:, 0].tolist()
    return [
        _Thing(view, cells[row], (slice(top, bottom), slice(left, right)))
        for row, (top, bottom, left, right) in zip(rows, boxes, strict=True)
    ]


def _span(held: Tensor) -> tuple[Tensor, Tensor]:
    """(T, S) 0 or 1 -> where the first 1 of each row stands, and behind the last."""
    return held.argmax(1), held.shape[1] - held.flip(1).argmax(1)


def _scene(photo: Tensor, below: Asked, things: list[_Thing], generator: torch.Generator) -> tuple[Tensor, Asked]:
    pixels, size, device = photo.clone(), photo.shape[-1], photo.device
    masks: list[Tensor] = []  # (size, size) bool
    parents: list[int] = []
    for _ in range(PASTED):
        draws = torch.rand(6, generator=generator)
        colours, share = things[int(draws[0] * len(things))].cut()
        inside = len(masks) - 1 if masks and draws[1] < NESTED else -1
        scale = float(SCALE[0] + (SCALE[1] - SCALE[0]) * draws[2]) * (0.5 if inside >= 0 else 1.0)
        height, width = (min(max(int(side * scale), CELL), size) for side in share.shape[1:])
        colours, share = (
            F.interpolate(one[None], size=(height, width), mode="bilinear", align_corners=False)[0]
            for one in (colours, share)
        )
        if inside >= 0:  # about a place in the whole
            places = masks[inside].nonzero()
            middle = places[int(draws[3] * len(places))] if len(places) else torch.tensor([size // 2] * 2)
            top, left = int(middle[0]) - height // 2, int(middle[1]) - width // 2
        else:
            top, left = int(draws[3] * (size - height + 1)), int(draws[4] * (size - width + 1))
        top, left = min(max(top, 0), size - height), min(max(left, 0), size - width)
        alpha = ((share[0] - 0.5) / (2 * SOFT) + 0.5).clamp(0, 1)
        full = torch.zeros(size, size, device=device)
        full[top : top + height, left : left + width] = alpha
        if inside >= 0:
            full *= masks[inside]
        placed = torch.zeros_like(pixels)
        placed[:, top : top + height, left : left + width] = colours
        pixels = torch.lerp(pixels, placed, full)
        new = full > 0.5
        lineage = _lineage(parents, inside)
        masks = [mask if row in lineage else mask & ~new for row, mask in enumerate(masks)]
        masks.append(new)
        parents.append(inside)
    cells = F.avg_pool2d(torch.stack(masks).float()[None], CELL)[0].flatten(1) > 0.5
    kept = (cells.sum(1) >= LEAST).nonzero()[:, 0]
    ancestors = torch.zeros(len(masks), len(masks), dtype=torch.bool)
    for row, above in enumerate(parents):
        ancestors[row, list(_lineage(parents, above))] = True
    known = torch.cat([below.regions, below.others])
    return pixels, Asked(cells[kept].float(), ancestors.to(device)[kept][:, kept], known)


def _lineage(parents: list[int], row: int) -> set[int]:
    """A thing and all that it lies in."""
    line = set()
    while row >= 0:
        line.add(row)
        row = parents[row]
    return line
