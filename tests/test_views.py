"""Views: that they show what they say they show, and that colours, blur and hidden patches are as told."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from hedgerow.config import Views
from hedgerow.learn.views import (
    BLUR,
    LUMA,
    MEAN,
    RATIO,
    STD,
    boxes,
    cut,
    draw,
    draw_hidden,
    middles,
    patches_at,
)


def plain(count, seed=0):
    """Draws that leave colours as they are; what kind 1 still does, blur in one of ten, is switched off, too."""
    draws = draw(count, torch.Generator().manual_seed(seed))
    off = torch.ones(count)
    return replace(draws, jitter=torch.ones(count, 5), grey=off, blur=torch.ones(count, 2), solar=off)


def pixels_of(view):
    """In 0 ... 1 again, (B, V, V, 3)."""
    return (view.pixels.permute(0, 2, 3, 1) * torch.tensor(STD) + torch.tensor(MEAN)).numpy()


def coordinates(count, side=64):
    """Photos whose red is the row and whose green is the column."""
    ramp = torch.linspace(0, 255, side).round().to(torch.uint8)
    photos = torch.zeros(count, 3, side, side, dtype=torch.uint8)
    photos[:, 0], photos[:, 1] = ramp[:, None], ramp[None]
    return photos


# ---------------------------------------------------------------------- where a view lies


def test_boxes_cover_what_was_asked():
    shape = torch.tensor([1.0, 1.5, 0.6]).repeat(200)
    box = boxes(shape, draw(600, torch.Generator().manual_seed(0)), (0.2, 0.5))
    top, left, height, width = box.T
    assert (box >= 0).all()
    assert (top + height <= 1 + 1e-6).all()
    assert (left + width <= 1 + 1e-6).all()
    whole = (height < 1) & (width < 1)  # what had to be cut at the photo's edge covers less
    assert 0.2 - 1e-5 <= (height * width)[whole].min() < 0.23
    assert 0.45 < (height * width)[whole].max() <= 0.5 + 1e-5
    ratio = (width * shape / height)[whole]
    assert RATIO[0] - 1e-4 <= ratio.min() < 0.8
    assert 1.25 < ratio.max() <= RATIO[1] + 1e-4


def test_a_view_shows_what_its_box_says():
    photos = coordinates(40)
    view = cut(photos, torch.full((40,), 1.3), plain(40), size=24, share=(0.2, 0.8), kind=1)
    assert 5 < view.flip.sum() < 35
    seen = pixels_of(view)[..., :2].reshape(40, -1, 2)
    places = middles(view, 24).numpy()  # in shares of the photo; its 64 pixels have their middles at (i + 0.5) / 64
    expected = np.clip((places * 64 - 0.5) / 63, 0, 1)
    assert np.abs(seen - expected).max() < 0.01


def test_one_place_is_found_in_two_views():
    """The colour of a coordinate photo at a patch of one view and at the patch found for it in the other: the same
    place within a patch."""
    photos, shape = coordinates(60), torch.full((60,), 0.8)
    one, other = (cut(photos, shape, plain(60, seed), size=48, share=(0.3, 1.0), kind=1) for seed in (0, 1))
    patch, there = patches_at(other, middles(one, 6), 6)
    assert 0.3 < there.float().mean() < 0.95
    mean = [
        torch.from_numpy(pixels_of(view)[..., :2]).unfold(1, 8, 8).unfold(2, 8, 8).mean((-1, -2))
        for view in (one, other)
    ]
    here, found = mean[0].flatten(1, 2), torch.gather(mean[1].flatten(1, 2), 1, patch[..., None].expand(-1, -1, 2))
    reach = other.box[:, None, 2:] / 6 / 2 * 64 / 63 + 0.01  # half a patch of the other view
    assert (((here - found).abs() <= reach).all(-1) | ~there).all()
    outside = (middles(one, 6) < other.box[:, None, :2]) | (
        middles(one, 6) > (other.box[:, :2] + other.box[:, 2:])[:, None]
    )
    assert torch.equal(there, ~outside.any(-1))


# ---------------------------------------------------------------------- colours


def whole(photos, draws, kind=1, size=32):
    """The photo itself as a view of its own size."""
    draws = replace(draws, crop=torch.zeros_like(draws.crop), flip=torch.ones_like(draws.flip))
    ratio = -math.log(RATIO[0]) / (math.log(RATIO[1]) - math.log(RATIO[0]))  # of width and height 1
    draws.crop[:, 0], draws.crop[:, 1] = 1, ratio
    return pixels_of(cut(photos, torch.ones(len(photos)), draws, size=size, share=(0.0, 1.0), kind=kind))


def noise(count=6, side=32):
    return torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_plain_views_are_the_photo():
    photos = noise()
    assert np.abs(whole(photos, plain(6)) - photos.permute(0, 2, 3, 1).numpy() / 255).max() < 1e-5


def test_brightness_contrast_saturation_one_by_one():
    photos = noise() // 2  # dark enough that nothing is clipped
    before = photos.permute(0, 2, 3, 1).numpy() / 255
    luma = before @ np.array(LUMA)
    still = torch.full((6, 5), 0.5)
    still[:, 0] = 0
    for column, expected in (
        (1, before * 1.2),
        (2, before * 1.2 - 0.2 * luma.mean((1, 2))[:, None, None, None]),
        (3, before * 1.1 - 0.1 * luma[..., None]),
    ):
        jitter = still.clone()
        jitter[:, column] = 0.75
        found = whole(photos, replace(plain(6), jitter=jitter))
        assert np.abs(found - np.clip(expected, 0, 1)).max() < 1e-4


def test_hue_turns_and_keeps_the_luma():
    photos = noise() // 4 + 80
    jitter = torch.full((6, 5), 0.5)
    jitter[:, 0], jitter[:, 4] = 0, 0.9
    before, found = photos.permute(0, 2, 3, 1).numpy() / 255, whole(photos, replace(plain(6), jitter=jitter))
    assert np.abs(found - before).max() > 0.02
    assert np.abs((found - before) @ np.array(LUMA)).max() < 2e-3


def test_grey_and_solarised():
    photos = noise()
    before = photos.permute(0, 2, 3, 1).numpy() / 255
    grey = whole(photos, replace(plain(6), grey=torch.zeros(6)))
    assert np.abs(grey - (before @ np.array(LUMA))[..., None]).max() < 1e-4
    solar = whole(photos, replace(plain(6), solar=torch.zeros(6)))
    assert np.abs(solar - np.where(before >= 0.5, 1 - before, before)).max() < 1e-4
    assert np.array_equal(
        whole(photos, replace(plain(6), solar=torch.zeros(6)), kind=0), whole(photos, plain(6), kind=0)
    )


def test_blur_is_gaussian():
    photos = noise(side=96)
    blur = torch.zeros(6, 2)
    blur[:, 1] = 0.5
    found = whole(photos, replace(plain(6), blur=blur), size=96)
    sigma = (BLUR[0] + BLUR[1]) / 2 * 96 / 224
    expected = ndimage.gaussian_filter(photos.permute(0, 2, 3, 1).numpy() / 255, (0, sigma, sigma, 0), mode="nearest")
    assert np.abs(found - expected).max() < 0.02


# ---------------------------------------------------------------------- hidden patches, and chance


def test_hidden_patches():
    hidden = draw_hidden(400, 12, Views(), torch.Generator().manual_seed(0))
    share = hidden.float().mean(1)
    assert 0.4 < (share > 0).float().mean() < 0.6, "half of the views"
    assert share[share > 0].min() >= 0.09
    assert 0.45 < share.max() <= 0.51
    grid = hidden[share > 0.2].unflatten(1, (12, 12)).numpy()
    places = np.mean([ndimage.label(one)[1] for one in grid])
    scattered = np.mean(
        [ndimage.label(np.random.default_rng(0).permuted(one.ravel()).reshape(12, 12))[1] for one in grid]
    )
    assert places < scattered / 3, "in blobs, not scattered"


def test_same_numbers_whoever_draws_them():
    one, again = (draw(8, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one.crop, again.crop)
    half = one.of(slice(4, 8), torch.device("cpu"))
    assert torch.equal(half.jitter, one.jitter[4:])
    with pytest.raises(AttributeError):
        one.crop = half.crop  # type: ignore[misc]
