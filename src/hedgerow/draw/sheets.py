"""Many pictures on a sheet, and what all pictures share: how large a photo is drawn, how lines and letters are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from hedgerow.config import CallerError
from hedgerow.photos import PhotoRef, open_photo

Pixels = np.ndarray | Image.Image | str | Path | bytes | PhotoRef  # whatever a photo may be

LONGEST = 2048  # pixels of a picture's longer side
PAPER, INK = (255, 255, 255), (70, 70, 70)
GAP, TEXT = 10, 13  # pixels between pictures on a sheet, and of the height of letters


def contact_sheet(images: Sequence[np.ndarray], captions: Sequence[str], *, columns: int | None = None) -> np.ndarray:
    """Pictures in rows on white, each with its caption below; about as wide as high unless `columns` are given."""
    if len(images) != len(captions) or not len(images):
        raise CallerError(f"a sheet takes one caption for each picture, got {len(images)} and {len(captions)}")
    columns = min(columns or int(np.ceil(np.sqrt(len(images)))), len(images))
    images = [shrunk(checked(image, image.shape[:2]), max(16, (LONGEST - GAP) // columns - GAP)) for image in images]
    width, height = max(image.shape[1] for image in images), max(image.shape[0] for image in images)
    rows = -(-len(images) // columns)
    deep = height + TEXT + 2 * GAP
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * deep + GAP), PAPER)
    for k, (image, caption) in enumerate(zip(images, captions, strict=True)):
        x, y = GAP + k % columns * (width + GAP), GAP + k // columns * deep
        sheet.paste(Image.fromarray(image), (x + (width - image.shape[1]) // 2, y + (height - image.shape[0]) // 2))
        write(sheet, caption, x + width / 2, y + height + 5, width)
    return np.asarray(sheet)


def write(sheet: Image.Image, text: str, middle: float, top: float, width: float) -> None:
    """One line of text about its middle, cut short where it is wider than its place."""
    text, pen, font = " ".join(text.split())[:200], ImageDraw.Draw(sheet), _font()
    while text and pen.textlength(text, font) > width:
        text = text[:-2].rstrip() + "…" if len(text) > 2 else ""
    pen.text((round(middle), round(top)), text, INK, font, anchor="ma")


@cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(TEXT)


# ---------------------------------------------------------------------- photos


def checked(pixels: Pixels, size: tuple[int, ...]) -> np.ndarray:
    """Pixels of that size. An array is taken as it is; whatever else a photo may be is opened."""
    if not isinstance(pixels, np.ndarray):
        pixels = open_photo(pixels).pixels
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise CallerError(f"pixels are (H, W, 3) uint8 RGB, got {pixels.dtype} of shape {pixels.shape}")
    if pixels.shape[:2] != tuple(size):
        raise CallerError(f"the photo is of size {pixels.shape[:2]}, its regions of {tuple(size)} (height, width)")
    return pixels


def shrunk(pixels: np.ndarray, longest: int = LONGEST) -> np.ndarray:
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0))


# ---------------------------------------------------------------------- contours


def with_contours(
    picture: np.ndarray, maps: Sequence[np.ndarray], widths: Sequence[float], inks: Sequence[np.ndarray | float]
) -> np.ndarray:
    """(H, W, 3) uint8: the borders of partitions in white, the first (coarsest) ones widest."""
    unit = max(max(picture.shape[:2]) / 1000, 0.75)
    ink = np.zeros(picture.shape[:2], np.float32)
    for labels, width, share in zip(maps, widths, inks, strict=True):
        ink = np.maximum(ink, share * line_along(edges_of(labels), width * unit))
    return (picture + ink[..., None] * (255 - picture) + 0.5).astype(np.uint8)


def edges_of(labels: np.ndarray) -> np.ndarray:
    """(H, W) bool: where a pixel differs from the one to its left or above it."""
    edges = np.zeros(labels.shape, bool)
    edges[:, 1:] = labels[:, 1:] != labels[:, :-1]
    edges[1:] |= labels[1:] != labels[:-1]
    return edges


def line_along(edges: np.ndarray, width: float) -> np.ndarray:
    """(H, W) float32 in 0 ... 1: smooth lines of a width along edges one pixel wide; below one pixel they fade."""
    sigma = max(width / 2.4, 0.45)
    soft = Image.fromarray(edges.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(sigma))
    peak = 255 / (sigma * np.sqrt(2 * np.pi))
    return np.clip(np.asarray(soft, np.float32) * (1.8 / peak) - 0.5, 0, 1) * min(1.0, width)
