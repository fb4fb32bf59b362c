"""Photos as the steps of a run come to them, as many in memory at a time as fit.

In: the items of a collection (`bank.py`), and how some of them are read. Out: for a step, the bank that was read, and
the rows of this process's share of the step's photos.

A collection larger than memory is cut into shelves, in a shuffled order; the next is read while one is learned from.
On a shelf each place of a step has a lane of photos of its own, gone through in a new order each turn. A process reads
the lanes of its own places alone: no photo is read by two, and what a step sees hangs on its number, not on how many
processes share it nor on what came before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hedgerow.config import CallerError
from hedgerow.learn.bank import Bank, Item
from hedgerow.learn.networks.devices import rank, world

Read = Callable[[Sequence[Item]], tuple[Bank, np.ndarray]]  # some of the items; which of them are in the bank


@dataclass(frozen=True)
class Taken:
    """Of one step: the shelf, and for each place of this process's share the row of its photo there, and its number
    among all photos; `beside` (k, places), rows of what comes next in the same lanes."""

    shelf: Bank
    rows: Tensor
    numbers: Tensor
    beside: Tensor


def own_share(batch: int) -> slice:
    """The places of a step that are this process's."""
    return slice(rank() * batch // world(), (rank() + 1) * batch // world())


class Shelves:
    """See the module's text."""

    def __init__(self, items: Sequence[Item], *, fitting: int, batch: int, seed: int, read: Read) -> None:
        """`fitting` photos have room in the memory of all processes together; two shelves must fit in, as one is read
        while another is used."""
        if len(items) > fitting and fitting // 2 < batch:
            told = f"{fitting} of {len(items)} photos fit into memory, and those of two steps must, {2 * batch}"
            raise CallerError(f"{told}: give more --memory, or a smaller --batch or --side")
        count = 1 if len(items) <= fitting else -(-len(items) // (fitting // 2))
        order = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed)).tolist()
        self.items, self.batch, self.seed, self.read = items, batch, seed, read
        self.numbers = [order[k::count] for k in range(count)]
        self.turn = self.at_hand = -1
        self.held: _Held | None = None
        self.orders: list[Tensor] = []
        self.reader = ThreadPoolExecutor(1)
        self.coming: tuple[int, Future[_Held]] | None = None

    def __len__(self) -> int:
        return len(self.items)

    def at(self, step: int, beside: int = 0) -> Taken:
        """What a step learns from."""
        shelf, turn, step = self._place(step)
        if shelf != self.at_hand:
            self._take(shelf)
        assert self.held is not None
        if turn != self.turn:
            lanes = zip(self._own(), self.held.lanes, strict=True)
            self.orders = [_shuffled(lane, self.seed, turn, place) for place, lane in lanes]
            self.turn = turn
        rows = torch.stack([order[torch.arange(step, step + 1 + beside) % len(order)] for order in self.orders], 1)
        return Taken(self.held.shelf, rows[0], self.held.numbers[rows[0]], rows[1:])

    def first(self, count: int) -> Bank:
        """The first items of all, in every process."""
        return self.read(_Some(self.items, range(min(count, len(self.items)))))[0]

    def _own(self) -> range:
        return range(self.batch)[own_share(self.batch)]

    def _place(self, step: int) -> tuple[int, int, int]:
        """Which shelf, how often shelves were gone through before, and which step of this turn."""
        steps = [max(len(numbers) // self.batch, 1) for numbers in self.numbers]
        turn, step = divmod(step, sum(steps))
        for shelf, count in enumerate(steps):
            if step < count:
                return shelf, turn * len(steps) + shelf, step
            step -= count
        raise AssertionError("a step has its place in a turn")

    def _take(self, shelf: int) -> None:
        self.held = None  # let go before the next comes
        ready = self.coming is not None and self.coming[0] == shelf
        self.held = self.coming[1].result() if ready and self.coming else self._fetched(shelf)
        self.at_hand, self.turn = shelf, -1
        if len(self.numbers) > 1:
            following = (shelf + 1) % len(self.numbers)
            self.coming = following, self.reader.submit(self._fetched, following)

    def _fetched(self, shelf: int) -> _Held:
        """A shelf's lanes that are this process's, read in the order of the collection. Items that could not be read
        are missing from their lanes; a lane without any takes from all."""
        numbers = self.numbers[shelf]
        lanes = [numbers[place :: self.batch] or [numbers[place % len(numbers)]] for place in self._own()]
        own = sorted({number for lane in lanes for number in lane})
        read, there = self.read(_Some(self.items, own))
        row = {own[place]: row for row, place in enumerate(there.tolist())}
        rows = [[row[number] for number in lane if number in row] or list(row.values()) for lane in lanes]
        return _Held(read, torch.tensor(own)[torch.from_numpy(there)], [torch.tensor(lane) for lane in rows])


@dataclass(frozen=True)
class _Held:
    """A shelf, the number of the photo in each of its rows, and the rows of each lane."""

    shelf: Bank
    numbers: Tensor
    lanes: list[Tensor]


class _Some(Sequence[Any]):
    """Some of a collection's items, each taken when it is asked for: it may have to be read."""

    def __init__(self, items: Sequence[Any], numbers: Sequence[int]) -> None:
        self.items, self.numbers = items, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, place: Any) -> Any:
        return self.items[self.numbers[place]]


def _shuffled(lane: Tensor, seed: int, turn: int, place: int) -> Tensor:
    generator = torch.Generator().manual_seed(((seed << 32) + turn << 16) + place & 2**63 - 1)
    return lane[torch.randperm(len(lane), generator=generator)]
