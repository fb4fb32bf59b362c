"""A photo in the colours of its names, each name written where there is room for it.

In: pixels (H, W, 3) uint8 RGB, a map of names (H, W), -1 where there is none, and the names. Out: (h, w, 3) uint8 RGB.

A name's colour hangs on the name, so that it is the same in every picture; one too like that of an earlier name of its
vocabulary gives way to the next of its own sequence. What is written lies inside of what it names, as far from its
border as can be, and over no other name. What is too small for letters that can be read goes without.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from hedgerow.draw.colours import apart, oklab, rgb, root_colours
from hedgerow.draw.sheets import checked, shrunk, with_contours
from hedgerow.partition import sampled

MANY = 64  # names that can be told apart by colour, if that; of more each has the first colour of its sequence
ALPHA, GREY = 0.5, 0.8  # of a name's colour over the photo, and of grey in the photo below
LETTERS = (34.0, 26.0, 20.0, 15.0)  # heights in a picture 1000 pixels long, the largest that fits is taken
LEAST = 9  # pixels: smaller letters cannot be read
HALO = 0.14  # of the letters' height: a dark line around them, which makes them legible on any colour
PLACING = 400  # pixels of the longer side at which places are looked for
INSIDE = 0.92  # of a name's box lies inside of what it names


def name_colours(names: Sequence[str]) -> np.ndarray:
    """(K, 3) uint8 RGB."""
    lch = np.zeros((len(names), 3))
    for row, name in enumerate(names):
        choices = root_colours(crc32(name.casefold().encode()) / 2**32)
        lch[row] = choices[0] if len(names) > MANY else apart(choices, oklab(lch[:row]))
    return rgb(oklab(lch)).round().astype(np.uint8) if len(names) else np.zeros((0, 3), np.uint8)


def name_overlay(pixels: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The photo in grey under the colours of its names, and the names."""
    photo = shrunk(checked(pixels, labels.shape))
    ys, xs = sampled(labels.shape, photo.shape)
    seen = labels[ys[:, None], xs]
    grey = (photo @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    shown = (1 - GREY) * photo + GREY * grey
    colours = np.append(name_colours(names), [[0, 0, 0]], 0).astype(np.float32)
    shown += ALPHA * (seen >= 0)[..., None] * (colours[seen] - shown)
    picture = Image.fromarray(with_contours(shown, [seen], [2.0], [1.0]))
    pen = ImageDraw.Draw(picture)
    for written in places(seen, names):
        place, dark = (written.x, written.y), (20, 20, 20)
        pen.text(place, written.text, "white", written.font, "mm", stroke_fill=dark, stroke_width=written.halo)
    return np.asarray(picture)


@dataclass(frozen=True)
class Written:
    """A name, the middle of its place, and its letters; `box` is left, top, right, bottom with the halo."""

    text: str
    x: float
    y: float
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    halo: int
    box: tuple[float, float, float, float]


def places(labels: np.ndarray, names: Sequence[str]) -> Iterator[Written]:
    """Where names are written in a picture with this map; the largest connected pieces choose first."""
    scale = min(1.0, PLACING / max(labels.shape))
    shape = tuple(max(1, round(side * scale)) for side in labels.shape)
    ys, xs = sampled(labels.shape, shape)
    small = labels[ys[:, None], xs]
    taken = np.zeros(small.shape, bool)
    unit = max(max(labels.shape) / 1000, 0.6)
    sizes = [max(round(height * unit), LEAST) for height in LETTERS]
    for name, piece, window in _pieces(small):
        text = " ".join(names[name].split())
        for height in dict.fromkeys(sizes):
            font, halo = ImageFont.load_default(height), max(1, round(HALO * height))
            left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).textbbox(
                (0, 0), text, font=font, anchor="mm", stroke_width=halo
            )
            extent = int(np.ceil((bottom - top + 2) * scale)), int(np.ceil((right - left + 2) * scale))
            middle = _place(piece, taken[window], extent)
            if middle is None:
                continue
            y, x = middle[0] + window[0].start, middle[1] + window[1].start
            first = y - extent[0] // 2, x - extent[1] // 2
            taken[first[0] : first[0] + extent[0], first[1] : first[1] + extent[1]] = True
            # of the box's own middle, in pixels of the picture
            across, down = (first[1] + extent[1] / 2) / scale, (first[0] + extent[0] / 2) / scale
            box = (across + left, down + top, across + right, down + bottom)
            yield Written(text, across, down, font, halo, box)
            break


def _pieces(labels: np.ndarray) -> list[tuple[int, np.ndarray, tuple[slice, slice]]]:
    """Connected pieces of a map, the largest first: the name, the piece, and where that lies."""
    found = []
    for name in np.unique(labels[labels >= 0]):
        numbered, _ = ndimage.label(labels == name)
        for number, window in enumerate(ndimage.find_objects(numbered), start=1):
            found.append((int(name), numbered[window] == number, window))
    return sorted(found, key=lambda one: -int(one[1].sum()))


def _place(piece: np.ndarray, taken: np.ndarray, extent: tuple[int, int]) -> tuple[int, int] | None:
    """The middle of a box in a piece: where it lies inside and over no other, farthest from the piece's border."""
    tall, wide = extent
    if tall > piece.shape[0] or wide > piece.shape[1]:
        return None
    room = (_sums(piece, extent) >= INSIDE * tall * wide) & (_sums(taken, extent) == 0)
    if not room.any():
        return None
    far = ndimage.distance_transform_edt(np.pad(piece, 1))[1:-1, 1:-1]
    far = far[tall // 2 : tall // 2 + room.shape[0], wide // 2 : wide // 2 + room.shape[1]]
    y, x = np.unravel_index(np.where(room, far, -1).argmax(), room.shape)
    return int(y) + tall // 2, int(x) + wide // 2


def _sums(mask: np.ndarray, extent: tuple[int, int]) -> np.ndarray:
    """Of every box of that extent in a mask, how much of it is set; by where its corner lies."""
    tall, wide = extent
    total = np.pad(mask, ((1, 0), (1, 0))).astype(np.int64).cumsum(0).cumsum(1)
    return total[tall:, wide:] - total[:-tall, wide:] - total[tall:, :-wide] + total[:-tall, :-wide]
