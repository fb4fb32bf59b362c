"""What people marked in a photo, counted by the names of a vocabulary.

In: a data set and a vocabulary, then its photos one by one. Out: maps of the classes that have a name, and the regions
of these. A class that the vocabulary has no name for is background where that is asked for, and void where it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hedgerow.config import UsageError
from hedgerow.data.datasets import Example, LayoutError, Truth
from hedgerow.evaluation.features import GROUNDS
from hedgerow.forest import MaskForest
from hedgerow.naming import Vocabulary

LVIS = "lvis"  # what it does not mark may be any of its classes, and no background


@dataclass(frozen=True, eq=False)
class Marked:
    """One photo. `closed` and `open` are (H, W) maps of slots, Marking.count for background, -1 for void; `regions` are
    the slots of the forest's regions, which are those that people marked."""

    name: str
    closed: np.ndarray
    open: np.ndarray
    forest: MaskForest
    regions: np.ndarray


@dataclass(frozen=True, eq=False)
class Marking:
    """Classes with a name, each a slot from 0 to count - 1, in the data set's order.

    classes     the data set's id of each slot
    rows        (count,) the row of each slot's name in the vocabulary
    slots       (names + 1,) the slot of each row, `count` for names that are no class; the last, which -1 finds, is -1
    grounds     the data set's ids of background
    background  is what nobody names asked for, too?
    painted     are maps made of regions, the data set having none?
    """

    classes: tuple[int, ...]
    rows: np.ndarray
    slots: np.ndarray
    grounds: tuple[int, ...]
    background: bool
    painted: bool

    @property
    def count(self) -> int:
        return len(self.classes)

    def read(self, example: Example) -> Marked:
        """Reads the labels of a photo; `LayoutError` where it has none of use here."""
        truth = example.truth()
        if truth.semantic is None and truth.regions is None:
            raise LayoutError(f"{example.key} has neither a map of classes nor regions of classes")
        own = truth.semantic if truth.semantic is not None else self._paint(truth)
        slot = {number: place for place, number in enumerate(self.classes)}
        closed, opened = np.full(own.shape, -1, np.int32), np.full(own.shape, -1, np.int32)
        for number in np.unique(own):
            here = own == number
            if (place := slot.get(int(number))) is not None:
                closed[here] = opened[here] = place
            elif number >= 0 or (number == _NOBODY and self.background):
                opened[here] = self.count
        forest, regions = self._regions(truth, closed, slot)
        return Marked(example.key, closed, opened, forest, regions)

    def _paint(self, truth: Truth) -> np.ndarray:
        """Regions as a map; pixels that two classes claim are void, those that no class does are nobody's."""
        assert truth.regions is not None
        assert truth.regions.category is not None
        painted = np.full(truth.regions.size, _NOBODY, np.int64)
        for row, category in enumerate(truth.regions.category):
            mask = truth.regions.mask(row)
            claimed = mask & (painted != _NOBODY) & (painted != category)
            painted[mask] = category
            painted[claimed] = -1
        return painted

    def _regions(self, truth: Truth, closed: np.ndarray, slot: Mapping[int, int]) -> tuple[MaskForest, np.ndarray]:
        """Objects where people marked them one by one, else all that is of one class."""
        forest = truth.regions
        if forest is None or forest.category is None:
            made = MaskForest.from_labels(np.where(closed < self.count, closed, -1))
            return made, np.unique(closed[(closed >= 0) & (closed < self.count)])
        places = np.array([slot.get(int(category), -1) for category in forest.category], np.int64)
        crowd = truth.crowd if truth.crowd is not None else np.zeros(len(forest), bool)
        kept = np.flatnonzero((places >= 0) & ~crowd)
        flat = MaskForest(forest.size, tuple(forest.rles[row] for row in kept))  # of one score, none above another
        return flat, places[kept]


_NOBODY = -2  # pixels of no region


def marking_of(
    layout: str, classes: Mapping[int, str], vocabulary: Vocabulary, painted: bool, unseen: bool
) -> tuple[Marking, list[str]]:
    """Which class has which name, and notes on those that have none, or share one."""
    grounds = tuple(number for number, name in classes.items() if name in GROUNDS)
    slots = np.full(len(vocabulary) + 1, -1, np.int64)
    chosen: list[int] = []
    without: list[str] = []
    for number, name in sorted(classes.items()):
        row = vocabulary.index_of(name)
        if number in grounds:
            continue
        if row < 0 or slots[row] >= 0:
            without.append(name)
            continue
        slots[row] = len(chosen)
        chosen.append(number)
    if not chosen:
        raise UsageError(
            f"the vocabulary has no name for any of the {len(classes)} classes of {layout}, as {without[0]}: "
            "give another --vocabulary"
        )
    rows = np.array([vocabulary.index_of(classes[number]) for number in chosen], np.int64)
    slots[:-1][slots[:-1] < 0] = len(chosen)
    background = bool(grounds or (painted and layout != LVIS)) and not unseen
    notes = []
    if without and not unseen:
        told = "background, or not asked for" if background else "not asked for"
        notes.append(f"{len(without)} classes have no name of their own, as {without[0]}: {told}")
    if extra := int((slots[:-1] == len(chosen)).sum()):
        notes.append(f"{extra} of {len(vocabulary)} names are no class of {layout}: whatever has one is wrong")
    return Marking(tuple(chosen), rows, slots, grounds, background, painted), notes
