"""What a data set is: named classes and examples, each a photo and, when asked for, what people marked in it.

Labels are for measuring only, never for training. They are read when `Example.truth` is called and not before, so a
data set opens quickly and a run over its photos alone never touches them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import overload

import numpy as np

from hedgerow.config import CallerError
from hedgerow.forest import MaskForest
from hedgerow.photos import PhotoRef


class LayoutError(CallerError):
    """A data set that is not as its layout says, told in one line: what was looked for and where, what was found."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What people marked in one photo; measuring only, never training. What a data set does not have is None or empty.

    regions     object or segment masks; `category` is the data set's class id, -1 where it has none; parents where the
                data set says what is part of what
    crowd       (N,) bool, in step with the regions: groups marked as one, to be ignored when measuring (COCO's iscrowd)
    partitions  whole-photo segmentations (H, W) int32 from 0 up, one a person (BSDS500)
    boundaries  the boundary maps (H, W) bool that belong to the partitions
    semantic    (H, W) int32 class index, -1 = void
    """

    regions: MaskForest | None = None
    crowd: np.ndarray | None = None
    partitions: tuple[np.ndarray, ...] = ()
    boundaries: tuple[np.ndarray, ...] = ()
    semantic: np.ndarray | None = None


@dataclass(frozen=True)
class Example:
    """One photo of a data set. Small, and picklable for worker processes.

    photo     where it lies; its key is what `find_photos` gives for the folder the photos are in
    image_id  the data set's own: COCO's number, "dog/00000" of DAVIS, else the key
    size      (H, W) where the labels' index tells it, None where the photo would have to be opened
    labels    files the truth is read from that must be there
    read      reads them
    """

    photo: PhotoRef
    image_id: int | str
    size: tuple[int, int] | None = None
    labels: tuple[Path, ...] = field(default=(), repr=False)
    read: Callable[[], Truth] = field(default=Truth, repr=False, compare=False)

    @property
    def key(self) -> str:
        return self.photo.key

    def truth(self) -> Truth:
        """What people marked, read from disk now; `LayoutError` if it is damaged or does not fit the photo."""
        return self.read()


@dataclass(frozen=True)
class Dataset(Sequence[Example]):
    """Examples in the data set's own order, and its classes by id (empty where it has none, as in SA-1B)."""

    name: str
    classes: dict[int, str]
    examples: tuple[Example, ...]

    def __len__(self) -> int:
        return len(self.examples)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Dataset: ...
    def __getitem__(self, index: int | slice) -> Example | Dataset:
        if isinstance(index, slice):
            return replace(self, examples=self.examples[index])
        return self.examples[index]
