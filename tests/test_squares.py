"""Photos as squares, and the few regions they fall into."""

import numpy as np
import pytest
from PIL import Image

from hedgerow.backbones.texture import TextureBackbone
from hedgerow.explore.squares import CELLS, REGIONS, few_regions, squarer
from hedgerow.photos import find_photos

TEXTURE = TextureBackbone()


def quarters(height, width):
    """Four coloured quarters under noise, and which is where on the map of regions."""
    rng = np.random.default_rng(0)
    colours = np.array([[200, 40, 40], [40, 180, 60], [50, 60, 200], [210, 200, 60]])
    down, across = np.arange(height) * 2 // height, np.arange(width) * 2 // width
    pixels = colours[2 * down[:, None] + across] + rng.normal(0, 8, (height, width, 3))
    cells = np.arange(CELLS) * 2 // CELLS
    return pixels.clip(0, 255).astype(np.uint8), 2 * cells[:, None] + cells


@pytest.mark.parametrize("size", [(128, 128), (96, 64)])
def test_regions_are_of_one_thing(size):
    pixels, quarter = quarters(*size)
    regions = few_regions(pixels, TEXTURE)
    assert regions.shape == (CELLS, CELLS)
    assert regions.dtype == np.uint8
    assert len(np.unique(regions)) <= REGIONS
    assert regions.max() < REGIONS
    table = np.zeros((REGIONS, 4), int)
    np.add.at(table, (regions.ravel(), quarter.ravel()), 1)
    assert table.max(1).sum() > 0.98 * CELLS**2, "no region lies in two quarters"
    assert np.array_equal(regions, few_regions(pixels, TEXTURE))


@pytest.mark.parametrize("side", [1, 2, 9])
def test_tiny_and_plain_photos(side):
    for value in (0, 255):
        regions = few_regions(np.full((side, side, 3), value, np.uint8), TEXTURE)
        assert regions.shape == (CELLS, CELLS)
        assert regions.max() < REGIONS


def test_a_square(tmp_path):
    pixels, _ = quarters(90, 120)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (ref,) = find_photos([tmp_path])
    bare, whole = squarer(64, regions=False)(ref), squarer(64, regions=True)(ref)
    assert bare.pixels.shape == (3, 64, 64)
    assert bare.shape == pytest.approx(4 / 3)
    assert bare.regions is None
    assert np.array_equal(bare.pixels, whole.pixels)
    assert whole.regions.shape == (CELLS, CELLS)
