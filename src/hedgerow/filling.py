"""A store filled from photos: an engine makes their rows, which are written in the photos' order, a shard at a time.

In: photos, a store, what makes a photo's row in a process. Out: the store's shards; a run that was stopped goes on with
those that are missing, and one of more photos than before with those that came. Of two runs on one folder the second
is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from hedgerow.config import CallerError, Gather, Labelling, UsageError
from hedgerow.data.shards import Collection, ShardStore
from hedgerow.engines import in_order
from hedgerow.photos import PhotoRef
from hedgerow.pipeline import Failed, failed, shared_out
from hedgerow.storage import absolute

Store = TypeVar("Store", bound=ShardStore[Any])


@dataclass(frozen=True)
class Filling(Generic[Store]):
    """What a store is of, which shards are still to be made, and what makes a photo's row in a process."""

    photos: tuple[PhotoRef, ...]
    collection: Collection
    store: Store
    todo: tuple[int, ...]
    config: Labelling | Gather
    make: Callable[[], Callable[[PhotoRef], Any]]

    def shard(self, number: int) -> Sequence[PhotoRef]:
        return self.photos[self.collection.within(number)]


def named(inputs: Sequence[str | Path]) -> list[Path]:
    places = [Path(given) for given in inputs]
    if not places:
        raise UsageError("no photo was named: give files, folders, globs or tars")
    return places


def plan_filling(
    places: Sequence[Path],
    photos: Sequence[PhotoRef],
    store: Store,
    config: Labelling | Gather,
    *,
    settings: Mapping[str, Any],
    make: Callable[[], Callable[[PhotoRef], Any]],
) -> Filling[Store]:
    """What is to be done for these photos, found at these places; `settings` say all that rows depend on beside them.
    What is there is checked, or forgotten if it is to be overwritten."""
    of = {photo.key: photo for photo in photos}
    collection = Collection(tuple(of), tuple(map(absolute, places)), settings)
    with store.storage.alone():
        if not config.overwrite:
            collection = store.going_on(collection)
        todo = tuple(store.claim(collection, config.overwrite, config.retry))
    return Filling(tuple(of[key] for key in collection.keys), collection, store, todo, config, make)


def fill(filling: Filling[Store]) -> Generator[Any | Failed]:
    """Each photo's row as it is done, in order; a shard is written when its last photo is. Close the iterator to stop.
    What spoils one photo is `Failed`, and a row of its own where the run keeps going."""
    store, todo = filling.store, [photo for number in filling.todo for photo in filling.shard(number)]
    with store.storage.alone(), closing(shared_out(filling.make, todo, filling.config)) as outcomes:
        told = zip(todo, in_order(outcomes), strict=True)
        for number in filling.todo:
            rows = []
            for photo, outcome in (next(told) for _ in filling.shard(number)):
                if isinstance(outcome, CallerError):
                    bad = failed(photo, outcome)
                    rows.append(store.without(photo.key, photo.name, bad.reason))
                    yield bad
                else:
                    rows.append(outcome)
                    yield outcome
            store.write(number, rows)
