"""Grains: the finest regions of a photo, small and edged where the photo has edges. All larger regions are unions.

In: pixels (H, W, 3) uint8. Out: a partition into a few thousand grains, who borders whom, how strong each border is.

A watershed of the colour gradient, flooded from one seed a grid cell. SOHES merges patches of 8x8 pixels and repairs
the edges of the masks afterwards (section 3.1); we depart from it: merging grains keeps edges at pixels from the start
(`benchmarks/explore.py` has both).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy import ndimage

from hedgerow.colour import lab
from hedgerow.native import library
from hedgerow.partition import meetings

FAINT = 0.2  # Lab a pixel: a mean border fainter than this is noise, and no unit to measure others by
UNSURE = 0.01  # the same of borders as a network sees them, of which the strongest is 1


@dataclass(frozen=True, eq=False)
class Grain:
    """L grains of one photo.

    labels     (H, W) int32, 0..L-1
    areas      (L,) float32, pixels
    edges      (m, 2) int32, pairs of grains that touch
    lengths    (m,) float32, pixels of the common border
    strengths  (m,) float32, mean gradient along it, in units of the photo's mean border
    cells      (h, w) where the grains are the cells of a grid, row by row; None where they are edged as the photo is
    """

    labels: np.ndarray
    areas: np.ndarray
    edges: np.ndarray
    lengths: np.ndarray
    strengths: np.ndarray
    cells: tuple[int, int] | None = None

    def pool(self, values: np.ndarray) -> np.ndarray:
        """Features (h, w, D) of patches that span the photo -> (L, D): the mean over each grain's pixels."""
        height, width = self.labels.shape
        h, w, dims = values.shape
        rows, columns = np.arange(height) * h // height, np.arange(width) * w // width
        patch = rows[:, None] * w + columns[None, :]
        share = _counts(self.labels, patch, len(self.areas), h * w)
        return (share @ values.reshape(h * w, dims)) / self.areas[:, None]

    def along(self, values: np.ndarray) -> np.ndarray:
        """What each pixel says of how strongly something ends there, (H, W) -> (m,) float32 strengths of borders, in
        units of the photo's mean one."""
        _, place, met = meetings(self.labels, values)
        mean = np.bincount(place, met, len(self.edges)) / np.maximum(self.lengths, 1)
        unit = max(float(mean.mean()) if len(mean) else 0.0, UNSURE)
        return (mean / unit).astype(np.float32)


def grain(pixels: np.ndarray, count: int) -> Grain:
    """About `count` grains of a photo."""
    relief = gradient(pixels)
    labels = _seeds(relief, count)
    flood(relief, labels)
    return _described(labels, relief)


def cells(pixels: np.ndarray, h: int, w: int) -> Grain:
    """The h x w patches of a feature map as grains: SOHES as published, edges as coarse as the patches."""
    height, width = pixels.shape[:2]
    h, w = min(h, height), min(w, width)  # a photo of fewer pixels than patches has a grain a pixel
    rows, columns = np.arange(height) * h // height, np.arange(width) * w // width
    labels = (rows[:, None] * w + columns[None, :]).astype(np.int32)
    return replace(_described(labels, gradient(pixels)), cells=(h, w))


def enlarged(labels: np.ndarray, pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Grains of a reduced photo at full size: (h, w) labels -> (H, W).

    `pixels` is the photo as large as it was decoded. Each grain keeps its inside and the water rises once more in
    between, so edges lie at the pixels of the larger photo. What is larger still repeats pixels.
    """
    if labels.shape[0] < pixels.shape[0] or labels.shape[1] < pixels.shape[1]:
        inside = labels.copy()
        for axis in range(2):
            for step in (1, -1):  # what touches another grain, or would by a pixel, is to be decided again
                inside[np.roll(labels, step, axis) != labels] = -1
        seeds = _repeated(inside, pixels.shape[:2])
        whole = _repeated(labels, pixels.shape[:2])
        lost = np.bincount(seeds[seeds >= 0], minlength=labels.max() + 1) == 0
        seeds[lost[whole]] = whole[lost[whole]]  # a grain too thin to have an inside stays as it was
        flood(gradient(pixels), seeds)
        labels = seeds
    return _repeated(labels, size)


def flood(relief: np.ndarray, labels: np.ndarray) -> None:
    """Water from the seeds in `labels`, -1 elsewhere, fills them in place."""
    # 256 heights, finer near the ground, where most of a photo lies
    steep = (np.sqrt(relief / max(float(relief.max()), 1e-6)) * 255).astype(np.uint8)
    if library().hedgerow_flood(*labels.shape, steep, labels):
        raise MemoryError("no memory for the grains of a photo")


def gradient(pixels: np.ndarray) -> np.ndarray:
    """(H, W) float32: length of the colour gradient in Lab, at a scale of one pixel."""
    colours = lab(pixels)
    square = np.zeros(pixels.shape[:2], np.float32)
    for channel in range(3):
        soft = ndimage.gaussian_filter(colours[..., channel], 1)
        for axis in range(2):
            square += (ndimage.sobel(soft, axis) / 8) ** 2
    return np.sqrt(square)


def _seeds(relief: np.ndarray, count: int) -> np.ndarray:
    """(H, W) int32: one numbered pixel a grid cell, the flattest one about its middle; -1 elsewhere."""
    height, width = relief.shape
    soft = ndimage.gaussian_filter(relief, 1)
    down = min(max(1, round(height * np.sqrt(count / (height * width)))), height)
    across = min(max(1, round(count / down)), width)
    tops, lefts = np.arange(down + 1) * height // down, np.arange(across + 1) * width // across
    labels = np.full(relief.shape, -1, np.int32)
    number = 0
    for top, bottom in pairwise(tops):
        third = (bottom - top) // 6  # the middle two thirds: seeds of neighbouring cells never touch
        band = soft[top + third : max(bottom - third, top + third + 1)]
        for left, right in pairwise(lefts):
            sixth = (right - left) // 6
            window = band[:, left + sixth : max(right - sixth, left + sixth + 1)]
            y, x = divmod(int(window.argmin()), window.shape[1])
            labels[top + third + y, left + sixth + x] = number
            number += 1
    return labels


def _repeated(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Nearest neighbour at another size."""
    if labels.shape == tuple(size):
        return labels
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, labels.shape, strict=True))
    return np.ascontiguousarray(labels[rows[:, None], columns[None, :]])


def _described(labels: np.ndarray, relief: np.ndarray) -> Grain:
    edges, place, steepness = meetings(labels, relief)
    lengths = np.bincount(place, minlength=len(edges))
    strengths = np.bincount(place, steepness, len(edges)) / np.maximum(lengths, 1)
    unit = max(float(strengths.mean()) if len(edges) else 0.0, FAINT)
    return Grain(
        labels=labels,
        areas=np.bincount(labels.ravel()).astype(np.float32),
        edges=edges,
        lengths=lengths.astype(np.float32),
        strengths=(strengths / unit).astype(np.float32),
    )


def _counts(labels: np.ndarray, patch: np.ndarray, grains: int, patches: int):
    """Sparse (grains, patches): pixels that a grain and a patch share."""
    from scipy.sparse import csr_array

    pair, pixels = np.unique(labels.ravel().astype(np.int64) * patches + patch.ravel(), return_counts=True)
    return csr_array((pixels.astype(np.float32), (pair // patches, pair % patches)), shape=(grains, patches))
