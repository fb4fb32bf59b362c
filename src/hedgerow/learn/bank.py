"""Photos as small squares in memory, where a device can cut its views from them without waiting.

In: references to photos, and of each a label of its regions, or none. Out: a `Bank`. A photo is squashed to a square;
its shape is kept beside, so that views can be cut undistorted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hedgerow.config import CallerError
from hedgerow.data.labels import LabelRow
from hedgerow.engines import share_out
from hedgerow.explore.squares import CELLS, Square, squarer
from hedgerow.learn.forests import ROOM, Arranged, Forests, arranged
from hedgerow.learn.networks.devices import rank
from hedgerow.learn.votes import drawn
from hedgerow.photos import PhotoError, PhotoRef

Item = tuple[PhotoRef, LabelRow | None]
Known = Arranged | np.ndarray | None  # of a photo's regions
Watch = Callable[[Iterable[Any], int], Iterable[Any]]

FEW = 64  # photos, at most, that are read in this process


@dataclass(frozen=True)
class Bank:
    """photos (N, 3, S, S) uint8; shape (N,) float32: width / height before they were squashed; regions (N, C, C) uint8,
    as `Square` has them, none where C is 0; where photos have labels forests, or outlines (N, S, S) uint8 drawn from
    them. All of it is on a device."""

    photos: Tensor
    shape: Tensor
    regions: Tensor
    forests: Forests | None = None
    outlines: Tensor | None = None

    def __len__(self) -> int:
        return len(self.photos)


def read_bank(
    items: Sequence[Item],
    *,
    side: int,
    device: torch.device,
    workers: int,
    regions: bool = False,
    outlines: bool = False,
    keep_going: bool = False,
    bad: Callable[[str], None] = lambda line: None,
    watch: Watch = lambda items, _: items,
) -> tuple[Bank, np.ndarray]:
    """Decode photos, in processes, in their order; and which of them are in the bank. `bad` hears of those left out.
    Of labels their forests are kept, or their `outlines`."""
    photos = np.empty((len(items), 3, side, side), np.uint8)
    shape = np.full(len(items), np.nan, np.float32)
    maps = np.empty((len(items), *((CELLS, CELLS) if regions else (0, 0))), np.uint8)
    lines = np.zeros((len(items), *((side, side) if outlines else (0, 0))), np.uint8)
    forests: dict[int, Arranged] = {}
    reader = partial(_reader, side, regions, outlines)
    with closing(share_out(reader, items, workers if len(items) > FEW else 0)) as outcomes:
        for place, outcome in watch(outcomes, len(items)):
            if not isinstance(outcome, CallerError):
                small, known = outcome
                photos[place], shape[place] = small.pixels, small.shape
                if small.regions is not None:
                    maps[place] = small.regions
                if isinstance(known, Arranged):
                    forests[place] = known
                elif known is not None:
                    lines[place] = known
            elif keep_going and isinstance(outcome, PhotoError):
                bad(str(outcome))
            else:
                raise outcome
    there = np.flatnonzero(~np.isnan(shape))
    if not len(there):
        raise PhotoError("not one of the photos could be opened")
    if len(there) < len(items):
        photos, shape, maps, lines = photos[there], shape[there], maps[there], lines[there]
    on = [torch.from_numpy(column).to(device) for column in (photos, shape, maps, lines)]
    known = Forests.of([forests[place] for place in there.tolist()], device) if forests else None
    return Bank(on[0], on[1], on[2], known, on[3] if outlines else None), there


def led(watch: Watch) -> Watch:
    """Of several processes the first is watched alone."""
    return watch if rank() == 0 else lambda items, _: items


def fitting(memory: float, side: int, forests: bool = False, outlines: bool = False) -> int:
    """How many photos, and the forest or the outlines of each, fit into so many GB."""
    return int(memory * 2**30) // ((3 + outlines) * side**2 + ROOM * forests)


def _reader(side: int, regions: bool, outlines: bool) -> Callable[[Item], tuple[Square, Known]]:
    return partial(_read, squarer(side, regions), side if outlines else None)


def _read(squared: Callable[[PhotoRef], Square], outlined: int | None, item: Item) -> tuple[Square, Known]:
    photo, row = item
    if row is None:
        return squared(photo), None
    label = row.label()
    assert label.forest is not None
    return squared(photo), arranged(label) if outlined is None else drawn(label.forest, outlined)
