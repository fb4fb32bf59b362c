"""Pictures: their sizes, that colours hold still and tell neighbours apart, that contours grow with coarseness."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedgerow import draw
from hedgerow.config import CallerError
from hedgerow.draw import colours, overlays, sheets, trees
from hedgerow.forest import MaskForest
from hedgerow.partition import sampled, touching


def photo(height, width, seed=0):
    """A smooth, colourful made photo."""
    ys, xs = np.mgrid[:height, :width] / max(height, width)
    waves = np.stack([np.sin(7 * xs + seed), np.cos(5 * ys), np.sin(9 * (xs + ys))], 2)
    return (127 + 100 * waves).astype(np.uint8)


def quilt(height, width, patches=4, parts=2):
    """patches x patches squares, each of parts x parts squares; little by little down to one pixel's rest."""
    ys, xs = np.mgrid[:height, :width]
    coarse = ys * patches // height * patches + xs * patches // width
    n = patches * parts
    fine = ys * n // height * n + xs * n // width
    masks = [coarse == v for v in np.unique(coarse)] + [fine == v for v in np.unique(fine)]
    score = np.where(np.arange(len(masks)) < len(np.unique(coarse)), 0.9, 0.5)
    return MaskForest.from_masks(masks, score=score).suppress(0.99).nest()


# ---------------------------------------------------------------------- overlay


def test_an_overlay_colours_regions_and_draws_contours():
    pixels, forest = photo(120, 160), quilt(120, 160)
    picture = draw.overlay(pixels, forest)
    assert picture.shape == pixels.shape
    assert picture.dtype == np.uint8
    assert (picture != pixels).mean() > 0.5
    assert np.array_equal(picture, draw.overlay(pixels, forest))


def test_contours_of_wholes_are_wider_than_those_of_parts():
    pixels = np.zeros((600, 800, 3), np.uint8)
    white = draw.overlay(pixels, quilt(600, 800)).min(2) > 150
    between_roots, between_parts = white[20:60, 390:410].sum(1), white[20:60, 90:110].sum(1)
    assert between_roots.min() > between_parts.max() >= 1


def test_a_region_keeps_its_colour_when_others_far_away_go():
    pixels, forest = photo(96, 96), quilt(96, 96, patches=6, parts=1)
    before, after = draw.overlay(pixels, forest), draw.overlay(pixels, forest.select(range(30)))
    assert np.array_equal(before[:60], after[:60])


def rivals(height, width, seed=0):
    """12 squares, and many less sure unions of them that cross each other."""
    squares = quilt(height, width, patches=4, parts=1).masks()
    squares = np.concatenate([squares[:8], squares[8::2] | squares[9::2]])
    some = np.random.default_rng(seed).random((80, len(squares))) < 0.4
    unions = [squares[row].any(0) for row in some if row.any()]
    score = [0.9] * len(squares) + [0.5] * len(unions)
    return MaskForest.from_masks([*squares, *unions], score=score).suppress(0.99).nest(), squares


@pytest.mark.parametrize("seed", range(5))
def test_regions_that_compete_show_what_they_vote_for(seed):
    forest, squares = rivals(60, 80, seed)
    assert not overlays.agrees(forest)
    wholes, parts, _ = overlays._partitions(forest, (60, 80), overlays.FINE)
    for square in squares:
        assert np.array_equal(wholes == wholes[square][0], square)
    assert np.array_equal(np.unique(wholes), np.unique(parts))
    few = overlays._partitions(forest, (60, 80), 30)
    assert [len(np.unique(labels)) for labels in few] == [10, 10, 12]  # 30 / 3 roots at most are wholes


def test_neighbours_are_told_apart():
    wholes, parts, pieces = overlays._partitions(quilt(96, 96, patches=8, parts=2), (96, 96), overlays.FINE)
    assert np.array_equal(parts, pieces)
    hues = overlays._distinct(wholes)
    shades = overlays._distinct(parts, overlays._wholes(parts, wholes), hues, colours.SHADE)
    for labels, lch, most in ((wholes, hues, 64), (parts, shades, 256)):
        shown = colours.rgb(colours.oklab(lch))
        edges, _ = touching(labels)
        apart = np.abs(shown[edges[:, 0]] - shown[edges[:, 1]]).max(1)
        assert len(np.unique(labels)) == most
        assert apart.min() > 12
        assert np.mean(apart > 25) > 0.98


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.booleans())
def test_an_overlay_shows_nested_partitions_of_what_is_held(seed, count, small):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 30, 2)
    masks = []
    for _ in range(rng.integers(1, 10)):
        y, x = rng.integers(height), rng.integers(width)
        mask = np.zeros((height, width), bool)
        mask[y : y + rng.integers(1, 20), x : x + rng.integers(1, 20)] = True
        masks.append(mask)
    forest = MaskForest.from_masks(masks, score=rng.uniform(0.1, 1, len(masks))).nest()
    shape = (-(-height // 2), -(-width // 2)) if small else (height, width)
    maps = overlays._partitions(forest, shape, count)
    ys, xs = sampled(forest.size, shape)
    held = np.any(masks, 0)[ys[:, None], xs]
    assert (maps is None) == (not held.any())
    for coarse, fine in zip(maps or (), (maps or ())[1:], strict=False):
        assert np.array_equal(coarse >= 0, held)
        assert np.array_equal(overlays._wholes(fine, coarse)[fine][held], coarse[held])
    assert draw.overlay(photo(height, width), forest).shape == (height, width, 3)


def test_ragged_regions_are_laid_over_each_other_at_less_than_full_size(monkeypatch):
    ragged = MaskForest.from_masks(np.random.default_rng(0).random((8, 60, 80)) < 0.5).nest()
    full = overlays._arranged(ragged, (60, 80))
    monkeypatch.setattr(overlays, "MOST_PIECES", 50)
    pieces, inside, rows = overlays._arranged(ragged, (60, 80))
    assert full[0].shape == pieces.shape
    assert full[1].shape[1] > 200
    assert inside.shape == (len(rows), pieces.max() + 1)
    assert inside.shape[1] <= 50


def test_hand_made_parts_show_as_parts():
    forest = quilt(64, 64, patches=2)
    wholes, parts, _ = overlays._partitions(forest, (64, 64), overlays.FINE)
    assert np.array_equal(wholes, forest.cut(count=4))
    assert np.array_equal(parts, forest.cut(count=len(forest)))
    ground = MaskForest.from_masks([np.ones((64, 64), bool), *forest.masks()]).nest()
    assert len(np.unique(overlays._partitions(ground, (64, 64), overlays.FINE)[0])) == 4


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (1, 3000), (3000, 1)])
def test_any_size_is_drawn(size):
    pixels = photo(*size)
    labels = np.arange(size[0] * size[1]).reshape(size) // 300
    forest = MaskForest.from_labels(labels)
    for some in (forest, MaskForest(size)):
        picture = draw.overlay(pixels, some)
        assert max(picture.shape[:2]) == min(max(size), sheets.LONGEST)
        assert draw.tree(pixels, some).ndim == draw.level_strip(pixels, some.levels(3)).ndim == 3


def test_an_empty_forest_leaves_the_photo_as_it_is():
    pixels = photo(20, 30)
    assert np.array_equal(draw.overlay(pixels, MaskForest((20, 30))), pixels)


def test_a_huge_photo_is_drawn_small():
    pixels = np.broadcast_to(np.uint8(90), (900, 4096, 3))
    corner = np.zeros((900, 4096), bool)
    corner[:400, :2000] = True
    picture = draw.overlay(pixels, MaskForest.from_masks([corner]))
    assert picture.shape == (450, 2048, 3)
    assert (picture[:190, :990] == picture[0, 0]).all()  # one colour over one grey
    assert (picture[210:, 1010:] == picture[-1, -1]).all()
    assert (picture[0, 0] != picture[-1, -1]).any()


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 5), np.uint8), np.zeros((4, 5, 4), np.uint8), np.zeros((4, 5, 3)), np.zeros((5, 4, 3), np.uint8)],
)
def test_a_wrong_photo_is_told(pixels):
    for mistake in (draw.overlay, draw.tree):
        with pytest.raises(CallerError, match=r"pixels are|the photo is of size"):
            mistake(pixels, MaskForest((4, 5)))
    with pytest.raises(CallerError, match=r"pixels are|the photo is of size"):
        draw.level_strip(pixels, np.zeros((2, 4, 5), np.int32))


# ---------------------------------------------------------------------- sheets


def test_a_strip_holds_the_photo_and_a_choice_of_levels():
    pixels, forest = photo(60, 80), quilt(60, 80)
    for count in (1, 3, 5, 12):
        strip = draw.level_strip(pixels, forest.levels(count))
        assert strip.shape[1] == (min(count, 5) + 1) * 90 + sheets.GAP
        assert np.array_equal(strip[sheets.GAP : 70, sheets.GAP : 90], pixels)
    flat = draw.level_strip(pixels, np.zeros((1, 60, 80), np.int32))[sheets.GAP : 70, 100:180]
    assert np.abs(flat - pixels.mean((0, 1))).max() <= 1
    with pytest.raises(CallerError, match="shape"):
        draw.level_strip(pixels, np.zeros((60, 80), np.int32))


def test_a_strip_of_large_photos_stays_in_bounds():
    strip = draw.level_strip(photo(300, 2500), np.zeros((4, 300, 2500), np.int32))
    assert sheets.LONGEST - 20 < strip.shape[1] <= sheets.LONGEST


def test_a_tree_shows_the_photo_its_roots_and_their_parts():
    pixels, forest = photo(120, 160), quilt(120, 160, patches=2)
    picture = draw.tree(pixels, forest)
    assert np.array_equal(picture, draw.tree(pixels, forest))
    narrow = draw.tree(pixels, forest.select(forest.roots))
    alone = draw.tree(pixels, MaskForest((120, 160)))
    assert picture.shape[1] > narrow.shape[1] > alone.shape[1]
    assert max(picture.shape) <= sheets.LONGEST


def test_a_tree_of_regions_that_compete_shows_some_at_peace():
    forest, _ = rivals(60, 80)
    some = trees.at_peace(forest)
    assert len(some) >= 8
    cover, iou = some.cover(), some.iou()
    np.fill_diagonal(iou, 0)
    within = np.maximum(cover, cover.T)
    assert ((within <= 0.1) | (within >= 0.9)).all()
    assert iou.max() <= trees.ALIKE
    assert draw.tree(photo(60, 80), forest).ndim == 3


def test_a_tree_writes_names():
    masks = np.ones((1, 40, 40), bool)
    named = [MaskForest.from_masks(masks, name=[name]) for name in ("cat", "a very long name " * 20, "", "x\ny", "猫é")]
    pictures = [draw.tree(photo(40, 40), forest) for forest in named]
    assert len({picture.shape for picture in pictures}) == 1
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)


def test_a_contact_sheet_places_pictures_in_rows():
    images = [photo(30, 40, seed) for seed in range(5)]
    sheet = draw.contact_sheet(images, [f"photo {i}" for i in range(5)], columns=2)
    assert sheet.shape == (3 * (30 + sheets.TEXT + 2 * sheets.GAP) + sheets.GAP, 2 * 50 + sheets.GAP, 3)
    assert np.array_equal(sheet[sheets.GAP : 40, sheets.GAP + 50 : 100], images[1])
    assert draw.contact_sheet(images, [""] * 5).shape[1] == 3 * 50 + sheets.GAP
    huge = draw.contact_sheet([photo(50, 5000), photo(900, 3)], ["wide", "high"])
    assert huge.shape[1] <= sheets.LONGEST
    with pytest.raises(CallerError, match="one caption for each"):
        draw.contact_sheet(images, ["one"])
    with pytest.raises(CallerError, match="one caption for each"):
        draw.contact_sheet([], [])


# ---------------------------------------------------------------------- features


def test_alike_features_have_one_colour_in_all_photos():
    rng = np.random.default_rng(0)
    kinds = rng.standard_normal((4, 24))
    where = [rng.integers(0, 4, (6, 8)), rng.integers(0, 4, (9, 5))]
    maps = [kinds[labels] + 0.01 * rng.standard_normal((*labels.shape, 24)) for labels in where]
    pictures = draw.feature_colours(maps)
    assert [picture.shape for picture in pictures] == [(6, 8, 3), (9, 5, 3)]
    for kind in range(4):
        seen = np.concatenate([picture[labels == kind] for picture, labels in zip(pictures, where, strict=True)])
        assert np.ptp(seen.astype(int), axis=0).max() < 16
    means = [pictures[0][where[0] == kind].mean(0) for kind in range(4)]
    assert min(np.abs(a - b).max() for a in means for b in means if a is not b) > 64
    assert draw.feature_colours([np.ones((2, 3, 2))])[0].shape == (
        2,
        3,
        3,
    )  # one feature everywhere
    with pytest.raises(CallerError, match="D the same in all"):
        draw.feature_colours([np.ones((2, 3, 2)), np.ones((2, 3, 4))])
