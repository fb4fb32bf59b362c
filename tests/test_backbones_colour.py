"""Colour and place: each number by its definition."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from hedgerow.backbones import feature_map, open_backbone


@pytest.mark.parametrize(("height", "width", "grid"), [(16, 24, (2, 3)), (8, 8, (1, 1)), (40, 16, (5, 2))])
def test_equals_the_definition_cell_by_cell(height, width, grid):
    photo = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    found = feature_map(open_backbone("colour"), photo).values
    assert found.shape == (*grid, 8)
    assert found.dtype == np.float32
    for row in range(grid[0]):
        for column in range(grid[1]):
            cell = rgb2lab(photo[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]).reshape(-1, 3) / 100
            place = [(row + 0.5) / grid[0], (column + 0.5) / grid[1]]
            np.testing.assert_allclose(found[row, column], [*cell.mean(0), *cell.std(0), *place], atol=1e-4)


def test_sizes_are_brought_to_whole_cells():
    photos = np.zeros((2, 21, 50, 3), np.uint8)
    assert open_backbone("colour").features(photos).shape == (2, 3, 6, 8)
    assert open_backbone("colour?size=42").features(photos).shape == (2, 5, 13, 8)
    assert open_backbone("colour?size=16&square=true").features(photos[:0]).shape == (0, 2, 2, 8)
