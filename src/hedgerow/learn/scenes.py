"""Made scenes: regions of some photos pasted into others, parts into wholes, so that masks and parents are exact.

In: a `Lesson`. Out: one in which some of the views are scenes, and of these only what was pasted is asked for; regions
of the photo below are spared. Labels of photos are guesses, these are not, and they cost no label either.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from hedgerow.learn.lessons import CELL, LEAST, Asked, Lesson

PASTED = 5  # things in a scene
SIZES = (0.02, 0.3)  # share of a view that a region worth pasting takes
SCALE = (0.6, 1.3)
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


def _things(lesson: Lesson, number: int) -> list[tuple[Tensor, Tensor]]:
    """Pixels (3, h, w) and shares (h, w) of the regions of a view that are worth pasting."""
    view, regions = lesson.view.pixels[number], lesson.asked[number].regions
    side = view.shape[-1] // CELL
    found = []
    for region in regions:
        cells = region.view(side, side)
        if not SIZES[0] <= float(cells.mean()) <= SIZES[1]:
            continue
        rows, columns = cells.any(1).nonzero()[:, 0], cells.any(0).nonzero()[:, 0]
        box = cells[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if box.mean() < 0.4:  # rags and frames
            continue
        top, left = int(rows[0]) * CELL, int(columns[0]) * CELL
        height, width = box.shape[0] * CELL, box.shape[1] * CELL
        share = F.interpolate(box[None, None], size=(height, width), mode="bilinear", align_corners=False)[0, 0]
        found.append((view[:, top : top + height, left : left + width], share))
    return found


def _scene(
    photo: Tensor, below: Asked, things: list[tuple[Tensor, Tensor]], generator: torch.Generator
) -> tuple[Tensor, Asked]:
    pixels, size = photo.clone(), photo.shape[-1]
    masks: list[Tensor] = []  # (size, size) bool
    parents: list[int] = []
    for _ in range(PASTED):
        draws = torch.rand(6, generator=generator)
        colours, share = things[int(draws[0] * len(things))]
        inside = len(masks) - 1 if masks and draws[1] < NESTED else -1
        scale = float(SCALE[0] + (SCALE[1] - SCALE[0]) * draws[2]) * (0.5 if inside >= 0 else 1.0)
        height, width = (min(max(int(side * scale), CELL), size) for side in share.shape)
        colours, share = (
            F.interpolate(one[None], size=(height, width), mode="bilinear", align_corners=False)[0]
            for one in (colours, share[None])
        )
        if inside >= 0:  # about a place in the whole
            places = masks[inside].nonzero()
            middle = places[int(draws[3] * len(places))] if len(places) else torch.tensor([size // 2] * 2)
            top, left = int(middle[0]) - height // 2, int(middle[1]) - width // 2
        else:
            top, left = int(draws[3] * (size - height + 1)), int(draws[4] * (size - width + 1))
        top, left = min(max(top, 0), size - height), min(max(left, 0), size - width)
        alpha = ((share[0] - 0.5) / (2 * SOFT) + 0.5).clamp(0, 1)
        full = torch.zeros(size, size)
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
    return pixels, Asked(cells[kept].float(), ancestors[kept][:, kept], known)


def _lineage(parents: list[int], row: int) -> set[int]:
    """A thing and all that it lies in."""
    line = set()
    while row >= 0:
        line.add(row)
        row = parents[row]
    return line
