"""The segments of a collection, each as a vector and a thumbnail: what sorting and searching begin with.

In: photos, folders, globs and tars, and labels of them if there are any; without, photos are explored. Out: a
`SegmentStore` (`hedgerow.filling` fills it). A run that asks for nothing new, as for other categories, looks at no
photo again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hedgerow.backbones import Backbone, open_backbone
from hedgerow.backbones.pooling import embed, look
from hedgerow.categories import foremost
from hedgerow.config import VERSION, CallerError, Gather, Labelling, Search, UsageError
from hedgerow.data.labels import LabelStore
from hedgerow.data.segments import PhotoSegments, SegmentStore
from hedgerow.draw import cutout
from hedgerow.explore import explore
from hedgerow.filling import Filling, named, plan_filling
from hedgerow.forest import MaskForest
from hedgerow.photos import Photo, PhotoError, PhotoRef, find_photos, open_hashed
from hedgerow.pipeline import DECODED, explore_of, looker_of, settings_of
from hedgerow.results import full_size

THUMBNAIL, QUALITY = 144, 85  # pixels of its longer side, and of JPEG: 5 kB a segment
CONTOUR = (230, 0, 100)  # a colour that few things have

Gathering = Filling[SegmentStore]


def plan_segments(inputs: Sequence[str | Path], folder: str | Path, config: Gather) -> Gathering:
    """What is to be done; what is there is checked, or forgotten if it is to be overwritten."""
    places = named(inputs)
    if config.most_segments < 1:
        raise UsageError(f"--most-segments is at least 1, got {config.most_segments}")
    photos = find_photos(places)
    settings, make = _settings(config, photos), partial(_gatherer, config)
    return plan_filling(places, photos, SegmentStore(folder), config, settings=settings, make=make)


def exploring(config: Gather | Search) -> Labelling:
    """How photos are explored that no labels are given for."""
    workers = config.workers if isinstance(config, Gather) else None
    return Labelling(workers=workers, seed=config.seed, explore=config.explore)


def explored_now(photo: Photo, explored: Labelling) -> MaskForest:
    return explore(photo, looker_of(explored), explore_of(explored), explored.seed)  # type: ignore[arg-type]  # no model


def thumbnail(pixels: np.ndarray, forest: MaskForest, row: int) -> bytes:
    """A region in what is around it, as a JPEG file."""
    memory = BytesIO()
    Image.fromarray(cutout(pixels, forest, row, THUMBNAIL, CONTOUR)).save(memory, "JPEG", quality=QUALITY)
    return memory.getvalue()


# ---------------------------------------------------------------------- settings


def _settings(config: Gather, photos: Sequence[PhotoRef]) -> dict[str, Any]:
    """All that segments and their vectors depend on beside the photos."""
    backbone = looker_of(Labelling(backbone=config.backbone))
    made = {
        "asked": _placed(config.backbone),
        "name": backbone.name,
        "supervision": backbone.supervision,
        "weights_sha256": backbone.weights_sha256,
    }
    explored = exploring(config)
    explore_of(explored)  # its knobs are checked, even where labels are given
    if config.segments is None:
        regions = settings_of(looker_of(explored), explored)
    else:
        regions = _labels_settings(config.segments, photos)
    learned = {backbone.supervision, regions.get("supervision", "none")}
    return {
        "version": VERSION,
        "supervision": "captions" if "captions" in learned else "none",
        "most_segments": config.most_segments,
        "backbone": made,
        "regions": regions,
    }


def _labels_settings(folder: Path, photos: Sequence[PhotoRef]) -> dict[str, Any]:
    """How labels were made, once it is clear that they are of these photos."""
    store = LabelStore(folder)
    missing = [photo.key for photo in photos if photo.key not in store.places]
    if missing:
        raise CallerError(
            f"{folder} has no labels of {len(missing)} of {len(photos)} photos, as {missing[0]}: give the photos as "
            "they were given when the labels were made"
        )
    return dict(store.record["settings"])


def _placed(name: str) -> str:
    """A backbone's name that holds from any folder."""
    place, mark, options = name.partition("?")
    kind = "hub:" if place.startswith("hub:") else ""
    path = Path(place.removeprefix(kind)).expanduser()
    return f"{kind}{path.absolute()}{mark}{options}" if path.exists() else name


# ---------------------------------------------------------------------- in a worker


def _gatherer(config: Gather) -> Callable[[PhotoRef], PhotoSegments]:
    explored = exploring(config)
    found: Callable[[PhotoRef, Photo, str], MaskForest]
    found = partial(_explored, explored) if config.segments is None else partial(_labelled, LabelStore(config.segments))
    return partial(_gather_one, open_backbone(config.backbone), found, config.most_segments)


def _explored(explored: Labelling, photo: PhotoRef, opened: Photo, digest: str) -> MaskForest:
    return explored_now(opened, explored)


def _labelled(store: LabelStore, photo: PhotoRef, opened: Photo, digest: str) -> MaskForest:
    label = store[photo.key]
    if label.forest is None:
        raise PhotoError(label.error or f"{photo.path}: it has no labels")
    if label.forest.size != opened.size or label.sha256 not in ("", digest):
        raise PhotoError(f"{photo.path}: it has changed since its labels were made: make them again")
    return label.forest


def _gather_one(
    backbone: Backbone, found: Callable[[PhotoRef, Photo, str], MaskForest], most: int, photo: PhotoRef
) -> PhotoSegments:
    opened, digest = open_hashed(photo, DECODED)
    forest = found(photo, opened, digest)
    rows = foremost(forest, most).tolist()
    flat = MaskForest(forest.size, tuple(forest.rles[row] for row in rows), score=forest.score[rows])
    flat = embed(flat, look(backbone, opened.pixels))
    pixels = full_size(opened)
    shown = tuple(thumbnail(pixels, flat, place) for place in range(len(rows)))
    return PhotoSegments(photo.key, photo.name, digest, flat, tuple(rows), shown)
