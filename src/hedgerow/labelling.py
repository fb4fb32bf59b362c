"""A collection into a label store: SOHES phase 1, or any other way from a photo to its forest.

In: photos, folders, globs and tars. Out: a `LabelStore`, and `sheet.png`, some of its photos drawn at random. Labels
are written a shard at a time, in the photos' order; a run that was stopped goes on with the shards that are missing.

`plan_labels` explores; `plan_store` takes the way from its caller (`hedgerow.proposing` finds objects).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hedgerow.config import CallerError, Labelling, UsageError
from hedgerow.data.labels import Collection, Label, LabelStore
from hedgerow.draw import contact_sheet, overlay
from hedgerow.explore import explore
from hedgerow.forest import MaskForest
from hedgerow.photos import PhotoRef, find_photos, open_photo
from hedgerow.pipeline import DECODED, Failed, explore_of, failed, looker_of, settings_of, workers_of
from hedgerow.results import png
from hedgerow.workers import in_order, share_out

SHEET, DRAWN, SIDE = "sheet.png", 24, 320  # photos on the sheet, and pixels of each


Labeller = Callable[[PhotoRef], Label]
Draw = Callable[[np.ndarray, MaskForest], np.ndarray]


@dataclass(frozen=True)
class Labels:
    """What is to be labelled, which shards are still to be made, and what makes a photo's label in a process."""

    photos: tuple[PhotoRef, ...]
    collection: Collection
    store: LabelStore
    todo: tuple[int, ...]
    config: Labelling
    make: Callable[[], Labeller]

    def shard(self, number: int) -> Sequence[PhotoRef]:
        return self.photos[self.collection.within(number)]


def plan_labels(inputs: Iterable[str | Path], folder: str | Path, config: Labelling) -> Labels:
    """Labels by exploring."""
    places = named(inputs)
    settings = settings_of(looker_of(config), config)
    return plan_store(places, find_photos(places), folder, config, settings=settings, make=partial(_labeller, config))


def named(inputs: Iterable[str | Path]) -> list[Path]:
    places = [Path(given) for given in inputs]
    if not places:
        raise UsageError("no photo was named: give files, folders, globs or tars")
    return places


def plan_store(
    places: Sequence[Path],
    photos: Sequence[PhotoRef],
    folder: str | Path,
    config: Labelling,
    *,
    settings: Mapping[str, Any],
    make: Callable[[], Labeller],
) -> Labels:
    """Labels of these photos, found at these places, by whatever `make` gives; `settings` say all they depend on."""
    inside = tuple(str(place.expanduser().absolute()) for place in places)
    collection = Collection(tuple(photo.key for photo in photos), inside, settings)
    store = LabelStore(folder)
    return Labels(tuple(photos), collection, store, tuple(store.claim(collection, config.overwrite)), config, make)


def label_photos(labels: Labels) -> Generator[Label | Failed]:
    """Each photo's label as it is done, in order; a shard is written when its last photo is. Close the iterator to
    stop. What spoils one photo is `Failed`, and a row of its own where the run keeps going."""
    todo = [photo for number in labels.todo for photo in labels.shard(number)]
    workers = workers_of(labels.config) if len(todo) > 1 else 0
    with closing(share_out(labels.make, todo, workers)) as outcomes:
        told = zip(todo, in_order(outcomes), strict=True)
        for number in labels.todo:
            rows = []
            for photo, outcome in (next(told) for _ in labels.shard(number)):
                if isinstance(outcome, CallerError):
                    bad = failed(photo, outcome)
                    rows.append(Label(photo.key, photo.name, "", None, bad.reason))
                    yield bad
                else:
                    rows.append(outcome)
                    yield outcome
            labels.store.write(number, rows)


def draw_sheet(labels: Labels, draw: Draw = overlay) -> str:
    """Some photos of the store at random, each under its forest."""
    store = LabelStore(labels.store.place)
    rng = np.random.default_rng(labels.config.seed)
    chosen = sorted(rng.permutation(len(labels.photos))[: 2 * DRAWN].tolist())
    pictures: list[np.ndarray] = []
    captions: list[str] = []
    for photo in (labels.photos[place] for place in chosen):
        label = store[photo.key]
        if label.forest is not None and len(pictures) < DRAWN:
            pictures.append(_small(draw(_pixels(photo, label.forest.size), label.forest)))
            captions.append(f"{photo.key}: {len(label.forest)}")
    if pictures:
        store.storage.write(SHEET, png(contact_sheet(pictures, captions, columns=6)))
    return f"{store.place}/{SHEET}"


def _pixels(photo: PhotoRef, size: tuple[int, int]) -> np.ndarray:
    pixels = open_photo(photo, DECODED).pixels
    return pixels if pixels.shape[:2] == size else np.asarray(Image.fromarray(pixels).resize(size[::-1]))


def _small(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE))
    return np.asarray(image)


# ---------------------------------------------------------------------- in a worker


def _labeller(config: Labelling) -> Labeller:
    return partial(_label_one, looker_of(config), config)


def _label_one(backbone: Any, config: Labelling, photo: PhotoRef) -> Label:
    digest = hashlib.sha256(photo.read_bytes()).hexdigest()
    forest = explore(open_photo(photo, DECODED), backbone, explore_of(config), config.seed)
    return Label(photo.key, photo.name, digest, forest)
