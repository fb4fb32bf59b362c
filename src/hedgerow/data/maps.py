"""Painted labels: index and colour maps as arrays that fit their photo, and forests drawn from them.

In: a PNG of labels, its photo. Out: arrays (H, W) or (H, W, channels), checked; a map that is damaged, of another kind
or of another size than its upright photo is one line, because labels that are off would measure as a worse method.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hedgerow.data.examples import LayoutError, Truth
from hedgerow.forest import MaskForest, encode
from hedgerow.photos import PhotoRef, open_photo

VOID = 255  # the usual paint for "not judged"


def read_map(photo: PhotoRef, path: Path, channels: int | None = 1) -> np.ndarray:
    """(H, W) indices, or (H, W, channels) colours; None takes either."""
    try:
        with Image.open(path) as image:
            painted = np.array(image)
    except FileNotFoundError as error:
        raise LayoutError(f"{path}: there is no such file") from error
    except Exception as error:  # Pillow meets damaged files with nearly every type of exception there is
        raise LayoutError(f"{path}: damaged or cut short ({error}): fetch it again") from error
    if channels is not None and (painted.shape[2] if painted.ndim == 3 else 1) != channels:
        wanted = "an index map of one channel" if channels == 1 else f"a map of {channels} channels"
        raise LayoutError(
            f"{path}: expected {wanted}, got an image of mode {image.mode}: is it a picture of the labels?"
        )
    check_fits(photo, painted, path)
    return painted


def check_fits(photo: PhotoRef, labels: np.ndarray, path: Path) -> None:
    """`LayoutError` unless the labels have the size of the upright photo."""
    size = open_photo(photo, max_pixels=4096).size  # reduced, because a JPEG then is decoded many times faster
    if labels.shape[:2] != size:
        raise LayoutError(f"{path}: labels of {labels.shape[:2]} for the photo {photo.path} of {size} (height, width)")


def semantic_map(painted: np.ndarray, count: int, void: Sequence[int], path: Path) -> np.ndarray:
    """(H, W) int32 from 0 to count - 1, -1 where the map has a void value."""
    labels = painted.astype(np.int32)
    labels[np.isin(labels, void)] = -1
    if labels.max() >= count:
        raise LayoutError(
            f"{path}: has class {labels.max()}, expected 0 to {count - 1}: are these maps of another data set?"
        )
    return labels


def values_in(painted: np.ndarray, but: Sequence[int]) -> list[int]:
    """What a map is painted with, ascending."""
    return [int(value) for value in np.unique(painted) if value not in but]


def commonest(labels: np.ndarray, but: Sequence[int] = ()) -> int:
    """The commonest label that is not void, -1 where there is none."""
    counts = np.bincount(labels[(labels >= 0) & ~np.isin(labels, but)])
    return int(counts.argmax()) if len(counts) else -1


class DrawnForest:
    """Regions as they are read from maps, parents before children; `add` gives the row."""

    def __init__(self, size: tuple[int, ...]) -> None:
        self.size = (size[0], size[1])
        self.rles: list[bytes] = []
        self.parent: list[int] = []
        self.category: list[int] = []
        self.source: list[str] = []

    def add(self, mask: np.ndarray, parent: int = -1, category: int = -1, source: str = "") -> int:
        self.rles.append(encode(mask))
        self.parent.append(parent)
        self.category.append(category)
        self.source.append(source)
        return len(self.rles) - 1

    def truth(self, semantic: np.ndarray | None = None, name: tuple[str, ...] | None = None) -> Truth:
        regions = MaskForest(
            self.size,
            tuple(self.rles),
            np.array(self.parent, np.int32),
            source=tuple(self.source),
            category=np.array(self.category, np.int32),
            name=name,
        )
        return Truth(regions, np.zeros(len(regions), bool), semantic=semantic)
