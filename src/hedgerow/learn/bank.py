"""Photos as small squares in memory, where a device can cut its views from them without waiting.

In: references to photos. Out: a `Bank` on a device, uint8 (N, 3, S, S). A photo is squashed to a square; its shape is
kept beside, so that views can be cut undistorted, and the regions it falls into where they are learned from. A
collection larger than memory is cut into shelves in a shuffled order, and the next shelf is read while one is learned
from (`Shelves`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hedgerow.config import CallerError
from hedgerow.engines import share_out
from hedgerow.explore.squares import CELLS, squarer
from hedgerow.photos import PhotoError, PhotoRef

Watch = Callable[[Iterable[Any], int], Iterable[Any]]


@dataclass(frozen=True)
class Bank:
    """photos (N, 3, S, S) uint8; shape (N,) float32: width / height before they were squashed; regions (N, C, C) uint8,
    as `Square` has them, none where C is 0."""

    photos: Tensor
    shape: Tensor
    regions: Tensor

    def __len__(self) -> int:
        return len(self.photos)


NOTHING = Bank(*(torch.empty(0) for _ in range(3)))


class Shelves:
    """All photos, or as many as fit into memory at a time. Which photos a step sees depends on the step alone."""

    def __init__(
        self, refs: Sequence[PhotoRef], *, side: int, room: int, batch: int, seed: int, read: Callable[..., Bank]
    ) -> None:
        """`room` in bytes; two shelves must fit in, as one is read while another is used."""
        fitting = room // (3 * side * side)
        count = 1 if len(refs) <= fitting else -(-len(refs) // max(fitting // 2, 1))
        order = torch.randperm(len(refs), generator=torch.Generator().manual_seed(seed)).tolist()
        self.lists = [[refs[i] for i in sorted(order[k::count])] for k in range(count)]
        self.batch, self.seed, self.read = batch, seed, read
        self.at, self.bank = -1, NOTHING
        self.reader = ThreadPoolExecutor(1)
        self.coming: tuple[int, Future[Bank]] | None = None

    def photos(self, step: int) -> tuple[Bank, Tensor]:
        """The bank that a step learns from, and the rows of its photos, (batch,)."""
        shelf, turn, step = self._place(step)
        if shelf != self.at:
            self._take(shelf)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + turn)
        order = torch.randperm(len(self.bank), generator=generator)
        order = order.repeat(-(-self.batch // len(order)))  # fewer photos than a batch: some twice
        return self.bank, order[step * self.batch : (step + 1) * self.batch]

    def _place(self, step: int) -> tuple[int, int, int]:
        """Which shelf, how often shelves were gone through before, and which batch of this turn."""
        batches = [max(len(refs) // self.batch, 1) for refs in self.lists]
        turn, step = divmod(step, sum(batches))
        for shelf, count in enumerate(batches):
            if step < count:
                return shelf, turn * len(self.lists) + shelf, step
            step -= count
        raise AssertionError("a step has its place in a turn")

    def _take(self, shelf: int) -> None:
        self.bank = NOTHING  # let go before the next comes
        ready = self.coming is not None and self.coming[0] == shelf
        self.bank = self.coming[1].result() if ready and self.coming else self.read(self.lists[shelf])
        self.at = shelf
        if len(self.lists) > 1:
            following = (shelf + 1) % len(self.lists)
            self.coming = following, self.reader.submit(self.read, self.lists[following])


def read_bank(
    refs: Sequence[PhotoRef],
    *,
    side: int,
    regions: bool,
    device: torch.device,
    workers: int,
    keep_going: bool,
    bad: Callable[[str], None],
    watch: Watch = lambda items, _: items,
) -> Bank:
    """Decode photos, in processes, in their order. `bad` hears of those left out."""
    return read_rows(
        refs,
        side=side,
        regions=regions,
        device=device,
        workers=workers,
        keep_going=keep_going,
        bad=bad,
        watch=watch,
    )[0]


def read_rows(
    refs: Sequence[PhotoRef],
    *,
    side: int,
    regions: bool,
    device: torch.device,
    workers: int,
    keep_going: bool,
    bad: Callable[[str], None],
    watch: Watch = lambda items, _: items,
) -> tuple[Bank, np.ndarray]:
    """`read_bank`, and the rows of the photos that are in it."""
    photos = np.empty((len(refs), 3, side, side), np.uint8)
    shape = np.full(len(refs), np.nan, np.float32)
    maps = np.empty((len(refs), *((CELLS, CELLS) if regions else (0, 0))), np.uint8)
    with closing(share_out(partial(squarer, side, regions), refs, workers if len(refs) > 64 else 0)) as outcomes:
        for place, outcome in watch(outcomes, len(refs)):
            if not isinstance(outcome, CallerError):
                photos[place], shape[place] = outcome.pixels, outcome.shape
                if outcome.regions is not None:
                    maps[place] = outcome.regions
            elif keep_going and isinstance(outcome, PhotoError):
                bad(str(outcome))
            else:
                raise outcome
    there = ~np.isnan(shape)
    if not there.any():
        raise PhotoError("not one of the photos could be opened")
    if not there.all():
        photos, shape, maps = photos[there], shape[there], maps[there]
    bank = Bank(*(torch.from_numpy(column).to(device) for column in (photos, shape, maps)))
    return bank, np.flatnonzero(there)
