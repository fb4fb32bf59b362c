"""Segments and their categories: one segment in what is around it, a photo in the colours of its categories, sheets.

In: pixels (H, W, 3) uint8 RGB, a forest or a map of categories, thumbnails. Out: pictures (h, w, 3) uint8 RGB. The
colour of a category hangs on its number alone, so that it is the same in every picture, and in label maps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from hedgerow import rle
from hedgerow.draw.colours import category_colours
from hedgerow.draw.sheets import GAP, PAPER, TEXT, Pixels, checked, edges_of, line_along, shrunk, with_contours, write
from hedgerow.forest import MaskForest
from hedgerow.partition import sampled

CONTEXT = 1.3  # side of the square around a segment, in sides of its own box: what it is part of helps to name it
PALE = 0.3  # how much of what is around a segment is left
ALPHA, GREY = 0.55, 0.8  # of a category's colour over the photo, and of grey in the photo below
ROW, NUMBER = 96, 150  # pixels: a row of an overview, and what stands before its thumbnails


def cutout(
    pixels: np.ndarray,
    forest: MaskForest,
    row: int,
    size: int,
    colour: np.ndarray | Sequence[int],
    *,
    context: float = CONTEXT,
    pale: float = PALE,
) -> np.ndarray:
    """The square around one region: itself in full, what is around it pale, its contour in a colour."""
    height, width = forest.size
    x, y, w, h = forest.boxes[row].astype(int)
    side = int(context * max(w, h)) + 4
    left, top = (max(0, int(start + extent / 2 - side / 2)) for start, extent in ((x, w), (y, h)))
    right, bottom = min(width, left + side), min(height, top + side)
    mask = rle.band(rle.lengths(forest.rles[row]), height, left, right)[top:bottom]
    scale = size / max(right - left, bottom - top)
    shape = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    crop = Image.fromarray(pixels[top:bottom, left:right]).resize(shape, Image.Resampling.BICUBIC, reducing_gap=2.0)
    soft = Image.fromarray(mask.astype(np.uint8) * 255).resize(shape, Image.Resampling.BICUBIC)
    inside = np.asarray(soft, np.float32)[..., None] / 255
    photo = np.asarray(crop, np.float32)
    shown = 255 + (pale + (1 - pale) * inside) * (photo - 255)
    ink = line_along(edges_of(inside[..., 0] > 0.5), 2.0)[..., None]
    return np.clip(shown + ink * (np.asarray(colour, np.float32) - shown), 0, 255).astype(np.uint8)


def category_overlay(pixels: Pixels, labels: np.ndarray) -> np.ndarray:
    """The photo in grey under the colours of its categories (H, W), -1 where there is none."""
    photo = shrunk(checked(pixels, labels.shape))
    ys, xs = sampled(labels.shape, photo.shape)
    seen = labels[ys[:, None], xs]
    grey = (photo @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    shown = (1 - GREY) * photo + GREY * grey
    colours = category_colours(int(labels.max(initial=-1)) + 1).astype(np.float32)
    shown += ALPHA * (seen >= 0)[..., None] * (np.append(colours, [[0, 0, 0]], 0).astype(np.float32)[seen] - shown)
    return with_contours(shown, [seen], [2.0], [1.0])


def category_overview(counts: Sequence[int], thumbnails: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """A row a category: its colour, its number, how many segments it has, and the thumbnails given."""
    colours, most = category_colours(len(counts)), max(map(len, thumbnails), default=0)
    sheet = Image.new("RGB", (NUMBER + most * (ROW + GAP) + GAP, len(counts) * (ROW + GAP) + GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    for category, (count, shown) in enumerate(zip(counts, thumbnails, strict=True)):
        top = GAP + category * (ROW + GAP)
        pen.rectangle((GAP, top, GAP + 40, top + ROW - 1), fill=tuple(int(v) for v in colours[category]))
        for line, text in enumerate((f"category {category}", f"value {category + 1}", f"{count} segments")):
            write(sheet, text, (NUMBER + 40) / 2 + GAP / 2, top + 16 + line * (TEXT + 9), NUMBER - 40 - GAP)
        for place, thumbnail in enumerate(shown):
            image = Image.fromarray(shrunk(thumbnail, ROW))
            left = NUMBER + GAP + place * (ROW + GAP)
            sheet.paste(image, (left + (ROW - image.width) // 2, top + (ROW - image.height) // 2))
    return np.asarray(sheet)
