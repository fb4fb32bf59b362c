"""A large photo in tiles, whose seams must not show."""

from itertools import pairwise

import numpy as np
import pytest

from hedgerow.config import Predict
from hedgerow.forest import MaskForest
from hedgerow.photos import open_photo
from hedgerow.predict import predict
from hedgerow.predict.tiles import OVERLAP, Tile, sewn, tiles


class Sees:
    """A network that sees each plain colour as a thing, down to a least share of what it looks at."""

    name = "sees"

    def __init__(self, colours, least=0.0):
        self.colours, self.least = colours, least
        self.looks = []

    def look(self, pixels, size=None):
        self.looks.append(pixels.shape[:2])
        there = np.stack([(pixels == colour).all(2) for colour in self.colours], 2)
        big = there.mean((0, 1)) > self.least
        masks = np.where(there & big, 8.0, -8.0).astype(np.float32)
        return np.where(big, 4.0, -4.0), masks, np.full((len(big),) * 2, -4.0)


def painted(size, boxes):
    """Rectangles (top, left, height, width) of one colour each on grey."""
    pixels, colours = np.full((*size, 3), 128, np.uint8), []
    for number, (top, left, height, width) in enumerate(boxes):
        colours.append((np.uint8([255, 40, 90]) + np.uint8([0, 60, 40]) * number).astype(np.uint8))
        pixels[top : top + height, left : left + width] = colours[-1]
    return pixels, np.array(colours)


@pytest.mark.parametrize(("size", "side"), [((100, 260), 100), ((301, 203), 77), ((64, 64), 48), ((10, 500), 60)])
def test_tiles_cover_the_photo_and_overlap(size, side):
    counts = np.zeros(size, int)
    for view in tiles(size, side):
        rows, columns = view.of(*size)
        assert rows.stop - rows.start == min(side, size[0])
        assert columns.stop - columns.start == min(side, size[1])
        counts[rows, columns] += 1
    assert counts.min() >= 1
    for axis, length in enumerate(size):
        starts = sorted({view.of(*size)[axis].start for view in tiles(size, side)})
        assert all(b - a <= side * (1 - OVERLAP) + 1 for a, b in pairwise(starts))
        assert starts[-1] + min(side, length) == length


def test_a_photo_that_one_tile_would_cover_has_none():
    assert tiles((100, 80), 100) == []


def test_what_seams_cut_is_sewn_together():
    """A small thing in one tile, one on a seam, and one across all of the photo; the whole look sees the last alone."""
    boxes = [(10, 10, 20, 20), (40, 80, 30, 30), (110, 0, 30, 400)]
    pixels, colours = painted((160, 400), boxes)
    model = Sees(colours, least=0.1)
    forest = predict(open_photo(pixels), model, Predict(tiles=120, pixels=160 * 400))
    assert model.looks[0] == (160, 400)
    assert len(model.looks) == 1 + len(tiles((160, 400), 120))
    truth = [np.all(pixels == colour, axis=2) for colour in colours]
    best = MaskForest.from_masks(truth).iou(forest).max(1)
    assert best[2] > 0.95, "the large one"
    alone = predict(open_photo(pixels), Sees(colours, least=0.1), Predict(pixels=160 * 400))
    assert len(alone) == 1
    near = predict(open_photo(pixels), Sees(colours, least=0.02), Predict(tiles=120, pixels=160 * 400))
    best = MaskForest.from_masks(truth).iou(near).max(1)
    assert best.min() > 0.95, best
    assert len(near) <= 4, "no halves are left"


def test_sewn_as_one_would_by_hand():
    """Two tiles that share two columns: one region goes on, one is cut for good, one is whole."""
    left = np.array([[0, 0, 1, 1], [2, 2, 2, 3]], np.int32)
    right = np.array([[0, 0, 0, 1], [2, 2, 3, 3]], np.int32)
    one = Tile(left, 0, 0, np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]], bool), np.float32([0.8, 0.6, 0.9]),
               np.array([True, False, True]))  # fmt: skip
    other = Tile(right, 0, 2, np.array([[1, 0, 0, 0], [0, 1, 0, 0]], bool), np.float32([0.4, 0.5]),
                 np.array([True, False]))  # fmt: skip
    forest = sewn([one, other], (2, 6))
    found = {mask.astype(int).tobytes(): score for mask, score in zip(forest.masks(), forest.score, strict=True)}
    wanted = [([0, 0, 1, 1, 1, 0], 0.6), ([1, 1, 0, 0, 0, 0], 0.6), ([0, 0, 0, 0, 0, 1], 0.5)]
    assert len(found) == 3
    for row, score in wanted:
        assert found[np.array([row, [0] * 6]).tobytes()] == pytest.approx(score)
