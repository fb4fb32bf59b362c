"""A collection into a label store: SOHES phase 1, or any other way from a photo to its forest.

In: photos, folders, globs and tars. Out: a `LabelStore` (`hedgerow.filling` fills it), and `sheet.png`, some of its
photos drawn at random. `plan_labels` explores; `hedgerow.proposing` finds objects in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hedgerow.config import Labelling
from hedgerow.data.labels import Label, LabelStore
from hedgerow.draw import contact_sheet, overlay
from hedgerow.explore import explore
from hedgerow.filling import Filling, named, plan_filling
from hedgerow.forest import MaskForest
from hedgerow.photos import PhotoRef, find_photos, open_hashed, open_photo
from hedgerow.pipeline import DECODED, explore_of, looker_of, settings_of
from hedgerow.results import png

SHEET, DRAWN, SIDE = "sheet.png", 24, 320  # photos on the sheet, and pixels of each

Labels = Filling[LabelStore]
Draw = Callable[[np.ndarray, MaskForest], np.ndarray]


def plan_labels(inputs: Sequence[str | Path], folder: str | Path, config: Labelling) -> Labels:
    """Labels by exploring."""
    places = named(inputs)
    settings, make = settings_of(looker_of(config), config), partial(_labeller, config)
    return plan_filling(places, find_photos(places), LabelStore(folder), config, settings=settings, make=make)


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


def _labeller(config: Labelling) -> Callable[[PhotoRef], Label]:
    return partial(_label_one, looker_of(config), config)


def _label_one(backbone: Any, config: Labelling, photo: PhotoRef) -> Label:
    opened, digest = open_hashed(photo, DECODED)
    forest = explore(opened, backbone, explore_of(config), config.seed)
    return Label(photo.key, photo.name, digest, forest)
