"""How near refining brings masks of coarse cells to the true ones, beside the dense CRF, the guided filter and others.

    python benchmarks/refine.py            five minutes, one core; --every 1 --limit 1000 takes all there is

True masks become cells of 8 and 16 pixels, inside where at least half of a cell is; each refiner has the cells and the
photo. Real cells err: once more with a quarter of the cells along the border on the wrong side. The guided filter's two
knobs are the best of eight settings tried on masks of every 11th photo here; the CRF's are HASSOD's.

IoU with the true mask, of whole masks and of the band of one cell on each side of the cells' border; "kept" are masks
with an IoU of at least 0.5 before and after, as HASSOD keeps them. Milliseconds are processor time of one thread, so a
busy machine does not count as slow: what each further mask takes, and what a photo takes once. The dense CRF is in
numpy, which takes two to three times as long as its C++, and has fewer masks; a row tells how ours does on those.
"""

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy is imported, which reads it once
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from pycocotools import mask as coco
from scipy import ndimage

from dense_crf import ROUNDS, Gaussian, kernels_of, mean_field, softmax
from hedgerow.data.datasets import open_dataset
from hedgerow.data.examples import Truth
from hedgerow.explore.grain import grain
from hedgerow.explore.refine import refine
from hedgerow.photos import open_photo

HOME = Path(__file__).resolve().parents[1]
SETS = {"COCO": "coco:{}/coco", "BSDS": "bsds:{}/bsds500:val", "clothing": "clothing:{}/clothing"}
SMALLEST = 32 * 32  # pixels of a mask
TRIALS = ((8, 0), (16, 0), (16, 0.25))  # pixels a cell; share of the cells along the border that are wrong
CRF_EVERY, CRF_MASKS = 3, 3  # of the photos that are measured; the first masks of each
GRAINS = 3000
GUIDE_REACH, GUIDE_EPSILON = 1.0, 1e-4  # cells; white is 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("HEDGEROW_DATA", "data")),
        help="the folder of the data sets (HEDGEROW_DATA)",
    )
    parser.add_argument("--every", type=int, default=6, help="measure on every so many-th photo")
    parser.add_argument("--limit", type=int, default=10, help="at most so many masks of a photo, 2 or more")
    given = parser.parse_args()

    found: dict = {trial: defaultdict(list) for trial in TRIALS}  # by data set and row: the columns of each mask
    for name, spec in SETS.items():
        for number, example in enumerate(open_dataset(spec.format(given.data))[:: given.every]):
            pixels, rng = open_photo(example.photo).pixels, np.random.default_rng(number)
            masks = true_masks(example.truth())
            tried = [(mask, cells_of(mask, rng)) for mask in masks[:: max(-(-len(masks) // given.limit), 1)]]
            tried = [(mask, trials) for mask, trials in tried if all(0 < cells.mean() < 1 for cells in trials)]
            for k, trial in enumerate(TRIALS if len(tried) > 1 else ()):
                masks, cells = [mask for mask, _ in tried], [trials[k] for _, trials in tried]
                for row, columns in measure(pixels, masks, cells, with_crf=number % CRF_EVERY == 0):
                    found[trial][name, row] += columns
    for trial in TRIALS:
        print_table(trial, found[trial])


# ---------------------------------------------------------------------- masks and their cells


def true_masks(truth: Truth) -> list[np.ndarray]:
    """COCO's things that are no crowds, pieces of clothing, and what the first person saw in a photo of BSDS."""
    if truth.regions is None:
        masks = [truth.partitions[0] == label for label in np.unique(truth.partitions[0])]
    else:
        masks = list(truth.regions.masks(None if truth.crowd is None else np.flatnonzero(~truth.crowd)))
    return [mask for mask in masks if mask.sum() >= SMALLEST]


def cells_of(mask: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """(h, w) bool for each trial."""
    trials = []
    for side, wrong in TRIALS:
        down, across = (np.eye(count := max(round(size / side), 1))[lies_in(size, count)] for size in mask.shape)
        cells = down.T @ mask @ across >= 0.5 * np.outer(down.sum(0), across.sum(0))
        trials.append(cells ^ (along(cells) & (rng.random(cells.shape) < wrong)))
    return trials


def lies_in(size: int, count: int) -> np.ndarray:
    """(size,): the cell in which the middle of each pixel lies, along one axis."""
    return (2 * np.arange(size) + 1) * count // (2 * size)


def along(cells: np.ndarray) -> np.ndarray:
    """Cells that touch one of the other side, be it at a corner."""
    return ndimage.maximum_filter(cells, 3) & ~ndimage.minimum_filter(cells, 3)


# ---------------------------------------------------------------------- the refiners: from cells (h, w) to (H, W) bool


def by_repeating(pixels: np.ndarray, cells: Iterable[np.ndarray], size: tuple[int, int]) -> Iterator[np.ndarray]:
    place = np.ix_(*map(lies_in, pixels.shape, size))
    for inside in cells:
        yield inside[place]


def by_interpolating(pixels: np.ndarray, cells: Iterable[np.ndarray], size: tuple[int, int]) -> Iterator[np.ndarray]:
    for share in interpolated(pixels, cells, size):
        yield share >= 0.5


def interpolated(pixels: np.ndarray, cells: Iterable[np.ndarray], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """(H, W) float32 in 0 ... 1, linear along both axes between the middles of cells."""
    axes = []
    for length, count in zip(pixels.shape, size, strict=False):
        at = np.clip((np.arange(length) + 0.5) * count / length - 0.5, 0, count - 1)
        axes.append(np.maximum(1 - np.abs(at[:, None] - np.arange(count)), 0).astype(np.float32))
    for inside in cells:
        yield axes[0] @ inside.astype(np.float32) @ axes[1].T


def by_grains(pixels: np.ndarray, cells: Iterable[np.ndarray], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Each superpixel as most of it is."""
    grains = grain(pixels, GRAINS)
    for share in interpolated(pixels, cells, size):
        yield (np.bincount(grains.labels.ravel(), share.ravel()) >= 0.5 * grains.areas)[grains.labels]


def by_guided_filter(pixels: np.ndarray, cells: Iterable[np.ndarray], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """He et al. 2013, section 3.5: linear in the three colours, by least squares in every window."""
    reach = round(GUIDE_REACH * pixels.shape[0] / size[0])

    def mean(values: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(values, 2 * reach + 1, axes=(0, 1))

    guide = pixels.astype(np.float32) / 255
    colour = mean(guide)
    variance = mean(guide[..., None] * guide[..., None, :]) - colour[..., None] * colour[..., None, :]
    inverse = np.linalg.inv(variance + GUIDE_EPSILON * np.eye(3, dtype=np.float32))
    for share in interpolated(pixels, cells, size):
        slope = (inverse @ (mean(guide * share[..., None]) - colour * mean(share)[..., None])[..., None])[..., 0]
        yield (mean(slope) * guide).sum(-1) + mean(mean(share) - (slope * colour).sum(-1)) >= 0.5


def by_refine(pixels: np.ndarray, cells: Iterable[np.ndarray], size: tuple[int, int]) -> Iterator[np.ndarray]:
    for text in refine(pixels, cells)[0]:
        yield coco.decode({"size": pixels.shape[:2], "counts": text}) > 0


def by_dense_crf(pixels: np.ndarray, cells: Iterable[np.ndarray], size: tuple[int, int]) -> Iterator[np.ndarray]:
    """HASSOD lays the lattice anew for each mask; here the masks of a photo share it."""
    kernels = [(Gaussian(features), weight) for features, weight in kernels_of(pixels)]
    for share in interpolated(pixels, cells, size):
        start = np.log(softmax(np.stack([1 - share.ravel(), share.ravel()], 1)))
        yield mean_field(start, kernels, ROUNDS).argmax(1).reshape(share.shape) == 1


REFINERS = {
    "cells": by_repeating,
    "interpolated": by_interpolating,
    "grains' votes": by_grains,
    "guided filter": by_guided_filter,
    "ours": by_refine,
    "dense CRF": by_dense_crf,
}


# ---------------------------------------------------------------------- measuring and telling


def measure(pixels, masks, cells, with_crf: bool) -> Iterator[tuple[str, list[tuple[float, ...]]]]:
    """Rows of the table, with the columns of each mask."""
    size = cells[0].shape
    before = list(by_interpolating(pixels, cells, size))
    bands = list(by_repeating(pixels, map(along, cells), size))
    for row, refiner in REFINERS.items():
        if row == "dense CRF" and not with_crf:
            continue
        few = cells[:CRF_MASKS] if row == "dense CRF" else cells
        start, asked = time.process_time(), []
        refined = list(refiner(pixels, noting(few, asked), size))
        total = time.process_time() - start
        each = (asked[-1] - asked[1]) / (len(few) - 1)  # the first mask may wait for what is done once a photo
        columns = [
            (iou(mask, now), iou(mask & band, now & band), iou(old, now) >= 0.5, each, total - len(few) * each)
            for mask, now, old, band in zip(masks, refined, before, bands, strict=False)
        ]
        yield row, columns
        if row == "ours" and with_crf:
            yield "ours, CRF's masks", columns[:CRF_MASKS]


def noting(cells: list[np.ndarray], asked: list[float]) -> Iterator[np.ndarray]:
    """The cells of one mask after the other, and when each was asked for."""
    for inside in cells:
        asked.append(time.process_time())
        yield inside
    asked.append(time.process_time())


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / max((one | other).sum(), 1)


def print_table(trial: tuple[int, float], of: dict[tuple[str, str], list]) -> None:
    print(f"\ncells of {trial[0]} pixels" + (f", {trial[1]:.0%} wrong along the border" if trial[1] else ""))
    rows = dict.fromkeys(row for _, row in of)
    counts = (f"{name}: {len(of[name, 'ours'])} masks, CRF {len(of[name, 'dense CRF'])}" for name in SETS)
    print(" " * 18 + "".join(f"   {told:<29}" for told in counts))
    print(" " * 18 + f"{'IoU':>6}{'band':>6}{'kept':>6}{'ms':>7}{'+photo':>7}" * len(SETS))
    for row in rows:
        line = f"{row:<18}"
        for name in SETS:
            whole, band, kept, each, once = np.mean(of[name, row] or [[np.nan] * 5], 0)
            line += f"{100 * whole:6.1f}{100 * band:6.1f}{100 * kept:6.0f}{1000 * each:7.1f}{1000 * max(once, 0):7.0f}"
        print(line)


if __name__ == "__main__":
    main()
