"""Photos with the regions of a label store, as the steps of a run come to them.

In: photos, and a store that exploring filled. Out: `Shelves` of banks with forests, or with outlines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from hedgerow.config import CallerError, Contrast, Outline, Train
from hedgerow.data.labels import LabelRow, LabelStore
from hedgerow.learn.bank import Watch, fitting, led, read_bank
from hedgerow.learn.shelves import Shelves
from hedgerow.photos import PhotoRef


def labelled_shelves(
    photos: Sequence[PhotoRef],
    store: LabelStore,
    config: Train | Contrast | Outline,
    *,
    device: torch.device,
    workers: int,
    watch: Watch = lambda items, _: items,
) -> Shelves:
    """Photos that have regions, in the order of the store; those without are left out. For the outliner all that is
    kept of regions is where they end."""
    outlines = isinstance(config, Outline)
    numbers = numbers_of([photo.key for photo in photos], store)
    known = [(photo, number) for photo, number in zip(photos, numbers, strict=True) if number is not None]
    if not known:
        told = f"no label is of any of the {len(photos)} photos"
        raise CallerError(f"{told}: give the photos that the labels were made of")
    return Shelves(
        Labelled(sorted(known, key=lambda one: one[1]), store),
        fitting=fitting(config.memory, config.side, forests=not outlines, outlines=outlines),
        batch=config.batch,
        seed=config.seed,
        read=partial(read_bank, side=config.side, device=device, workers=workers, outlines=outlines, watch=led(watch)),
    )


def numbers_of(keys: Sequence[str], store: LabelStore) -> list[int | None]:
    """The number in the store of each photo, None for those of which it has no regions. Keys begin below the folder
    that was named, which may have been another when the store was made: where no key is known the last part tells, if
    it tells photos apart."""
    places, regions = store.places, store.regions
    if not places.keys() & set(keys):
        ends = {_end(key): number for key, number in places.items()}
        if len(ends) == len(places) and max(Counter(map(_end, keys)).values(), default=0) == 1:
            places, keys = ends, [_end(key) for key in keys]
    found = [places.get(key) for key in keys]
    return [number if number is not None and regions[number] else None for number in found]


def _end(key: str) -> str:
    return key.rpartition("/")[2]


class Labelled(Sequence[Any]):
    """Photos, each with the label of its number in a store, which is read when it is asked for: in the order of the
    store, each shard once."""

    def __init__(self, photos: Sequence[tuple[PhotoRef, int]], store: LabelStore) -> None:
        self.photos, self.store = photos, store
        self.held: tuple[int, list[LabelRow]] = (-1, [])  # one shard; two threads may ask for others at once

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, place: Any) -> Any:
        """A photo and its label; or of a slice such a collection again."""
        if isinstance(place, slice):
            return Labelled(self.photos[place], self.store)
        photo, number = self.photos[place]
        shard, row = divmod(number, self.store.record["shard"])
        held = self.held
        if held[0] != shard:
            held = self.held = shard, self.store.rows_of(self.store.name_of(shard))
        return photo, held[1][row]
