"""What the segmenter learns from: photos and their regions, small, in memory; and views of both.

In: a label store and its photos. Out: `Lessons`, and for a step a `Lesson`: views of some photos, and in each view the
regions that are asked for, who of them is inside whom, and regions that are known but not asked for.

Regions of a photo overlap, up to a thousand of them, so they are kept as the pieces that they cut it into and a table
of which region holds which piece. A view of the photo is then one look-up for all its regions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hedgerow.config import CallerError
from hedgerow.data.labels import Label
from hedgerow.engines import in_order, share_out
from hedgerow.explore.squares import Square, square
from hedgerow.learn.views import View, cut, draw, middles
from hedgerow.partition import arrangement_at
from hedgerow.photos import PhotoRef

PIECES = 96  # a side of the map of pieces
KEPT = 400  # regions of a photo that are kept, best first
CELL = 4  # pixels of a view in a cell of its masks: the segmenter's finest map
LEAST, MOST = 4, 0.95  # cells of a region in a view, and share of the view, that make it worth asking for


@dataclass(frozen=True)
class Lessons:
    """photos (N, 3, S, S) uint8 and shape (N,) as a `Bank` has them; pieces (N, PIECES, PIECES) int16; and of each
    photo holds (R, C) bool, which region holds which piece, parent (R,) and score (R,)."""

    photos: Tensor
    shape: Tensor
    pieces: Tensor
    holds: list[Tensor]
    parent: list[np.ndarray]
    score: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.photos)

    def at(self, row: int, places: Tensor) -> Tensor:
        """(R, P) bool: which of a photo's regions hold which of its places (P, 2), shares of it down and across."""
        cell = (places * PIECES).long().clamp(0, PIECES - 1)
        return self.holds[row][:, self.pieces[row][cell[:, 0], cell[:, 1]].long()]


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

    def of(self, rows: slice, device: torch.device) -> Lesson:
        """Some of the views, on a device."""
        view = View(*(getattr(self.view, each.name)[rows].to(device) for each in fields(View)))
        asked = [Asked(*(getattr(one, each.name).to(device) for each in fields(Asked))) for one in self.asked[rows]]
        return Lesson(view, asked, None if self.plain is None else self.plain[rows].to(device))


def read_lessons(
    photos: Sequence[PhotoRef],
    labels: Iterable[Label],
    *,
    side: int,
    workers: int,
    watch: Callable[[Iterable[Any], int], Iterable[Any]] = lambda items, _: items,
) -> Lessons:
    """Photos that have labels, in their order; those without are left out."""
    refs = {photo.key: photo for photo in photos}
    known = [label for label in labels if label.forest is not None and len(label.forest) and label.key in refs]
    if not known:
        raise CallerError(f"no label is of any of the {len(refs)} photos: give the photos that the labels were made of")
    pairs = [(refs[label.key], label) for label in known]
    rows = []
    for outcome in watch(in_order(share_out(partial(_reader, side), pairs, workers)), len(known)):
        if isinstance(outcome, Exception):
            raise outcome
        rows.append(outcome)
    return Lessons(
        torch.from_numpy(np.stack([row.photo.pixels for row in rows])),
        torch.tensor([row.photo.shape for row in rows], dtype=torch.float32),
        torch.from_numpy(np.stack([row.pieces for row in rows])),
        [torch.from_numpy(row.holds) for row in rows],
        [row.parent for row in rows],
        [row.score for row in rows],
    )


@dataclass(frozen=True)
class _Row:
    """What is kept of one photo."""

    photo: Square
    pieces: np.ndarray
    holds: np.ndarray
    parent: np.ndarray
    score: np.ndarray


def _reader(side: int) -> Callable[[tuple[PhotoRef, Label]], _Row]:
    return partial(_read, partial(square, side, None))


def _read(opened: Callable[[PhotoRef], Square], pair: tuple[PhotoRef, Label]) -> _Row:
    photo, label = pair
    assert label.forest is not None
    best = label.forest.best(KEPT)
    pieces, holds, kept = arrangement_at(best.size, best.rles, (PIECES, PIECES))
    return _Row(opened(photo), pieces.astype(np.int16), holds, _parents_of(best.parent, kept), best.score[kept])


def _parents_of(parent: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Parents among the rows kept: the nearest ancestor that was."""
    place = np.full(len(parent) + 1, -1)
    place[kept] = np.arange(len(kept))
    found = np.full(len(kept), -1)
    for row, old in enumerate(kept):
        above = parent[old]
        while above >= 0 and place[above] < 0:
            above = parent[above]
        found[row] = place[above] if above >= 0 else -1
    return found


def ancestors_of(parent: np.ndarray) -> np.ndarray:
    """(R,) parents -> (R, R) bool: row i, column j that j is an ancestor of i (the transitive closure)."""
    inside = np.zeros((len(parent), len(parent)), bool)
    for row, above in enumerate(parent):  # parents stand before children
        if above >= 0:
            inside[row] = inside[above]
            inside[row, above] = True
    return inside


def lesson(
    lessons: Lessons,
    rows: Tensor,
    generator: torch.Generator,
    *,
    size: int,
    share: tuple[float, float],
    most: int,
    plain: bool = False,
) -> Lesson:
    """Views `size` pixels a side that cover a `share` of some photos, at most `most` regions asked for in each.

    Those asked for are drawn, the sure more often than the others.
    """
    photos, shape, draws = lessons.photos[rows], lessons.shape[rows], draw(len(rows), generator)
    view = cut(photos, shape, draws, size=size, share=share, kind=3)
    own = cut(photos, shape, draws.plain(), size=size, share=share, kind=3).pixels if plain else None
    side = size // CELL
    asked = []
    for places, row in zip(middles(view, side), rows.tolist(), strict=True):
        seen = lessons.at(row, places)
        area = seen.sum(1)
        there = ((area >= LEAST) & (area <= MOST * len(places))).nonzero()[:, 0]
        weight = torch.from_numpy(lessons.score[row])[there].double().square()
        count = min(most, len(there))
        drawn = torch.multinomial(weight, count, generator=generator).sort().values if count else torch.zeros(0).long()
        chosen = there[drawn]
        rest = torch.ones(len(there), dtype=torch.bool)
        rest[drawn] = False
        inside = torch.from_numpy(ancestors_of(lessons.parent[row]))[chosen][:, chosen]
        asked.append(Asked(seen[chosen].float(), inside, seen[there[rest]].float()))
    return Lesson(view, asked, own)
