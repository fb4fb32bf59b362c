"""Photos as small squares, for learning. In: a reference. Out: pixels (3, S, S) uint8, and width / height as it was."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from hedgerow.photos.finding import PhotoRef
from hedgerow.photos.opening import open_photo

DECODED = 2**20  # pixels: a larger photo is decoded at a reduced scale; it ends far smaller anyway


def squarer(side: int) -> Callable[[PhotoRef], tuple[np.ndarray, float]]:
    """For `share_out`: what squashes one photo after the other."""
    return partial(square, side)


def square(side: int, ref: PhotoRef) -> tuple[np.ndarray, float]:
    photo = open_photo(ref, DECODED)
    pixels = np.asarray(Image.fromarray(photo.pixels).resize((side, side), Image.Resampling.BICUBIC))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)), photo.size[1] / photo.size[0]
