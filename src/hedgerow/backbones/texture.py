"""Colour and texture, no weights: what a patch looks like, whatever photo it is in and wherever it lies there.

In: RGB pixels (B, H, W, 3) uint8. Out: (B, h, w, 128) float32, one vector a cell of 4x4 pixels.

Each pixel is described by its Lab colour and by the strength of first and second derivatives of its lightness at three
scales. Both are lifted by random Fourier features (Rahimi & Recht 2007) and averaged: the cosine of two SUMS of lifted
vectors is then the likeness of two distributions of colours and textures (their kernel mean embeddings), which is what
merging by the cosine of summed features (SOHES) asks for. The draw of the lift is part of the definition.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from hedgerow.backbones.fit import fitted, resized
from hedgerow.colour import lab

CELL = 4
COLOUR_WIDTH = 20.0  # of the Gaussian kernel on Lab; two colours further apart than about twice this are unlike
TEXTURE_WIDTH = 3.0  # of the kernel on texture strengths, in units of TEXTURE_SPREAD
COLOUR_DIMS = TEXTURE_DIMS = 64
# standard deviation of each texture strength over 42 COCO photos, so that no scale drowns the others
TEXTURE_SPREAD = np.array([0.69, 0.69, 0.74, 0.80, 0.81, 0.89, 0.86, 0.87, 0.95], np.float32)


class TextureBackbone:
    """The backbone that needs no weights."""

    name = "texture"
    supervision = "none"
    weights_sha256 = None

    def __init__(self, *, size: int | None = None, square: bool = False) -> None:
        self.size, self.square = size, square
        rng = np.random.default_rng(20240711)  # any number does; this one is part of the definition
        self._colour = _frequencies(rng, 3, COLOUR_DIMS, COLOUR_WIDTH)
        self._texture = _frequencies(rng, len(TEXTURE_SPREAD), TEXTURE_DIMS, TEXTURE_WIDTH)

    def features(self, pixels: np.ndarray) -> np.ndarray:
        """(B, H, W, 3) uint8 -> (B, h, w, 128) float32."""
        height, width = fitted(pixels.shape[1], pixels.shape[2], CELL, self.size, self.square, most=None)
        maps = [self._look(resized(photo, height, width)) for photo in pixels]
        dims = COLOUR_DIMS + TEXTURE_DIMS
        return np.stack(maps) if maps else np.zeros((0, height // CELL, width // CELL, dims), np.float32)

    def _look(self, photo: np.ndarray) -> np.ndarray:
        """(h, w, 128) of one photo whose sides are whole cells. Lifting works on every second pixel each way."""
        colours = lab(photo)
        soft = ndimage.gaussian_filter(colours, (1, 1, 0))
        lifted = np.concatenate(
            [_lift(_halved(soft), self._colour), _lift(textures(colours[..., 0]) / TEXTURE_SPREAD, self._texture)],
            axis=-1,
        )
        return _halved(lifted)


def textures(light: np.ndarray) -> np.ndarray:
    """(H, W) lightness -> (H / 2, W / 2, 9): root strength of d/dx, d/dy and the Laplacian at scales 1, 2 and 4 px.

    Scales 2 and 4 are read at scale 1 from the photo at half and quarter size.
    """
    strengths = []
    for octave in range(3):
        if octave:
            light = _halved(light[..., None])[..., 0]
        across = ndimage.gaussian_filter(light, 1, order=(0, 1))
        down = ndimage.gaussian_filter(light, 1, order=(1, 0))
        bend = ndimage.gaussian_laplace(light, 1)
        here = np.sqrt(np.abs(np.stack([across, down, bend], axis=-1)))
        strengths.append(_halved(here) if octave == 0 else here if octave == 1 else here.repeat(2, 0).repeat(2, 1))
    return np.concatenate(strengths, axis=-1)


def _frequencies(rng: np.random.Generator, dims: int, lifted: int, width: float) -> np.ndarray:
    return (rng.standard_normal((dims, lifted // 2)) / width).astype(np.float32)


def _lift(values: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    phase = values @ frequencies
    return np.concatenate([np.cos(phase), np.sin(phase)], axis=-1) / np.float32(np.sqrt(frequencies.shape[1]))


def _halved(values: np.ndarray) -> np.ndarray:
    """(H, W, D) -> (H / 2, W / 2, D), means of 2x2."""
    height, width, dims = values.shape
    return values.reshape(height // 2, 2, width // 2, 2, dims).mean((1, 3))
