"""Colours that hold still and keep apart.

In: numbers, hashes, or who is part of whom. Out: colours, OKLCH or RGB. They are even in OKLCH (Bjorn Ottosson, "A
perceptual color space for image processing", 2020). The hue of a whole is a hash of its shape; its parts are shades of
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from zlib import crc32

import numpy as np

LIGHT, CHROMA = 0.74, 0.17  # OKLCH of a whole: light and full, and inside sRGB for most hues
GOLDEN = 0.381966  # of a turn, from one hue to the next: each is far from all before it
SHADE, SLIGHT = (0.12, 0.06), (0.03, 0.01)  # how far lightness and hue (in turns) of parts and of pieces stray
STRAY = 0.4  # of a turn in which the hues of parts lie about their whole's: kin, and yet not all one colour
APART = 0.12  # OKLab distance at which two neighbours are told apart over a photo


def path_colours(rles: Sequence[bytes], parent: np.ndarray) -> np.ndarray:
    """(N, 3) uint8 RGB: a region's colour hangs on its own mask and on those that it is part of, and on nothing else.

    Whatever other regions a picture shows, and in which order, the same region of the same whole has the same colour.
    The price is that nothing but chance keeps two neighbours apart.
    """
    lch = np.zeros((len(rles), 3))
    for row, (text, above) in enumerate(zip(rles, parent, strict=True)):
        hue, light = crc32(text) / 2**32, crc32(text, 1) / 2**32
        if above >= 0:
            hue = lch[above, 2] + STRAY * (hue - 0.5)
        lch[row] = LIGHT + SHADE[0] * (2 * light - 1), CHROMA, hue % 1
    return rgb(oklab(lch)).round().astype(np.uint8)


def category_colours(count: int) -> np.ndarray:
    """(count, 3) uint8 RGB: of category 0, 1 and so on, the same whatever their count."""
    place = np.arange(count)
    lights = LIGHT + np.array([0.0, 0.12, -0.16])[place % 3]  # neighbours in hue are then far from each other in light
    return rgb(oklab(np.stack([lights, np.full(count, CHROMA), GOLDEN * place % 1], 1))).round().astype(np.uint8)


def root_colours(turn: float) -> np.ndarray:
    """(K, 3) OKLCH, hue in turns: what a root whose hash is `turn` would like to be, in that order."""
    hues = (turn + GOLDEN * np.arange(12)) % 1
    return np.array([(light, CHROMA, hue) for light, hue in product((LIGHT, LIGHT + 0.08, LIGHT - 0.1), hues)])


def part_colours(turn: float, whole: np.ndarray, light_step: float, hue_step: float) -> np.ndarray:
    light, chroma, hue = whole
    hues = hue + np.roll((0.0, 1, -1, 0.5, -0.5), int(turn * 5)) * hue_step
    lights = np.clip(light + np.roll((1, -1, 0.5, -0.5), int(turn * 4)) * light_step, 0.45, 0.92)
    return np.array([(light, chroma, hue % 1) for light, hue in product(lights, hues)])


def apart(choices: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The first of these OKLCH that is APART from all others (OKLab), or else the farthest."""
    apart = np.linalg.norm(oklab(choices)[:, None] - others[None], axis=2).min(1, initial=APART)
    return choices[int(apart.argmax())]


def oklab(lch: np.ndarray) -> np.ndarray:
    light, chroma, turn = lch.T
    return np.stack([light, chroma * np.cos(2 * np.pi * turn), chroma * np.sin(2 * np.pi * turn)], 1)


def rgb(lab: np.ndarray) -> np.ndarray:
    """OKLab to sRGB of 0 ... 255; the matrices are Ottosson's."""
    lms = lab @ np.array([[1, 1, 1], [0.39633778, -0.10556135, -0.08948418], [0.21580376, -0.06385417, -1.29148555]])
    mix = [
        [4.07674166, -3.30771159, 0.23096993],
        [-1.268438, 2.6097574, -0.3413194],
        [-0.00419609, -0.70341861, 1.7076147],
    ]
    linear = np.clip(lms**3 @ np.array(mix).T, 0, 1)
    return (255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)).astype(np.float32)
