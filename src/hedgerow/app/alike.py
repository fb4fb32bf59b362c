"""Segments that look alike among the photos that are open, or have a forest.

In: a region of one photo, and where the others' files are. Out: the segments most like it, with thumbnails.

How alike two segments are is the cosine of their vectors, as in `hedgerow search` (MaskContrast, Van Gansbeke et al.
2021, section 4.3, retrieves by it). A page has some hundreds of photos with a dozen segments each: all are compared,
without an index. Photos are looked at when they are first asked about, and remembered.
"""

from __future__ import annotations

from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from hedgerow.backbones import Backbone, FeatureMap
from hedgerow.backbones.pooling import SEEN, embed, look
from hedgerow.categories import foremost
from hedgerow.config import CallerError
from hedgerow.forest import MaskForest
from hedgerow.formats import read_forest
from hedgerow.partition import sampled
from hedgerow.photos import Photo, PhotoRef, open_photo

SEGMENTS = 12  # of a photo, its best-scored that do not overlap
FOUND = 24  # answers at most
LOOKED_AT = 500  # photos at most: those opened last
AGAIN = 4  # photos of which patches are kept, 3 MB each
LOOKED = SEEN // 2  # pixels of a photo that are looked at: somebody waits, and no segment is small
REMEMBERED = 1000  # photos: 18 kB of vectors and 40 kB of thumbnails each
SIDE, MARGIN, PALE = 120, 0.15, 0.3  # of a thumbnail: pixels; share around the box; how much is seen of what is around

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """A photo's files; opened anew, they are in another folder of ours."""

    id: str
    photo: PhotoRef | Path
    forest: Path


@dataclass(frozen=True, eq=False)
class Segments:
    rows: np.ndarray
    vectors: np.ndarray
    thumbnails: tuple[bytes, ...]


@dataclass(eq=False)
class Vectors:
    """What was looked at before, by photo; forgotten from the oldest on."""

    segments: OrderedDict[Source, Segments] = field(default_factory=OrderedDict)
    patches: OrderedDict[Source, FeatureMap] = field(default_factory=OrderedDict)

    def of(self, source: Source, backbone: Backbone) -> Segments:
        make = partial(_segments, self, source, backbone)
        return _remembered(self.segments, source, make, REMEMBERED)

    def vectors(self, source: Source, backbone: Backbone, photo: Photo, forest: MaskForest, rows: np.ndarray) -> Any:
        """(n, D) unit, of some regions; a photo is looked at once for all that is asked about it in a row."""
        patches = _remembered(self.patches, source, lambda: look(backbone, photo.pixels), AGAIN)
        return embed(MaskForest(forest.size, tuple(forest.rles[row] for row in rows)), patches).embedding


def _remembered(known: OrderedDict[Source, T], source: Source, make: Callable[[], T], most: int) -> T:
    if source not in known:
        known[source] = make()
        while len(known) > most:
            known.popitem(last=False)
    known.move_to_end(source)
    return known[source]


def find(
    backbone: Backbone,
    known: Vectors,
    asked: Source,
    row: int,
    sources: Sequence[Source],
    *,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """The segments most like a region, best first; of photos that cannot be read the number is told."""
    forest = read_forest(asked.forest)[0]
    if not 0 <= row < len(forest):
        raise CallerError(f"there is no region {row}")
    vector = known.vectors(asked, backbone, _opened(asked), forest, np.array([row]))[0]
    hits: list[tuple[float, str, int, bytes]] = []
    bad = 0
    for number, source in enumerate(sources[:LOOKED_AT]):
        tell(f"{number + 1} of {min(len(sources), LOOKED_AT)} photos")
        try:
            there = known.of(source, backbone)
        except (CallerError, OSError):
            bad += 1
            continue
        alike = there.vectors @ vector
        hits += [
            (float(one), source.id, int(found), jpeg)
            for one, found, jpeg in zip(alike, there.rows, there.thumbnails, strict=True)
            if (source.id, found) != (asked.id, row)
        ]
    hits.sort(key=lambda hit: (-hit[0], hit[1], hit[2]))
    told = [
        {"photo": id, "row": found, "alike": round(alike, 4), "thumbnail": _data_url(jpeg)}
        for alike, id, found, jpeg in hits[:FOUND]
    ]
    return {"found": told, "photos": min(len(sources), LOOKED_AT) - bad, "unread": bad}


def _segments(known: Vectors, source: Source, backbone: Backbone) -> Segments:
    forest = read_forest(source.forest)[0]
    if not len(forest):
        return Segments(np.zeros(0, np.int64), np.zeros((0, 1), np.float32), ())
    photo = _opened(source)
    rows = np.asarray(foremost(forest, SEGMENTS))
    shown = tuple(_thumbnail(photo.pixels, forest, int(row)) for row in rows)
    return Segments(rows, known.vectors(source, backbone, photo, forest, rows), shown)


def _opened(source: Source) -> Photo:
    return open_photo(source.photo, LOOKED)


def _thumbnail(pixels: np.ndarray, forest: MaskForest, row: int) -> bytes:
    """A region in what is around it, which is pale, as a JPEG file."""
    height, width = pixels.shape[:2]
    ys, xs = sampled(forest.size, (height, width))
    mask = forest.mask(row)[ys[:, None], xs][..., None]
    shown = np.where(mask, pixels, (255 - PALE * (255 - pixels.astype(np.float32))).astype(np.uint8))
    x, y, w, h = forest.boxes[row] * (np.array([width, height, width, height]) / np.tile(forest.size[::-1], 2))
    side = max(w, h) * (1 + 2 * MARGIN)
    left, top = x + w / 2 - side / 2, y + h / 2 - side / 2
    box = (int(max(left, 0)), int(max(top, 0)), int(min(left + side, width)) + 1, int(min(top + side, height)) + 1)
    image = Image.fromarray(shown).crop((box[0], box[1], min(box[2], width), min(box[3], height)))
    image.thumbnail((SIDE, SIDE))
    memory = BytesIO()
    image.save(memory, "JPEG", quality=80)
    return memory.getvalue()


def _data_url(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
