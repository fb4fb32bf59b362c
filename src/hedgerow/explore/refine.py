"""Masks of coarse cells brought to the pixels' edges, from the photo alone: SOHES, refinement.

In: a photo (H, W, 3) uint8 and masks (h, w), coarser than it, bool or soft in [0, 1]; or one partition (h, w) int.
Out: masks as run lengths at the photo's size and which of them to keep; or the partition (H, W).

The published refiners are CascadePSP (SOHES), which people's masks have taught, and a dense CRF (HASSOD), which needs
seconds a photo. Ours takes two milliseconds a mask. In a band of one cell on each side of a mask's border, every pixel

1. starts as the cells say, interpolated;
2. is judged by its colour: Bayes' rule, with the colours of the band inside against those outside (as GrabCut's colour
   models, Rother et al. 2004, but local and as plain histograms);
3. settles with its neighbours where no edge lies between them: weighted least squares, solved along rows and columns
   in turn (Min et al. 2014, "Fast global image smoothing", section IV).

Classes of a partition go the same way one by one, and the strongest takes the pixel. `benchmarks/refine.py` has the
numbers, beside the dense CRF, the guided filter and others. Nothing here is random.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from hedgerow.native import library
from hedgerow.rle import compressed

# tuned on half the photos of BSDS500, COCO and CCP, cells of 4 to 16 pixels; none of them matters within a factor of 2
TIE = 1.0  # how strongly neighbouring pixels hold together, in units of the area of a cell
EDGE = 0.4  # steps of colour that loosen the tie to 1/e, in units of the mean step around
NEAR = 0.7  # cells around a pixel that its mean step is of: an edge is what stands out there
EVEN = 1.0  # grey values: a mean step below it says nothing, and pixels stay as the cells and colours have them
BLUR = 1.0  # pixels; the photo's grain would be edges else


def refine(
    pixels: np.ndarray,
    masks: Iterable[np.ndarray],
    *,
    keep_iou: float = 0.5,
    size: tuple[int, int] | None = None,
    place: tuple[slice, slice] | None = None,
) -> tuple[tuple[bytes, ...], np.ndarray]:
    """N masks (h, w) of one size -> N run lengths at the photo's size, and (N,) bool: is it still the same region.

    A mask stays where its overlap (IoU) before and after is at least `keep_iou`; HASSOD and UnSAM use 0.5. Masks that
    are empty, or become so, never stay. `masks` may be a generator: one mask at a time is looked at.

    With `size` the run lengths are of a photo that large, of which `pixels` shows the rows and columns in `place`,
    reduced perhaps; what is larger than `pixels` repeats them.
    """
    height, width = _size(pixels)
    size = size or (height, width)
    down, right = place or (slice(0, size[0]), slice(0, size[1]))
    pixels = np.ascontiguousarray(pixels)
    box, area = np.zeros(4, np.int32), np.zeros(2, np.int64)
    window = np.empty(height * width, np.uint8)
    pull, cells = None, None
    texts, same = [], []
    for mask in masks:
        share = np.ascontiguousarray(mask, np.float32)
        if share.ndim != 2 or not share.size or share.shape != (cells or share.shape):
            raise ValueError(f"masks have one size (h, w) and at least a cell, got {share.shape} after {cells}")
        if not -0.01 < share.min() <= share.max() < 1.01:  # resizing may overshoot by rounding
            raise ValueError(f"masks lie in 0 ... 1, got {share.min():g} ... {share.max():g}: give logits a sigmoid")
        share = np.clip(share, 0, 1)
        if pull is None:
            cells, pull = share.shape, _pull(pixels, share.shape)
        if library().hedgerow_refine(height, width, pixels, pull, *share.shape, share, box, window, area):
            raise MemoryError("no memory to refine a mask")
        texts.append(_text(*_enlarged(window, box, (height, width), (down, right)), size))
        same.append(area[0] > 0 and area[0] >= keep_iou * area[1])
    return tuple(texts), np.array(same, bool)


def refine_labels(pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A partition of cells (h, w) int -> (H, W) with the same labels, its borders at the photo's edges."""
    height, width = _size(pixels)
    if labels.ndim != 2 or not labels.size or labels.dtype.kind not in "iu":
        raise ValueError(f"labels are whole numbers (h, w), got {labels.dtype} {labels.shape}")
    pixels = np.ascontiguousarray(pixels)
    pull = _pull(pixels, labels.shape)
    best, refined = np.full((height, width), -1, np.float32), np.zeros((height, width), np.int32)
    values = np.unique(labels)
    for number, value in enumerate(values):
        share = (labels == value).astype(np.float32)
        if library().hedgerow_refine_label(height, width, pixels, pull, *share.shape, share, number, best, refined):
            raise MemoryError("no memory to refine a partition")
    return values[refined]


def _size(pixels: np.ndarray) -> tuple[int, int]:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise ValueError(f"a photo is (H, W, 3) uint8, got {pixels.dtype} {pixels.shape}")
    return pixels.shape[:2]


def _pull(pixels: np.ndarray, cells: tuple[int, int]) -> np.ndarray:
    """(4, H, W) float32: how far a pixel goes with its neighbour left, right, above and below when it settles."""
    soft = ndimage.gaussian_filter(pixels.astype(np.float32), (BLUR, BLUR, 0))
    steps = [_steps(soft, axis) for axis in (1, 0)]
    cell = [size / count for size, count in zip(pixels.shape, cells, strict=False)]
    around = ndimage.uniform_filter((steps[0] + steps[1]) / 2, [2 * int(NEAR * side) + 1 for side in cell])
    pull = np.empty((4, *pixels.shape[:2]), np.float32)
    for axis, step in zip((1, 0), steps, strict=True):
        bonds = TIE * cell[axis] ** 2 * around / (around + EVEN) * np.exp(-step / (EDGE * (around + EVEN)))
        lines = np.ascontiguousarray(bonds if axis else bonds.T, np.float32)
        ahead, back = np.empty_like(lines), np.empty_like(lines)
        library().hedgerow_pull(*lines.shape, lines, ahead, back)
        first = 0 if axis else 2
        pull[first], pull[first + 1] = (ahead, back) if axis else (ahead.T, back.T)
    return pull


def _steps(soft: np.ndarray, axis: int) -> np.ndarray:
    """(H, W): how far the colour of each pixel is from the next one's; 0 for the last."""
    steps = np.zeros(soft.shape[:2], np.float32)
    inner = steps[:, :-1] if axis else steps[:-1]
    inner[...] = np.sqrt(np.square(np.diff(soft, axis=axis)).sum(-1))
    return steps


def _enlarged(
    window: np.ndarray, box: np.ndarray, size: tuple[int, int], place: tuple[slice, slice]
) -> tuple[np.ndarray, int, int]:
    """A mask in a box (top, bottom, left, right) of `size`, column by column -> (wide, high) at the pixels of the photo
    that `size` shows in `place`, and where in the photo that begins: top, left."""
    top, bottom, left, right = box.tolist()
    mask = window[: (right - left) * (bottom - top)].reshape(right - left, bottom - top)
    down, across = (
        np.arange(whole.stop - whole.start) * shown // (whole.stop - whole.start)
        for whole, shown in zip(place, size, strict=True)
    )
    rows = slice(*np.searchsorted(down, (top, bottom)))
    columns = slice(*np.searchsorted(across, (left, right)))
    mask = mask[across[columns, None] - left, down[rows] - top]
    return mask, place[0].start + int(rows.start), place[1].start + int(columns.start)


def _text(mask: np.ndarray, top: int, left: int, size: tuple[int, int]) -> bytes:
    """Run lengths of a mask given column by column, (wide, high), from (top, left) on in a photo."""
    wide, high = mask.shape
    columns = np.zeros((wide, high + 1), np.uint8)  # one row more, of nothing: no run goes on below the box
    columns[:, :high] = mask
    turns = np.flatnonzero(np.diff(columns.ravel(), prepend=0))
    column, row = np.divmod(turns, high + 1)
    places = (left + column) * size[0] + top + row
    return compressed(np.diff(places, prepend=0, append=size[0] * size[1]), size)
