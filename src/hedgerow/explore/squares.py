"""Photos as small squares, and the few regions each falls into: what learning looks at.

In: a reference. Out: a `Square`. The regions are one cut of the merging that `explore` does, at a size and in a number
that a network learns from: coarse enough that a region is something, fine enough that it is one thing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from PIL import Image

from hedgerow.backbones.texture import TextureBackbone
from hedgerow.config import Borders, Merge
from hedgerow.explore.borders import borders
from hedgerow.explore.grain import grain
from hedgerow.merge import merge_graph
from hedgerow.photos import PhotoRef, open_photo

DECODED = 2**20  # pixels: a larger photo is decoded at a reduced scale; it ends far smaller anyway
REGIONS = 16
GRAINS = 400
CELLS = 32  # a side of the map of regions: a cell is a few pixels, and a patch looks at the cell of its middle
BORDERS = Borders(vectors=8)
MERGE = Merge(size=0.3)  # small regions cost less than in `explore`: 16 regions of a photo should all be worth having


@dataclass(frozen=True, eq=False)
class Square:
    """pixels (3, S, S) uint8, the photo squashed; shape, its width / height as it was; regions (CELLS, CELLS) uint8,
    numbers below REGIONS, or None where nobody asked."""

    pixels: np.ndarray
    shape: float
    regions: np.ndarray | None


def squarer(side: int, regions: bool) -> Callable[[PhotoRef], Square]:
    """For `share_out`: what squashes one photo after the other."""
    return partial(square, side, TextureBackbone() if regions else None)


def square(side: int, texture: TextureBackbone | None, ref: PhotoRef) -> Square:
    photo = open_photo(ref, DECODED)
    pixels = np.asarray(Image.fromarray(photo.pixels).resize((side, side), Image.Resampling.BICUBIC))
    regions = few_regions(pixels, texture) if texture is not None else None
    return Square(np.ascontiguousarray(pixels.transpose(2, 0, 1)), photo.size[1] / photo.size[0], regions)


def few_regions(pixels: np.ndarray, texture: TextureBackbone) -> np.ndarray:
    """(H, W, 3) uint8 -> (CELLS, CELLS) uint8."""
    grains = grain(pixels, GRAINS)
    features = grains.pool(texture.features(pixels[None])[0]) * grains.areas[:, None]
    tree = merge_graph(
        features,
        grains.edges,
        areas=grains.areas,
        lengths=grains.lengths,
        strengths=borders(grains, features, BORDERS),
        feature=MERGE.feature,
        border=MERGE.border,
        size=MERGE.size,
    )
    labels = tree.labels(count=min(REGIONS, len(grains.areas)))[grains.labels]
    rows, columns = ((2 * np.arange(CELLS) + 1) * length // (2 * CELLS) for length in labels.shape)
    return labels[rows[:, None], columns].astype(np.uint8)
