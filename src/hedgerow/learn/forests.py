"""Regions of photos, small, in memory: those that exploring found, at the places of a grid.

In: labels of photos. Out: `Forests`.

Regions of a photo overlap, up to a thousand of them, so they are kept as the pieces that they cut it into and a table
of which piece is held by which region. A view of the photo is then one look-up for all its regions: row by row of that
table, which takes a twentieth of the time that columns of it turned over take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hedgerow.data.labels import Label
from hedgerow.partition import arrangement_at

PIECES = 96  # a side of the map of pieces
KEPT = 400  # regions of a photo that are kept, best first
ROOM = 2 * PIECES**2 + 100_000  # bytes of one, about: such regions cut a photo into some 200 pieces


class Arranged(NamedTuple):
    """One photo's: pieces (PIECES, PIECES) int16; holds (R, C) bool, which region holds which piece; parent (R,), the
    row of it, -1 for a root; score (R,)."""

    pieces: np.ndarray
    holds: np.ndarray
    parent: np.ndarray
    score: np.ndarray


def arranged(label: Label) -> Arranged:
    """The best regions of a photo, and of these all that do not slip through between the places."""
    assert label.forest is not None
    best = label.forest.best(KEPT)
    pieces, holds, kept = arrangement_at(best.size, best.rles, (PIECES, PIECES))
    return Arranged(pieces.astype(np.int16), holds, _parents_of(best.parent, kept), best.score[kept])


@dataclass(frozen=True)
class Forests:
    """`Arranged` of each photo, with held (C, R) bool, which piece is held by which region. Pieces and who holds them
    are on a device."""

    pieces: Tensor
    held: list[Tensor]
    parent: list[np.ndarray]
    score: list[Tensor]

    @classmethod
    def of(cls, photos: Sequence[Arranged], device: torch.device) -> Forests:
        return cls(
            torch.from_numpy(np.stack([one.pieces for one in photos])).to(device),
            [torch.from_numpy(np.ascontiguousarray(one.holds.T)).to(device) for one in photos],
            [one.parent for one in photos],
            [torch.from_numpy(one.score) for one in photos],
        )

    def at(self, row: int, places: Tensor, regions: Tensor | None = None) -> Tensor:
        """(R, P) bool: which of a photo's regions, or of some of them, hold which of its places (P, 2), shares of it
        down and across."""
        held = self.held[row] if regions is None else self.held[row][:, regions]
        return held[self._piece(row, places)].T

    def areas(self, row: int, places: Tensor) -> Tensor:
        """(R,) how many of these places each of a photo's regions holds."""
        count = torch.bincount(self._piece(row, places), minlength=len(self.held[row]))
        return (count.float() @ self.held[row].float()).long()

    def _piece(self, row: int, places: Tensor) -> Tensor:
        """(P,) the piece at each place."""
        cell = (places * PIECES).long().clamp(0, PIECES - 1)
        return self.pieces[row][cell[:, 0], cell[:, 1]].long()

    def draw(self, row: int, most: int, generator: torch.Generator, among: Tensor | None = None) -> Tensor:
        """Rows of some of a photo's regions, all or `among` these, in order; the sure more often than the others."""
        weight = (self.score[row] if among is None else self.score[row][among]).double().square()
        count = min(most, len(weight))
        return torch.multinomial(weight, count, generator=generator).sort().values if count else torch.zeros(0).long()


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


def ancestors_of(parent: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """(R,) parents -> (R, R) bool: row i, column j that j is an ancestor of i (the transitive closure); of all regions,
    or of some and among these."""
    rows = np.arange(len(parent)) if rows is None else rows
    parent = np.append(parent, -1)  # of the root of all roots
    place = np.full(len(parent), len(rows))
    place[rows] = np.arange(len(rows))
    inside = np.zeros((len(rows), len(rows) + 1), bool)  # what is none of them stands in the last column
    above = parent[rows]
    while (above >= 0).any():
        inside[np.arange(len(rows)), place[above]] = True
        above = parent[above]
    return inside[:, :-1]
