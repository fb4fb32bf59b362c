"""A photo with lines around its regions, in colours that hold still.

In: a photo and a forest. Out: (h, w, 3) uint8 RGB. A line's colour hangs on its region and on what that is part of
(`hedgerow.palette`), so it is the same here, in a tree and in SVG outlines. Wholes have wide lines, parts thinner
ones. Regions that compete would cover the photo with lines, so of such a forest the best are shown of which any two lie
apart or one in the other. What a region is called is written in it where there is room: its name, or its row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from hedgerow.draw.colours import path_colours
from hedgerow.draw.names import places
from hedgerow.draw.sheets import Pixels, checked, edges_of, line_along, shrunk
from hedgerow.draw.trees import at_peace
from hedgerow.exchange.partitions import agrees
from hedgerow.forest import MaskForest
from hedgerow.partition import sampled

WIDTHS = (4.0, 2.8, 2.0, 1.5)  # of lines of wholes, parts, parts of parts ... in a picture 1000 pixels long
HALO, DARK = 2.2, 0.55  # pixels that a dark line is wider on either side, and how dark: colours stand out on any photo
SHORTEST = 1000  # pixels of a picture's longer side
GREY = 0.5  # of the photo below: its own colours are not to be taken for these


def contours(
    pixels: Pixels,
    forest: MaskForest,
    *,
    rows: np.ndarray | None = None,
    colours: np.ndarray | None = None,
    written: bool = True,
) -> np.ndarray:
    """The photo with its regions' outlines: those of these rows, or else as many as there is room for; `colours` (N, 3)
    in place of those that hang on their paths. A small photo is enlarged, so that what is written can be read."""
    photo = _large(shrunk(checked(pixels, forest.size)))
    rows = shown_rows(forest) if rows is None else rows
    colours = path_colours(forest.rles, forest.parent) if colours is None else colours
    ys, xs = sampled(forest.size, photo.shape)
    depth = forest.select(rows).depth
    shown = photo + GREY * ((photo @ np.array([0.299, 0.587, 0.114], np.float32))[..., None] - photo)
    owner = np.full(photo.shape[:2], -1, np.int64)
    unit = max(max(photo.shape[:2]) / 1000, 0.75)
    masks = {}
    for place in np.lexsort((rows, -forest.areas[rows])):  # small over large
        row = int(rows[place])
        masks[row] = mask = forest.mask(row)[ys[:, None], xs]
        owner[mask] = place
    for place in np.lexsort((-forest.areas[rows], -depth)):  # lines of wholes lie over those of their parts
        row, width = int(rows[place]), WIDTHS[min(int(depth[place]), len(WIDTHS) - 1)] * unit
        _draw_line(shown, masks[row], width, colours[row].astype(np.float32))
    picture = np.clip(shown + 0.5, 0, 255).astype(np.uint8)
    return _written(picture, owner, _texts(forest, rows)) if written else picture


def shown_rows(forest: MaskForest) -> np.ndarray:
    """Rows of the regions that a picture of lines has room for."""
    if agrees(forest):
        return np.arange(len(forest))
    row_of = {text: row for row, text in enumerate(forest.rles)}
    return np.array(sorted(row_of[text] for text in at_peace(forest).rles), np.int64)


def _large(photo: np.ndarray) -> np.ndarray:
    height, width = photo.shape[:2]
    scale = SHORTEST / max(height, width)
    if scale <= 1:
        return photo
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC))


def _draw_line(shown: np.ndarray, mask: np.ndarray, width: float, colour: np.ndarray) -> None:
    if not mask.any():
        return
    edges = edges_of(np.pad(mask, 1))[1:, 1:]  # the photo's own rim is an edge, too
    edges = edges[: mask.shape[0], : mask.shape[1]]
    rows, columns = np.flatnonzero(edges.any(1)), np.flatnonzero(edges.any(0))
    if not len(rows):
        return
    rim = int(3 * (width + 2 * HALO)) + 2
    window = (
        slice(max(0, rows[0] - rim), rows[-1] + rim + 1),
        slice(max(0, columns[0] - rim), columns[-1] + rim + 1),
    )
    for wide, ink, share in ((width + 2 * HALO, np.zeros(3, np.float32), DARK), (width, colour, 1.0)):
        line = share * line_along(edges[window], wide)[..., None]
        shown[window] += line * (ink - shown[window])


def _texts(forest: MaskForest, rows: np.ndarray) -> list[str]:
    named = forest.name is not None and any(forest.name[row] for row in rows)
    return [forest.name[row] if named and forest.name is not None else str(row) for row in rows]


def _written(picture: np.ndarray, owner: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    nameless = np.array([not text for text in (*texts, "")])
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    for one in places(np.where(nameless[owner], -1, owner), texts):
        pen.text((one.x, one.y), one.text, "white", one.font, "mm", stroke_fill=(20, 20, 20), stroke_width=one.halo)
    return np.asarray(image)
