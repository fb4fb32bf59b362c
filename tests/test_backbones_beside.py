"""Backbones side by side: on one grid, of one weight, and honest about what they learned from."""

import numpy as np
import pytest

from hedgerow.backbones import open_backbone
from hedgerow.backbones.beside import BesideBackbone
from hedgerow.config import CallerError


class Fixed:
    """A backbone that says what it is told to."""

    def __init__(self, values, name="fixed", supervision="none", weights=None):
        self.values, self.name, self.supervision, self.weights_sha256 = values, name, supervision, weights

    def features(self, pixels):
        return np.repeat(self.values[None], len(pixels), 0).astype(np.float32)


PIXELS = np.zeros((2, 16, 24, 3), np.uint8)


def test_parts_weigh_the_same_whatever_their_units():
    rng = np.random.default_rng(0)
    small, large = rng.normal(5, 0.01, (4, 6, 3)), rng.normal(-40, 1000, (4, 6, 8))
    found = BesideBackbone([Fixed(small), Fixed(large)]).features(PIXELS)
    assert found.shape == (2, 4, 6, 11)
    for part in (found[..., :3], found[..., 3:]):
        assert np.square(part).sum(-1).mean() == pytest.approx(1, rel=1e-4)
        assert np.abs(part.mean((1, 2))).max() < 1e-4


def test_the_finest_grid_is_taken():
    """A ramp stays a ramp: bilinear between the middles of cells, flat beyond the outermost."""
    ramp = np.broadcast_to(np.arange(3.0)[:, None, None], (3, 4, 1))
    fine = np.random.default_rng(0).normal(size=(6, 8, 2))
    found = BesideBackbone([Fixed(ramp), Fixed(fine)]).features(PIXELS)[0, :, 0, 0]
    assert found.shape == (6,)
    scale = np.sqrt(2 / 3)  # of 0, 1, 2 about their mean
    assert found * scale + 1 == pytest.approx([0, 0.25, 0.75, 1.25, 1.75, 2], abs=1e-5)


def test_one_cell_and_constant_parts():
    found = BesideBackbone([Fixed(np.full((1, 1, 2), 7.0)), Fixed(np.eye(3)[None])]).features(PIXELS)
    assert found.shape == (2, 1, 3, 5)
    assert (found[..., :2] == 0).all()
    assert np.isfinite(found).all()


def test_it_says_what_its_parts_are():
    parts = [Fixed(PIXELS[0], "a", "none", "1"), Fixed(PIXELS[0], "b", "captions"), Fixed(PIXELS[0], "c", "none", "2")]
    both = BesideBackbone(parts)
    assert (both.name, both.supervision) == ("a+b+c", "captions")
    assert both.weights_sha256 != BesideBackbone(parts[::-1]).weights_sha256
    assert BesideBackbone(parts[1:2]).weights_sha256 is None


def test_by_name(tmp_path):
    both = open_backbone("texture?size=64+colour")
    assert both.name == "texture+colour"
    assert both.features(PIXELS).shape[:3] == (2, 16, 24)
    with pytest.raises(CallerError, match=r"options go to each part of texture\+colour"):
        open_backbone("texture+colour", size=3)
    with pytest.raises(CallerError, match="no backbone 'tex'"):
        open_backbone("texture+tex")
    (tmp_path / "a+b.onnx").write_bytes(b"")
    with pytest.raises(CallerError, match=r"a\+b\.json"):  # one file, whose card is missing
        open_backbone(str(tmp_path / "a+b.onnx"))
