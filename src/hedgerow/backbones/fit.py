"""Pixels as a network takes them: sides of whole patches, colours around zero, batches of bounded memory.

In: (B, H, W, 3) uint8. Out: (B, 3, H', W') float32. The one rule for all backbones: a photo is resized, never padded
or cropped, so the patch grid spans it from edge to edge. Each side goes to the nearest multiple of the patch. With
`size`, the shorter side first goes to that many pixels and the longer keeps the photo's shape; with `square` both sides
go there (480 is HASSOD's choice for DINO with patches of 8). Pillow's bicubic filter averages when it shrinks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from hedgerow.config import CallerError, UsageError

MOST_PATCHES = (
    10_000  # onnxruntime takes 5 GB for ViT-S here, growing with the square: it keeps heads x patches^2 floats
)
BATCH_PATCHES = 8_192  # photos go through together up to here; beyond, memory grows and speed does not


def prepare(
    pixels: np.ndarray, patch: int, mean: tuple[float, ...], std: tuple[float, ...], *, size: int | None, square: bool
) -> Iterator[np.ndarray]:
    """Yield (b, 3, H', W') float32, a few of the B photos at a time, in order."""
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape[1:3]:
        raise CallerError(f"pixels are (B, H, W, 3) uint8 in RGB, got {pixels.shape} {pixels.dtype}")
    height, width = fitted(pixels.shape[1], pixels.shape[2], patch, size, square)
    step = max(1, BATCH_PATCHES // ((height // patch) * (width // patch)))
    for start in range(0, max(1, len(pixels)), step):  # no photo at all still makes one empty batch
        batch = np.zeros((len(pixels[start : start + step]), height, width, 3), np.float32)
        for place, photo in zip(batch, pixels[start : start + step], strict=True):
            place[:] = resized(photo, height, width)
        normal = (batch / 255 - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
        yield np.ascontiguousarray(normal.transpose(0, 3, 1, 2))


def fitted(
    height: int, width: int, patch: int, size: int | None, square: bool, *, most: int | None = MOST_PATCHES
) -> tuple[int, int]:
    """(H', W') by the rule above."""
    sides = (float(height), float(width))
    if size is not None:
        if size < 1:
            raise UsageError(f"size is a number of pixels from 1 up, got {size}")
        scale = size / min(sides)
        sides = (size, size) if square else (height * scale, width * scale)
    elif square:
        raise UsageError("square needs a size")
    tall, wide = (max(1, int(side / patch + 0.5)) * patch for side in sides)
    if most is not None and (tall // patch) * (wide // patch) > most:
        raise CallerError(
            f"{width}x{height} pixels make {wide // patch}x{tall // patch} patches of {patch}, more than "
            f"{most}: give a size, such as size=480"
        )
    return tall, wide


def resized(photo: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8 at another size; the same array where nothing changes."""
    if photo.shape[:2] == (height, width):
        return photo
    return np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.BICUBIC))
